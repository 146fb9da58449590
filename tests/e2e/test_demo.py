"""The bundled models dub the demo's presenters for real."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from tests.conftest import ROOT
from tests.support.dub import run

DEMO = ROOT / "manifests" / "demo"


def _dubbed(folder: Path, *names: str) -> Path:
    """Dub rows of the demo as `make demo` does."""
    rows = {
        "still": f"still,{DEMO}/still.png,{DEMO}/still.m4a,still.mp4,largest",
        "two-people": f"two-people,{DEMO}/two-people.mp4,{DEMO}/two-people.m4a,two-people.mp4,left",
    }
    (folder / "m.csv").write_text("\n".join(["id,video,audio,output,faces", *(rows[name] for name in names)]))
    done = run("submit", folder / "m.csv", "--job", ROOT / "jobs" / "demo.toml", "--set", 'engine.kind="inline"')
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def dubbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The still image and the two people of the demo."""
    return _dubbed(tmp_path_factory.mktemp("demo"), "still", "two-people")


def _luma(video: Path) -> np.ndarray:
    with av.open(str(video)) as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)]).astype(np.float32)


def test_a_stills_lips_move_and_the_rest_does_not(tmp_path: Path) -> None:
    """Over the dubbed still only the mouth's region changes, and it stays still in the silence at the start."""
    frames = _luma(_dubbed(tmp_path, "still") / "out" / "still.mp4")
    moved = frames.std(axis=0)
    rows, columns = np.nonzero(moved > 8)
    assert len(rows) > 100
    height, width = moved.shape
    assert rows.min() > 0.4 * height
    assert rows.max() < 0.85 * height
    assert columns.max() - columns.min() < 0.35 * width
    mouth = frames[:, rows.min() : rows.max(), columns.min() : columns.max()]
    steps = np.abs(np.diff(mouth, axis=0)).mean(axis=(1, 2))
    assert steps[:3].max() < 0.5 * np.percentile(steps, 90)


@pytest.mark.slow
def test_only_the_chosen_one_of_two_is_dubbed(dubbed: Path) -> None:
    """The right half, where the listener sits, is as it was filmed; the left half is not."""
    before, after = _luma(DEMO / "two-people.mp4"), _luma(dubbed / "out" / "two-people.mp4")
    count = min(len(before), len(after))
    changed = np.abs(before[:count] - after[:count]).mean(axis=0)
    half = changed.shape[1] // 2
    assert np.percentile(changed[:, half:], 99.9) < 3
    assert np.percentile(changed[:, :half], 99.5) > 6


@pytest.mark.slow
def test_the_dubbed_lips_are_nearer_to_the_sound_than_the_filmed(dubbed: Path) -> None:
    """`synth compare` prints the distances of each row and what its mouth is like; mouths move as the true ones do."""
    done = run(
        *("synth", "compare", dubbed / "m.csv", "--job", ROOT / "jobs" / "demo.toml", "--out", dubbed / "out"),
        *("--true", DEMO / "true"),
    )
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[3:]}
    assert set(lines) == {"still", "two-people"}
    for filmed, after, true, closed, shape, sharpness in lines.values():
        assert float(true) < float(filmed)
        assert float(after) < float(filmed)
        assert 0 < int(closed.rstrip("%")) <= 100
        assert float(shape) > 0.65  # brown smudges in place of a mouth have 0.54
        assert float(sharpness) > 0.7


@pytest.mark.slow
def test_a_smoke_test_dubs_a_clip_and_reads_it_again(tmp_path: Path) -> None:
    """As a machine reads it: an object a line, all good, exit code 0; output and inputs lie in the place named."""
    done = run("demo", tmp_path / "out", "--smoke", "--json", "--set", 'engine.kind="inline"')
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["name"] for one in found] == ["row", "output", "video"]
    assert all(one["good"] for one in found)
    assert {file.name for file in (tmp_path / "out" / "inputs").iterdir()} == {"presenter.mp4", "presenter.m4a"}
    assert len(list((tmp_path / "out").glob("smoke-*.mp4"))) == 1


def test_the_whole_demo_is_for_this_machine(tmp_path: Path) -> None:
    """A cluster, a bucket or settings without --smoke are wrong usage, which says what to add."""
    for words in (["s3://b/out"], [tmp_path, "--address", "http://head:8265"], [tmp_path, "--json"]):
        done = run("demo", *words)
        assert done.returncode == 2
        assert "Add --smoke" in done.stderr
