"""A stretch of video that is looked at once, as it is decoded: which frames are looked at, and what waits for that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.faces.shots import (
    AROUND_FRAMES,
    BLEND_FRAMES,
    BlendMeter,
    ChangeMeter,
    is_spike,
    jump_cuts,
    tiny_image,
)
from lipwise_ray.media.frames import FrameRecipe, SmallImage, small_image
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.pipeline.analysis.looks import Between, FaceFinder, Look
from lipwise_ray.pipeline.analysis.second_look import Moves, may_jump, moves
from lipwise_ray.settings.model import DetectSettings
from lipwise_ray.values import BoolArray, F32Array, Span, U8Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_Frame = tuple[int, SmallImage, "VideoFrame"]

_MOST_HELD_BYTES = 128 << 20
"""Of small images that may yet be looked at; beyond, the first are read again if they are. And of the frames of a batch
of looks; beyond, the batch is no longer waited for.
"""


@dataclass(frozen=True, slots=True)
class ScannedFrame:
    """A decoded frame.

    Attributes:
        number: Its number.
        image: The image that is searched.
        tiny_bgr: The image by which shots are found, shape (H, W, 3).
        change: How much it differs from the frame before.
        frame: The frame itself, where it is one that is looked at.
    """

    number: int
    image: SmallImage
    tiny_bgr: U8Array
    change: float
    frame: VideoFrame | None


class SearchedVideo:
    """The frames of a video, as they are searched.

    Args:
        open_reader: Opens the video.
        recipe: What is done to its frames.
        settings: Which are looked at, and how large.
        frames: Of the video.
    """

    def __init__(
        self, open_reader: Callable[[], VideoReader], recipe: FrameRecipe, settings: DetectSettings, frames: int
    ) -> None:
        self._open_reader, self._recipe = open_reader, recipe
        self.settings, self.frames = settings, frames

    def read(self, span: Span) -> Iterator[ScannedFrame]:
        """Yield frames; the change of the first one is not known, and 0.

        Args:
            span: Which.
        """
        meter = ChangeMeter()
        last: ScannedFrame | None = None
        with self._open_reader() as reader:
            for number, frame in enumerate(reader.read(span.start, span.stop), span.start):
                image = small_image(frame, self._recipe, self.settings.size_px)
                tiny_bgr = tiny_image(image.image_bgr)
                change = meter.measure(tiny_bgr)
                if last:
                    yield self._kept(last, is_last_of_shot=change >= self.settings.cut_threshold)
                last = ScannedFrame(number, image, tiny_bgr, change, frame)
        if last:
            yield self._kept(last, is_last_of_shot=last.number == self.frames - 1)

    def _kept(self, scanned: ScannedFrame, *, is_last_of_shot: bool) -> ScannedFrame:
        """Return a frame, without its pixels unless it is one that is looked at."""
        is_first_of_shot = scanned.change >= self.settings.cut_threshold
        is_look = scanned.number % self.settings.stride == 0 or is_first_of_shot or is_last_of_shot
        return scanned if is_look else replace(scanned, frame=None)

    def images(self, numbers: Sequence[int]) -> Iterator[SmallImage]:
        """Yield some frames once more.

        Args:
            numbers: Theirs, rising.
        """
        with self._open_reader() as reader:
            for frame in reader.read_order(numbers):
                yield small_image(frame, self._recipe, self.settings.size_px)


class LookedAt:
    """A stretch of video, and what was seen in it so far.

    Whether the frames between two looks are looked at is told by the looks and frames around; until it is, their
    images wait here.

    Args:
        footage: The video.
        finder: Looks for faces.
        span: The stretch.
    """

    def __init__(self, footage: SearchedVideo, finder: FaceFinder, span: Span) -> None:
        stride = footage.settings.stride
        self._footage, self._finder, self._span = footage, finder, span
        end = -(-(span.stop - 1) // stride) * stride + 1
        self._looks_in = Span(span.start // stride * stride, min(footage.frames, end))
        around = max(stride, AROUND_FRAMES, BLEND_FRAMES)
        first, last = self._looks_in.start - around - 1, self._looks_in.stop + around
        self.reads = Span(max(0, first), min(footage.frames, last))
        """Frames that are to be added: those of the stretch, of the looks around it, and what these are judged by."""
        self._change: dict[int, float] = {}
        self._blends, self._is_blend = BlendMeter(), np.zeros(len(span), np.bool_)
        self._batch: list[_Frame] = []
        self._batch_bytes = 0
        self._held: dict[int, SmallImage] = {}
        self._held_bytes = 0
        self._looks: list[Look] = []
        self._before: _Frame | Look | None = None
        self._after: _Frame | Look | None = None
        self._decided = 0
        self._between: list[Between] = []
        self._found: list[Look] = []

    def add(self, scanned: ScannedFrame) -> None:
        """Take the next frame of those that are to be read."""
        number = scanned.number
        if number > self.reads.start or number == 0:
            self._change[number] = scanned.change
        is_blend = self._blends.measure(scanned.tiny_bgr)
        if number - BLEND_FRAMES in self._span:
            self._is_blend[number - BLEND_FRAMES - self._span.start] = is_blend
        taken = (number, scanned.image, scanned.frame) if scanned.frame is not None else None
        if number < self._looks_in.start:
            self._before = taken or self._before
        elif number >= self._looks_in.stop:
            self._after = self._after or taken
        elif taken:
            self._batch.append(taken)
            self._batch_bytes += sum(plane.buffer_size for plane in taken[2].planes)
            if len(self._batch) >= self._finder.batch or self._batch_bytes > _MOST_HELD_BYTES:
                self._look()
        elif number in self._span:
            self._hold(number, scanned.image)
        self._decide(number, is_end=False)

    def finished(self) -> list[Look]:
        """Return the looks at frames of the stretch, once all frames were added."""
        self._look()
        self._decide(self.reads.stop - 1, is_end=True)
        self._look_between()
        looks = [look for look in self._looks if look.number in self._span]
        return sorted([*looks, *self._found], key=lambda look: look.number)

    @property
    def is_blend(self) -> BoolArray:
        """Mask of the frames of the stretch that are blends of those around, once all frames were added, shape (N,)."""
        return self._is_blend

    def changes(self, span: Span) -> F32Array:
        """Return the changes of frames from those before them, shape (N,).

        Args:
            span: Which.
        """
        return np.array([self._change[number] for number in range(span.start, span.stop)], np.float32)

    def _hold(self, number: int, image: SmallImage) -> None:
        self._held[number] = image
        self._held_bytes += image.image_bgr.nbytes
        while self._held_bytes > _MOST_HELD_BYTES:
            self._let_go(next(iter(self._held)))

    def _let_go(self, number: int) -> SmallImage | None:
        image = self._held.pop(number, None)
        self._held_bytes -= image.image_bgr.nbytes if image else 0
        return image

    def _look(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        self._looks += self._finder.look(batch) if batch else []

    def _decide(self, last: int, *, is_end: bool) -> None:
        """Decide about the frames between looks, as far as that can be told.

        Args:
            last: The last frame that was added.
            is_end: No others will be.
        """
        while self._decided + 1 < len(self._looks):
            place = self._decided
            old, new = self._looks[place : place + 2]
            numbers = [number for number in range(old.number + 1, new.number) if number in self._span]
            is_looked = False
            if numbers and not self._is_cut(new.number):
                now = moves(old, new)
                is_known = last >= new.number + AROUND_FRAMES and (
                    place + 2 < len(self._looks) or now.in_doubt is False
                )
                if not (now.in_doubt or is_known or is_end):
                    return
                is_looked = (
                    now.in_doubt or self._comes_back(place) or (now.in_doubt is None and self._is_jump(place, now))
                )
            if is_looked:
                self._between += [Between(n, image, old, new) for n, image in self._images(numbers)]
                if len(self._between) >= self._finder.batch:
                    self._look_between()
            for number in numbers:
                self._let_go(number)
            self._decided += 1

    def _is_cut(self, number: int) -> bool:
        return self._change[number] >= self._footage.settings.cut_threshold

    def _comes_back(self, place: int) -> bool:
        """Tell whether the image may show a face elsewhere between two looks that find it where it was."""
        old, new = (look.number for look in self._looks[place : place + 2])
        around = self._around(old, new)
        return jump_cuts(self.changes(around), old + 1 - around.start, new + 1 - around.start) > 1

    def _around(self, old: int, new: int) -> Span:
        """Return the frames by whose changes those between two looks are judged."""
        return Span(max(0, old - AROUND_FRAMES), min(self._footage.frames, new + AROUND_FRAMES + 1))

    def _is_jump(self, place: int, now: Moves) -> bool:
        """Tell whether a face may have jumped between two looks, by what is before and after them."""
        old, new = self._looks[place : place + 2]
        if is_spike(
            self.changes(self._around(old.number, new.number)), self.changes(Span(old.number + 1, new.number + 1))
        ):
            return True
        before = self._looks[place - 1] if place else self._look_before()
        after = self._looks[place + 2] if place + 2 < len(self._looks) else self._look_after()
        earlier = moves(before, old) if before and not self._is_cut(old.number) else None
        later = moves(new, after) if after and not self._is_cut(after.number) else None
        return may_jump(now, earlier, later)

    def _look_before(self) -> Look | None:
        """Return the look before those of the stretch: it tells something, but is seldom asked for."""
        if isinstance(self._before, tuple):
            (self._before,) = self._finder.look([self._before])
        return self._before

    def _look_after(self) -> Look | None:
        """Return the look after those of the stretch."""
        if isinstance(self._after, tuple):
            (self._after,) = self._finder.look([self._after])
        return self._after

    def _images(self, numbers: Sequence[int]) -> Iterator[tuple[int, SmallImage]]:
        missing = [number for number in numbers if number not in self._held]
        again = iter(self._footage.images(missing)) if missing else iter(())
        for number in numbers:
            yield number, self._let_go(number) or next(again)

    def _look_between(self) -> None:
        between, self._between = self._between, []
        self._found += self._finder.look_between(between) if between else []
