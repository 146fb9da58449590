"""The stage that matches the light of new faces, smoothed over the frames around each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.lipsync.background import Stage, in_groups
from lipwise_ray.lipsync.drafts import LIGHT_RADIUS, FaceDraft, FrameDraft, same_face
from lipwise_ray.lipsync.light import FacePair, Lights
from lipwise_ray.lipsync.neighbours import with_neighbours

if TYPE_CHECKING:
    from lipwise_ray.values import F32Array


class Relighting:
    """Matches the light of new faces to that of the original ones.

    Args:
        lights: Finds it and gives it.
        stage: Its time is counted there.
        most_waiting: Says how many frames may wait for a call of so many faces.
    """

    def __init__(self, lights: Lights, stage: Stage, most_waiting: Callable[[int], int]) -> None:
        self._lights = lights
        self._stage = stage
        self._most_waiting = most_waiting

    def __call__(self, items: Iterator[FrameDraft], radius: int) -> Iterator[FrameDraft]:
        """Yield the frames that are at most so far outside of those that are shown, their faces' light matched."""
        for group in self._groups(self._smoothed(items, radius)):
            begin = time.perf_counter()
            lit = [(face, face.light) for item in group for face in item.faces if face.light is not None]
            fresh = self._lights.relit([face.new for face, _ in lit], [light for _, light in lit])
            for (face, _), image in zip(lit, fresh, strict=True):
                face.new = image
            self._stage.add(time.perf_counter() - begin)
            yield from group

    def _groups(self, items: Iterator[FrameDraft]) -> Iterator[list[FrameDraft]]:
        size = self._lights.faces_a_call
        return in_groups(items, lambda item: item.faces, size, self._most_waiting(size))

    def _smoothed(self, items: Iterator[FrameDraft], radius: int) -> Iterator[FrameDraft]:
        for item, near in with_neighbours(self._with_shifts(items), LIGHT_RADIUS):
            if item.job.outside > radius:
                continue
            begin = time.perf_counter()
            for face in item.faces:
                face.light = _mean_shift(face, near)
            self._stage.add(time.perf_counter() - begin)
            yield item

    def _with_shifts(self, items: Iterator[FrameDraft]) -> Iterator[FrameDraft]:
        for group in self._groups(items):
            begin = time.perf_counter()
            masked = [(face, face.mask) for item in group for face in item.faces if face.mask is not None]
            shifts = self._lights.shifts([FacePair(face.crop, face.new, mask) for face, mask in masked])
            for (face, _), shift in zip(masked, shifts, strict=True):
                face.shift = shift
            self._stage.add(time.perf_counter() - begin)
            yield from group


def _mean_shift(face: FaceDraft, near: list[tuple[int, FrameDraft]]) -> F32Array | None:
    """Return the mean of the shifts of a face in the frames around, near ones count for more; None without any."""
    total, weight = np.zeros((3, 3), np.float32), 0.0
    for distance, other in same_face(face, near):
        if other.shift is not None:
            share = LIGHT_RADIUS + 1 - abs(distance)
            total += np.float32(share) * other.shift
            weight += share
    return total / np.float32(weight) if weight else None
