"""Several languages of one film, and streams chosen by their numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.probe import probe_audio
from lipwise_ray.storage.stream_choice import StreamChoice
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import PASSTHROUGH, QUICK, UNJUDGED, dub

BOX = {"faces": "box:10,100,20,110"}
ALL = 'encode.tracks="all"'


def film_of_tones(path: Path, tones_hz: tuple[int, ...]) -> None:
    """Write a film of one second with a tone a soundtrack."""
    silent = path.with_name("silent.mkv")
    write_clip(silent, ClipSpec(frames=25, size=Size(160, 120)))
    with av.open(str(path), "w") as film:
        made: list[tuple[Any, Any]] = []
        for number, tone_hz in enumerate((None, *tones_hz)):
            part = silent if tone_hz is None else path.with_name(f"{number}.m4a")
            if tone_hz is not None:
                write_sound(part, ToneSpec(1.0, channels=1, tone_hz=tone_hz))
            source = av.open(str(part))
            stream = source.streams[0]
            made.append((source, film.add_stream_from_template(stream, opaque=True)))
        for source, stream in made:
            with source:
                for packet in source.demux(source.streams[0]):
                    if packet.size:
                        packet.stream = stream
                        film.mux(packet)


def _pitch_hz(path: Path, number: int = 0) -> float:
    """Return the loudest frequency of a soundtrack."""
    info = probe_audio(path, choice=StreamChoice("audio", number))
    wave = np.concatenate([*AudioReader(info).blocks(info.rate_hz, "mono")], axis=1)[0]
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return float(np.argmax(spectrum) * info.rate_hz / len(wave))


def test_streams_of_a_film_are_chosen(tmp_path: Path) -> None:
    """The second soundtrack is what is delivered where it is chosen; one that is not there fails its own row."""
    film_of_tones(tmp_path / "film.mkv", (300, 700))
    rows = [
        {"id": "usual", "video": "film.mkv", "audio": "film.mkv", "output": "usual.mp4", **BOX},
        {"id": "second", "video": "film.mkv#v:0", "audio": "film.mkv#a:1", "output": "second.mp4", **BOX},
        {"id": "none", "video": "film.mkv", "audio": "film.mkv#a:2", "output": "none.mp4", **BOX},
    ]
    report = dub(tmp_path, rows, PASSTHROUGH, UNJUDGED, QUICK)
    assert (report.done, report.failed) == (2, 1)
    assert _pitch_hz(tmp_path / "out" / "usual.mp4") == pytest.approx(300, abs=3)
    assert _pitch_hz(tmp_path / "out" / "second.mp4") == pytest.approx(700, abs=3)
    (failed,) = [row.record for row in report.outcomes if row.row_id == "none"]
    assert failed["code"] == "no_stream"
    assert "film.mkv#a:2: the file has 2 audio streams" in failed["message"]


def test_a_language_is_a_video(tmp_path: Path) -> None:
    """Audio by language makes a video each, tagged with it; a second run makes nothing."""
    write_clip(tmp_path / "v.mp4", ClipSpec(frames=25, size=Size(160, 120)))
    for name, tone_hz in (("a.wav", 300), ("b.wav", 700)):
        write_sound(tmp_path / name, ToneSpec(1.0, channels=1, codec="pcm_s16le", tone_hz=tone_hz))
    row = {"id": "v", "video": "v.mp4", "audio": {"es": "a.wav", "de": "b.wav"}, "output": "v.mkv", **BOX}
    assert dub(tmp_path, [row], PASSTHROUGH, UNJUDGED, QUICK).done == 2
    for name, tone_hz, language in (("v.es.mkv", 300, "spa"), ("v.de.mkv", 700, "ger")):
        assert _pitch_hz(tmp_path / "out" / name) == pytest.approx(tone_hz, abs=3)
        with av.open(str(tmp_path / "out" / name)) as made:
            assert [stream.metadata["language"] for stream in made.streams.audio] == [language]
    again = dub(tmp_path, [row], PASSTHROUGH, UNJUDGED, QUICK)
    assert [outcome.record["reused"] for outcome in again.outcomes] == [True, True]


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_languages_are_soundtracks_of_one_file(container: str, tmp_path: Path) -> None:
    """With all tracks in one file each language is a tagged soundtrack of one length, the first what players take."""
    write_clip(tmp_path / "v.mp4", ClipSpec(frames=25, size=Size(160, 120), tone=ToneSpec(1.0, tone_hz=150)))
    sounds = {"es": (1.0, 300), "de": (1.5, 700), "fr": (0.5, 1100)}
    for language, (seconds, tone_hz) in sounds.items():
        write_sound(tmp_path / f"{language}.wav", ToneSpec(seconds, channels=1, codec="pcm_s16le", tone_hz=tone_hz))
    audio = {language: f"{language}.wav" for language in sounds}
    row = {"id": "v", "video": "v.mp4", "audio": audio, "output": f"v.{container}", **BOX}
    report = dub(tmp_path, [row], PASSTHROUGH, UNJUDGED, QUICK, ALL, "encode.keep=[]")
    assert report.failed == 0
    made = tmp_path / "out" / f"v.{container}"
    assert [_pitch_hz(made, number) for number in range(3)] == pytest.approx([300, 700, 1100], abs=6)
    with av.open(str(made)) as film:
        german = "ger" if container == "mkv" else "deu"
        french = "fre" if container == "mkv" else "fra"
        assert [one.metadata["language"] for one in film.streams.audio] == ["spa", german, french]
        assert [bool(one.disposition & Disposition.default) for one in film.streams.audio] == [True, False, False]
    for number in range(3):
        info = probe_audio(made, choice=StreamChoice("audio", number))
        reader = AudioReader(info)
        for _ in reader.blocks(info.rate_hz, info.layout):
            pass
        assert float(reader.findings.length_s) == pytest.approx(1.0, abs=0.05)
    (file,) = (tmp_path / "out.state" / "jobs").glob("*/result.json")
    result: dict[str, Any] = json.loads(file.read_text())
    assert (result["language"], result["further_languages"]) == ("es", ["de", "fr"])


def test_another_language_beside_is_another_file(tmp_path: Path) -> None:
    """A further soundtrack that was replaced is noticed: the file is made again, its lips are what they were."""
    write_clip(tmp_path / "v.mp4", ClipSpec(frames=25, size=Size(160, 120)))
    for name, tone_hz in (("a.wav", 300), ("b.wav", 700)):
        write_sound(tmp_path / name, ToneSpec(1.0, channels=1, codec="pcm_s16le", tone_hz=tone_hz))
    row = {"id": "v", "video": "v.mp4", "audio": {"es": "a.wav", "de": "b.wav"}, "output": "v.mkv", **BOX}
    assert dub(tmp_path, [row], PASSTHROUGH, UNJUDGED, QUICK, ALL).done == 1
    write_sound(tmp_path / "b.wav", ToneSpec(1.0, channels=1, codec="pcm_s16le", tone_hz=900))
    assert dub(tmp_path, [row], PASSTHROUGH, UNJUDGED, QUICK, ALL).done == 1
    made = tmp_path / "out" / "v.mkv"
    assert [_pitch_hz(made, number) for number in range(2)] == pytest.approx([300, 900], abs=6)
