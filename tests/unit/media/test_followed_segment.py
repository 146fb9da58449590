"""Segments that are checked while they are written: the proof is that of a check afterwards."""

from __future__ import annotations

import threading
from fractions import Fraction
from pathlib import Path

import pytest

from lipwise_ray.errors import SegmentError
from lipwise_ray.media.encode import EncodeSpec
from lipwise_ray.media.followed_segment import FollowedSegment
from lipwise_ray.media.segment_writer import SegmentWriter
from lipwise_ray.media.verify import check_segment
from lipwise_ray.synth.clips import ClipSpec, draw_frame
from lipwise_ray.values import ColorTags, Size
from tests.support.waiting import until

FRAMES = 30
CLIP = ClipSpec(size=Size(320, 240))
TAGS = ColorTags(full_range=False, matrix=1, primaries=1, transfer=1)


def _spec(codec: str = "ffv1") -> EncodeSpec:
    pixels = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
    return EncodeSpec(
        codec, None, "ultrafast", 10, pixels, CLIP.size, Fraction(25), Fraction(1, 25), TAGS, Fraction(1), 1
    )


def _write(writer: SegmentWriter, first: int = 0, stop: int = FRAMES) -> None:
    for number in range(first, stop):
        writer.write(draw_frame(CLIP, number), number)


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1"])
def test_the_proof_is_that_of_a_check_afterwards(tmp_path: Path, codec: str) -> None:
    """Whatever the encoder keeps back and the muxer writes anew at the end."""
    path = tmp_path / "s.mkv"
    with SegmentWriter(path, _spec(codec)) as writer, FollowedSegment(path, threads=1) as followed:
        _write(writer)
        segment = writer.finish()
        proof = followed.prove(segment.frames)
    assert proof == check_segment(path, FRAMES)


def test_frames_are_decoded_before_the_last_one_is_there(tmp_path: Path) -> None:
    """What is on the disk is checked while more is written, and whoever asks for them gets all frames, in order."""
    path = tmp_path / "s.mkv"
    seen: list[int] = []
    with (
        SegmentWriter(path, _spec()) as writer,
        FollowedSegment(path, threads=1, on_frame=lambda frame: seen.append(frame.pts or 0)) as followed,
    ):
        _write(writer, 0, 20)
        until(lambda: followed.decoded)
        _write(writer, 20)
        segment = writer.finish()
        followed.prove(segment.frames)
    assert followed.decoded == FRAMES
    assert seen == sorted(set(seen))
    assert len(seen) == FRAMES


@pytest.mark.parametrize(
    ("codec", "says"), [("libx264", "is damaged"), ("ffv1", "other packets"), ("libx265", "packets")]
)
def test_what_changes_after_it_was_decoded_is_found(codec: str, says: str, tmp_path: Path) -> None:
    """The file counts, not what was read of it: a byte that another hand changed meanwhile is an error, also where the
    decoder does not tell.
    """
    path = tmp_path / "s.mkv"
    with SegmentWriter(path, _spec(codec)) as writer, FollowedSegment(path, threads=1) as followed:
        _write(writer)
        segment = writer.finish()
        until(lambda: followed.decoded >= FRAMES // 2)
        data = bytearray(path.read_bytes())
        data[len(data) // 4] ^= 0xFF
        path.write_bytes(data)
        with pytest.raises(SegmentError, match=says):
            followed.prove(segment.frames)


def test_a_missing_frame_is_found(tmp_path: Path) -> None:
    """A segment of another length is refused in the words of a check afterwards."""
    path = tmp_path / "s.mkv"
    with SegmentWriter(path, _spec()) as writer, FollowedSegment(path, threads=1) as followed:
        _write(writer)
        writer.finish()
        with pytest.raises(SegmentError, match="holds 30 frames instead of 31"):
            followed.prove(FRAMES + 1)


def test_a_file_that_cannot_be_followed_is_checked_afterwards(tmp_path: Path) -> None:
    """Where nothing can be made of what comes first, the whole file counts."""
    path, other = tmp_path / "s.mkv", tmp_path / "o.mkv"
    path.write_bytes(b"no video" * 100_000)
    with FollowedSegment(path) as followed:
        with SegmentWriter(other, _spec()) as writer:
            _write(writer)
            writer.finish()
        other.replace(path)
        assert followed.prove(FRAMES) == check_segment(path, FRAMES)
    assert not followed.decoded


def test_a_segment_that_is_given_up_is_not_waited_for(tmp_path: Path) -> None:
    """An error while frames are rendered comes through as it is, and nothing reads on."""
    path = tmp_path / "s.mkv"

    def render() -> None:
        with SegmentWriter(path, _spec()) as writer, FollowedSegment(path, threads=1) as followed:
            _write(writer, 0, 20)
            until(lambda: followed.decoded)
            raise RuntimeError("the GPU is lost")

    with pytest.raises(RuntimeError, match="the GPU is lost"):
        render()
    assert not [one for one in threading.enumerate() if one.name == "lipwise-check"]
