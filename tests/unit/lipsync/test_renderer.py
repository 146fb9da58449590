"""The stream of frames through crop, network and composite."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lipwise_ray.lipsync.background import Background
from lipwise_ray.lipsync.compose import paste_mask
from lipwise_ray.lipsync.frame_job import Blend, FaceTarget, FrameJob
from lipwise_ray.lipsync.model import Passthrough
from lipwise_ray.lipsync.renderer import Renderer
from lipwise_ray.media.pixels import planar_format, plane_array
from lipwise_ray.media.region import Canvas
from lipwise_ray.synth.clips import ClipSpec, draw_frame, read_code
from lipwise_ray.values import ColorTags, Size

SPEC = ClipSpec(size=Size(160, 120))
SHAPE = planar_format("yuv420p")
assert SHAPE is not None
CANVAS = Canvas(SPEC.size, SHAPE, ColorTags(matrix=6))
BOX = np.array([[40, 40, 100, 100]], np.float32)
NOBODY = np.zeros((0, 4), np.float32)
HARD = Blend("box", 0.1, "cubic", match_light=False, linear_light=False, grain=False, align=False)
SOFT = replace(HARD, mask="soft")
POINTS = np.zeros((5, 2), np.float32)
MEL = np.zeros((80, 16), np.float32)


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
        targets = tuple(
            FaceTarget(track, box, POINTS, np.zeros((80, 16), np.float32)) for track, box in enumerate(boxes(number))
        )
        yield FrameJob(draw_frame(SPEC, number), targets)


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


def test_shared_frames_stay_as_they_are() -> None:
    """A frame that others refer to is dubbed in a copy, each time that it is shown; they see what they saw."""
    frame = draw_frame(SPEC, 3)
    filmed = plane_array(frame, 0).copy()
    jobs = [replace(job, frame=frame, is_shared=True) for job in _jobs(9, lambda n: BOX if n % 3 else NOBODY)]
    out = _luma(Renderer(Invert(4), CANVAS, HARD).render(iter(jobs)))
    assert np.array_equal(plane_array(frame, 0), filmed)
    (dubbed,) = _luma(Renderer(Invert(4), CANVAS, HARD).render(iter([replace(jobs[1], is_shared=False)])))
    assert not np.array_equal(dubbed, filmed)
    assert all(np.array_equal(luma, dubbed if n % 3 else filmed) for n, luma in enumerate(out))


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
    assert most <= 8 * 9  # a batch in each of four queues and of four stages, and what a stage is about to hand on


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


class Scripted(Passthrough):
    """Returns every face brighter or darker, as its sound says."""

    def __call__(self, faces_bgr: Any, mels: Any) -> Any:
        return np.clip(faces_bgr + mels[:, :1, :1, None] / 100, 0, 1).astype(np.float32)


class Same:
    """A restorer that changes nothing."""

    size_px, scale, batch_faces = 64, 1, 3
    space = "crop"

    def __call__(self, faces_bgr: Any) -> Any:
        return faces_bgr


def _flat(
    level: int, opacity: float = 1.0, source: int = 0, noise: float = 0.0, error: float = 0.0, number: int | None = None
) -> FrameJob:
    """Return a job for a frame of one grey, with one face, whose new face is off by an error."""
    frame = draw_frame(SPEC, 0)
    rng = np.random.default_rng(source)
    for plane in range(3):
        samples = plane_array(frame, plane)
        samples[:] = 128
        if not plane:
            samples[:] = np.clip(level + noise * rng.standard_normal(samples.shape), 16, 235)
    mel = np.full((80, 16), 100 * error, np.float32)
    target = FaceTarget(0, BOX[0], POINTS, mel, opacity)
    return FrameJob(frame, (target,), source=source, number=source if number is None else number)


def _mouth(frame: Any) -> Any:
    return plane_array(frame, 0)[72:90, 60:80].astype(float)


@pytest.mark.parametrize("opacity", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("restorer", [None, Same()])
def test_a_fade_is_as_far_as_planned(opacity: float, restorer: Any) -> None:
    """At half opacity half of the filmed face shows, with and without a restorer."""
    shown: list[float] = []
    for share in (1.0, opacity):
        renderer = Renderer(Scripted(), CANVAS, SOFT, restorer=restorer)
        (frame,) = renderer.render(iter([_flat(100, share, error=0.2)]))
        shown.append(_mouth(frame).mean())
    assert shown[0] > 140
    assert shown[1] == pytest.approx(100 + opacity * (shown[0] - 100), abs=1)


def test_light_does_not_flash_at_a_cut() -> None:
    """With one box over a cut, the light of either side says nothing about the other's."""
    blend = replace(SOFT, match_light=True)
    jobs = [_flat(80 if n < 6 else 180, source=n, error=-0.1 if n < 6 else 0.1) for n in range(12)]
    levels = [_mouth(frame).mean() for frame in Renderer(Scripted(), CANVAS, blend).render(iter(jobs))]
    assert levels[:6] == pytest.approx([80] * 6, abs=2)
    assert levels[6:] == pytest.approx([180] * 6, abs=2)


def test_light_is_smoothed_within_a_shot() -> None:
    """The mean error of the light goes; one that jumps from frame to frame is not chased, so nothing begins to pump."""
    blend = replace(SOFT, match_light=True)
    errors = [0.15 if n % 2 else 0.05 for n in range(12)]
    jobs = [_flat(120, source=n, error=errors[n]) for n in range(12)]
    levels = [_mouth(frame).mean() for frame in Renderer(Scripted(), CANVAS, blend).render(iter(jobs))]
    assert np.mean(levels[3:9]) == pytest.approx(120, abs=2)
    jumps = np.abs(np.diff(levels[3:9]))
    assert jumps.max() - jumps.min() < 4


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_grain_does_not_hang_on_the_restorers_strength(strength: float) -> None:
    """A new face in a grainy frame is grainy, however much of it the restorer made; a frame keeps its grain."""

    class Smooth(Passthrough):
        def __call__(self, faces_bgr: Any, mels: Any) -> Any:
            return np.full_like(faces_bgr, 0.5)

    def dubbed(blend: Blend) -> Any:
        renderer = Renderer(Smooth(), CANVAS, blend, restorer=Same(), strength=strength)  # type: ignore[arg-type]
        return _mouth(next(iter(list(renderer.render(iter([_flat(120, source=4, noise=5)]))))))

    grainy, smooth = dubbed(replace(SOFT, grain=True)), dubbed(SOFT)
    assert smooth.std() < 1.5
    assert 3 < grainy.std() < 7
    assert np.array_equal(grainy, dubbed(replace(SOFT, grain=True)))


def test_black_pixels_mix_in_linear_light() -> None:
    """A black face over a dark frame stays in range at every size: no sample wraps around."""
    for side in range(26, 60, 3):
        box = np.array([50, 40, 50 + side, 40 + side], np.float32)
        job = _flat(18)
        job = FrameJob(job.frame, (FaceTarget(0, box, POINTS, job.targets[0].sound - 100),), source=0)
        (frame,) = Renderer(Scripted(), CANVAS, replace(SOFT, linear_light=True)).render(iter([job]))
        assert plane_array(frame, 0).min() >= 15
        assert plane_array(frame, 0).max() <= 19


@pytest.mark.parametrize(("levels", "more"), [(0.0, 0.0), (6.0, 12.0)])
def test_flicker_is_what_goes_back_and_forth(levels: float, more: float) -> None:
    """A mouth that is lighter and darker in turn flickers by twice that; a steady one not more than the filmed one."""

    class Trembling(Passthrough):
        def __init__(self) -> None:
            super().__init__(batch_faces=1)
            self.calls = 0

        def __call__(self, faces_bgr: Any, mels: Any) -> Any:
            self.calls += 1
            return np.clip(faces_bgr + np.float32((-1) ** self.calls * levels / 255), 0, 1).astype(np.float32)

    jobs = (_flat(120, source=n, noise=0) for n in range(30))
    renderer = Renderer(Trembling(), CANVAS, HARD)
    assert len(list(renderer.render(jobs))) == 30
    flicker = renderer.measures.flicker
    assert flicker.faces == 3
    assert flicker.dubbed / 3 == pytest.approx(flicker.filmed / 3 + more * 219 / 255, abs=0.5)


def test_flicker_is_not_measured_over_jumps() -> None:
    """Where the source jumps, a face is missing or another is dubbed, frames are not compared."""
    jumps = (_flat(100 + 100 * (n >= 12), source=n if n < 12 else n + 50, number=n) for n in range(30))
    renderer = Renderer(Passthrough(), CANVAS, HARD)
    list(renderer.render(jumps))
    assert renderer.measures.flicker.faces == 2
    assert renderer.measures.flicker.filmed < 0.5
    gaps = [_flat(120, source=n) for n in range(9)]
    gaps = [replace(job, targets=job.targets if n % 3 else ()) for n, job in enumerate(gaps)]
    renderer = Renderer(Passthrough(), CANVAS, HARD)
    list(renderer.render(iter(gaps)))
    assert renderer.measures.flicker.faces == 0


class Sharper:
    """A restorer that looks at the whole aligned face, as published ones do, and counts its calls."""

    scale, size_px = 1, 64
    space = "aligned"

    def __init__(self, batch_faces: int, fails_at: int = 0) -> None:
        self.batch_faces = batch_faces
        self.calls = 0
        self._fails_at = fails_at

    def __call__(self, faces_bgr: Any) -> Any:
        assert len(faces_bgr) == self.batch_faces
        self.calls += 1
        if self.calls == self._fails_at:
            raise MemoryError("no room")
        return np.clip(faces_bgr * 1.5 - 0.2, 0, 1)


def _restored(lips: int, batch: int) -> list[Any]:
    boxes = np.array([[40, 40, 100, 100], [100, 30, 150, 80]], np.float32)
    points = np.array([[20, 22], [40, 22], [30, 35], [22, 46], [38, 46]], np.float32)
    jobs = []
    for number in range(23):
        targets = [FaceTarget(k, box, points + box[:2], np.zeros((80, 16), np.float32)) for k, box in enumerate(boxes)]
        jobs.append(FrameJob(draw_frame(SPEC, number), tuple(targets if number % 3 else targets[:1]), source=number))
    blend = replace(HARD, mask="face", match_light=True, linear_light=True, grain=True)
    return _luma(Renderer(Invert(lips), CANVAS, blend, restorer=Sharper(batch)).render(iter(jobs)))


@pytest.mark.parametrize(("lips", "batch"), [(1, 1), (3, 8), (16, 3)])
def test_restored_faces_do_not_depend_on_batches(lips: int, batch: int) -> None:
    """One face or two in a frame, light, grain and an aligned restorer: any batches give the same pixels."""
    assert all(np.array_equal(a, b) for a, b in zip(_restored(lips, batch), _restored(4, 4), strict=True))


@pytest.mark.parametrize("call", [1, 3])
def test_a_failing_restorer_ends_the_stream_with_its_error(call: int) -> None:
    """An error in its thread reaches the caller, and no thread is left."""
    import threading

    before = threading.active_count()
    restorer = Sharper(4, fails_at=call)
    restorer.space = "crop"
    renderer = Renderer(Invert(4), CANVAS, SOFT, restorer=restorer)
    with pytest.raises(MemoryError, match="no room"):
        list(renderer.render(_jobs(50)))
    assert threading.active_count() == before


def test_half_the_strength_is_half_way() -> None:
    """Strength is the restored face's share."""
    none, half, whole = (
        _mouth(next(Renderer(Scripted(), CANVAS, SOFT, restorer=Striped(), strength=share).render(iter([_flat(120)]))))
        for share in (0.0, 0.5, 1.0)
    )
    assert np.abs(whole - none).max() > 20
    assert np.abs(half - (none + whole) / 2).max() <= 1


class Striped(Same):
    """A restorer that draws stripes: colours over a wide area stay."""

    def __call__(self, faces_bgr: Any) -> Any:
        made = faces_bgr.copy()
        made[:, :, ::4] += 0.2
        made[:, :, 2::4] -= 0.2
        return np.clip(made, 0, 1)
