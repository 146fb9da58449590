"""What `reproduce` runs of a dead letter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.cli import setup
from lipwise_ray.cli.control import reproduce
from lipwise_ray.dubbing import worker
from lipwise_ray.dubbing.context import JobSpec, spec_of
from lipwise_ray.engine.contract import Failure
from lipwise_ray.errors import StateError
from lipwise_ray.layers import parse_assignment, resolve
from lipwise_ray.settings import Settings
from lipwise_ray.state import quarantine
from lipwise_ray.state.store import LocalStore

TASK = "scan:abc/def/3"


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, str, dict[str, Any]]]:
    """Take what would be done."""
    found: list[tuple[Any, str, dict[str, Any]]] = []

    class Notes:
        def __init__(self, config: Any) -> None:
            self.config = config

        def run(self, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
            found.append((self.config, kind, payload))
            return {}

    monkeypatch.setattr(worker, "Worker", Notes)
    return found


def _letter(state: Path, *assignments: str, **changes: Any) -> None:
    """Write the letter of a scan."""
    told = [("test", parse_assignment(text)) for text in assignments]
    spec = JobSpec(
        "a", "/v.mp4", "/s.wav", "a.mp4", "/o/a.mp4", None, 0.0, None, None, (), resolve(told) if told else Settings()
    )
    mine = setup.registry(Settings()).resolve("tiny_detector").record()
    payload = {
        "job": spec.record(),
        "weights": {"detector": [{**mine, "path": "/elsewhere/tiny.safetensors"}]},
        "scratch": "/of/the/run",
        "device": "cpu",
        "choices": [{"codec": "auto", "encoder": "", "bfloat16": None}],
        "known_choices": [],
        **dict.fromkeys(("job_id", "video_id", "detector_id"), "0f" * 12),
        "voices_id": None,
        "identity": {"pipeline": 6},
        "chunk": 3,
        "start": 30,
        "stop": 40,
        **changes,
    }
    failure = Failure("application", "internal", "broken")
    attempt = {"blame": failure.blame, "code": failure.code, "message": failure.message, "node": "n", "worker": "w"}
    letter = {"kind": "scan", "job_id": "0f" * 12, "payload": payload, "attempts": [attempt], "nodes": ["n"]}
    quarantine.write(LocalStore(state), TASK, letter)
    (state / "runs").mkdir()


def test_a_task_is_rebuilt_with_what_this_machine_has(tmp_path: Path, done: list[Any]) -> None:
    """Published checkpoints are this machine's, its scratch folder is its own, and unknown words are not handed on."""
    _letter(tmp_path, "chunk.length_s=5", run_me="import os")
    reproduce(str(tmp_path), TASK)
    ((config, kind, payload),) = done
    assert kind == "scan"
    assert payload["scratch"] == config.scratch != "/of/the/run"
    assert Path(payload["weights"]["detector"][0]["path"]).is_file()
    assert "run_me" not in payload
    assert spec_of(payload).settings.chunk.length_s == 5
    assert (payload["chunk"], payload["start"], payload["stop"], payload["voices_id"]) == (3, 30, 40, None)


OWN = {"name": "custom", "network": "wav2lip", "path": "/theirs.pth", "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("assignments", "changes", "word"),
    [
        (["asr.model=/theirs"], {}, "asr.model=/theirs"),
        (["paths.mirror=s3://theirs/m"], {}, "paths.mirror"),
        ([], {"weights": {"lipsync": OWN}}, "lipsync /theirs.pth"),
        ([], {"weights": {"lipsync": {**OWN, "name": "tiny_detector"}}}, "lipsync /theirs.pth"),
        ([], {"reference": "s3://theirs/r.mp4"}, "reference s3://theirs/r.mp4"),
    ],
)
def test_a_letter_does_not_choose_what_is_trusted(
    assignments: list[str], changes: dict[str, Any], word: str, tmp_path: Path, done: list[Any]
) -> None:
    """Checkpoints, folders and buckets that only the state names are taken when that is asked for, and not before."""
    _letter(tmp_path, *assignments, **changes)
    with pytest.raises(StateError, match="must not be told by the state") as caught:
        reproduce(str(tmp_path), TASK)
    assert word in caught.value.got
    assert not done
    reproduce(str(tmp_path), TASK, trust=True)
    assert len(done) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"device": "cuda:0; x"}, "bad_letter"),
        ({"job": {"video": "v"}}, "bad_letter"),
        ({"video_id": "../../x"}, "bad_letter"),
        ({"chunk": -1}, "bad_letter"),
        ({"chunk": "3"}, "bad_letter"),
        ({"weights": {"detector": [{"path": "x"}]}}, "bad_letter"),
        ({"weights": {"surprise": OWN}}, "bad_letter"),
        ({"reference": "https://h/v.mp4?sig=c0ffee"}, "secret_in_letter"),
    ],
)
def test_a_letter_that_no_run_wrote_is_refused(
    changes: dict[str, Any], code: str, tmp_path: Path, done: list[Any]
) -> None:
    """Fields of another type, keys that lead elsewhere, checkpoints without a name, and addresses that were cut."""
    _letter(tmp_path, **changes)
    with pytest.raises(StateError) as caught:
        reproduce(str(tmp_path), TASK, trust=True)
    assert caught.value.code == code
    assert not done
