"""What a file is like, as a record and as typed facts."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lipwise_ray.errors import MediaError
from lipwise_ray.faces.detections import DetectedFaces
from lipwise_ray.pipeline.quality.inspection import inspect
from lipwise_ray.pipeline.quality.inspection_facts import FrameFacts, Unusable, facts_of
from lipwise_ray.settings.model import Settings
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.boxes import make_detections

FACE = (60.0, 40.0, 110.0, 100.0)


class _Detector:
    """Finds one face in the middle of every image."""

    together = False

    def detect(self, images_bgr: list[Any]) -> list[DetectedFaces]:
        found = make_detections({0: [FACE]}, 1)
        return [DetectedFaces(found.box, found.landmarks, found.score) for _ in images_bgr]


def _inspected(path: Path) -> Any:
    return inspect(path, Settings.model_validate({"detect": {"size_px": 240}}), _Detector(), None)


def test_a_video_is_told_stream_by_stream(tmp_path: Path) -> None:
    """Sizes, rates, lengths and faces; what nobody measured says so; the record can be written as JSON."""
    spec = ClipSpec(size=Size(160, 120), frames=20, rate=Fraction(25), gop=5, tone=ToneSpec(0.8))
    write_clip(tmp_path / "v.mp4", spec)
    found = _inspected(tmp_path / "v.mp4")
    facts = facts_of(found.record, found.faces)
    assert [stream.type for stream in facts.streams] == ["video", "audio"]
    assert isinstance(facts.picture, FrameFacts)
    assert (facts.picture.shown, facts.picture.rate, facts.picture.frames) == ("160x120", "25", 20)
    assert facts.picture.longest_key_gap == 5
    assert facts.faces is not None
    assert (facts.faces.shots, facts.faces.most_in_a_shot, facts.faces.share_of_frames) == (1, 1, 1.0)
    (face,) = facts.faces.longest
    assert (face.from_s, face.to_s, list(face.box)) == (0, 0.8, [round(value) for value in FACE])
    (person,) = facts.faces.people
    assert (person.person, person.shot, person.seconds, person.faces) == (0, 0, 0.8, (face.face,))
    assert {*facts.face_jpegs} == {f"face-{face.face}", "shot-0-person-0"}
    assert isinstance(facts.sync, Unusable)
    assert json.loads(json.dumps(facts.record)) == facts.record


def test_audio_alone_has_no_images(tmp_path: Path) -> None:
    """A part that is not there is None, which is not the same as one that cannot be used."""
    write_sound(tmp_path / "s.wav", ToneSpec(1.0, codec="pcm_s16le", rate_hz=16_000, channels=1))
    facts = facts_of(_inspected(tmp_path / "s.wav").record, {})
    assert (facts.picture, facts.faces, facts.sync, facts.speech) == (None, None, None, None)
    assert facts.sound is not None
    assert not isinstance(facts.sound, Unusable)
    assert (facts.sound.rate_hz, facts.sound.channels, facts.sound.seconds) == (16_000, 1, 1.0)


def test_a_part_that_is_damaged_does_not_hide_the_others(tmp_path: Path) -> None:
    """Images that cannot be decoded are a problem of theirs; the audio of the file is told all the same."""
    write_clip(tmp_path / "v.mkv", ClipSpec(size=Size(160, 120), frames=200, tone=ToneSpec(8.0)))
    settings = Settings.model_validate({"limits": {"megapixels": 0.001}})
    facts = facts_of(inspect(tmp_path / "v.mkv", settings, _Detector(), None).record, {})
    assert isinstance(facts.picture, Unusable)
    assert "limits.megapixels" in facts.picture.problem
    assert facts.sound is not None
    assert not isinstance(facts.sound, Unusable)
    (tmp_path / "text.mp4").write_text("no media at all")
    with pytest.raises(MediaError):
        _inspected(tmp_path / "text.mp4")


def test_a_record_with_a_field_of_another_type_is_no_facts(tmp_path: Path) -> None:
    """A slip in what is measured shows here, and not in the program of whoever reads it."""
    write_sound(tmp_path / "s.wav", ToneSpec(0.5, codec="pcm_s16le"))
    record = _inspected(tmp_path / "s.wav").record
    record["sound"]["channels"] = "two"
    with pytest.raises(ValidationError, match="channels"):
        facts_of(record, {})
