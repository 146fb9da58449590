"""New lips by networks that take windows of frames: a stream in bounded memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.lipsync.drafts import FaceDraft, FrameDraft
from lipwise_ray.lipsync.model import PlacedLipSync, new_faces

if TYPE_CHECKING:
    from lipwise_ray.lipsync.background import Stage
    from lipwise_ray.lipsync.frame_windows import FrameWindows
    from lipwise_ray.lipsync.model import LipSync
    from lipwise_ray.media.planes import FaceImage


class WindowedLips:
    """Gives faces new lips, a window of frames of one track at a time.

    A window is always full, for a network that looks over its frames is another function of fewer: in a frame without
    the face (before the first, after the last, beyond a cut, or where it is hidden) stands the nearest one that has it,
    the earlier of two. The others keep their places.

    Args:
        lipsync: The network.
        windows: Windows of the output.
        dubbed: Frames around those that are shown in which new lips count.
        stage: Its time is counted there.
    """

    def __init__(self, lipsync: LipSync, windows: FrameWindows, dubbed: int, stage: Stage) -> None:
        self._lipsync = lipsync
        self._windows = windows
        self._dubbed = dubbed
        self._stage = stage

    def __call__(self, drafts: Iterator[FrameDraft]) -> Iterator[FrameDraft]:
        """Yield the frames whose lips count; those that only fill windows end here.

        Args:
            drafts: Frames whose numbers follow each other. Of windows that show a frame whose lips count, all are
                there, but for those that the output does not have.
        """
        near: deque[FrameDraft] = deque()
        group: int | None = None
        for draft in drafts:
            near.append(draft)
            number = draft.job.number
            group = self._windows.group_of(number) if group is None else group
            while number + 1 >= self._windows.taken(group).stop:
                yield from self._finished(group, near)
                group += 1
        while group is not None and near and self._windows.shown(group).start <= near[-1].job.number:
            yield from self._finished(group, near)
            group += 1

    def _finished(self, group: int, near: deque[FrameDraft]) -> Iterator[FrameDraft]:
        """Yield the frames that a group of windows shows, and forget those that no later one takes."""
        shown, begin = self._windows.shown(group), time.perf_counter()
        counted = [draft for draft in near if shown.start <= draft.job.number < shown.stop and self._counts(draft)]
        all_near = {draft.job.number: draft for draft in near}
        shows = {draft.job.number: draft for draft in counted}
        for numbers in self._windows.of(group):
            inside = [all_near.get(number) for number in numbers]
            wanted = [face for number in numbers if number in shows for face in shows[number].faces]
            for track in dict.fromkeys(face.target.track for face in wanted):
                made = self._drawn([_face(draft, track) for draft in inside], numbers.start)
                for face, image in made:
                    if face.job.number in shows:
                        face.new = image
        self._stage.add(time.perf_counter() - begin)
        yield from counted
        following = self._windows.taken(group + 1).start
        while near and near[0].job.number < following:
            near.popleft()

    def _counts(self, draft: FrameDraft) -> bool:
        return draft.job.outside <= self._dubbed

    def _drawn(self, faces: Sequence[FaceDraft | None], first: int) -> list[tuple[FaceDraft, FaceImage]]:
        """Return the faces of a track's window with their new images; None stands where a frame does not have one."""
        lipsync = self._lipsync.at(first) if isinstance(self._lipsync, PlacedLipSync) else self._lipsync
        there = [place for place, face in enumerate(faces) if face is not None]
        nearest = [min(there, key=lambda one, place=place: (abs(one - place), one)) for place in range(len(faces))]
        full = [face for place in nearest if (face := faces[place]) is not None]
        sounds = np.stack([face.target.sound for face in full])
        made = new_faces(lipsync, [face.crop for face in full], sounds)
        return [(full[place], made[place]) for place in there]


def _face(draft: FrameDraft | None, track: int) -> FaceDraft | None:
    """Return the face of a track in a frame, None without one."""
    faces = draft.faces if draft is not None else ()
    return next((face for face in faces if face.target.track == track), None)
