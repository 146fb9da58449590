"""Video and audio that come in files of their own."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from lipwise_ray.errors import MediaError
from lipwise_ray.media.remux import remux
from tests.support.video_site import FRAMES, clip


def _times(path: Path, kind: str) -> list[Fraction]:
    with av.open(str(path)) as container:
        stream = next(one for one in container.streams if one.type == kind)
        return [packet.pts * packet.time_base for packet in container.demux(stream) if packet.size]


@pytest.mark.parametrize("video", ["mp4", "mpegts"])
@pytest.mark.parametrize("audio", ["mp4", "mpegts"])
def test_both_are_copied_at_their_times(video: str, audio: str, tmp_path: Path) -> None:
    """Every packet is there, and sound stands to picture as in the files: within a tick of a millisecond."""
    (tmp_path / "v").write_bytes(clip(video, audio=False))
    (tmp_path / "a").write_bytes(clip(audio, video=False))
    remux(tmp_path / "v", tmp_path / "a", tmp_path / "both")
    shown, heard = _times(tmp_path / "both", "video"), _times(tmp_path / "both", "audio")
    assert len(shown) == FRAMES
    shift = shown[0] - _times(tmp_path / "v", "video")[0]
    expected = [time + shift for time in _times(tmp_path / "a", "audio")]
    assert len(heard) == len(expected)
    assert max(abs(one - other) for one, other in zip(heard, expected, strict=True)) <= Fraction(1, 1000)
    with av.open(str(tmp_path / "both")) as container:
        assert sum(1 for _ in container.decode(video=0)) == FRAMES


def test_a_file_without_the_stream_is_named(tmp_path: Path) -> None:
    """The error says which file lacks what it was fetched for."""
    (tmp_path / "v").write_bytes(clip("mp4", audio=False))
    with pytest.raises(MediaError, match="lacks the stream"):
        remux(tmp_path / "v", tmp_path / "v", tmp_path / "both")
