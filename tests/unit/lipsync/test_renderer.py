"""The stream of frames through crop, network and composite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from lipwise_ray.lipsync.compose import paste_mask
from lipwise_ray.lipsync.model import Passthrough
from lipwise_ray.lipsync.pipeline import Background
from lipwise_ray.lipsync.renderer import Blend, FrameJob, Renderer, Spot
from lipwise_ray.media.pixels import planar_format, plane_array
from lipwise_ray.media.region import Canvas
from lipwise_ray.synth.clips import ClipSpec, draw_frame, read_code
from lipwise_ray.values import ColorTags, Size

SPEC = ClipSpec(size=Size(160, 120))
SHAPE = planar_format("yuv420p")
assert SHAPE is not None
CANVAS = Canvas(SPEC.size, SHAPE, ColorTags(matrix=6), 0)
BOX = np.array([[40, 40, 100, 100]], np.float32)
NOBODY = np.zeros((0, 4), np.float32)
HARD = Blend(mask="box")
POINTS = np.zeros((5, 2), np.float32)


class Invert(Passthrough):
    """Turns every face into its negative and counts what it was given."""

    def __init__(self, batch_faces: int) -> None:
        super().__init__(16, batch_faces)
        self.calls: list[int] = []

    def __call__(self, faces_bgr: Any, mels: Any) -> Any:
        self.calls.append(len(faces_bgr))
        assert mels.shape == (self.batch_faces, 80, 16)
        return 1 - faces_bgr


def _jobs(count: int, boxes: Any = lambda _: BOX) -> Iterator[FrameJob]:
    for number in range(count):
        spots = tuple(Spot(track, box, POINTS) for track, box in enumerate(boxes(number)))
        yield FrameJob(draw_frame(SPEC, number), spots, np.zeros((80, 16), np.float32))


def _luma(frames: Iterator[Any]) -> list[Any]:
    return [plane_array(frame, 0).copy() for frame in frames]


@pytest.mark.parametrize("batch", [1, 3, 8, 64])
@pytest.mark.parametrize("boxes", ["all", "some", "none", "two"])
def test_order_and_pixels_do_not_depend_on_the_batch(batch: int, boxes: str) -> None:
    """Every frame comes out in order, changed where it has a face, untouched elsewhere."""
    rules: dict[str, Any] = {
        "all": lambda _: BOX,
        "some": lambda n: BOX if n % 5 < 2 else NOBODY,
        "none": lambda _: NOBODY,
        "two": lambda _: np.array([[40, 40, 100, 100], [110, 30, 150, 80]], np.float32),
    }
    role = Invert(batch)
    out = _luma(Renderer(role, CANVAS, HARD).render(_jobs(41, rules[boxes])))
    reference = _luma(Renderer(Invert(1), CANVAS, HARD).render(_jobs(41, rules[boxes])))
    assert [read_code(luma) for luma in out] == list(range(41))
    assert all(np.array_equal(a, b) for a, b in zip(out, reference, strict=True))
    assert set(role.calls) <= {batch}
    for number, luma in enumerate(out):
        changed = not np.array_equal(luma, plane_array(draw_frame(SPEC, number), 0))
        assert changed == (len(rules[boxes](number)) > 0)


def test_few_frames_are_in_memory() -> None:
    """However long the stream, only a few batches of frames are under way at once."""
    alive = 0
    most = 0

    def jobs() -> Iterator[FrameJob]:
        nonlocal alive, most
        for job in _jobs(400, lambda n: BOX if n % 7 == 0 else NOBODY):
            alive += 1
            most = max(most, alive)
            yield job

    for _ in Renderer(Invert(8), CANVAS, HARD).render(jobs()):
        alive -= 1
    assert most <= 8 * 6


def test_a_failing_network_ends_the_stream_with_its_error() -> None:
    """An error in the network's thread reaches the caller; nothing hangs."""

    class Broken(Invert):
        def __call__(self, faces_bgr: Any, mels: Any) -> Any:
            raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        list(Renderer(Broken(4), CANVAS, HARD).render(_jobs(50)))


def test_a_failing_reader_ends_the_stream_with_its_error() -> None:
    """An error while decoding reaches the caller; nothing hangs."""

    def jobs() -> Iterator[FrameJob]:
        yield from _jobs(5)
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        list(Renderer(Invert(4), CANVAS, HARD).render(jobs()))


def test_leaving_early_stops_the_threads() -> None:
    """A caller that stops half-way leaves no thread behind."""
    import threading

    before = threading.active_count()
    with Background(lambda: iter(range(10_000)), 4) as stream:
        for item in stream:
            if item == 3:
                break
    assert threading.active_count() == before


def test_the_soft_mask_spares_the_upper_face_and_its_rim() -> None:
    """The mask is 0 on its rim and above the mouth, 1 on the mouth, and never jumps."""
    mask = paste_mask(96, 0.1)
    assert mask is not None
    assert mask[0].max() == mask[-1].max() == mask[:, 0].max() == mask[:, -1].max() == 0
    assert mask[: int(0.39 * 96)].max() == 0
    assert mask[70, 48] == 1
    assert max(np.abs(np.diff(mask, axis=axis)).max() for axis in (0, 1)) < 0.35


def test_the_box_mask_overwrites_the_whole_box() -> None:
    """Without a mask every pixel of a whole-pixel box is replaced, and none outside."""

    class White(Invert):
        def __call__(self, faces_bgr: Any, mels: Any) -> Any:
            return np.ones_like(faces_bgr)

    luma = _luma(Renderer(White(2), CANVAS, HARD).render(_jobs(1)))[0]
    before = plane_array(draw_frame(SPEC, 0), 0)
    assert (luma[40:100, 40:100] == 235).all()
    outside = np.ones_like(luma, bool)
    outside[40:100, 40:100] = False
    assert np.array_equal(luma[outside], before[outside])
