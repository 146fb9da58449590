"""From single detections to faces followed through the video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from lipwise_ray.errors import FaceError
from lipwise_ray.faces.detections import LANDMARKS, Detections
from lipwise_ray.storage.arrays import Array, ArraySpec, read_npz
from lipwise_ray.values import BoolArray, F32Array, F64Array, I64Array, Size, Span

MIN_AFFINITY = 0.2
_ARRAYS = {
    "track": ArraySpec("int64", ("M",), "fiu"),
    "frame": ArraySpec("int64", ("M",), "fiu"),
    "box": ArraySpec("float32", ("M", 4), "fiu"),
    "landmarks": ArraySpec("float32", ("M", LANDMARKS, 2), "fiu"),
    "score": ArraySpec("float32", ("M",), "fiu", is_optional=True),
    "seen": ArraySpec("bool", ("M",), "biu", is_optional=True),
    "shots": ArraySpec("int64", ("S", 2), "fiu"),
    "video": ArraySpec("int64", (3,), "fiu"),
}
_MIRRORED = 0.8  # a profile's eyes may change places by a little; in a mirrored face from the front this is 1.9
_MOST_SIDE_PX = 1 << 20
_MOST_BYTES = 256 << 20  # of a user's file, read: twelve hours with a few faces take a tenth of it
_REFERENCE_WINDOW = 5  # Wav2Lip inference.py, T = 5


@dataclass(frozen=True, slots=True)
class Tracks:
    """Every face in every frame, one row each, in pixels of the shown frame.

    Attributes:
        track: Track number of the row, non-decreasing, shape (M,).
        frame: Frame number, rising within a track, shape (M,).
        box: left, top, right, bottom, shape (M, 4), float32.
        landmarks: Eyes, nose, mouth corners, the image's left first, shape (M, 5, 2), float32.
        score: Of the nearest detection, shape (M,), float32.
        seen: False where the row was interpolated, shape (M,).
        shots: ``[start, stop)`` of every shot, shape (S, 2).
        frames: Frames in the video.
        size: Of the shown frame.
    """

    track: I64Array
    frame: I64Array
    box: F32Array
    landmarks: F32Array
    score: F32Array
    seen: BoolArray
    shots: I64Array
    frames: int
    size: Size

    def save(self, path: Path) -> None:
        """Write as .npz."""
        np.savez_compressed(
            path,
            track=self.track,
            frame=self.frame,
            box=self.box,
            landmarks=self.landmarks,
            score=self.score,
            seen=self.seen,
            shots=self.shots,
            video=np.array([self.frames, self.size.width, self.size.height], np.int64),
        )

    @staticmethod
    def load(path: Path) -> Tracks:
        """Read the tracks that `save` wrote.

        Raises:
            ValueError: The file is damaged.
        """
        return _checked(path, read_npz(path, _ARRAYS))

    def rows(self, track: int) -> slice:
        """Return the rows of one track."""
        first, last = np.searchsorted(self.track, [track, track + 1])
        return slice(int(first), int(last))

    @property
    def numbers(self) -> list[int]:
        """The track numbers."""
        return [int(n) for n in np.unique(self.track)]


def read_tracks(path: Path) -> Tracks:
    """Read a user's tracks file.

    Raises:
        FaceError: It is none, or its landmarks are in another order.
    """
    try:
        tracks = _checked(path, read_npz(path, _ARRAYS, most_bytes=_MOST_BYTES))
    except (OSError, ValueError) as error:
        raise FaceError(
            "bad_tracks",
            str(path),
            got=f"not a tracks file: {error}",
            must="one is an .npz with track, frame, box, landmarks, shots, video",
            do="Export one with `lipwise-ray tracks`",
        ) from error
    points = tracks.landmarks
    eyes, down = points[:, 1] - points[:, 0], points[:, 3:].sum(axis=1) - points[:, :2].sum(axis=1)
    extent = np.maximum(np.ptp(points, axis=1).max(axis=1), 1e-3) if len(points) else np.ones(0)
    if len(points) and np.median((eyes[:, 0] * down[:, 1] - eyes[:, 1] * down[:, 0]) / extent**2) < -_MIRRORED:
        raise FaceError(
            "mirrored_tracks",
            str(path),
            got="the landmarks have the eyes swapped",
            must="their order is eyes, nose, mouth corners, the image's left first",
            do="Swap the first two points and the last two",
        )
    return tracks


def _checked(path: Path, data: dict[str, Array]) -> Tracks:
    frames, width, height = (int(n) for n in data["video"])
    track = data["track"]
    order = np.lexsort((data["frame"], track))
    count = len(track)
    tracks = Tracks(
        track=track[order],
        frame=data["frame"][order],
        box=data["box"][order],
        landmarks=data["landmarks"][order],
        score=data["score"][order] if "score" in data else np.ones(count, np.float32),
        seen=data["seen"][order] if "seen" in data else np.ones(count, np.bool_),
        shots=data["shots"],
        frames=frames,
        size=Size(width, height),
    )
    problem = next((problem for problem, is_there in _problems(tracks) if is_there), None)
    if problem:
        raise ValueError(f"{path.name}: {problem}")
    return tracks


def _problems(tracks: Tracks) -> Iterator[tuple[str, bool]]:
    """Yield possible faults of some tracks, each with whether they have it."""
    frames, size, shots = tracks.frames, tracks.size, tracks.shots
    yield "a video without frames or size", min(frames, size.width, size.height) < 1
    yield f"a frame of {size.width}x{size.height}", max(size.width, size.height) > _MOST_SIDE_PX
    yield "track numbers below 0", bool((tracks.track < 0).any())
    yield f"frames outside [0, {frames})", bool(((tracks.frame < 0) | (tracks.frame >= frames)).any())
    same = np.diff(tracks.track) == 0
    yield "two faces of one track in one frame", bool((same & (np.diff(tracks.frame) == 0)).any())
    numbers = (tracks.box, tracks.landmarks, tracks.score)
    yield "numbers that are not finite", not all(np.isfinite(values).all() for values in numbers)
    far = any((np.abs(values) > _MOST_SIDE_PX).any() for values in numbers)
    yield f"numbers beyond {_MOST_SIDE_PX}", far
    reversed_ = (tracks.box[:, 2:] <= tracks.box[:, :2]).any()
    yield "boxes whose right or bottom comes before their left or top", bool(reversed_)
    yield f"shots outside [0, {frames})", bool(((shots < 0) | (shots > frames)).any())
    yield "shots without frames", bool((shots[:, 1] <= shots[:, 0]).any())
    yield "shots that overlap, or are out of order", bool((shots[1:, 0] < shots[:-1, 1]).any())


def link(detections: Detections, shot_spans: Sequence[Span], size: Size, *, max_gap_frames: int, stride: int) -> Tracks:
    """Link detections into tracks; a track never crosses a cut.

    Args:
        detections: Detections of the whole video.
        shot_spans: Its shots.
        size: Of the shown frame.
        max_gap_frames: A face unseen for longer starts a new track; shorter gaps are interpolated.
        stride: Distance of the frames that were looked at; a track reaches this far less one past
            its first and last detection, because nobody looked there.
    """
    frames = len(detections.change)
    pieces: list[tuple[I64Array, F64Array, F64Array, F64Array, BoolArray]] = []
    for span in shot_spans:
        first, last = np.searchsorted(detections.frame, [span.start, span.stop])
        looked = detections.looked[(detections.looked >= span.start) & (detections.looked < span.stop)]
        chains = _chains(detections, range(int(first), int(last)), looked, max_gap_frames)
        pieces += [_filled(detections, members, span, stride - 1) for members in chains]
    empty = not pieces
    return Tracks(
        track=np.concatenate([np.full(len(p[0]), n, np.int64) for n, p in enumerate(pieces)])
        if pieces
        else np.zeros(0, np.int64),
        frame=np.zeros(0, np.int64) if empty else np.concatenate([p[0] for p in pieces]),
        box=_stacked([p[1] for p in pieces], (4,)),
        landmarks=_stacked([p[2] for p in pieces], (LANDMARKS, 2)),
        score=_stacked([p[3] for p in pieces], ()),
        seen=np.zeros(0, np.bool_) if empty else np.concatenate([p[4] for p in pieces]),
        shots=np.array([[s.start, s.stop] for s in shot_spans], np.int64).reshape(-1, 2),
        frames=frames,
        size=size,
    )


def _stacked(parts: list[F64Array], shape: tuple[int, ...]) -> F32Array:
    if not parts:
        return np.zeros((0, *shape), np.float32)
    return np.concatenate(parts).astype(np.float32)


def _chains(detections: Detections, rows: range, looked: I64Array, max_gap_frames: int) -> list[list[int]]:
    """Return lists of detection rows, one list a face."""
    done: list[list[int]] = []
    live: list[list[int]] = []
    by_frame: dict[int, list[int]] = {}
    for row in rows:
        by_frame.setdefault(int(detections.frame[row]), []).append(row)
    for number in (int(n) for n in looked):
        here = by_frame.get(number, [])
        stale = [chain for chain in live if number - int(detections.frame[chain[-1]]) > max_gap_frames]
        done += stale
        live = [chain for chain in live if chain not in stale]
        taken: set[int] = set()
        if live and here:
            score = affinity(detections.box[[chain[-1] for chain in live]], detections.box[here])
            for i, j in zip(*linear_sum_assignment(-score), strict=True):
                if score[i, j] >= MIN_AFFINITY:
                    live[int(i)].append(here[int(j)])
                    taken.add(int(j))
        live += [[row] for j, row in enumerate(here) if j not in taken]
    return sorted(done + live)


def affinity(old: F32Array, new: F32Array) -> F64Array:
    """Return the affinity of boxes, shape (old, new): IoU, or nearness for a face that moves fast.

    Args:
        old: Left, top, right, bottom, shape (old, 4).
        new: The same, shape (new, 4).
    """
    a, b = old[:, None, :].astype(np.float64), new[None, :, :].astype(np.float64)
    overlap = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(-1)
    area_a, area_b = (a[..., 2:] - a[..., :2]).prod(-1), (b[..., 2:] - b[..., :2]).prod(-1)
    iou = overlap / np.maximum(area_a + area_b - overlap, 1e-9)
    apart = np.linalg.norm((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2, axis=-1)
    side = np.sqrt(np.sqrt(np.maximum(area_a * area_b, 1e-9)))
    alike = np.minimum(area_a, area_b) / np.maximum(np.maximum(area_a, area_b), 1e-9)
    return np.maximum(iou, 0.5 * (1 - apart / side) * np.sqrt(alike))


def _filled(
    detections: Detections, members: list[int], span: Span, reach: int
) -> tuple[I64Array, F64Array, F64Array, F64Array, BoolArray]:
    seen_frames = detections.frame[members]
    start = max(span.start, int(seen_frames[0]) - reach)
    stop = min(span.stop, int(seen_frames[-1]) + reach + 1)
    frames = np.arange(start, stop, dtype=np.int64)

    def along(values: F32Array) -> F64Array:
        flat = values[members].reshape(len(members), -1).astype(np.float64)
        return np.stack([np.interp(frames, seen_frames, column) for column in flat.T], axis=1)

    box = along(detections.box)
    landmarks = along(detections.landmarks).reshape(-1, LANDMARKS, 2)
    nearest = np.searchsorted((seen_frames[1:] + seen_frames[:-1]) / 2, frames)
    score = detections.score[members].astype(np.float64)[nearest]
    return frames, box, landmarks, score, np.isin(frames, seen_frames)


def smooth(tracks: Tracks, radius_frames: int) -> Tracks:
    """Return the tracks with boxes and landmarks averaged over ``2 * radius + 1`` frames, centred.

    Windows end at a track's ends, so nothing leaks over a cut.
    """
    if radius_frames < 1:
        return tracks
    box, landmarks = tracks.box.copy(), tracks.landmarks.copy()
    for number in tracks.numbers:
        rows = tracks.rows(number)
        box[rows] = _centred_mean(tracks.box[rows], radius_frames)
        flat = tracks.landmarks[rows].reshape(-1, LANDMARKS * 2)
        landmarks[rows] = _centred_mean(flat, radius_frames).reshape(-1, LANDMARKS, 2)
    return replace(tracks, box=box, landmarks=landmarks)


def _centred_mean(values: F32Array, radius: int) -> F32Array:
    count = len(values)
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values.astype(np.float64), axis=0)])
    place = np.arange(count)
    # A window that would pass an end shrinks on both sides: the mean stays centred, so a moving
    # face is not pulled inwards there.
    half = np.minimum(radius, np.minimum(place, count - 1 - place))
    mean = (total[place + half + 1] - total[place - half]) / (2 * half + 1)[:, None]
    return mean.astype(np.float32)


def reference_smooth(boxes: I64Array) -> I64Array:
    """Return boxes smoothed as the original does it: forward-looking, in place, truncating.

    Args:
        boxes: Integer boxes of consecutive frames, shape (N, 4) or (N,).

    Source: Wav2Lip inference.py, get_smoothened_boxes with T = 5.
    """
    result = boxes.copy()
    for place in range(len(result)):
        window = result[place : place + _REFERENCE_WINDOW]
        if place + _REFERENCE_WINDOW > len(result):
            # For fewer frames than the window this start is negative and counts from the end.
            window = result[len(result) - _REFERENCE_WINDOW :]
        result[place] = np.trunc(window.mean(axis=0)).astype(np.int64)
    return result
