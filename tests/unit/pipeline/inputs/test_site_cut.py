"""What a part of a video holds, told by its own time stamps."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from lipwise_ray.errors import MediaError
from lipwise_ray.pipeline.inputs.site_cut import first_frame_s, holds
from lipwise_ray.pipeline.inputs.site_pieces import FormatPart, UsedSeconds
from tests.support.pieced_film import film


def _joined(folder: Path, first: int, stop: int) -> Path:
    path = folder / f"{first}-{stop}"
    path.write_bytes(b"".join(film("joined")[f"joined/all{number:02d}.ts"] for number in range(first, stop)))
    return path


@pytest.mark.parametrize(
    ("start_s", "end_s", "is_held"),
    [
        (5.25, 7.4, True),
        (4.05, 5.0, True),
        (3.5, 5.0, False),
        (7.0, 9.5, False),
        (7.0, None, False),
        (5.21, 5.22, False),  # no frame begins there
    ],
)
def test_a_part_holds_what_lies_well_within(
    start_s: float, end_s: float | None, *, is_held: bool, tmp_path: Path
) -> None:
    """Frames from before the start to behind the end, and audio that decodes from before it on."""
    part = FormatPart(0, 4, 9, 12, 5 / 12, None)
    zero_s = first_frame_s(_joined(tmp_path, 0, 1))
    assert holds(_joined(tmp_path, 4, 9), [part], zero_s, UsedSeconds(start_s, end_s)) is is_held


@pytest.mark.parametrize(
    ("keys_from_s", "has_audio", "is_held"), [(0.0, True, True), (5.5, True, False), (0.0, False, False)]
)
def test_a_part_can_be_decoded_from_before_its_start_on(
    keys_from_s: float, tmp_path: Path, *, has_audio: bool, is_held: bool
) -> None:
    """Packets of pictures without a key frame before them are nothing to decode, and a stream without any is none."""
    zero_s, target = first_frame_s(_joined(tmp_path, 0, 1)), tmp_path / "part.mkv"
    with av.open(str(_joined(tmp_path, 4, 9))) as source, av.open(str(target), "w") as written:
        streams = {one: written.add_stream_from_template(one) for one in source.streams}
        for packet in source.demux():
            stream, is_late = streams[packet.stream], packet.is_keyframe and packet.stream.type == "video"
            if packet.pts is None or (packet.stream.type == "audio" and not has_audio):
                continue
            if is_late and packet.pts * packet.time_base < Fraction(keys_from_s) + zero_s:
                continue
            packet.stream = stream
            written.mux(packet)
    part = FormatPart(0, 4, 9, 12, 5 / 12, None)
    assert holds(target, [part], zero_s, UsedSeconds(5.25, 7.4)) is is_held


def test_a_file_without_frames_has_no_first_one(tmp_path: Path) -> None:
    """That is an error, for which all of the video is fetched."""
    path = tmp_path / "audio"
    path.write_bytes(film("apart")["apart/a00.ts"])
    with pytest.raises(MediaError):
        first_frame_s(path)
