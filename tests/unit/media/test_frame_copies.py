"""Copies of decoded frames that may be written to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwise_ray.media.fields import FieldMarker
from lipwise_ray.media.frame_copies import FrameCopies
from lipwise_ray.media.frames import make_recipe
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.media.probe import probe_video
from lipwise_ray.synth.clips import ClipSpec, write_clip
from lipwise_ray.values import Size


def _decoded(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A short clip of x264, whose first frame carries a message of the encoder."""
    path = tmp_path / "clip.mkv"
    write_clip(path, ClipSpec(frames=12, size=Size(96, 64)))
    return path


def test_copies_are_what_the_recipe_makes_and_nobody_elses(clip: Path) -> None:
    """A copy has the recipe's samples; writing to it changes neither its source nor a copy that is still held."""
    recipe, frames = make_recipe(probe_video(clip)), _decoded(clip)
    copies = FrameCopies(recipe.canvas)
    filmed = [frame.to_ndarray() for frame in frames]
    held: list[Any] = []
    for number, frame in enumerate(frames):
        copy = copies(frame)
        assert np.array_equal(copy.to_ndarray(), recipe.apply(frame).to_ndarray())
        plane_array(copy, 0)[:] = number
        if number % 3:  # every third one's memory may be used again
            held.append((number, copy))
    assert all(np.array_equal(frame.to_ndarray(), was) for frame, was in zip(frames, filmed, strict=True))
    assert all((plane_array(copy, 0) == number).all() for number, copy in held)


def test_a_plane_outlives_its_frame(clip: Path) -> None:
    """The memory of a copy that only an array refers to is not given to another one."""
    copies, frames = FrameCopies(make_recipe(probe_video(clip)).canvas), _decoded(clip)
    plane = plane_array(copies(frames[0]), 0)
    plane[:] = 7
    later = [copies(frame) for frame in frames]
    assert (plane == 7).all()
    assert len(later) == len(frames)


def test_only_samples_are_copied(clip: Path) -> None:
    """An encoder would write messages and captions that a frame carries, and take marked fields for such."""
    copies, (first, *_) = FrameCopies(make_recipe(probe_video(clip)).canvas), _decoded(clip)
    marked = FieldMarker("tff")(first)
    assert marked.interlaced_frame
    assert len(first.side_data)
    copy = copies(marked)
    assert not copy.interlaced_frame
    assert not len(copy.side_data)


def test_only_frames_of_the_canvas_are_kept(clip: Path, tmp_path: Path) -> None:
    """A frame of another size or format, or with planes on a device, is not to be copied as it is."""
    recipe = make_recipe(probe_video(clip))
    wide = tmp_path / "wide.mkv"
    write_clip(wide, ClipSpec(frames=1, size=Size(128, 48)))
    (frame,) = _decoded(wide)
    same, elsewhere, *_ = _decoded(clip)
    elsewhere.opaque = object()
    assert recipe.keeps(same)
    for other in (frame, same.reformat(format="yuv444p"), elsewhere):
        assert not recipe.keeps(other)
        made = recipe.apply(other)
        assert (made.width, made.height, made.format.name) == (96, 64, "yuv420p")
