"""A face that a client marked with a box in every frame, as a tracks file."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lipwise_ray.errors import RequestError, StorageError, os_reason
from lipwise_ray.faces.detections import LANDMARKS
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.service.frame_count import FrameCount
from lipwise_ray.service.sync_api.row_columns import FACE_FIELD
from lipwise_ray.settings.model import Settings
from lipwise_ray.values import I64Array, Size

_FIELD = f"{FACE_FIELD}.bounding_boxes"
_MOST_MOVED = 1.0
"""Of its side: a box that is further from the one before shows the face after a cut, or another one."""

_LEAST_SIDE_PX = 1.0
Boxes = Sequence[Sequence[float] | None]
CountFrames = Callable[[Path, Settings], FrameCount]
"""Counts the frames of a video, as rows of the settings have them."""


class BoxTracks:
    """Tracks files made of boxes, in a folder of the service; equal boxes of one video make one file.

    Args:
        folder: The folder, made when there is something to put into it.
        count: Counts frames, in a process that a file may bring down.
    """

    def __init__(self, folder: Path, count: CountFrames) -> None:
        self._folder, self._count = folder, count

    def write(self, boxes: Boxes, video: Path, settings: Settings) -> Path:
        """Write the tracks file of a video.

        Args:
            boxes: Left, top, right, bottom in pixels of the shown frame, or None, for every frame of the video.
            video: The video.
            settings: Of the row.

        Raises:
            RequestError: There are more or fewer boxes than frames, or one has no extent or is outside the frame.
            MediaError: The video cannot be read.
            TransientError: Its frames cannot be counted for now.
            StorageError: The disk refuses.
        """
        found = self._count(video, settings)
        size = Size(found.width, found.height)
        tracks = tracks_of_boxes(boxes, found.frames, size)
        told = json.dumps([*boxes, size.width, size.height]).encode()
        path = self._folder / f"{hashlib.sha256(told).hexdigest()}.npz"
        part = path.with_suffix(f".{time.monotonic_ns()}.npz")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            tracks.save(part)
            part.replace(path)
        except OSError as error:
            got = f"the server's disk refused them: {os_reason(error)}"
            raise StorageError("upload_refused", _FIELD, got=got, do="Ask again later") from error
        return path

    def expire(self, keep_s: float, in_use: Callable[[str], bool]) -> int:
        """Remove files that nobody wants any more, and return how many.

        Args:
            keep_s: Files stay for so long after they were last asked for.
            in_use: Tells of a path whether an unfinished job reads it.
        """
        before_s = time.time() - keep_s
        old = [path for path in self._folder.glob("*") if _is_older(path, before_s)]
        gone = [path for path in old if not in_use(str(path))]
        for path in gone:
            path.unlink(missing_ok=True)
        return len(gone)


def _is_older(path: Path, before_s: float) -> bool:
    try:
        return path.stat().st_mtime < before_s
    except FileNotFoundError:  # a draft of another request's, which has its name now
        return False


def tracks_of_boxes(boxes: Boxes, frames: int, size: Size) -> Tracks:
    """Return boxes as tracks: one for each stretch of frames in which the face stays near where it was.

    Args:
        boxes: Left, top, right, bottom, or None, for every frame.
        frames: Frames of the video.
        size: Of the shown frame.

    Raises:
        RequestError: There are more or fewer boxes than frames, none at all, or one cannot be.
    """
    if len(boxes) != frames:
        got, must = f"{len(boxes)} entries", f"the video has {frames} frames, and each needs a box or null"
        raise RequestError("invalid_request", _FIELD, got=got, must=must)
    frame = np.array([number for number, box in enumerate(boxes) if box is not None], np.int64)
    if not len(frame):
        raise RequestError("invalid_request", _FIELD, got="no frame has a box")
    box = np.array([box for box in boxes if box is not None], np.float32)
    limit = np.array([size.width, size.height] * 2, np.float32)
    inside = np.clip(box, 0, limit)
    wrong = np.flatnonzero((inside[:, 2:] - inside[:, :2]).min(axis=1) < _LEAST_SIDE_PX)
    if len(wrong):
        left, top, right, bottom = box[wrong[0]]
        got = f"{left:g}, {top:g}, {right:g}, {bottom:g} is not a box [x1, y1, x2, y2] in {size.width}x{size.height}"
        raise RequestError("invalid_request", f"{_FIELD}[{frame[wrong[0]]}]", got=got)
    count = len(frame)
    return Tracks(
        track=_stretches(frame, inside),
        frame=frame,
        box=inside,
        landmarks=np.zeros((count, LANDMARKS, 2), np.float32),
        score=np.ones(count, np.float32),
        seen=np.ones(count, np.bool_),
        shots=np.array([[0, frames]], np.int64),
        frames=frames,
        size=size,
    )


def _stretches(frame: I64Array, box: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> I64Array:
    """Return the number of the stretch of each box, shape (N,)."""
    middle, side = (box[:, :2] + box[:, 2:]) / 2, (box[:, 2:] - box[:, :2]).max(axis=1)
    moved = np.linalg.norm(np.diff(middle, axis=0), axis=1) / np.minimum(side[1:], side[:-1])
    begins = (np.diff(frame) > 1) | (moved > _MOST_MOVED)
    return np.concatenate([[0], np.cumsum(begins)]).astype(np.int64)
