"""Which of the faces is dubbed, and where exactly its box is."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from lipwise_ray.errors import FaceError
from lipwise_ray.faces.detections import LANDMARKS
from lipwise_ray.faces.tracks import MIN_AFFINITY, Tracks, affinity, reference_smooth
from lipwise_ray.values import F32Array, I64Array, Size

_PLAIN = ("largest", "all", "left", "right", "center")
_PRESENT_SHARE = 0.02
_INDEX = re.compile(r"^index:(\d+)$")
_BOX = re.compile(r"^box:(-?\d+),(-?\d+),(-?\d+),(-?\d+)$")


@dataclass(frozen=True, slots=True)
class Selection:
    """A parsed `faces` rule. ``number`` belongs to ``index``, ``box`` (left, top, right, bottom) to ``box``."""

    kind: str
    number: int = 0
    box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The faces to dub: one row a face and frame, sorted by frame.

    Attributes:
        frame: Shape (K,). track: shape (K,).
        box: The crop that the lip-sync network gets, shape (K, 4), float32.
        landmarks: Shape (K, 5, 2), float32.
    """

    frame: I64Array
    track: I64Array
    box: F32Array
    landmarks: F32Array

    @staticmethod
    def nothing() -> Chosen:
        """Return an empty choice."""
        return Chosen(
            np.zeros(0, np.int64),
            np.zeros(0, np.int64),
            np.zeros((0, 4), np.float32),
            np.zeros((0, LANDMARKS, 2), np.float32),
        )


def parse_selection(text: str) -> Selection:
    """Read a `faces` rule.

    Raises:
        FaceError: It is none of the known rules.
    """
    rule = text.strip().lower()
    if rule in _PLAIN:
        return Selection(rule)
    if match := _INDEX.match(rule):
        return Selection("index", number=int(match[1]))
    if match := _BOX.match(rule.replace(" ", "")):
        top, bottom, left, right = (int(n) for n in match.groups())
        if bottom > top and right > left:
            return Selection("box", box=(left, top, right, bottom))
    raise FaceError(
        "bad_faces",
        "faces",
        f"must be {', '.join(_PLAIN)}, index:N or box:top,bottom,left,right",
        repr(text),
        "See the table of options in the README",
    )


def choose_tracks(tracks: Tracks, rule: Selection) -> list[int]:
    """Return the numbers of the tracks to dub; the choice is made shot by shot, person by person.

    Tracks of a shot that follow each other at the same place are one person, who was hidden for a
    while. ``largest`` takes the person who covers most pixels over the shot; ``left``, ``right`` and
    ``center`` go by the mean centre; ``index:N`` counts from the left, from 0.
    """
    if rule.kind == "all":
        return tracks.numbers
    chosen: list[int] = []
    for numbers in _by_shot(tracks):
        people = _people(tracks, numbers)
        largest = max(person.area for person in people)
        # Someone who is hardly there (a passer-by, a false alarm) does not count as left or right.
        present = [person for person in people if person.area >= _PRESENT_SHARE * largest]
        ordered = sorted(present, key=lambda person: person.centre_x)
        if rule.kind == "largest":
            chosen += max(people, key=lambda person: person.area).tracks
        elif rule.kind == "left":
            chosen += ordered[0].tracks
        elif rule.kind == "right":
            chosen += ordered[-1].tracks
        elif rule.kind == "center":
            chosen += min(present, key=lambda person: abs(person.centre_x - tracks.size.width / 2)).tracks
        elif rule.number < len(ordered):
            chosen += ordered[rule.number].tracks
    return sorted(chosen)


@dataclass(slots=True)
class _Person:
    """Tracks of one shot that belong together. ``area`` is in pixels times frames."""

    tracks: list[int]
    area: float
    moment_x: float
    frames: int
    last_frame: int
    last_box: F32Array

    @property
    def centre_x(self) -> float:
        """Mean column of the face."""
        return self.moment_x / self.frames


def _by_shot(tracks: Tracks) -> list[list[int]]:
    """Return the track numbers of each shot that has any, in order of their first frame."""
    shots: dict[int, list[tuple[int, int]]] = {}
    for number in tracks.numbers:
        first = int(tracks.frame[tracks.rows(number).start])
        shot = int(np.searchsorted(tracks.shots[:, 0], first, side="right"))
        shots.setdefault(shot, []).append((first, number))
    return [[number for _, number in sorted(found)] for _, found in sorted(shots.items())]


def _people(tracks: Tracks, numbers: list[int]) -> list[_Person]:
    people: list[_Person] = []
    for number in numbers:
        rows = tracks.rows(number)
        box = tracks.box[rows].astype(np.float64)
        area = float(((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])).sum())
        moment_x = float((box[:, 0] + box[:, 2]).sum() / 2)
        gone = [person for person in people if person.last_frame < int(tracks.frame[rows.start])]
        likeness = [float(affinity(person.last_box[None], tracks.box[rows][:1])[0, 0]) for person in gone]
        if likeness and max(likeness) >= MIN_AFFINITY:
            person = gone[int(np.argmax(likeness))]
            person.tracks.append(number)
            person.area += area
            person.moment_x += moment_x
            person.frames += len(box)
        else:
            person = _Person([number], area, moment_x, len(box), 0, tracks.box[rows][-1])
            people.append(person)
        person.last_frame = int(tracks.frame[rows.stop - 1])
        person.last_box = tracks.box[rows][-1]
    return people


def choose(
    tracks: Tracks,
    rule: Selection,
    pads: tuple[int, int, int, int],
    *,
    whole_pixels: bool = False,
    reference: bool = False,
) -> Chosen:
    """Return the boxes to dub in every frame.

    Args:
        tracks: Smoothed tracks (raw ones for `reference`).
        rule: Which face.
        pads: Pixels added at top, bottom, left, right; the result is clipped to the picture.
        whole_pixels: Cut boxes to whole pixels, as the original does.
        reference: Smooth them in the original's way, after padding.
    """
    numbers = choose_tracks(tracks, rule)
    if not numbers:
        return Chosen.nothing()
    top, bottom, left, right = pads
    grow = np.array([-left, -top, right, bottom], np.float32)
    limit = np.array([tracks.size.width, tracks.size.height] * 2, np.float32)
    parts: list[tuple[I64Array, I64Array, F32Array, F32Array]] = []
    for number in numbers:
        rows = tracks.rows(number)
        box = tracks.box[rows] + grow
        if whole_pixels or reference:
            whole = np.clip(np.trunc(box), 0, limit).astype(np.int64)
            box = (reference_smooth(whole) if reference else whole).astype(np.float32)
        box = np.clip(box, 0, limit)
        usable = (box[:, 2] - box[:, 0] >= 2) & (box[:, 3] - box[:, 1] >= 2)  # noqa: PLR2004  # pixels
        parts.append(
            (
                tracks.frame[rows][usable],
                np.full(int(usable.sum()), number, np.int64),
                box[usable],
                tracks.landmarks[rows][usable],
            )
        )
    frame, track, box, landmarks = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((track, frame))
    return Chosen(frame[order], track[order], box[order], landmarks[order])


def fixed_box(rule: Selection, frames: int, size: Size) -> Chosen:
    """Return one unmoving box for every frame, clipped to the picture.

    Raises:
        FaceError: The box lies outside the picture.
    """
    assert rule.box is not None  # only called for a box rule
    limit = np.array([size.width, size.height] * 2, np.float32)
    box = np.clip(np.array(rule.box, np.float32), 0, limit)
    if box[2] - box[0] < 2 or box[3] - box[1] < 2:  # noqa: PLR2004  # pixels
        raise FaceError(
            "box_outside",
            "faces",
            f"box must lie in the picture of {size.width}x{size.height}",
            f"left, top, right, bottom = {rule.box}",
            "Give box:top,bottom,left,right in pixels of the shown picture",
        )
    return Chosen(
        np.arange(frames, dtype=np.int64),
        np.zeros(frames, np.int64),
        np.tile(box, (frames, 1)),
        np.tile(_typical_landmarks(box), (frames, 1, 1)),
    )


def _typical_landmarks(box: F32Array) -> F32Array:
    """Return where a face that fills the box has its five points, shape (5, 2)."""
    share = np.array([[0.31, 0.40], [0.69, 0.40], [0.5, 0.58], [0.35, 0.76], [0.65, 0.76]], np.float32)
    return np.asarray(box[:2] + share * (box[2:] - box[:2]), np.float32)
