"""Sync scores of finished videos: in chunks as over the whole, at offsets, and where there can be none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from pydantic import TypeAdapter

from lipwise_ray.lipsync.windows import window
from lipwise_ray.media.index import build_index
from lipwise_ray.media.probe import probe_video
from lipwise_ray.metrics.lse import MOST_SHIFT, distances, reduce
from lipwise_ray.metrics.mfcc import mfcc
from lipwise_ray.metrics.sync_scorers import ExpertScorer
from lipwise_ray.models.registry import Registry
from lipwise_ray.pipeline.analysis.crops import read_crops
from lipwise_ray.pipeline.dubbing.plan import Plan
from lipwise_ray.resources import models_folder
from lipwise_ray.state.plan_record import PlanRecord
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip
from tests.conftest import ROOT
from tests.e2e.test_exactness import digest
from tests.support.dub import LOSSLESS, NOTHING_IN_FRONT, PASSTHROUGH, QUICK, dub
from tests.support.seeded import seeded_weights

DEMO = ROOT / "manifests" / "demo"
SOUND, OTHER = DEMO / "two-people.m4a", DEMO / "still.m4a"
TINY = ('lipsync.model="tiny_generator"', 'detect.detector="tiny"', NOTHING_IN_FRONT)
JUDGED = 'score.judge="tiny_judge"'
EVERY = "score.stride=1"
STRIDE = 3


def _row(name: str = "presenter", **changes: Any) -> dict[str, Any]:
    return {
        "id": name,
        "video": DEMO / f"{name}.mp4",
        "audio": DEMO / f"{name}.m4a",
        "output": f"{name}.mkv",
        **changes,
    }


def _results(folder: Path, out: str = "out") -> dict[str, dict[str, Any]]:
    found = [json.loads(path.read_bytes()) for path in folder.glob(f"{out}.state/jobs/*/result.json")]
    return {result["row_id"]: result for result in found}


def _whole(folder: Path) -> Any:
    """Return the score of a finished video, computed over every third window of it by the book, and no chunk."""
    (arrays,) = folder.glob("out.state/jobs/*/plan.npz")
    plan = Plan.load(arrays, TypeAdapter(PlanRecord).validate_json((arrays.parent / "plan.json").read_bytes()))
    info = probe_video(folder / "out" / "presenter.mkv")
    judge = ExpertScorer(Registry(models_folder() / "registry.toml", Path()).path_of("tiny_judge"))
    rows = dict(zip(plan.chosen.frame.tolist(), plan.chosen.face_box, strict=True))
    boxes = {n: judge.region(rows[int(source)]).astype(np.float32) for n, source in enumerate(plan.source)}
    crops = [crop for _, crop in read_crops(info, build_index(info), boxes, judge.side_px)]
    (mel_file,) = folder.glob(f"out.state/sounds/{plan.parts[0].sound_id}/mel.npy")
    mel, frames = np.load(mel_file), int(plan.audio_s * 25)
    count = min(len(crops), frames) - 5
    begins = np.arange(0, count, STRIDE)
    lips = judge.lips(np.stack([np.stack(crops[n : n + 5]) for n in begins]))
    sound = judge.sound(mel, np.array([int(n * 3.2 + 1e-6) for n in range(count)]))
    assert window(mel, 0).shape == (80, 16)
    there = begins[:, None] + np.arange(-MOST_SHIFT, MOST_SHIFT + 1)
    heard = np.where((there >= 0) & (there < count), there, -1)
    return reduce(distances(lips, sound, heard).sum(axis=0, dtype=np.float64), len(begins))


@pytest.mark.slow
def test_chunks_score_like_the_whole(tmp_path: Path) -> None:
    """Chunks of 7 and of 100 frames give the figures of the whole video to 1e-4; dubbed lips beat the filmed ones."""
    found = []
    for frames in (7, 100):
        folder = tmp_path / str(frames)
        folder.mkdir()
        told = (*TINY, LOSSLESS, JUDGED, f"score.stride={STRIDE}", f"chunk.frames={frames}")
        report = dub(folder, [_row(end=4.0, length="shortest")], *told)
        assert report.done == 1, report.outcomes
        found.append(_results(folder)["presenter"]["sync"])
        assert not list(folder.glob("out.state/jobs/*/scores/*"))
    whole = _whole(tmp_path / "100")
    for sync in found:
        for measure in ("source", "before", "after"):
            assert sync[measure] == pytest.approx(found[-1][measure], abs=1e-4)
        assert sync["curve"] == pytest.approx(found[-1]["curve"], abs=1e-3)
        assert sync["after"]["sync_distance"] == pytest.approx(whole.lse_d, abs=1e-3)
        assert sync["after"]["sync_confidence"] == pytest.approx(whole.lse_c, abs=1e-3)
        assert (sync["after"]["offset"], sync["after"]["windows"]) == (whole.offset, whole.windows)
    sync = found[-1]
    assert len(sync["curve"]) == 4
    assert sync["stride"] == STRIDE
    assert sync["judge"] == "tiny_judge"
    assert "no LSE" in sync["note"]
    assert sync["after"]["sync_confidence"] > 2 * sync["before"]["sync_confidence"]
    assert sync["source"]["offset"] == sync["after"]["offset"] == 0


@pytest.mark.slow
def test_where_there_is_no_score(tmp_path: Path) -> None:
    """Too short, no sound of its own, no face: no figure but a reason; the row is done all the same."""
    write_clip(tmp_path / "nobody.mp4", ClipSpec(frames=50, tone=ToneSpec(2.0, codec="aac")))
    rows = [
        _row("still", video=DEMO / "still.png", output="still.mp4"),
        _row("short", video=DEMO / "presenter.mp4", audio=DEMO / "presenter.m4a", end=0.16, length="video"),
        _row("nobody", video=tmp_path / "nobody.mp4", audio=DEMO / "still.m4a"),
    ]
    report = dub(tmp_path, rows, *TINY, PASSTHROUGH, QUICK, JUDGED, "faces.min_face_share=0.0")
    assert report.done == 3, report.outcomes
    sync = {name: result["sync"] for name, result in _results(tmp_path).items()}
    assert sync["still"]["source"] is None
    assert "no sound" in sync["still"]["why"]["source"]
    assert sync["still"]["before"] is not None
    assert sync["short"]["after"] is None
    assert "too short" in sync["short"]["why"]["after"]
    assert "no face" in sync["nobody"]["why"]["after"]
    assert sync["nobody"]["curve"] == []


@pytest.mark.slow
def test_syncnet_judges_where_it_is_installed(tmp_path: Path) -> None:
    """The published network's layout is loaded and used; with made-up weights its figures mean nothing."""
    import torch

    file = tmp_path / "syncnet.pth"
    torch.save(seeded_weights("syncnet_v2"), file)
    row = _row(end=1.0, length="video", output="p.mp4")
    report = dub(tmp_path, [row], *TINY, PASSTHROUGH, QUICK, EVERY, f"score.checkpoint={json.dumps(str(file))}")
    assert report.done == 1, report.outcomes
    sync = _results(tmp_path)["presenter"]["sync"]
    assert sync["judge"] == "custom"
    assert sync["after"]["windows"] == sync["before"]["windows"] == 20
    # Nothing was dubbed, so both are the same up to the encoder.
    assert sync["after"]["lse_d"] == pytest.approx(sync["before"]["lse_d"], rel=0.05)
    assert mfcc(np.zeros(16000, np.float32)).shape == (99, 13)


def test_a_score_that_fails_fails_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that breaks costs the score, which says so; the video is delivered."""
    monkeypatch.setattr(ExpertScorer, "lips", lambda self, crops: 1 / 0)
    report = dub(tmp_path, [_row(end=1.0, length="video")], *TINY, PASSTHROUGH, QUICK, JUDGED, "engine.backoff_s=0.0")
    assert report.done == 1, report.outcomes
    sync = _results(tmp_path)["presenter"]["sync"]
    assert sync["after"] is None
    assert "scoring failed in chunks [0]" in sync["why"]["after"]
    assert list(tmp_path.glob("out.state/quarantine/score-*"))


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"end": 1.0, "extend": "hold"}, {"end": 1.0, "extend": "pingpong"}])
def test_the_film_is_judged_where_it_runs_as_filmed(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Held and backward frames are no film: only the first second's windows compare it with its own sound."""
    report = dub(tmp_path, [_row(**changes)], *TINY, PASSTHROUGH, QUICK, JUDGED, EVERY)
    assert report.done == 1, report.outcomes
    sync = _results(tmp_path)["presenter"]["sync"]
    assert sync["after"]["windows"] > 150
    forward = 4 if changes["extend"] == "pingpong" else 1
    assert 15 <= sync["source"]["windows"] <= 25 * forward
    assert abs(sync["source"]["offset"]) <= 1


@pytest.mark.slow
def test_a_face_of_two_rules_is_judged_by_what_it_says(tmp_path: Path) -> None:
    """Two turns of one face look the same and score alike, whether one rule chooses it or two, in any order.

    Around both turns it is silent for longer than a short pause, which would count as speech within one rule alone.
    """
    turns = [("left", SOUND, 0.0, 3.8), ("left", OTHER, 4.0, 6.4)]
    renamed = [("index:0", *turns[0][1:]), turns[1]]
    names = ("faces", "audio", "start", "end")
    rows = [
        _row(
            "two-people",
            id=name,
            output=f"{name}.mp4",
            audio=None,
            speakers=[dict(zip(names, one, strict=True)) for one in said],
        )
        for name, said in (("same", turns), ("other", renamed), ("turned", renamed[::-1]))
    ]
    report = dub(tmp_path, rows, *TINY, QUICK, JUDGED, 'lipsync.silence="closed"')
    assert report.done == 3, report.outcomes
    results = {name: result["sync"]["after"] for name, result in _results(tmp_path).items()}
    frames = {name: digest(tmp_path / "out" / f"{name}.mp4") for name in results}
    for name in ("other", "turned"):
        assert frames[name] == frames["same"]
        for figure in ("sync_distance", "sync_confidence", "offset"):
            assert results[name][figure] == pytest.approx(results["same"][figure], abs=0.03), (name, figure)
        assert 0 <= results["same"]["windows"] - results[name]["windows"] <= 8  # at the end of each turn's own sound


@pytest.mark.slow
def test_a_face_is_judged_while_it_speaks(tmp_path: Path) -> None:
    """A conversation scores alike in clips and in one diarised file, and nearly as well as what each says alone: lips
    that are closed while the other speaks are compared with nothing.
    """
    turns = [("left", "A", SOUND, 0.0, 3.2), ("right", "B", OTHER, 3.4, 6.4)]
    speakers = [{"faces": face, "audio": said, "start": start, "end": end} for face, _, said, start, end in turns]
    told = (*TINY, QUICK, JUDGED, 'lipsync.silence="closed"')
    row = _row("two-people", id="clips", audio=None, output="clips.mkv")
    rows = [
        row | {"id": name, "output": f"{name}.mkv", "speakers": [one]} for name, one in zip("ab", speakers, strict=True)
    ]
    assert dub(tmp_path, [row | {"speakers": speakers}, *rows], *told).done == 3
    spoken = [
        f"SPEAKER talk 1 {start} {end - start:.1f} <NA> <NA> {name} <NA> <NA>" for _, name, _, start, end in turns
    ]
    (tmp_path / "talk.rttm").write_text("\n".join(spoken))
    diarised = row | {"id": "file", "audio": tmp_path / "out" / "clips.mkv", "output": "file.mkv"}
    diarised |= {"speakers": tmp_path / "talk.rttm", "faces": "A=left; B=right"}
    report = dub(tmp_path, [diarised], *told)
    assert report.done == 1, report.outcomes
    after = {name: result["sync"]["after"] for name, result in _results(tmp_path).items()}
    assert after["file"]["sync_distance"] == pytest.approx(after["clips"]["sync_distance"], abs=0.1)
    assert after["file"]["sync_confidence"] == pytest.approx(after["clips"]["sync_confidence"], abs=0.1)
    assert after["clips"]["windows"] == after["a"]["windows"] + after["b"]["windows"]
    for figure in ("sync_distance", "sync_confidence"):
        assert min(after[one][figure] for one in "ab") - 0.05 < after["clips"][figure]
        assert after["clips"][figure] < max(after[one][figure] for one in "ab") + 0.05


@pytest.mark.slow
@pytest.mark.parametrize("damaged", ["scores", "segments"])
def test_damaged_records_are_scored_again(tmp_path: Path, damaged: str) -> None:
    """A record that is cut off, or that was made of a segment which proves damaged, is made again before publishing."""
    told = (*TINY, QUICK, JUDGED, "chunk.frames=20", "engine.keep_segments=true")
    row = _row(end=2.0, length="video", output="p.mp4")
    assert dub(tmp_path, [row], *told).done == 1
    first = _results(tmp_path)["presenter"]["sync"]
    (result,) = tmp_path.glob("out.state/jobs/*/result.json")
    result.unlink()
    (tmp_path / "out" / "p.mp4").unlink()
    file = sorted((result.parent / damaged).iterdir())[1]
    data = bytearray(file.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    file.write_bytes(data[:100] if damaged == "scores" else data)
    report = dub(tmp_path, [row], *told)
    assert report.done == 1, report.outcomes
    again = _results(tmp_path)["presenter"]["sync"]
    assert again["after"] == pytest.approx(first["after"], abs=0.02)
    assert not list(tmp_path.glob("out.state/quarantine/*"))


@pytest.mark.slow
def test_figures_that_are_no_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that gives NaN costs its score, with that reason; records stay JSON."""
    monkeypatch.setattr(ExpertScorer, "lips", lambda self, crops: np.full((len(crops), 512), np.nan, np.float32))
    monkeypatch.setattr(ExpertScorer, "sound", lambda self, heard, at: np.ones((len(at), 512), np.float32))
    assert dub(tmp_path, [_row(end=1.0, length="video")], *TINY, PASSTHROUGH, QUICK, JUDGED).done == 1
    (result,) = tmp_path.glob("out.state/jobs/*/result.json")
    assert "NaN" not in result.read_text()
    sync = _results(tmp_path)["presenter"]["sync"]
    assert sync["after"] is None
    assert "no numbers for 4 windows" in sync["why"]["after"]


@pytest.mark.parametrize(
    "ending",
    [
        ".mp4",
        pytest.param(".mov", marks=pytest.mark.slow),
        pytest.param(".mkv", marks=pytest.mark.slow),
        pytest.param(".webm", marks=pytest.mark.slow),
    ],
)
def test_files_say_that_their_lips_are_made(tmp_path: Path, ending: str) -> None:
    """Their metadata tell the version, the inputs' and the weights' hashes, the licences and the settings."""
    row = _row(end=0.4, length="video", output=f"a{ending}")
    told = ('encode.preset="8"',) if ending == ".webm" else (QUICK,)
    assert dub(tmp_path, [row], *TINY, *told).done == 1
    with av.open(str(tmp_path / "out" / f"a{ending}")) as container:
        tags = {key.lower(): value for key, value in container.metadata.items()}
    assert "synthesised by lipwise-ray" in tags["comment"]
    made, result = json.loads(tags["description"]), _results(tmp_path)["presenter"]
    assert result["synthetic"] == made["synthetic"] == "lips"
    assert made["job"] == result["job_id"]
    assert made["inputs"] == {name: result["identity"][name] for name in ("video", "audio")}
    assert {one["name"]: one["sha256"] for one in made["weights"]}["tiny_generator"] == result["weights"]["lipsync"][
        "sha256"
    ]
    assert all(one["licence"] for one in made["weights"])
    assert made["settings"] == result["identity"]["settings"]
