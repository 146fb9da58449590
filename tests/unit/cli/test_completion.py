"""Shell completion, as a shell asks for it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from click import Command, Context

from lipwise_ray.cli.completed_ids import codes, manifest_rows, quarantined_tasks, state_rows
from lipwise_ray.cli.completion import settings_keys
from lipwise_ray.explanation import explanations
from lipwise_ray.settings.layers import parse_assignment
from lipwise_ray.state import quarantine
from lipwise_ray.state.run_records import Request
from lipwise_ray.state.shapes import FailedTry, Letter
from lipwise_ray.state.store import open_store, to_json

_PROGRAM = """
import atexit, sys
sys.argv[0] = "lipwise-ray"
large = {"torch", "av", "cv2", "ray", "scipy"}
atexit.register(lambda: print("loaded", *sorted(large & set(sys.modules)), file=sys.stderr))
from lipwise_ray.cli.app import app
app(prog_name="lipwise-ray")
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("lipwise-ray pre", {"preview"}),
        ("lipwise-ray submit m.csv --preset f", {"fast"}),
        ("lipwise-ray submit m.csv --set timing.len", {"timing.length="}),
        ("lipwise-ray cluster init a", {"aws"}),
        ("lipwise-ray explain no_aud", {"no_audio"}),
    ],
)
def test_what_a_shell_is_offered(words: str, expected: set[str]) -> None:
    """Commands, presets, settings, choices, codes."""
    offered, _ = _offered(words)
    assert offered == expected


def _offered(words: str) -> tuple[set[str], set[str]]:
    """Return what a shell is offered for the last word, and which large packages that loaded."""
    told = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1), "_LIPWISE_RAY_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], env={**os.environ, **told}, capture_output=True, text=True, check=False
    )
    loaded, _, problems = done.stderr.rpartition("loaded")
    assert not loaded, done.stderr
    return set(done.stdout.split()), set(problems.split())


def _made_state(folder: Path) -> Path:
    """Return a state of one run that gave up one task of a row."""
    state = folder / "st"
    run = {"run_id": "r", "manifest": "m.csv", "rows": 2, "folder": str(folder)}
    request = asdict(Request(verb="submit", files=[str(folder / "m.csv")]))
    (state / "runs" / "r").mkdir(parents=True)
    (state / "runs" / "r" / "run.json").write_bytes(to_json({**run, "request": request}))
    attempt = FailedTry(code="crash", message="it died")
    quarantine.write(open_store(str(state)), Letter("render:j1:0", "render", "j1", {}, [attempt]))
    return state


def test_rows_jobs_and_tasks_are_offered_where_a_command_takes_one(tmp_path: Path) -> None:
    """Of the manifest, of the state's latest run and of its quarantine; no network's packages are loaded for it."""
    manifest = tmp_path / "m.csv"
    manifest.write_text("id,video,audio,output\nep1-de,a,b,c\nep1-fr,a,b,d\nep2,a,b,e\n")
    state = _made_state(tmp_path)
    expected = {
        f"preview {manifest} ep1": {"ep1-de", "ep1-fr"},
        f"cancel {state} ep2": {"ep2"},
        f"tracks {state} ep1-f": {"ep1-fr"},
        f"reproduce {state} r": {"render:j1:0"},
        f"retry {state} --job j": {"j1"},
    }
    for words, ids in expected.items():
        assert _offered(f"lipwise-ray {words}") == (ids, set()), words


@pytest.mark.parametrize("name", ["none.csv", "noise.csv", "noise.parquet", "m.txt", "s3://bucket/m.csv"])
@pytest.mark.parametrize("command", ["preview", "cancel", "reproduce"])
def test_what_cannot_be_read_offers_nothing(command: str, name: str, tmp_path: Path) -> None:
    """No file, no manifest, no state, a place in the network: no word, no error, and nothing is made there."""
    for noise in ("noise.csv", "noise.parquet"):
        (tmp_path / noise).write_bytes(b"\xff\xfe\x00\x01" * 9)
    place = name if "://" in name else str(tmp_path / name)
    context = Context(Command(command), resilient_parsing=True)
    context.params = {"manifest": place, "state": place}
    before = sorted(tmp_path.iterdir())
    for offer in (manifest_rows, state_rows, quarantined_tasks):
        assert offer(context, "") == []
        assert offer(Context(Command(command)), "") == []  # the word before is missing
    assert sorted(tmp_path.iterdir()) == before


def test_nearly_every_code_is_offered_and_none_that_is_no_code() -> None:
    """Those that the source puts together of parts are found by `explain` alone."""
    known = {one.code for one in explanations()}
    offered = set(codes(""))
    assert {"0", "1", "no_audio"} <= offered
    named = {one for one in offered if not one.isdigit()}
    assert named <= known
    assert len(named) > 0.9 * len(known)


def test_every_setting_that_is_offered_is_one() -> None:
    """Each can be written as an assignment; sections within sections are named whole."""
    keys = settings_keys("")
    assert {"encode.audio.codec=", "lipsync.model=", "engine.workers="} <= set(keys)
    for key in keys:
        assert parse_assignment(f"{key}1")
