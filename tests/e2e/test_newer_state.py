"""A state that a newer program laid out: every command leaves it as it is and says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lipwise_ray.state.store import to_json
from tests.golden.make_state_v1 import BACKLOG, EVALUATE, GOLDEN, SUBMIT
from tests.support.dub import run

COMMANDS = (
    SUBMIT,
    EVALUATE,
    BACKLOG,
    ("plan", "in/manifest.jsonl", "--job", "in/job.toml", "--state", "state"),
    ("backlog", "status", "drop", "--state", "state"),
    ("status", "state"),
    ("report", "state"),
    ("tracks", "state", "duo", "tracks.npz"),
    ("retry", "state"),
    ("cancel", "state"),
    ("reproduce", "state", "render:x/1"),
    ("clean", "state", "--older", "1h"),
    ("evaluate", "compare", "state", "state"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The golden state and its inputs."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "golden"))


def _state(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (folder / "state").rglob("*") if path.is_file()}


def test_every_command_refuses_a_newer_state(folder: Path) -> None:
    """Exit code 2, one line that says what happened, and no byte of the state is another."""
    (folder / "state" / "format.json").write_bytes(to_json({"layout": 2}))
    before = _state(folder)
    for words in COMMANDS:
        done = run(*words, cwd=folder)
        assert done.returncode == 2, (words, done.stderr)
        said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(said) == 1, (words, done.stderr)
        assert f"{folder / 'state'}: was made by a newer lipwise-ray, with layout 2; " in said[0]
        assert "this program knows layouts up to 1. Nothing was changed." in said[0]
    assert _state(folder) == before


def test_a_damaged_layout_is_told_of(folder: Path) -> None:
    """Neither a run nor a look at it guesses: exit code 2, and the file by its name."""
    (folder / "state" / "format.json").write_text("{")
    for words in (SUBMIT, ("status", "state")):
        done = run(*words, cwd=folder)
        assert done.returncode == 2, (words, done.stderr)
        assert "format.json: holds no number of a layout" in done.stderr
