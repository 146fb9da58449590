"""Cues and speakers whose sound does not fit into their times: the video is stretched there, and what follows moves."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.index import FrameIndex, build_index
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.media.probe import probe_audio, probe_video
from lipwise_ray.synth.clips import ToneSpec, read_code, write_clip, write_sound
from lipwise_ray.values import FloatArray
from tests.e2e.test_cues import film
from tests.e2e.test_exactness import BOX, DRAWN_LIPS, FRAMES, RATES, digest
from tests.support.dub import BY_LEVEL, LOSSLESS, NOTHING_IN_FRONT, PASSTHROUGH, UNJUDGED, dub
from tests.support.sayer import sayer

TINY = (DRAWN_LIPS, NOTHING_IN_FRONT, LOSSLESS, BY_LEVEL, UNJUDGED)
FIT = ('timing.length="fit"', 'timing.fit="video"', 'encode.audio.codec="flac"')
FRAME_S = 0.04
CUES = ((0.4, 1.4, 22), (1.8, 2.6, 15), (3.0, 3.8, 13))
"""Start and end in seconds, and characters of 0.05 s each: one is too long, one nearly fits, one is too short."""
QUIET_S = 0.03
"""What is kept of the silence before and after speech."""


def _result(folder: Path, name: str, out: str = "out") -> dict[str, Any]:
    found = [json.loads(path.read_bytes()) for path in folder.glob(f"{out}.state/jobs/*/result.json")]
    return next(one for one in found if one["row_id"] == name)


def _loud_s(path: Path) -> list[tuple[float, float]]:
    """Return start and end in seconds of what is heard between stretches of 50 ms of silence."""
    info = probe_audio(path)
    wave: FloatArray = np.concatenate(list(AudioReader(info).blocks(info.rate_hz, "mono")), 1)[0]
    heard = np.flatnonzero(np.abs(wave) > 0.05 * np.abs(wave).max())
    after = np.flatnonzero(np.diff(heard) > info.rate_hz // 20)
    starts, stops = heard[np.append(0, after + 1)], heard[np.append(after, len(heard) - 1)] + 1
    return [(start / info.rate_hz, stop / info.rate_hz) for start, stop in zip(starts, stops, strict=True)]


def _codes(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [read_code(plane_array(frame, 0)) for frame in container.decode(video=0)]


def _begins_s(index: FrameIndex) -> FloatArray:
    return np.asarray((index.pts - int(index.pts[0])) * float(index.time_base), np.float64)


@pytest.mark.slow
def test_cues_begin_with_their_moved_slots_whatever_the_chunks(tmp_path: Path) -> None:
    """By the bundled networks: to a frame, the length exact, each cue told; chunks of 20 frames give the same."""
    cues = [
        f"{n}\n00:00:0{start:.3f} --> 00:00:0{end:.3f}\n{'x' * length}\n" for n, (start, end, length) in enumerate(CUES)
    ]
    (tmp_path / "cues.srt").write_text("\n".join(cues))
    film(tmp_path, 4)
    row = {"id": "cues", "video": "film.mkv", "faces": BOX, "text": "@cues.srt", "output": "cues.mkv"}
    told = (*TINY, *FIT, 'tts.engine="command"', f"tts.command={json.dumps(sayer(tmp_path))}")
    report = dub(tmp_path, [row], *told, "chunk.frames=100000")
    assert report.done == 1, report.outcomes
    result = _result(tmp_path, "cues")
    slots, moved_s = result["fitted"]["slots"], 0.0
    assert [one["number"] for one in slots] == [1, 2, 3]
    heard = _loud_s(tmp_path / "out" / "cues.mkv")
    assert len(heard) == len(slots)
    for (start, end, length), slot, (heard_s, silent_s) in zip(CUES, slots, heard, strict=True):
        said_s = slot["end_s"] - slot["start_s"]
        assert said_s == pytest.approx(0.05 * length + 2 * QUIET_S, abs=0.01)
        assert (slot["audio"], slot["video"]) == (1, pytest.approx(said_s / (end - start), abs=0.002))
        assert slot["start_s"] == pytest.approx(start + moved_s, abs=0.002)
        assert heard_s - QUIET_S == pytest.approx(start + moved_s, abs=FRAME_S)
        assert silent_s + QUIET_S == pytest.approx(slot["end_s"], abs=FRAME_S)
        moved_s += said_s - (end - start)
    assert result["frames"] == round((4 + moved_s) * 25)
    assert result["fitted"]["video"] == pytest.approx(result["frames"] / 100, abs=1e-3)
    assert result["video_s"] == pytest.approx(result["frames"] / 25)
    assert result["audio_s"] == pytest.approx(result["video_s"], abs=1e-3)
    assert dub(tmp_path, [row], *told, "chunk.frames=20", out="cut").done == 1
    assert digest(tmp_path / "cut" / "cues.mkv") == digest(tmp_path / "out" / "cues.mkv")
    again = dub(tmp_path, [row], *told, "chunk.frames=100000", "timing.max_stretch=1.5")
    assert [one.record["reused"] for one in again.outcomes] == [True]


@pytest.mark.parametrize(("fit", "each"), [("video", 1.0), ("both", 0.5)])
def test_frames_are_repeated_within_slots_and_nowhere_else(fit: str, each: float, tmp_path: Path) -> None:
    """At a constant and at a variable rate; the audio is as long as it was, or takes its part."""
    clips = [(0.3, 0.8, 0.6), (1.2, 1.6, 0.36)]
    speakers = []
    for number, (start, end, seconds) in enumerate(clips):
        write_sound(tmp_path / f"{number}.wav", ToneSpec(seconds, 16000, 1, "pcm_s16le", 330.0))
        speakers.append({"faces": BOX, "audio": str(tmp_path / f"{number}.wav"), "start": start, "end": end})
    rows = []
    for name in ("ntsc", "variable"):
        write_clip(tmp_path / f"{name}.mp4", RATES[name])
        rows.append(
            {"id": name, "video": tmp_path / f"{name}.mp4", "output": f"{name}.mkv", "speakers": speakers},
        )
    report = dub(tmp_path, rows, PASSTHROUGH, LOSSLESS, BY_LEVEL, UNJUDGED, *FIT, f'timing.fit="{fit}"')
    assert report.done == 2, report.outcomes
    for name in ("ntsc", "variable"):
        output, result = tmp_path / "out" / f"{name}.mkv", _result(tmp_path, name)
        index = build_index(probe_video(tmp_path / f"{name}.mp4"))
        codes, filmed_s = _codes(output), _begins_s(index)
        shown_s = _begins_s(build_index(probe_video(output)))
        longest_s = float(np.diff(filmed_s).max())
        moved_s = 0.0
        between = np.zeros(FRAMES, bool)
        between[filmed_s + longest_s <= clips[0][0]] = True
        for (start, end, seconds), slot, after in zip(clips, result["fitted"]["slots"], (1.2, 9.9), strict=True):
            factor = seconds / (end - start)
            assert slot["start_s"] == pytest.approx(start + moved_s, abs=0.002)
            assert slot["video"] == pytest.approx(factor**each, abs=0.002)
            assert slot["audio"] == pytest.approx(factor ** (each - 1), abs=0.002)
            at = int(np.searchsorted(shown_s, start + moved_s + 1e-3, "right")) - 1
            assert abs(filmed_s[codes[at]] - start) <= longest_s + 1e-3
            moved_s += (end - start) * (factor**each - 1)
            calm = (filmed_s >= end + longest_s) & (filmed_s + longest_s <= after)
            between |= calm
            first = [shown_s[codes.index(frame)] for frame in np.flatnonzero(calm)]
            assert np.abs(np.array(first) - filmed_s[calm] - moved_s).max() <= longest_s / 2 + 1e-3
        times = np.bincount(codes, minlength=FRAMES)
        assert between.sum() > 20
        assert (times[between] == 1).all()
        assert (np.diff(codes) >= 0).all()
        whole_s = (index.end_pts - int(index.pts[0])) * index.time_base + Fraction(moved_s)
        assert result["video_s"] == pytest.approx(float(whole_s), abs=longest_s / 2 + 1e-3)
        if name == "variable":
            assert codes == list(range(FRAMES))


def test_what_does_not_fit_is_told_before_any_work(tmp_path: Path) -> None:
    """Every clip beyond the bound by its number; so is a row whose frames are counted only later."""
    write_clip(tmp_path / "v.mkv", RATES["25"])
    clips = [(0.2, 0.6, 1.0), (0.8, 1.2, 0.45), (1.4, 2.2, 0.3)]
    speakers = []
    for number, (start, end, seconds) in enumerate(clips):
        write_sound(tmp_path / f"{number}.wav", ToneSpec(seconds, 16000, 1, "pcm_s16le", 330.0))
        speakers.append({"faces": BOX, "audio": str(tmp_path / f"{number}.wav"), "start": start, "end": end})
    row = {"id": "v", "video": tmp_path / "v.mkv", "output": "v.mkv", "speakers": speakers}
    (outcome,) = dub(tmp_path, [row], PASSTHROUGH, LOSSLESS, BY_LEVEL, *FIT).outcomes
    assert (outcome.result.code, outcome.result.stage) == ("beyond_stretch", "probe")
    assert "2 of 3 clips" in outcome.result.message
    assert all(f"speaker {number} " in outcome.result.message for number in (1, 3))
    assert "speaker 2" not in outcome.result.message
    (outcome,) = dub(tmp_path, [row], PASSTHROUGH, BY_LEVEL, *FIT, 'faces.on_no_face="skip"', out="skip").outcomes
    assert (outcome.result.code, outcome.result.stage) == ("fit_skips", "probe")


@pytest.mark.parametrize("fit", ["audio", pytest.param("video", marks=pytest.mark.slow)])
def test_clips_move_with_the_mix_that_holds_them(fit: str, tmp_path: Path) -> None:
    """A row's own mix is made as long as the video, and faces say their clips when these are heard in it."""
    speakers = []
    for number, (start, end) in enumerate([(0.4, 1.0), (1.6, None)]):
        write_sound(tmp_path / f"{number}.wav", ToneSpec(0.6, 16000, 1, "pcm_s16le", 330.0 + 110 * number))
        speakers.append({"faces": BOX, "audio": tmp_path / f"{number}.wav", "start": start, "end": end})
    row = {"id": "mix", "video": film(tmp_path, 1.9), "output": "mix.mkv", "speakers": speakers}
    sets = (PASSTHROUGH, LOSSLESS, BY_LEVEL, UNJUDGED, 'encode.audio.codec="flac"')
    assert dub(tmp_path, [row], *sets, out="whole").done == 1
    fitted = row | {"id": "fitted", "audio": tmp_path / "whole" / "mix.mkv", "length": "fit"}
    report = dub(tmp_path, [fitted], *sets, f'timing.fit="{fit}"')
    assert report.done == 1, report.outcomes
    assert _result(tmp_path, "fitted")["frames"] == 48  # 1.9 s
    heard = _loud_s(tmp_path / "out" / "mix.mkv")
    (plan,) = tmp_path.glob("out.state/jobs/*/plan.json")
    (part,) = json.loads(plan.read_bytes())["parts"]
    said = [tuple(float(Fraction(time_s)) for time_s in times) for times in part["times_s"]]
    for begins_s, ends_s in said:
        assert min(abs(start_s - begins_s) for start_s, _ in heard) < 0.02
        assert ends_s - begins_s == pytest.approx(0.6 * 1.92 / 2.2, abs=0.001)
    assert said[1][0] == pytest.approx(1.6 * 1.92 / 2.2, abs=0.001)
