"""Who is dubbed with what: people found by a portrait, and several speakers in one row."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import cv2
import numpy as np
import pytest

from lipwise_ray.media.audio import extract_network_audio
from lipwise_ray.media.probe import probe_audio
from lipwise_ray.metrics.sync import SpeakerExpert
from lipwise_ray.models.registry import Registry
from lipwise_ray.pipeline.analysis.crops import read_mel
from lipwise_ray.pipeline.quality.demo_sync import crops_of
from lipwise_ray.resources import models_folder
from lipwise_ray.roles.detector import DetectorMaker
from lipwise_ray.settings.layers import resolve
from lipwise_ray.synth.clips import ToneSpec, write_sound
from lipwise_ray.synth.footage import write_speech
from tests.conftest import ROOT
from tests.support.dub import BY_LEVEL, NOTHING_IN_FRONT, PASSTHROUGH, QUICK, dub
from tests.support.embedder import write_embedder

DEMO = ROOT / "manifests" / "demo"
TWO, SOUND, OTHER = DEMO / "two-people.mp4", DEMO / "two-people.m4a", DEMO / "still.m4a"
TINY = ('lipsync.model="tiny_generator"', 'detect.detector="tiny"', NOTHING_IN_FRONT, QUICK)
PARTS = {"left": slice(0, 240), "right": slice(240, 480)}


def _wave(path: Path) -> Any:
    """Return a file's sound, mono at 16 kHz, at its own level."""
    with TemporaryDirectory() as folder:
        extract_network_audio(probe_audio(path), Path(folder) / "wave.f32")
        return np.fromfile(Path(folder) / "wave.f32", np.float32)


def _row(name: str, **changes: Any) -> dict[str, Any]:
    return {"id": name, "video": TWO, "audio": SOUND, "output": f"{name}.mp4", **changes}


def _boxes(folder: Path, name: str) -> Any:
    (result,) = [
        path for path in folder.glob("out.state/jobs/*/result.json") if json.loads(path.read_bytes())["row_id"] == name
    ]
    with np.load(result.parent / "plan.npz") as data:
        return data["face_box"]


def _failures(report: Any) -> dict[str, dict[str, Any]]:
    return {one.record["row_id"]: one.record for one in report.outcomes if one.record["status"] == "failed"}


# like:IMAGE ------------------------------------------------------------------------------------------------


@pytest.fixture
def people(tmp_path: Path) -> dict[str, Path]:
    """Portraits of the two people, from a frame in the middle, smaller; and of both, and of nobody."""
    with av.open(str(TWO)) as video:
        picture: Any = [frame.to_ndarray(format="bgr24") for frame in video.decode(video=0)][80]
    files = {}
    for name, part in {**PARTS, "both": slice(0, 480), "nobody": slice(0, 60)}.items():
        files[name] = tmp_path / f"{name}.png"
        cv2.imwrite(str(files[name]), cv2.resize(picture[:, part], None, fx=0.8, fy=0.8))
    return files


def _told(folder: Path) -> tuple[str, ...]:
    """Settings for the made-up embedder, which finds drawn people more alike than the published one would."""
    file = write_embedder(folder / "embedder.onnx")
    return (*TINY, PASSTHROUGH, f"faces.embedder_checkpoint={json.dumps(str(file))}", "faces.min_likeness=0.5")


@pytest.mark.slow
def test_the_person_of_a_portrait_is_dubbed(tmp_path: Path, people: dict[str, Path]) -> None:
    """Each portrait finds its own person, in chunks as well; the second looks at the video no more; a rerun finds all
    done, and after another picture under the same name it does not.
    """
    told = (*_told(tmp_path), "chunk.frames=60")
    rows = [_row(side, faces=f"like:{side}.png") for side in PARTS]
    assert dub(tmp_path, rows[:1], *told).done == 1
    looks = list(tmp_path.glob("out.state/scans/*/looks-*/*.npz"))
    assert len(looks) == 3
    times = [path.stat().st_mtime_ns for path in looks]
    assert dub(tmp_path, rows, *told).done == 2
    assert [path.stat().st_mtime_ns for path in looks] == times
    assert (_boxes(tmp_path, "left")[:, 2] < 240).all()
    assert (_boxes(tmp_path, "right")[:, 0] > 240).all()
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "other.png").write_bytes(people["right"].read_bytes())
    again = dub(tmp_path, [_row("right", faces="like:copy/other.png")], *told)
    assert [one.record["reused"] for one in again.outcomes] == [True]
    people["left"].replace(people["right"])
    report = dub(tmp_path, [rows[1]], *told)
    assert report.done == 1, report.outcomes
    (mark,) = [
        json.loads(path.read_bytes()) for path in tmp_path.glob("out.state/runs/*/rows/*") if report.run_id in str(path)
    ]
    assert not mark["reused"]


@pytest.mark.slow
def test_a_portrait_finds_somebody_alone_whom_an_earlier_row_dubbed_without(tmp_path: Path) -> None:
    """A video of one face that was dubbed without a portrait first is dubbed with one too."""
    video = DEMO / "presenter.mp4"
    with av.open(str(video)) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="bgr24")
    cv2.imwrite(str(tmp_path / "presenter.png"), frame)
    told = _told(tmp_path)
    rows = [_row("plain", video=video), _row("like", video=video, faces="like:presenter.png")]
    for row in rows:
        report = dub(tmp_path, [row], *told)
        assert report.done == 1, report.outcomes
    assert len(_boxes(tmp_path, "plain")) == len(_boxes(tmp_path, "like")) > 0


@pytest.mark.slow
def test_people_are_followed_as_far_as_they_can_be_told(tmp_path: Path) -> None:
    """The result names what tells people apart; without an embedder nobody is followed over cuts, as a note says."""
    for name, told in (("with", _told(tmp_path)), ("without", (*TINY, PASSTHROUGH))):
        assert dub(tmp_path, [_row(name, faces="left")], *told, 'faces.follow="video"').done == 1
    results = [json.loads(path.read_bytes()) for path in tmp_path.glob("out.state/jobs/*/result.json")]
    found = {one["row_id"]: (one["people_by"], [note for note in one["notes"] if "follow" in note]) for one in results}
    assert found["with"] == ("custom", [])
    assert found["without"][0] == "place"
    assert "needs an embedder" in found["without"][1][0]


@pytest.mark.slow
def test_nobody_is_like_the_portrait(tmp_path: Path, people: dict[str, Path]) -> None:
    """A face that is not alike enough is not dubbed, and the error says so; other rows go on."""
    rows = [_row("strict", faces=f"like:{people['left']}"), _row("plain", faces="left")]
    report = dub(tmp_path, rows, *_told(tmp_path), "faces.min_likeness=0.9999")
    assert report.done == 1, report.outcomes
    assert _failures(report)["strict"]["code"] == "no_face"


def test_portraits_that_cannot_be_used(tmp_path: Path, people: dict[str, Path]) -> None:
    """No face, two faces, no picture, no such file: each row says what is wrong, and the good one is dubbed."""
    (tmp_path / "words.png").write_text("not a picture")
    (tmp_path / "sound.png").write_bytes(SOUND.read_bytes())
    rows = [
        _row("nobody", faces="like:nobody.png"),
        _row("both", faces="like:both.png"),
        _row("words", faces="like:words.png"),
        _row("sound", faces="like:sound.png"),
        _row("missing", faces="like:missing.png"),
        _row("good", faces="like:left.png"),
    ]
    report = dub(tmp_path, rows, *_told(tmp_path))
    failed = _failures(report)
    assert report.done == 1, report.outcomes
    assert "shows no face" in failed["nobody"]["message"]
    assert "shows 2 faces" in failed["both"]["message"]
    assert failed["words"]["code"] == "not_media"
    assert "has no video stream, only audio. Take another image for `faces = like:IMAGE`" in failed["sound"]["message"]
    assert "file not found" in json.dumps(failed["missing"])


@pytest.mark.slow
def test_without_the_network_a_portrait_is_refused(tmp_path: Path, people: dict[str, Path]) -> None:
    """The message says how to install what compares faces; rows that need it not go on."""
    from lipwise_ray.errors import WeightsError

    with pytest.raises(WeightsError, match="models pull sface"):
        dub(tmp_path, [_row("left", faces=f"like:{people['left']}")], *TINY, PASSTHROUGH)
    report = dub(tmp_path, [_row("left", faces=f"like:{people['left']}"), _row("plain")], *TINY, PASSTHROUGH)
    assert report.done == 1
    assert "models pull sface" in json.dumps(_failures(report)["left"])


# several speakers --------------------------------------------------------------------------------------------


def _speaker(faces: str, audio: Path, start: float | None = None, end: float | None = None) -> dict[str, Any]:
    told = {"faces": faces, "audio": audio, "start": start, "end": end}
    return {key: value for key, value in told.items() if value is not None}


def _judge(video: Path, side: str, sound: Path) -> float:
    registry = Registry(models_folder() / "registry.toml", Path("none"))
    detector = DetectorMaker((registry.resolve("tiny_detector"),), 0.7)()
    mel = read_mel(sound)
    crops = crops_of(video, detector, resolve([("test", {"faces": {"select": side}})]), len(mel))
    distance = SpeakerExpert(registry.path_of("tiny_expert")).distance(crops, mel)
    assert distance is not None
    return distance


def _gain(given: Any, wanted: Any) -> float:
    """Return the factor between two sounds, which must be the same otherwise."""
    gain = float(given @ wanted / (wanted @ wanted))
    assert np.abs(given - np.float32(gain) * wanted).max() < 0.01
    return gain


@pytest.mark.slow
def test_each_face_follows_its_own_sound(tmp_path: Path) -> None:
    """Left and right say different things at once: each one's lips go with its own sound, and not with the other's;
    the delivered sound is the sum.
    """
    row = _row("talk", audio=None, speakers=[_speaker("left", SOUND), _speaker("right", OTHER)])
    report = dub(tmp_path, [row], *TINY, 'encode.audio.codec="flac"')
    assert report.done == 1, report.outcomes
    video = tmp_path / "out" / "talk.mp4"
    for side, own, others in (("left", SOUND, OTHER), ("right", OTHER, SOUND)):
        assert _judge(video, side, own) < 0.45, side
        assert _judge(video, side, others) > 0.7, side
    mixed, sounds = _wave(video), [_wave(path) for path in (SOUND, OTHER)]
    summed = np.zeros(max(map(len, sounds)), np.float32)
    for sound in sounds:
        summed[: len(sound)] += sound
    assert len(mixed) == len(summed)
    quieter = 1 / np.abs(summed).max()
    assert quieter < 0.9  # the plain sum would clip
    assert abs(_gain(mixed, summed) - quieter) < 0.05
    assert not list(tmp_path.glob("out.state/jobs/*/mix/*"))


@pytest.mark.slow
def test_speakers_take_turns_at_their_times(tmp_path: Path) -> None:
    """One face says two things one after the other, the second cut short; a given mix is delivered as it is."""
    turns = [_speaker("left", SOUND, end=2.0), _speaker("left", OTHER, 3.0, 4.5), _speaker("right", OTHER, 2.0, 3.0)]
    rows = [_row("own", audio=None, speakers=turns), _row("given", speakers=turns, output="given.mkv")]
    report = dub(tmp_path, rows, *TINY, 'encode.audio.codec="flac"')
    assert report.done == 2, report.outcomes
    mixed = _wave(tmp_path / "out" / "own.mp4")
    first, second = _wave(SOUND), _wave(OTHER)
    assert len(mixed) == 4.5 * 16000
    gains = [
        _gain(mixed[800 : 2 * 16000 - 800], first[800 : 2 * 16000 - 800]),
        _gain(mixed[2 * 16000 + 800 : 3 * 16000 - 800], second[800 : 16000 - 800]),
        _gain(mixed[3 * 16000 + 800 : -800], second[800 : len(mixed) - 3 * 16000 - 800]),
    ]
    assert gains == pytest.approx([gains[0]] * 3, abs=1e-3)
    assert 0.95 < gains[0] <= 1
    given, new = _wave(tmp_path / "out" / "given.mkv"), _wave(SOUND)
    assert np.abs(given - new).max() < 0.01
    plans = list(tmp_path.glob("out.state/jobs/*/plan.json"))
    assert all(len(json.loads(path.read_bytes())["parts"]) == 2 for path in plans)


@pytest.mark.slow
def test_many_channels_and_noise(tmp_path: Path) -> None:
    """Eight channels beside one are mixed and delivered; pauses of a noisy sound are found wherever it stands."""
    rng, rate = np.random.default_rng(4), 16000
    said = np.concatenate([0.3 * np.sin(np.arange(rate) / 8), np.zeros(rate), 0.3 * np.sin(np.arange(rate) / 8)])
    write_speech(tmp_path / "noisy.wav", (said + 1e-3 * rng.standard_normal(len(said))).astype(np.float32))
    write_sound(tmp_path / "eight.wav", ToneSpec(2.0, rate_hz=48000, channels=8, codec="pcm_s16le", tone_hz=300))
    speakers = [_speaker("left", tmp_path / "noisy.wav", 2.0), _speaker("right", tmp_path / "eight.wav")]
    report = dub(tmp_path, [_row("mixed", audio=None, speakers=speakers)], *TINY, PASSTHROUGH, BY_LEVEL)
    assert report.done == 1, report.outcomes
    with av.open(str(tmp_path / "out" / "mixed.mp4")) as video:
        assert video.streams.audio[0].codec_context.layout.nb_channels == 8
    (plan,) = tmp_path.glob("out.state/jobs/*/plan.npz")
    with np.load(plan) as data:
        pauses = data["part_pauses_0"]
    assert any(start < 3.5 * 80 < stop and start > 3 * 80 - 8 for start, stop in pauses), pauses


@pytest.mark.slow
def test_speakers_that_cannot_be(tmp_path: Path) -> None:
    """Two sounds on one face at a time, by one rule or by two, a face that is never there, one who speaks after the
    end: each row says so, and the good one is dubbed.
    """
    rows = [
        _row("rule", speakers=[_speaker("left", SOUND), _speaker("left", OTHER, 1.0)]),
        _row("face", speakers=[_speaker("left", SOUND), _speaker("index:0", OTHER, 1.0)]),
        _row("absent", speakers=[_speaker("left", SOUND), _speaker("index:7", OTHER)]),
        _row("late", speakers=[_speaker("left", SOUND), _speaker("right", OTHER, 60.0)]),
        _row("good", speakers=[_speaker("left", SOUND, end=1.0), _speaker("index:0", OTHER, 1.0)]),
        _row("far", audio=None, speakers=[_speaker("left", SOUND), _speaker("right", OTHER, 1e6)]),
        _row("box", speakers=[_speaker("box:80,200,80,220", SOUND), _speaker("right", OTHER)]),
    ]
    report = dub(tmp_path, rows, *TINY, PASSTHROUGH)
    failed = _failures(report)
    assert report.done == 2, report.outcomes
    codes = {name: record["code"] for name, record in failed.items()}
    assert codes == {
        "rule": "speakers_overlap",
        "face": "speakers_overlap",
        "absent": "no_face",
        "late": "speaker_unheard",
        "far": "too_long",
    }
    assert "1.00 s" in failed["face"]["message"]
