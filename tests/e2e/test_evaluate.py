"""`evaluate`: any finished videos, by themselves and beside a reference."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from scipy.io import wavfile

from lipwise_ray.media.audio import extract_network_audio
from lipwise_ray.media.probe import probe_audio
from lipwise_ray.metrics.fid import Moments, frechet
from lipwise_ray.metrics.fidelity import mean_square, psnr, ssim
from lipwise_ray.metrics.sync_scorers import ExpertScorer
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip
from lipwise_ray.values import Size
from tests.conftest import ROOT
from tests.support.dub import evaluated, run
from tests.support.embedder import write_embedder
from tests.support.inception import write_inception
from tests.support.landmarker import write_landmarker

DEMO = ROOT / "manifests" / "demo"
FILM, TRUE = DEMO / "presenter.mp4", DEMO / "true" / "presenter.mp4"
TINY = 'detect.detector="tiny"'
RATE_HZ = 16_000


def _results(folder: Path, out: str = "evaluation") -> dict[str, dict[str, Any]]:
    found = [json.loads(path.read_bytes()) for path in folder.glob(f"{out}.state/jobs/*/result.json")]
    return {result["row_id"]: result for result in found}


def _luma(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray()[: frame.height].astype(np.float32) for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write made-up weights in the published file's layout."""
    return write_inception(tmp_path_factory.mktemp("inception") / "weights.pth")


@pytest.mark.slow
def test_a_video_beside_its_reference(tmp_path: Path, inception_file: Path) -> None:
    """PSNR and SSIM are those of the decoded pictures at equal times; chunks change no figure."""
    true = _coded(TRUE, tmp_path / "true.mp4", lambda number: number < 80, sound=True)
    film = _coded(FILM, tmp_path / "film.mp4", lambda number: number < 60, sound=True)
    embedder = write_embedder(tmp_path / "embedder.onnx")
    told = (
        TINY,
        f"faces.embedder_checkpoint={json.dumps(str(embedder))}",
        f"score.inception_checkpoint={json.dumps(str(inception_file))}",
        f"faces.landmarks_checkpoint={json.dumps(str(write_landmarker(tmp_path / 'landmarker.onnx', presence='')))}",
        "score.compare_hz=2.0",
    )
    row = {"id": "p", "video": true, "reference": film, "language": "es"}
    found = []
    for out, length_s in (("whole", 100.0), ("cut", 1.7)):
        report = evaluated(tmp_path, [row], *told, f"chunk.length_s={length_s}", out=out)
        assert report.done == 1, report.outcomes
        found.append(_results(tmp_path, out)["p"])
    whole, cut = found
    assert (whole["chunks"], cut["chunks"]) == (1, 2)
    for name in ("fidelity", "flicker", "counts"):
        for figure, value in whole[name].items():
            if figure not in ("reference", "why"):
                assert cut[name][figure] == pytest.approx(value, rel=1e-4, abs=1e-4), figure
    assert cut["sync"]["after"] == pytest.approx(whole["sync"]["after"], abs=1e-4)
    assert cut["sync"]["curve"] == pytest.approx(whole["sync"]["curve"], abs=1e-3)

    told = whole["fidelity"]
    a, b = _luma(true), _luma(film)
    seconds = np.arange(len(a)) / 25
    ticks = [n for n in range(len(a)) if n == 0 or int(seconds[n] * 2 + 1e-6) != int(seconds[n - 1] * 2 + 1e-6)]
    both = [n for n in ticks if n < len(b)]
    assert (told["pictures"], told["after_its_end"]) == (len(both), len(ticks) - len(both))
    square = np.mean([mean_square(a[n], b[n]) for n in both])
    assert told["psnr"] == pytest.approx(psnr(float(square)), abs=1e-3)
    assert told["ssim"] == pytest.approx(np.mean([ssim(a[n], b[n]) for n in both]), abs=1e-4)
    assert told["face_psnr"] < told["psnr"]
    assert told["face_ssim"] < told["ssim"]
    assert 0 < told["identity_distance"] < 0.1
    parts = [np.load(path) for path in sorted((tmp_path / "cut.state").glob("jobs/*/measures/*.npz"))]
    seen = [part for part in parts if len(part["video"])]
    moments = [Moments.of(np.concatenate([part[name] for part in seen])) for name in ("video", "reference")]
    assert moments[0].count == told["faces"] == len(both)
    assert told["fid"] == pytest.approx(frechet(*moments), rel=1e-4, abs=1e-4)
    assert told["fid"] > 0
    assert told["why"] == {}
    assert 0 < told["mouth_distance"] < 20
    (ended,) = (tmp_path / "cut.state").glob("runs/*/report.json")
    overall = json.loads(ended.read_bytes())
    assert (overall["fid"], overall["fid_pictures"]) == (pytest.approx(told["fid"], rel=1e-4), told["faces"])


def test_a_video_beside_itself(tmp_path: Path) -> None:
    """Equal pictures have no PSNR; what is not installed is named with what installs it."""
    report = evaluated(tmp_path, [{"id": "p", "video": FILM, "reference": FILM}], TINY)
    assert report.done == 1, report.outcomes
    told = _results(tmp_path)["p"]["fidelity"]
    assert (told["psnr"], told["face_psnr"], told["ssim"]) == (None, None, 1)
    assert told["why"] == {
        "psnr": "the pictures are equal",
        "face_psnr": "the pictures are equal",
        "fid": "inception_fid is not installed: run `lipwise-ray models pull inception_fid`",
        "identity_distance": "sface is not installed: run `lipwise-ray models pull sface`",
        "mouth_distance": "face_landmarker is not installed: run `lipwise-ray models pull face_landmarker`",
    }


@pytest.mark.slow
def test_references_that_do_not_fit(tmp_path: Path) -> None:
    """One of another shape costs figures of pixels; a shorter one is compared as far as it goes; one without a video
    fails its row.
    """
    write_clip(tmp_path / "small.mp4", ClipSpec(size=Size(160, 120), frames=30))
    short = _coded(FILM, tmp_path / "short.mp4", lambda number: number < 50)
    rows = [
        {"id": "small", "video": FILM, "reference": tmp_path / "small.mp4"},
        {"id": "short", "video": FILM, "reference": short},
        {"id": "sound", "video": FILM, "reference": DEMO / "presenter.m4a"},
    ]
    report = evaluated(tmp_path, rows, TINY)
    ends = {outcome.row_id: outcome.record for outcome in report.outcomes}
    assert ends["small"]["sync"]["after"]["windows"] > 100
    assert "480x270" in ends["small"]["fidelity"]["why"]["psnr"]
    assert "160x120" in ends["small"]["fidelity"]["why"]["psnr"]
    assert ends["sound"]["status"] == "failed"
    told = ends["short"]["fidelity"]
    assert (told["pictures"], told["after_its_end"]) == (10, 25)
    assert ends["short"]["sync"]["after"]["windows"] > 100


def _coded(
    source: Path, target: Path, keep: Callable[[int], bool], *, sound: bool = False, rate: Fraction = Fraction(25)
) -> Path:
    """Write some frames of a video at their times, and its sound."""
    with av.open(str(source)) as given, av.open(str(target), "w") as out:
        video = out.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "12"})
        video.width, video.height, video.pix_fmt = 480, 270, "yuv420p"
        video.codec_context.time_base = 1 / rate
        audio = out.add_stream_from_template(given.streams.audio[0]) if sound else None
        number = 0
        for packet in given.demux(given.streams.video[0], given.streams.audio[0]):
            if packet.stream.type == "audio":
                if packet.dts is not None and audio is not None:
                    packet.stream = audio
                    out.mux(packet)
                continue
            for frame in packet.decode():
                frame.pts, frame.time_base, frame.pict_type = number, 1 / rate, 0
                if keep(number):
                    out.mux(video.encode(frame))
                number += 1
        out.mux(video.encode(None))
    return target


def _copied(source: Path, target: Path) -> Path:
    """Write the packets of a video into another container."""
    with av.open(str(source)) as given, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(given.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return target


@pytest.mark.slow
@pytest.mark.parametrize(
    "rate",
    [
        Fraction(30000, 1001),
        *(pytest.param(rate, marks=pytest.mark.slow) for rate in (Fraction(24000, 1001), Fraction(30))),
    ],
)
def test_rounded_times_pair_the_same_pictures(tmp_path: Path, rate: Fraction) -> None:
    """A film and its copy with times in milliseconds are equal in every frame, and flicker alike."""
    first = _coded(FILM, tmp_path / "a.mp4", lambda number: number < 60, rate=rate)
    second = _copied(first, tmp_path / "b.mkv")
    rows = [{"id": "ab", "video": first, "reference": second}, {"id": "ba", "video": second, "reference": first}]
    report = evaluated(tmp_path, rows, TINY, "score.compare_hz=0.0")
    assert report.done == 2, report.outcomes
    for outcome in report.outcomes:
        told, flicker = outcome.record["fidelity"], outcome.record["flicker"]
        assert (told["pictures"], told["after_its_end"], told["ssim"]) == (60, 0, 1)
        assert told["why"]["psnr"] == "the pictures are equal"
        assert (flicker["dubbed"], flicker["faces"]) == (flicker["filmed"], 58)


@pytest.mark.slow
def test_what_source_settings_do_is_done_to_both(tmp_path: Path) -> None:
    """Turned and made smaller, a film is still like itself."""
    row = {"id": "p", "video": FILM, "reference": FILM}
    report = evaluated(tmp_path, [row], TINY, "source.resize_factor=2", "source.rotate=90")
    assert report.done == 1, report.outcomes
    assert _results(tmp_path)["p"]["fidelity"]["ssim"] == 1


@pytest.mark.slow
def test_references_of_other_lengths_and_rates(tmp_path: Path) -> None:
    """Flicker is the video's own whatever the reference is; the reference's is told as far as it shows new pictures."""
    film = _coded(FILM, tmp_path / "film.mp4", lambda number: number < 60, sound=True)
    short = _coded(film, tmp_path / "short.mp4", lambda number: number < 25)
    twice = _coded(film, tmp_path / "twice.mp4", lambda number: True, rate=Fraction(50))
    slow = _coded(film, tmp_path / "slow.mp4", lambda number: number % 5 == 0)
    still = DEMO / "still.png"
    stand = _held(still, tmp_path / "stand.mkv", 40)
    rows = [
        {"id": "alone", "video": film},
        *({"id": path.stem, "video": film, "reference": path} for path in (short, twice, slow)),
        {"id": "stand", "video": stand, "reference": still},
    ]
    report = evaluated(tmp_path, rows, TINY)
    assert report.done == len(rows), report.outcomes
    found = {outcome.row_id: outcome.record for outcome in report.outcomes}
    own = found["alone"]["flicker"]
    assert own["filmed"] is None
    for name in ("short", "twice", "slow"):
        assert found[name]["flicker"]["dubbed"] == own["dubbed"]
        assert found[name]["flicker"]["faces"] == own["faces"]
    assert found["short"]["flicker"]["filmed"] is not None
    assert found["twice"]["flicker"]["filmed"] is not None
    assert found["slow"]["flicker"]["filmed"] is None
    assert found["stand"]["fidelity"]["after_its_end"] == 0
    assert found["stand"]["fidelity"]["pictures"] == 8


def _held(picture: Path, target: Path, frames: int) -> Path:
    """Write a video that shows a picture all the time, losslessly."""
    with av.open(str(picture)) as given:
        (frame,) = given.decode(video=0)
    with av.open(str(target), "w") as out:
        video = out.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = frame.width, frame.height, "yuv444p"
        shown = frame.reformat(format="yuv444p")
        for number in range(frames):
            shown.pts, shown.time_base = number, Fraction(1, 25)
            out.mux(video.encode(shown))
        out.mux(video.encode(None))
    return target


@pytest.mark.slow
def test_equal_files_in_rows_of_their_own(tmp_path: Path) -> None:
    """They share the work, and keep their names, languages and tags; a corrected language shows at once."""
    copy = tmp_path / "copy ü.mp4"
    copy.write_bytes(FILM.read_bytes())
    rows = [
        {"id": "a", "video": FILM, "language": "de", "tags": "news"},
        {"id": "b", "video": copy, "language": "fr", "tags": ""},
    ]
    for language in ("fr", "ja"):
        rows[1]["language"] = language
        report = evaluated(tmp_path, rows, TINY)
        found = {outcome.row_id: outcome.record for outcome in report.outcomes}
        assert (found["a"]["output"], found["a"]["language"], found["a"]["tags"]) == (str(FILM), "de", ["news"])
        assert (found["b"]["output"], found["b"]["language"], found["b"]["tags"]) == (str(copy), language, [])
    assert report.frames == 0


@pytest.mark.slow
def test_where_there_are_no_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No sound, no face, too short: a reason each; a video of other rates is scored by time."""
    write_clip(tmp_path / "nobody.mp4", ClipSpec(frames=50, tone=ToneSpec(2.0, codec="aac")))
    silent = _coded(FILM, tmp_path / "silent.mp4", lambda number: number < 60)
    brief = _coded(FILM, tmp_path / "brief.mp4", lambda number: number < 5)
    rows = [
        {"id": "nobody", "video": tmp_path / "nobody.mp4"},
        {"id": "silent", "video": silent},
        {"id": "heard", "video": silent, "audio": DEMO / "presenter.m4a"},
        {"id": "brief", "video": brief, "audio": DEMO / "presenter.m4a"},
        {"id": "vfr", "video": _coded(FILM, tmp_path / "vfr.mkv", lambda number: number % 3 != 1, sound=True)},
        {"id": "whole", "video": FILM},
    ]
    report = evaluated(tmp_path, rows, TINY)
    assert report.done == len(rows), report.outcomes
    sync = {name: one["sync"] for name, one in _results(tmp_path).items()}
    assert sync["nobody"]["why"]["after"] == "no face is found"
    assert sync["silent"]["why"]["after"] == "there is no sound that can be used"
    assert sync["heard"]["after"]["windows"] == 55
    assert "too short" in sync["brief"]["why"]["after"]
    assert sync["vfr"]["after"]["offset"] == sync["whole"]["after"]["offset"] == 0
    assert sync["vfr"]["after"]["sync_confidence"] > 0.6 * sync["whole"]["after"]["sync_confidence"]
    lips = ExpertScorer.lips
    monkeypatch.setattr(ExpertScorer, "lips", lambda self, crops: lips(self, crops) * np.float32(np.nan))
    report = evaluated(tmp_path, [rows[-1]], TINY, out="nan")
    assert report.done == 1, report.outcomes
    broken = _results(tmp_path, "nan")["whole"]["sync"]
    assert broken["after"] is None
    assert "the judge gave no numbers" in broken["why"]["after"]


@pytest.mark.slow
def test_offsets_are_found_and_lost_sync_shows(tmp_path: Path) -> None:
    """Sound moved by up to 10 frames is found there; the more of it is another's, the lower the confidence."""

    def wave_of(path: Path) -> np.ndarray:
        raw = tmp_path / "wave.f32"
        extract_network_audio(probe_audio(path), raw)
        return np.fromfile(raw, np.float32)

    own, other = wave_of(FILM), wave_of(DEMO / "cuts.mp4")[: len(wave_of(FILM))]
    other = np.pad(other, (0, len(own) - len(other)))
    sounds = {}
    moved = range(-10, 11, 4)
    for frames in moved:
        step = frames * RATE_HZ // 25
        sounds[f"by{frames + 10}"] = np.pad(own, (max(0, step), 0))[max(0, -step) :][: len(own)]
    for tenths in (0, 4, 7, 10):
        sounds[f"mixed{tenths}"] = own * (1 - tenths / 10) + other * (tenths / 10)
    for name, wave in sounds.items():
        wavfile.write(tmp_path / f"{name}.wav", RATE_HZ, wave.astype(np.float32))
    rows = [{"id": name, "video": FILM, "audio": tmp_path / f"{name}.wav"} for name in sounds]
    report = evaluated(tmp_path, rows, TINY, 'score.judge="tiny_judge"')
    assert report.done == len(rows), report.outcomes
    found = {outcome.row_id: outcome.record["sync"]["after"] for outcome in report.outcomes}
    for frames in moved:
        assert abs(found[f"by{frames + 10}"]["offset"] + frames) <= 1, frames
    falling = [found[f"mixed{tenths}"]["sync_confidence"] for tenths in (0, 4, 7, 10)]
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] < 0.4 * falling[0]


@pytest.mark.slow
def test_as_a_user_runs_it(tmp_path: Path) -> None:
    """Files by name, a missing one among them; again, which measures nothing anew; and from a manifest."""
    told = ("--set", TINY, "--set", 'engine.kind="inline"')
    files = (FILM, DEMO / "cuts.mp4", tmp_path / "none.mp4")
    first = run("evaluate", *files, "--out", tmp_path / "out", *told, "--json")
    assert first.returncode == 1, first.stderr
    records = {record["row_id"]: record for record in map(json.loads, first.stdout.splitlines())}
    assert records["none"]["code"] == "row_video"
    assert records["presenter"]["sync"]["after"]["sync_confidence"] > 0.3
    assert records["presenter"]["gate"] == {"verdict": "not checked", "reasons": []}
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"report.html", "results.csv", "results.jsonl", "results.parquet"}
    bounds = ("--set", "gate.min_lse_c=50.0", "--set", "gate.max_no_face_share=0.0", "--set", "gate.min_sharpness=8")
    again = run("evaluate", *files[:2], "--out", tmp_path / "out", *told, *bounds)
    assert again.returncode == 0, again.stderr
    assert "0 frames measured" in again.stderr
    assert "2 done (1 to check)" in again.stderr
    assert re.search(r"share of frames without a face is \S+; it must be at most 0", again.stderr), again.stderr
    assert "LSE-C is" not in again.stderr  # which nobody measured
    assert "sharpness" not in again.stderr  # which is measured where frames are rendered
    (tmp_path / "m.csv").write_text(f"id,video,reference\na,{FILM},{TRUE}\nb,{FILM},\nb,{FILM},nothing.mp4\n")
    third = run("evaluate", tmp_path / "m.csv", "--out", tmp_path / "m", *told)
    assert third.returncode == 1, third.stderr
    assert "1 done, 2 failed" in third.stderr
    assert 'duplicate id "b" (lines 3 and 4)' in third.stderr
    assert "PSNR" in third.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("m.csv", "a.mp4"), "evaluate m.csv: a manifest beside 1 more. Name a manifest alone"),
        (
            ("a.mp4", "b.mp4", "c.mp4", "--reference", "a.mp4", "--reference", "b.mp4"),
            "--reference: 2 references for 3 videos. Give one, or one for each video",
        ),
        (("a.mp4", "--set", "faces.select=speaking"), "by size, place or number"),
        (("a.mp4", "--out", "b.mp4"), "b.mp4: cannot be written"),
    ],
)
def test_what_cannot_be_asked(tmp_path: Path, arguments: tuple[str, ...], word: str) -> None:
    """Mistakes are told before or instead of any work."""
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (tmp_path / name).write_bytes(b"")
    done = run("evaluate", *arguments, "--set", 'engine.kind="inline"', "--set", TINY, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert word in done.stderr
