"""Parts of a video that is not finished yet: what players get is the segment's own frames and the audio beside them."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lipwise_ray.errors import SegmentError
from lipwise_ray.media.encode import EncodeSpec
from lipwise_ray.media.join import SegmentFile
from lipwise_ray.media.live_parts import AHEAD_S, LivePart, live_part
from lipwise_ray.media.segment_writer import SegmentWriter
from lipwise_ray.media.timeline import Timeline
from lipwise_ray.media.verify import check_segment
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, draw_frame, read_code, write_sound
from lipwise_ray.values import ColorTags, Size

_CLIP = ClipSpec(size=Size(160, 120), frames=20)
_SPLIT = 8
_PRESETS = {"libx264": "veryfast", "ffv1": ""}


def _timeline(offset: int = 0) -> Timeline:
    return Timeline(np.arange(_CLIP.frames, dtype=np.int64) + offset, _CLIP.frames + offset, 1 / _CLIP.rate)


def _segment(folder: Path, start: int, stop: int, codec: str = "libx264") -> SegmentFile:
    """Write some of the clip's frames, as a worker leaves them; with frames that lean on later ones."""
    path = folder / f"{start}.mkv"
    timeline = _timeline()
    spec = EncodeSpec(
        codec=codec,
        quality=None,
        preset=_PRESETS[codec],
        keyframe_frames=12,
        pixel_format=_CLIP.pixel_format,
        size=_CLIP.size,
        rate=_CLIP.rate,
        time_base=timeline.time_base,
        color=ColorTags(1, 1, 1, full_range=False),
        sample_aspect_ratio=Fraction(1),
        threads=1,
    )
    with SegmentWriter(path, spec) as writer:
        for number in range(start, stop):
            writer.write(draw_frame(_CLIP, number), int(timeline.pts[number]))
        made = writer.finish()
    return SegmentFile(path, made.frames, made.reorder, check_segment(path, made.frames).crc)


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> list[SegmentFile]:
    folder = tmp_path_factory.mktemp("segments")
    return [_segment(folder, 0, _SPLIT), _segment(folder, _SPLIT, _CLIP.frames)]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "s.m4a"
    write_sound(path, ToneSpec(_CLIP.frames / 25, codec="aac", rate_hz=48000, channels=1))
    return path


def _frames(*parts: LivePart) -> list[tuple[float, int]]:
    """Seconds and number, as drawn, of each frame that a player shows of some parts."""
    with av.open(io.BytesIO(parts[0].head + b"".join(part.media for part in parts))) as container:
        shown = [
            (frame.time or 0.0, read_code(frame.to_ndarray(format="rgb24"))) for frame in container.decode(video=0)
        ]
    return [(round(time, 4), code) for time, code in shown]


def _sounds(part: LivePart) -> list[Fraction]:
    """Seconds at which the packets of a part's audio begin."""
    with av.open(io.BytesIO(part.head + part.media)) as container:
        track = container.streams.audio[0]
        return [one.pts * (track.time_base or Fraction(1)) for one in container.demux(track) if one.pts is not None]


def test_parts_show_every_frame_at_its_time(segments: list[SegmentFile]) -> None:
    """All parts after one head are the video; a part alone is its own stretch of it."""
    parts = [live_part(segments[0], _timeline(), 0), live_part(segments[1], _timeline(), _SPLIT)]
    whole = [(round(AHEAD_S + number / 25, 4), number) for number in range(_CLIP.frames)]
    assert segments[0].reorder > 0
    assert parts[0].head == parts[1].head
    assert _frames(*parts) == whole
    assert _frames(parts[1]) == whole[_SPLIT:]


def test_times_count_from_the_first_frame(segments: list[SegmentFile]) -> None:
    """A video whose times begin late is shown from its beginning, as its finished file is."""
    assert live_part(segments[1], _timeline(700), _SPLIT).media == live_part(segments[1], _timeline(), _SPLIT).media


def test_audio_is_cut_into_parts_without_a_gap(segments: list[SegmentFile], sound: Path) -> None:
    """Each packet of it is in one part, the one in whose stretch it begins."""
    first = _sounds(live_part(segments[0], _timeline(), 0, sound))
    second = _sounds(live_part(segments[1], _timeline(), _SPLIT, sound))
    border = AHEAD_S + Fraction(_SPLIT, 25)
    assert max(first) < border <= min(second)
    steps = {late - early for early, late in zip([*first, *second], [*first, *second][1:], strict=False)}
    assert steps == {Fraction(1024, 48000)}
    assert AHEAD_S <= min(first) < AHEAD_S + Fraction(1024, 48000)


def test_a_codec_that_no_browser_plays_is_refused(tmp_path: Path) -> None:
    """The refusal names it: whoever watches is told to wait for the whole video."""
    with pytest.raises(SegmentError, match="ffv1, which no browser plays") as told:
        live_part(_segment(tmp_path, 0, 3, "ffv1"), _timeline(), 0)
    assert told.value.code == "live_codec"


def test_a_segment_without_its_frames_is_refused(segments: list[SegmentFile], tmp_path: Path) -> None:
    """One that holds fewer than its record says, or that is no video, is not shown."""
    short = SegmentFile(segments[0].path, segments[0].frames + 1, segments[0].reorder, segments[0].crc)
    with pytest.raises(SegmentError, match="8 of 9 frames"):
        live_part(short, _timeline(), 0)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(bytes(64))
    with pytest.raises(SegmentError):
        live_part(SegmentFile(cut, 8, 0, 0), _timeline(), 0)
