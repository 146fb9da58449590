"""Comparison of a finished video with a reference of the same film, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from lipwise_ray.faces.landmarker import FaceLandmarker, face_view
from lipwise_ray.faces.lower_face import outer_lips
from lipwise_ray.faces.select import usable_landmarks
from lipwise_ray.lipsync.flicker import SIDE_PX as SMALL_PX
from lipwise_ray.lipsync.flicker import Flicker
from lipwise_ray.lipsync.sharpness import Sharpness
from lipwise_ray.media.frames import FrameRecipe
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.media.region import box_to_shown, read_luma, read_region
from lipwise_ray.metrics.fid import IMAGE_PX
from lipwise_ray.metrics.fidelity import mean_square, ssim
from lipwise_ray.pipeline.analysis.face_recognition import embedding
from lipwise_ray.pipeline.inputs.records import Video
from lipwise_ray.pipeline.quality.lip_windows import Faces
from lipwise_ray.pipeline.quality.size_fit import SizeFit
from lipwise_ray.values import BoolArray, F32Array, F64Array, I64Array, Span, U8Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from lipwise_ray.faces.embedder import FaceEmbedder
    from lipwise_ray.metrics.inception import Inception

Shown: TypeAlias = "tuple[VideoFrame, FrameRecipe]"
"""A frame, and its canvas."""

_WARM_UP = 2
"""Frames before a stretch, without which the flicker of its first two could not be told."""

_BLOCK = 16
_LEAST_PX, _MOST_PX = 64, 512
"""Sides of faces whose sharpness is measured, as where frames are rendered."""

_SLACK_S = 1e-6
_ROUNDED = 0.25
"""Of a frame's time, by which a time stamp may be off."""

_LUMA = np.array([0.114, 0.587, 0.299], np.float32)
_LIMITED_PEAK, _LIMITED_FOOT, _PEAK = 219.0, 16.0, 255.0
_FACE_SCALE = 0.75
"""Half of the square around a face that is compared, as a share of the face's longer side."""


@dataclass(slots=True)
class ComparisonSums:
    """Sums over the frames that were compared.

    Attributes:
        sums: By what was measured: totals, and how many were added up.
        features: Of faces in the video and in the other one, shapes (N, 2048).
        sample: The face in the video's middle and the other one's beside it, BGR; None where that is elsewhere.
    """

    sums: dict[str, float] = field(default_factory=dict[str, float])
    features: tuple[list[F32Array], list[F32Array]] = field(default_factory=lambda: ([], []))
    sample: tuple[U8Array, U8Array] | None = None

    def add(self, name: str, value: float | None) -> None:
        """Add a figure of a frame.

        Args:
            name: Name of the figure.
            value: The figure; None leaves the frame out of its mean.
        """
        if value is not None:
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.sums[f"{name}_count"] = self.sums.get(f"{name}_count", 0) + 1


@dataclass(frozen=True, slots=True)
class Reference:
    """The video that another one is compared with.

    Attributes:
        video: The video.
        recipe: Steps that prepare its frames.
        fit: The video's frames on its own.
        lag_s: By so much the video comes later.
        rate_hz: Pictures a second that are compared; 0 for every frame.
        embedder: Tells how far the person is from the one there; None where that is not asked.
        inception: Gives features of faces; None where they are not asked for.
        landmarker: Sees where lips are; None where that is not asked.
    """

    video: Video
    recipe: FrameRecipe
    fit: SizeFit
    lag_s: float
    rate_hz: float
    embedder: FaceEmbedder | None
    inception: Inception | None
    landmarker: FaceLandmarker | None


def compare_pictures(
    video: Video,
    recipe: FrameRecipe,
    faces: Faces,
    landmarks: F32Array,
    span: Span,
    reference: Reference | None,
    *,
    threads: int,
    salvage: bool,
    on_frame: Callable[[], None],
) -> ComparisonSums:
    """Look at frames ``[start, stop)`` of a video: how its faces flicker, and how like they are to the reference's.

    Args:
        video: The video.
        recipe: Steps that prepare its frames.
        faces: Its faces.
        landmarks: Of the faces, shape (N, 5, 2).
        span: Part of the video.
        reference: Reference that it is compared with, at equal times.
        threads: Of the decoders.
        salvage: Work with what decodes.
        on_frame: Called for every frame.
    """
    numbers = range(max(0, span.start - _WARM_UP), span.stop)
    beside = _beside(video, reference, numbers) if reference else np.full(len(numbers), -1)
    compared = _compared(video, reference.rate_hz, numbers) if reference else np.zeros(len(numbers), np.bool_)
    middle = len(video.index) // 2
    sample_from = middle if span.start <= middle < span.stop else -1
    looking = _Looking(faces, usable_landmarks(landmarks, faces.box), reference, sample_from)
    frames = read_frames(video, recipe, iter(numbers), threads, salvage=salvage)
    others = _read_beside(reference, beside, threads, salvage=salvage)
    rows = zip(numbers, compared, beside, frames, others, strict=True)
    for number, is_compared, other_number, frame, other in rows:
        on_frame()
        if number == span.start:
            looking.forget_flicker()
        shown = frame, recipe
        looking.watch(number, shown, int(other_number), other)
        if is_compared and number >= span.start:
            looking.compare(number, shown, other)
    return looking.ended()


class _Looking:
    """Takes in the frames of a stretch.

    Args:
        faces: The faces in them.
        points: Their landmarks.
        reference: Reference that they are compared with.
        sample_from: The first frame from here on that is compared is the sample; -1 for none.
    """

    def __init__(self, faces: Faces, points: F32Array, reference: Reference | None, sample_from: int) -> None:
        self._faces = faces
        self._points = points
        self._reference = reference
        self._sample_from = sample_from
        self._flicker, self._filmed = Flicker(), Flicker()
        self._sharpness = Sharpness()
        self._latest: dict[int, int] = {}
        """The last frame of the reference, by track."""
        self._found = ComparisonSums()
        self._crops: tuple[list[U8Array], list[U8Array]] = ([], [])

    def forget_flicker(self) -> None:
        """Begin to count."""
        for one in (self._flicker, self._filmed):
            one.dubbed, one.faces = 0.0, 0

    def watch(self, number: int, shown: Shown, other_number: int, other: Shown | None) -> None:
        """Measure the flicker of faces, in the reference as far as each frame shows another image."""
        for track, row in self._faces.at(number).items():
            box = self._faces.box[row]
            self._flicker.add(track, number, number, _small(*shown, box), None)
            if other is not None and other_number > self._latest.get(track, -1):
                assert self._reference is not None  # it gave the other frame
                self._filmed.add(track, number, number, _small(*other, self._reference.fit.box(box)), None)
            self._latest[track] = other_number

    def compare(self, number: int, shown: Shown, other: Shown | None) -> None:
        """Compare two frames; the second is missing after the reference's end."""
        if other is None:
            self._found.add("beyond", 1.0)
            return
        rows = list(self._faces.at(number).values())
        boxes = [self._faces.box[row] for row in rows]
        assert self._reference is not None  # it gave the other frame
        fit, embedder = self._reference.fit, self._reference.embedder
        pairs = [(box, fit.box(box)) for box in boxes]
        _add_luma(self._found, shown, other, [theirs for _, theirs in pairs], fit)
        if embedder is not None:
            for row in rows:
                points = self._points[row], fit.points(self._points[row])
                who = [embedding(*picture, at, embedder) for picture, at in zip((shown, other), points, strict=True)]
                self._found.add("identity", 1 - float(who[0] @ who[1]))
        if self._reference.landmarker is not None:
            for row in rows:
                self._found.add("mouth", self._lips_apart(self._reference.landmarker, shown, other, row))
        for ours, theirs in pairs:
            side = min(_MOST_PX, round(max(theirs[2] - theirs[0], theirs[3] - theirs[1])))
            if side >= _LEAST_PX:
                self._sharpness.add(_luma_of_face(*shown, ours, side), _luma_of_face(*other, theirs, side), None)
        is_sample = 0 <= self._sample_from <= number and self._found.sample is None
        if pairs and (is_sample or self._reference.inception is not None):
            self._take_faces(pairs, shown, other, is_sample=is_sample)

    def _lips_apart(self, landmarker: FaceLandmarker, shown: Shown, other: Shown, row: int) -> float | None:
        """Return the distance of lips from those of the reference, in hundredths of the distance of the eyes.

        Both are looked at through one view, so that a head that moved otherwise counts as lips that are elsewhere. None
        where either shows no face.
        """
        assert self._reference is not None  # it gave the landmarker
        ours = _lips(*shown, self._points[row], landmarker)
        theirs = _lips(*other, self._reference.fit.points(self._points[row]), landmarker)
        if ours is None or theirs is None:
            return None
        apart_px = float(np.linalg.norm(ours - theirs, axis=1).mean())
        return 100 * apart_px * landmarker.view.eyes / landmarker.size_px

    def _take_faces(
        self, pairs: list[tuple[F32Array, F32Array]], shown: Shown, other: Shown, *, is_sample: bool
    ) -> None:
        """Cut faces out, for their features, and for a sample."""
        crops = [(_face(*shown, ours), _face(*other, theirs)) for ours, theirs in pairs]
        if is_sample:
            self._found.sample = crops[0]
        assert self._reference is not None  # it gave the other frame
        if self._reference.inception is not None:
            for ours, theirs in crops:
                self._crops[0].append(ours)
                self._crops[1].append(theirs)
            if len(self._crops[0]) >= _BLOCK:
                self._add_features(self._reference.inception)

    def _add_features(self, inception: Inception) -> None:
        for into, pictures in zip(self._found.features, self._crops, strict=True):
            if pictures:
                into.append(inception(np.stack(pictures)))
                pictures.clear()

    def ended(self) -> ComparisonSums:
        """Return the sums."""
        if self._reference is not None and self._reference.inception is not None:
            self._add_features(self._reference.inception)
        for name, flicker in (("flicker", self._flicker), ("filmed", self._filmed)):
            self._found.sums[name], self._found.sums[f"{name}_count"] = flicker.dubbed, float(flicker.faces)
        self._found.sums |= {f"sharp_{name}": value for name, value in asdict(self._sharpness).items()}
        return self._found


def _seconds(video: Video, numbers: I64Array | range) -> F64Array:
    pts = video.index.pts[np.asarray(numbers, np.int64)] - int(video.index.pts[0])
    return np.asarray(pts * float(video.index.time_base), np.float64)


def _compared(video: Video, rate_hz: float, numbers: range) -> BoolArray:
    """Return a mask of the frames that are compared: the first one of each interval of ``1 / rate_hz``."""
    if not rate_hz:
        return np.ones(len(numbers), np.bool_)
    now = np.floor(_seconds(video, numbers) * rate_hz + _SLACK_S)
    before = np.floor(_seconds(video, np.maximum(np.asarray(numbers) - 1, 0)) * rate_hz + _SLACK_S)
    return (now != before) | (np.asarray(numbers) == 0)


def _beside(video: Video, reference: Reference, numbers: range) -> I64Array:
    """Return the reference's frame that is shown at the time of each frame, -1 before its start and after its end."""
    index = reference.video.index
    if reference.video.info.is_still:
        return np.zeros(len(numbers), np.int64)
    # Containers round times: a film at 30 frames a second has other ones in milliseconds than in ticks of its rate.
    slack_s = _ROUNDED / float(max(index.mean_rate, video.index.mean_rate))
    seconds = _seconds(video, numbers) - reference.lag_s + slack_s
    starts = (index.pts - int(index.pts[0])) * float(index.time_base)
    end_s = (index.end_pts - int(index.pts[0])) * float(index.time_base)
    return np.where((seconds >= 0) & (seconds < end_s), np.searchsorted(starts, seconds, side="right") - 1, -1)


def read_frames(
    video: Video, recipe: FrameRecipe, numbers: Iterator[int], threads: int, *, salvage: bool
) -> Iterator[VideoFrame]:
    """Yield the frames of a video by their numbers, in rising order.

    Args:
        video: The video.
        recipe: Steps that prepare its frames.
        numbers: Of the frames.
        threads: Of the decoder.
        salvage: Work with what decodes.
    """
    info = video.info
    with VideoReader(
        info.path, info.stream_index, video.index, threads=threads, salvage=salvage, deinterlace=recipe.deinterlace
    ) as reader:
        for frame in reader.read_order(numbers):
            yield recipe.apply(frame)


def _read_beside(
    reference: Reference | None, beside: I64Array, threads: int, *, salvage: bool
) -> Iterator[Shown | None]:
    if reference is None:
        yield from (None for _ in beside)
        return
    recipe = reference.recipe
    there = beside[beside >= 0]
    frames = read_frames(reference.video, recipe, (int(number) for number in there), threads, salvage=salvage)
    for number in beside:
        yield (next(frames), recipe) if number >= 0 else None


def _small(frame: VideoFrame, recipe: FrameRecipe, box: F32Array) -> F32Array:
    return (read_region(frame, recipe.canvas, box_to_shown(box, SMALL_PX), SMALL_PX) @ _LUMA) * np.float32(_PEAK)


def _lips(frame: VideoFrame, recipe: FrameRecipe, points: F32Array, landmarker: FaceLandmarker) -> F32Array | None:
    size_px = landmarker.size_px
    view = face_view(landmarker.view, points, size_px, recipe.canvas.aspect)
    found = landmarker(read_region(frame, recipe.canvas, view, size_px))
    return None if found is None else found[outer_lips()]


def _luma_of_face(frame: VideoFrame, recipe: FrameRecipe, box: F32Array, side_px: int) -> F32Array:
    return read_luma(frame, recipe.canvas, box_to_shown(box, side_px), side_px)


def _face(frame: VideoFrame, recipe: FrameRecipe, box: F32Array) -> U8Array:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half = max(box[2] - box[0], box[3] - box[1]) * _FACE_SCALE
    square = np.array([x - half, y - half, x + half, y + half], np.float32)
    crop = read_region(frame, recipe.canvas, box_to_shown(square, IMAGE_PX), IMAGE_PX)
    return np.rint(crop * _PEAK).astype(np.uint8)


def _add_luma(found: ComparisonSums, shown: Shown, other: Shown, boxes: list[F32Array], fit: SizeFit) -> None:
    """Compare the luma of whole frames, and of the faces in them, whose boxes are those in the reference."""
    a, b = fit.scaled(luma_of(*shown)), fit.part(luma_of(*other))
    found.add("square", mean_square(a, b))
    found.add("ssim", ssim(a, b))
    height, width = a.shape
    corner = np.array([fit.left, fit.top], np.float32)
    for box in boxes:
        left, top = (int(value) for value in np.clip(np.floor(box[:2] - corner), 0, (width - 1, height - 1)))
        last = np.clip(np.ceil(box[2:] - corner), (left + 1, top + 1), (width, height))
        right, bottom = (int(value) for value in last)
        part = slice(top, bottom), slice(left, right)
        found.add("face_square", mean_square(a[part], b[part]))
        found.add("face_ssim", ssim(a[part], b[part]))


def luma_of(frame: VideoFrame, recipe: FrameRecipe) -> F32Array:
    """Return a frame's luma as it is shown, shape (H, W), in levels of 8 bits of limited range."""
    canvas = recipe.canvas
    levels = plane_array(frame, 0).astype(np.float32) / np.float32(1 << (canvas.format.bits - 8))
    if canvas.color.full_range or canvas.format.planes == 1:  # gray is not limited
        levels = levels * np.float32(_LIMITED_PEAK / _PEAK) + np.float32(_LIMITED_FOOT)
    return np.asarray(canvas.orientation.upright(levels), np.float32)
