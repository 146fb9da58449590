"""From single detections to faces followed through the video."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lipwise_ray.errors import FaceError
from lipwise_ray.faces.colour import COLOURS, mean_colours
from lipwise_ray.faces.cubic_curve import cubic_curve
from lipwise_ray.faces.detections import LANDMARKS, Detections
from lipwise_ray.faces.pairing import best_pairs
from lipwise_ray.faces.shots import jump_cuts
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
    "colour": ArraySpec("float32", ("T", COLOURS), "f", is_optional=True),
    "video": ArraySpec("int64", (3,), "fiu"),
}
_OF_USERS = {name: spec for name, spec in _ARRAYS.items() if name != "colour"}
_MIRRORED = 0.8  # a profile's eyes may change places by a little; in a mirrored face from the front this is 1.9
_MOST_SIDE_PX = 1 << 20
_MOST_BYTES = 256 << 20  # of a user's file, read: twelve hours with a few faces take a tenth of it
_CURVED = 3  # detections that make a curve
_STEPS = 3
"""Detections that tell how a face moves."""

_AROUND = 3
_REST, _FASTER, _GROWTH = 0.07, 2.0, 0.5
"""A jump is more than twice what the steps around it make likely, and more than what a detector is off."""


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
        colour: Mean colours of each track, shape (T, 6), in order of their numbers; None where nobody looked. See
            `faces.colour`.
        aspect: Width of a shown pixel over its height; files of tracks do not hold it.
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
    colour: F32Array | None = None
    aspect: float = 1.0

    def save(self, path: Path) -> None:
        """Write as .npz."""
        arrays: dict[str, Array] = {
            "track": self.track,
            "frame": self.frame,
            "box": self.box,
            "landmarks": self.landmarks,
            "score": self.score,
            "seen": self.seen,
            "shots": self.shots,
            "video": np.array([self.frames, self.size.width, self.size.height], np.int64),
        }
        if self.colour is not None:
            arrays["colour"] = self.colour
        np.savez_compressed(path, allow_pickle=False, **arrays)

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

    def only(self, here: BoolArray) -> Tracks:
        """Return some of the rows, and what is known of their tracks.

        Args:
            here: Mask of the rows, shape (M,).
        """
        left = np.isin(self.numbers, self.track[here])
        return replace(
            self,
            track=self.track[here],
            frame=self.frame[here],
            box=self.box[here],
            landmarks=self.landmarks[here],
            score=self.score[here],
            seen=self.seen[here],
            colour=None if self.colour is None else self.colour[left],
        )

    @property
    def numbers(self) -> list[int]:
        """The track numbers."""
        return [int(n) for n in np.unique(self.track)]


def read_tracks(path: Path) -> Tracks:
    """Read a user's tracks file, without colours: whoever edits tracks hardly keeps those in step.

    Raises:
        FaceError: It is none, or its landmarks are in another order.
    """
    try:
        tracks = _checked(path, read_npz(path, _OF_USERS, most_bytes=_MOST_BYTES))
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
        colour=data.get("colour"),
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
    yield "colours of other tracks", tracks.colour is not None and len(tracks.colour) != len(tracks.numbers)
    yield "shots without frames", bool((shots[:, 1] <= shots[:, 0]).any())
    yield "shots that overlap, or are out of order", bool((shots[1:, 0] < shots[:-1, 1]).any())


def link(detections: Detections, shot_spans: Sequence[Span], size: Size, *, max_gap_frames: int, stride: int) -> Tracks:
    """Link detections into tracks; a track never crosses a cut.

    Args:
        detections: Detections of the whole video.
        shot_spans: Its shots.
        size: Of the shown frame.
        max_gap_frames: A face unseen for longer starts a new track; shorter gaps are interpolated.
        stride: Distance of the frames that were looked at, at most; a track reaches this far less one past its first
            and last detection, where nobody looked.
    """
    frames = len(detections.change)
    pieces: list[tuple[I64Array, F64Array, F64Array, F64Array, BoolArray]] = []
    colour: list[F32Array] = []
    for span in shot_spans:
        first, last = np.searchsorted(detections.frame, [span.start, span.stop])
        looked = detections.looked[(detections.looked >= span.start) & (detections.looked < span.stop)]
        chains = _chains(detections, range(int(first), int(last)), looked, max_gap_frames)
        pieces += [_filled(detections, piece, span, looked, stride - 1) for piece in chains]
        colour += [mean_colours(detections.colour[piece.rows]) for piece in chains]
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
        colour=np.stack(colour) if colour else np.zeros((0, COLOURS), np.float32),
    )


def _stacked(parts: list[F64Array], shape: tuple[int, ...]) -> F32Array:
    if not parts:
        return np.zeros((0, *shape), np.float32)
    return np.concatenate(parts).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Stay:
    """Detections of one face between two of its jumps.

    Attributes:
        rows: Of the detections.
        span: Frames that may show the face: no two pieces of one face share any.
    """

    rows: list[int]
    span: Span


def _chains(detections: Detections, rows: range, looked: I64Array, max_gap_frames: int) -> list[_Stay]:
    """Return the pieces of every face, in order of their first detections."""
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
            last = affinity(detections.box[[chain[-1] for chain in live]], detections.box[here])
            ahead = affinity(np.stack([_ahead(detections, chain, number) for chain in live]), detections.box[here])
            score = np.maximum(last, ahead)
            for i, j in zip(*best_pairs(-(last + ahead)), strict=True):
                if score[i, j] >= MIN_AFFINITY:
                    live[int(i)].append(here[int(j)])
                    taken.add(int(j))
        live += [[row] for j, row in enumerate(here) if j not in taken]
    pieces = [piece for chain in done + live for piece in _pieces(detections, chain)]
    return sorted(pieces, key=lambda piece: piece.rows)


def _ahead(detections: Detections, chain: list[int], number: int) -> F32Array:
    """Return the box of a face in a later frame if it goes on as it moved: two who cross do not change places."""
    last = detections.box[chain[-1]]
    if len(chain) < _STEPS:
        return last
    before = chain[-_STEPS]
    frames = int(detections.frame[chain[-1]] - detections.frame[before])
    moved = (last + np.roll(last, -2))[:2] / 2 - (detections.box[before] + np.roll(detections.box[before], -2))[:2] / 2
    on = min(number - int(detections.frame[chain[-1]]), frames)
    return last + np.tile(moved * np.float32(on / frames), 2)


def _pieces(detections: Detections, chain: list[int]) -> list[_Stay]:
    """Return a chain cut where its face jumps: it moved further between two detections than it moves around them.

    Jumps that soon follow each other hide one another so; they are where the image changes at once.
    """
    box, numbers = detections.box[chain].astype(np.float64), detections.frame[chain]
    steps, frames = jumps(box[:-1], box[1:]), np.diff(numbers)
    speed = steps / frames
    around = [np.delete(speed[max(0, n - _AROUND) : n + _AROUND + 1], min(n, _AROUND)) for n in range(len(steps))]
    likely = np.array([float(speeds.max(initial=0.0)) for speeds in around])
    cuts, edges = [0], [0]
    is_far = steps > most_moved(frames, likely)
    for place in np.flatnonzero(steps > _REST).tolist():
        first, stop = int(numbers[place]) + 1, int(numbers[place + 1]) + 1
        if is_far[place] or jump_cuts(detections.change, first, stop):
            cuts.append(place + 1)
            # Between two looks the jump is where the image changes most.
            edges.append(first + int(np.argmax(detections.change[first:stop])))
    cuts, edges = [*cuts, len(chain)], [*edges, len(detections.change)]
    return [
        _Stay(chain[start:stop], Span(first, last))
        for (start, stop), (first, last) in zip(itertools.pairwise(cuts), itertools.pairwise(edges), strict=True)
    ]


def most_moved(frames: I64Array | int, speed: F64Array) -> F64Array:
    """Bound of the distances that faces move without a jump, in their sides, shape (N,).

    Args:
        frames: In so many frames, shape (N,), or the same for all.
        speed: How they move around them, at most, in sides a frame, shape (N,).
    """
    return _REST + _FASTER * frames * speed


def jumps(old: F64Array, new: F64Array) -> F64Array:
    """Return the distances that faces moved between boxes, in sides of the smaller, shape (N,); growing counts too."""
    side_old, side_new = (np.sqrt(np.maximum((box[:, 2:] - box[:, :2]).prod(axis=1), 1e-9)) for box in (old, new))
    apart = np.linalg.norm((old[:, :2] + old[:, 2:] - new[:, :2] - new[:, 2:]) / 2, axis=1)
    grown = np.abs(np.log(side_new / side_old))
    return np.maximum(apart / np.minimum(side_old, side_new), _GROWTH * grown)


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
    detections: Detections, piece: _Stay, span: Span, looked: I64Array, reach: int
) -> tuple[I64Array, F64Array, F64Array, F64Array, BoolArray]:
    members, seen_frames = piece.rows, detections.frame[piece.rows]
    first, last = int(seen_frames[0]), int(seen_frames[-1])
    before, after = looked[looked < first][-1:], looked[looked > last][:1]
    start = max(span.start, piece.span.start, first - reach, int(before[0]) + 1 if len(before) else 0)
    stop = min(span.stop, piece.span.stop, last + reach + 1, int(after[0]) if len(after) else span.stop)
    frames = np.arange(start, stop, dtype=np.int64)

    def along(values: F32Array) -> F64Array:
        flat = values[members].reshape(len(members), -1).astype(np.float64)
        if len(members) < _CURVED:
            return np.stack([np.interp(frames, seen_frames, column) for column in flat.T], axis=1)
        # Straight lines would cut the corners of a head that nods, as fast as it turns round.
        slopes = np.asarray(np.gradient(flat, seen_frames, axis=0), np.float64)
        return cubic_curve(seen_frames, flat, slopes, frames.clip(first, last))

    box = along(detections.box)
    landmarks = along(detections.landmarks).reshape(-1, LANDMARKS, 2)
    nearest = np.searchsorted((seen_frames[1:] + seen_frames[:-1]) / 2, frames)
    score = detections.score[members].astype(np.float64)[nearest]
    return frames, box, landmarks, score, np.isin(frames, seen_frames)
