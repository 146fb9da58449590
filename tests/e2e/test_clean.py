"""`lipwise-ray clean`: what is old goes, and what is done stays done."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from lipwise_ray.metrics.lse import SHIFTS
from lipwise_ray.pipeline.quality.evaluation_sums import Measured, overall_distance
from lipwise_ray.state import layout
from lipwise_ray.state.store import LocalStore, as_json, to_json
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import PASSTHROUGH, QUICK, dub, run

ROW = {"id": "a", "video": "v.mp4", "audio": "s.wav", "output": "a.mp4", "faces": "box:20,80,40,100"}


def test_a_finished_row_stays_finished(tmp_path: Path) -> None:
    """All that a run left goes but its results and the latest run; the same command does nothing again, and a lost
    output is made anew.
    """
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(160, 112), frames=10))
    write_sound(tmp_path / "s.wav", ToneSpec(0.4, codec="pcm_s16le", rate_hz=16000, channels=1))
    first = dub(tmp_path, [ROW], PASSTHROUGH, QUICK)
    assert first.done == 1
    state = tmp_path / "out.state"
    before = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    dry = run("clean", state, "--older", "0h", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "would remove" in dry.stdout
    assert {path: path.read_bytes() for path in state.rglob("*") if path.is_file()} == before
    told = run("clean", state, "--older", "0h", "--json")
    assert told.returncode == 0, told.stderr
    kinds = {one["kind"]: one for one in map(json.loads, told.stdout.splitlines())}
    assert all(kinds[name]["objects"] for name in ("scans", "sounds", "jobs"))
    left = {path.relative_to(state).parts[0] for path in state.rglob("*") if path.is_file()}
    assert left == {"jobs", "runs", "speeds", "driver", "night-lock", "format.json"}
    assert [path.name for path in state.glob("jobs/*/*")] == ["result.json"]
    again = dub(tmp_path, [ROW], PASSTHROUGH, QUICK)
    assert (again.done, again.chunks_rendered, again.chunks_reused) == (1, 0, 1)
    (tmp_path / "out" / "a.mp4").unlink()
    assert dub(tmp_path, [ROW], PASSTHROUGH, QUICK).chunks_rendered == 1


@pytest.mark.slow
def test_what_runs_of_the_latest_days_used_stays(tmp_path: Path) -> None:
    """Days count from the last run that used a record: a state that was copied, whose files are all new, loses what
    runs used long ago, and keeps what a later run found there, however old its files.
    """
    for name in ("v", "w"):
        write_clip(tmp_path / f"{name}.mp4", ClipSpec(size=Size(160, 112), frames=10 if name == "v" else 12))
    for name, seconds in (("s", 0.4), ("t", 0.44), ("u", 0.48)):
        write_sound(tmp_path / f"{name}.wav", ToneSpec(seconds, codec="pcm_s16le", rate_hz=16000, channels=1))
    state = tmp_path / "out.state"
    rows = [ROW, {**ROW, "id": "b", "video": "w.mp4", "audio": "t.wav", "output": "b.mp4"}]
    assert dub(tmp_path, rows, PASSTHROUGH, QUICK).done == 2
    ended = json.loads(next(state.glob("runs/*/rows/*.json")).read_text())["ended"]
    month = 30 * 86_400
    for path in state.glob("runs/*/run.json"):  # as if it had been a month ago
        _aged(path, "begun", month)
    for path in state.glob("runs/*/rows/*.json"):
        _aged(path, "ended", month)
    # A row of the same video with other audio, today.
    assert dub(tmp_path, [{**rows[0], "audio": "u.wav"}], PASSTHROUGH, QUICK).done == 1
    for path in state.rglob("*.npz"):
        os.utime(path, (ended - 90 * 86_400,) * 2)
    scans = {path.name for path in (state / "scans").iterdir()}
    assert len(scans) == 2
    told = run("clean", state, "--keep-days", "7", "--dry-run")
    assert (told.returncode, "would remove" in told.stdout) == (0, True), told.stderr
    assert {path.name for path in (state / "scans").iterdir()} == scans
    done = run("clean", state, "--keep-days", "7", "--json")
    assert done.returncode == 0, done.stderr
    kinds = {one["kind"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert {kind: kinds[kind]["folders"] for kind in ("scans", "sounds", "jobs", "runs")} == {
        "scans": 1,
        "sounds": 2,
        "jobs": 2,
        "runs": 1,
    }
    (left,) = (state / "scans").iterdir()
    assert left.name == json.loads(next(state.glob("runs/*/rows/*.json")).read_text())["identity"]["video"]
    both = run("clean", state, "--keep-days", "7", "--older", "7d")
    assert (both.returncode, "both of --older and --keep-days given" in both.stderr) == (2, True)


def _aged(path: Path, key: str, seconds: float) -> None:
    record = as_json(path.read_bytes())
    assert record is not None
    path.write_bytes(to_json({**record, key: record[key] - seconds}))


def test_what_is_no_age_and_no_state(tmp_path: Path) -> None:
    """Plain errors, before anything is touched."""
    (tmp_path / "s" / "runs").mkdir(parents=True)
    bad = run("clean", tmp_path / "s", "--older", "soon")
    assert (bad.returncode, "--older: 'soon' is not an age. Write hours, days or weeks" in bad.stderr) == (2, True)
    assert run("clean", tmp_path / "none", "--older", "30d").returncode == 2


def test_no_figure_over_what_is_left_of_measures(tmp_path: Path) -> None:
    """A distance over all faces is none where those of a row are gone."""
    store = LocalStore(tmp_path / "s")
    rng = np.random.default_rng(0)
    for job in ("one", "two"):
        part = Measured(
            np.zeros(0, np.int64),
            np.zeros((0, SHIFTS), np.float32),
            {},
            *(rng.normal(size=(4, 8)).astype(np.float32) for _ in range(2)),
        )
        part.save(tmp_path / "part.npz")
        store.put_file(layout.measured(job, 0), tmp_path / "part.npz")
    distance, pictures = overall_distance(store, {"one": 1, "two": 1})
    assert (distance is not None, pictures) == (True, 8)
    store.remove(layout.measured("two", 0))
    assert overall_distance(store, {"one": 1, "two": 1}) == (None, 4)
