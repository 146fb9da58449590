"""`faces = speaking`: the one whose lips go with the filmed sound is dubbed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwise_ray.values import Size
from tests.conftest import ROOT
from tests.support.dub import NOTHING_IN_FRONT, QUICK, dub

DEMO = ROOT / "manifests" / "demo"
TINY = (
    'lipsync.model="tiny_generator"',
    'detect.detector="tiny"',
    NOTHING_IN_FRONT,
    'faces.expert="tiny_expert"',
    QUICK,
)
_HELD_OUT = 1 << 24


def _row(name: str, video: Path, audio: Path) -> dict[str, Any]:
    return {"id": name, "video": video, "audio": audio, "output": f"{name}.mp4", "faces": "speaking"}


def _chosen(folder: Path) -> Iterator[Any]:
    """Yield every job's id and boxes."""
    for arrays in folder.glob("out.state/jobs/*/plan.npz"):
        with np.load(arrays) as data:
            yield json.loads((arrays.parent / "result.json").read_bytes())["row_id"], data["face_box"]


@pytest.mark.slow
def test_the_one_who_speaks_is_dubbed(tmp_path: Path) -> None:
    """Of two people the speaker on the left is chosen, in chunks as well; a rerun listens to nothing again."""
    rows = [_row("two", DEMO / "two-people.mp4", DEMO / "two-people.m4a")]
    assert dub(tmp_path, rows, *TINY, "chunk.frames=60").done == 1
    (found,) = _chosen(tmp_path)
    assert (found[1][:, 2] < 240).all()
    voices = list(tmp_path.glob("out.state/scans/*/voices-*/*.npz"))
    assert len(voices) == 3
    times = [path.stat().st_mtime_ns for path in voices]
    assert dub(tmp_path, rows, *TINY, "chunk.frames=60", "encode.quality=30").done == 1
    assert [path.stat().st_mtime_ns for path in voices] == times


@pytest.mark.slow
def test_damaged_records_are_made_again(tmp_path: Path) -> None:
    """A record of listening and one of scanning that were cut off are made again in the same run, not quarantined."""
    rows = [_row("two", DEMO / "two-people.mp4", DEMO / "two-people.m4a")]
    assert dub(tmp_path, rows, *TINY, "chunk.frames=60").done == 1
    for name in ("voices-*/chunk-00001.npz", "*/chunk-00000.npz"):
        for path in tmp_path.glob(f"out.state/scans/*/{name}"):
            path.write_bytes(path.read_bytes()[:100])
    for path in tmp_path.glob("out.state/scans/*/*/tracks.npz"):
        path.unlink()
    report = dub(tmp_path, rows, *TINY, "chunk.frames=60", "encode.quality=31")
    assert report.done == 1, report.outcomes
    assert not list(tmp_path.glob("out.state/quarantine/*"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param("tracks.npz", marks=pytest.mark.slow), "chunk-00000.npz"])
def test_a_damaged_record_of_a_short_video_is_made_again(tmp_path: Path, name: str) -> None:
    """Its only scan, or its tracks, are found damaged and replaced: the row neither fails nor goes into quarantine."""
    rows = [_row("two", DEMO / "two-people.mp4", DEMO / "two-people.m4a") | {"faces": "left"}]
    assert dub(tmp_path, rows, *TINY).done == 1
    (tracks,) = tmp_path.glob("out.state/scans/*/*/tracks.npz")
    damaged = tracks.with_name(name)
    damaged.write_bytes(damaged.read_bytes()[:200])
    if damaged != tracks:
        tracks.unlink()
    report = dub(tmp_path, rows, *TINY, "encode.quality=31")
    assert report.done == 1, report.outcomes
    assert not list(tmp_path.glob("out.state/quarantine/*"))


@pytest.mark.slow
def test_a_sound_that_begins_late_is_heard_where_it_is(tmp_path: Path) -> None:
    """In a file whose sound starts half a second after its picture the speaker is found as in any other."""
    import av

    late = tmp_path / "late.mkv"
    with av.open(str(DEMO / "two-people.mp4")) as source, av.open(str(late), "w") as out:
        streams = {
            stream.index: out.add_stream_from_template(stream)
            for stream in (*source.streams.video, *source.streams.audio)
        }
        for packet in source.demux(*source.streams.video, *source.streams.audio):
            if packet.dts is None or (packet.stream.type == "audio" and packet.pts * packet.time_base < 0.5):
                continue
            packet.stream = streams[packet.stream.index]
            out.mux(packet)
    assert dub(tmp_path, [_row("late", late, DEMO / "two-people.m4a")], *TINY).done == 1
    (found,) = _chosen(tmp_path)
    assert (found[1][:, 2] < 240).all()
    totals = [np.load(path) for path in tmp_path.glob("out.state/scans/*/voices-*/*.npz")]
    best = sum(part["total"][part["track"] == 0].sum(axis=0) for part in totals)
    assert abs(int(np.argmax(best)) - 4) <= 1  # no offset


@pytest.mark.slow
def test_a_video_without_sound_is_refused(tmp_path: Path) -> None:
    """Who speaks cannot be told from a picture: the row fails and says so, the other one goes on."""
    rows = [
        _row("still", DEMO / "still.png", DEMO / "still.m4a"),
        {**_row("fine", DEMO / "two-people.mp4", DEMO / "still.m4a")},
    ]
    report = dub(tmp_path, rows, *TINY)
    assert (report.done, report.failed) == (1, 1)
    (failed,) = [one for one in report.outcomes if one.record["status"] == "failed"]
    assert failed.record["code"] == "no_own_sound"


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_speaker_is_found_in_19_of_20_clips(tmp_path: Path) -> None:
    """Clips of two people, kept from training and never tuned on; in every second one both move their lips, one
    is heard.
    """
    pytest.importorskip("skia", reason="extra train is not installed")
    from lipwise_ray.synth.footage import write_scene
    from lipwise_ray.synth.scene import Camera, DrawnPerson, Scene, Shot
    from lipwise_ray.synth.sentences import sentence
    from lipwise_ray.synth.speech import Voice, speak

    rows, sides = [], []
    for number in range(20):
        rng = np.random.default_rng([_HELD_OUT, number])
        heard, unheard = (
            speak(sentence("en-us", rng), Voice("en-us", variant, words_per_minute=150)) for variant in ("f3", "m5")
        )
        side = int(rng.integers(2))
        people = [
            DrawnPerson(_HELD_OUT + 40 * number + who, x, 0.47, float(rng.uniform(0.16, 0.2)), speech, 7 * number + who)
            for who, (x, speech) in enumerate(
                zip((0.28, 0.73), (heard, unheard if number % 2 else None)[:: 1 - 2 * side], strict=True)
            )
        ]
        scene = Scene(
            Size(480, 270), heard.seconds, (Shot(0.0, tuple(people), number),), heard.wave_f32, Camera(noise=0.6)
        )
        write_scene(tmp_path / f"{number}.mp4", scene, quality=21, preset="veryfast")
        rows.append(_row(str(number), tmp_path / f"{number}.mp4", DEMO / "still.m4a"))
        sides.append(side)
    assert dub(tmp_path, rows, *TINY, 'lipsync.model="passthrough"', 'timing.length="video"').done == 20
    boxes = dict(_chosen(tmp_path))
    right = [bool(((boxes[str(n)][:, 0] > 240) == bool(side)).mean() > 0.9) for n, side in enumerate(sides)]
    assert sum(right) >= 19, right
