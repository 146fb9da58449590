"""What `reproduce` runs of a dead letter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.cli.control import reproduce
from lipwise_ray.errors import StateError
from lipwise_ray.pipeline.dubbing.task_parts import NumberedSpan, RowPayload
from lipwise_ray.pipeline.flows.evaluation_parts import (
    MeasureResult,
)
from lipwise_ray.pipeline.flows.task_kinds import (
    SCAN,
    ScanResult,
)
from lipwise_ray.pipeline.tasks import worker
from lipwise_ray.runs.run_inputs import registry_of
from lipwise_ray.scheduler.task import AnyKind, Failure, Hints, TaskResult
from lipwise_ray.settings.layers import parse_assignment, resolve
from lipwise_ray.settings.model import Settings
from lipwise_ray.state import quarantine
from lipwise_ray.state.format import settle_format
from lipwise_ray.state.shapes import FailedTry, Letter
from lipwise_ray.state.store import LocalStore

TASK = "scan:abc/def/3"


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, AnyKind, RowPayload]]:
    """Take what would be done."""
    found: list[tuple[Any, AnyKind, RowPayload]] = []

    class Notes:
        def __init__(self, config: Any) -> None:
            self.config = config

        def run(self, kind: AnyKind, payload: RowPayload, hints: Hints) -> TaskResult:
            assert not hints.is_missing  # it may be done by now
            found.append((self.config, kind, payload))
            return ScanResult() if kind is SCAN else MeasureResult()

    monkeypatch.setattr(worker, "Worker", Notes)
    return found


def _letter(state: Path, *assignments: str, kind: str = "scan", **changes: Any) -> str:
    """Write the letter of a scan, or of another task in a chunk; return its name."""
    told = [("test", parse_assignment(text)) for text in assignments]
    settings = resolve(told) if told else Settings()
    job = {
        "row_id": "a",
        "video": "/v.mp4",
        "audio": "/s.wav",
        "output": "a.mp4",
        "output_address": "/o/a.mp4",
        "tracks": None,
        "start_s": 0.0,
        "end_s": None,
        "language": None,
        "tags": ["x"],
        "settings": settings.model_dump_json(),
        "speakers": [],
    }
    mine = registry_of(Settings()).resolve("tiny_detector").record()
    payload = {
        "job": job,
        "weights": {"detector": [{**mine, "path": "/elsewhere/tiny.safetensors"}]},
        "scratch": "/of/the/run",
        "device": "cpu",
        "choices": [{"codec": "auto", "encoder": "", "bfloat16": None}],
        "known_choices": [],
        **dict.fromkeys(("job_id", "video_id", "detector_id"), "0f" * 12),
        "voices_id": None,
        "looks_id": None,
        "portraits": {},
        "identity": {"pipeline": 6},
        "choice": {"codec": "auto", "encoder": "libx264", "bfloat16": None},
        "has_begun": False,
        "chunk": 3,
        "start": 30,
        "stop": 40,
        "is_missing": True,
        **changes,
    }
    task = f"{kind}:abc/def/3"
    failure = Failure("application", "internal", "broken")
    attempt = FailedTry(blame=failure.blame, code=failure.code, message=failure.message, node="n", worker="w")
    quarantine.write(LocalStore(state), Letter(task, kind, "0f" * 12, payload, [attempt], nodes=["n"]))
    (state / "runs").mkdir()
    settle_format(LocalStore(state))
    return task


def test_a_task_is_rebuilt_with_what_this_machine_has(tmp_path: Path, done: list[Any]) -> None:
    """Published checkpoints are this machine's, its scratch folder is its own, and unknown words are not handed on."""
    _letter(tmp_path, "chunk.length_s=5", run_me="import os")
    reproduce(str(tmp_path), TASK)
    ((config, kind, payload),) = done
    assert kind is SCAN
    assert config.scratch != "/of/the/run"
    assert payload.row.weights.needed("detector").path.is_file()
    assert payload.spec.settings.chunk.length_s == 5
    assert payload.piece == NumberedSpan(3, 30, 40)
    assert payload.probed.voices_id is None
    assert "run_me" not in SCAN.record_of(payload)


OWN = {"name": "custom", "network": "wav2lip", "path": "/theirs.pth", "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("assignments", "changes", "word"),
    [
        (["asr.model=/theirs"], {}, "asr.model=/theirs"),
        (["paths.mirror=s3://theirs/m"], {}, "paths.mirror"),
        ([], {"weights": {"lipsync": OWN}}, "lipsync /theirs.pth"),
        ([], {"weights": {"lipsync": {**OWN, "name": "tiny_detector"}}}, "lipsync /theirs.pth"),
        ([], {"kind": "measure", "reference": "s3://theirs/r.mp4"}, "reference s3://theirs/r.mp4"),
    ],
)
def test_a_letter_does_not_choose_what_is_trusted(
    assignments: list[str], changes: dict[str, Any], word: str, tmp_path: Path, done: list[Any]
) -> None:
    """Checkpoints, folders and buckets that only the state names are taken when that is asked for, and not before."""
    task = _letter(tmp_path, *assignments, **changes)
    with pytest.raises(StateError, match="the state names what is to be trusted") as caught:
        reproduce(str(tmp_path), task)
    assert word in caught.value.got
    assert not done
    reproduce(str(tmp_path), task, trust=True)
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
        ({"kind": "measure", "reference": "https://h/v.mp4?sig=c0ffee"}, "secret_in_letter"),
        ({"kind": "assemble", "sound": "jobs/j/sound/../../runs"}, "bad_letter"),
        ({"kind": "recognise", "portrait": ["/p.png", "p"]}, "bad_letter"),  # a chunk and a portrait
    ],
)
def test_a_letter_that_no_run_wrote_is_refused(
    changes: dict[str, Any], code: str, tmp_path: Path, done: list[Any]
) -> None:
    """Fields of another type, keys that lead elsewhere, checkpoints without a name, and addresses that were cut."""
    task = _letter(tmp_path, **changes)
    with pytest.raises(StateError) as caught:
        reproduce(str(tmp_path), task, trust=True)
    assert caught.value.code == code
    assert not done
