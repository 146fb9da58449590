"""Selection of the faces to dub, and their crops."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from lipwise_ray.errors import FaceError
from lipwise_ray.faces.detections import LANDMARKS
from lipwise_ray.faces.tracks import MIN_AFFINITY, Tracks, affinity, reference_smooth
from lipwise_ray.values import BoolArray, F32Array, I64Array, Size, Span, steps_to

_PLAIN = ("largest", "all", "left", "right", "center")
SPEAKING, LIKE, BOX = "speaking", "like", "box"
_PRESENT_SHARE = 0.02
_LEAST_EXTENT = 0.05
_LEAST_CROP_PX = 2
_INDEX = re.compile(r"^index:(\d{1,6})$")
_BOX = re.compile(r"^box:" + ",".join([r"(-?\d{1,6})"] * 4) + "$")


@dataclass(frozen=True, slots=True)
class SelectionRule:
    """A parsed `faces` rule, as it was given in ``text``; equal rules may be written differently.

    ``number`` belongs to ``index``, ``box`` (left, top, right, bottom) to ``box``, ``image`` (a path or address) to
    ``like``.
    """

    text: str = field(compare=False)
    kind: str
    number: int = 0
    box: tuple[int, int, int, int] | None = None
    image: str = ""


@dataclass(frozen=True, slots=True)
class FaceSelection:
    """The faces to dub: one row a face and frame, sorted by frame.

    Attributes:
        frame: Shape (K,). track: shape (K,).
        crop_box: The lip-sync network's crop, shape (K, 4), float32.
        face_box: The face itself, without pads, shape (K, 4), float32.
        landmarks: Shape (K, 5, 2), float32.
        opacity: Of the new face, shape (K,), float32, in (0, 1]; it fades where a face is about to be left alone.
        too_small: Frames in which a face was left alone as too small, one entry a face.
        over_yaw: The same for faces turned too far to a side.
    """

    frame: I64Array
    track: I64Array
    crop_box: F32Array
    face_box: F32Array
    landmarks: F32Array
    opacity: F32Array
    too_small: I64Array = field(default_factory=lambda: np.zeros(0, np.int64))
    over_yaw: I64Array = field(default_factory=lambda: np.zeros(0, np.int64))

    @staticmethod
    def joined(parts: Sequence[FaceSelection]) -> FaceSelection:
        """Return several selections as one."""
        names = [column.name for column in fields(FaceSelection)]
        column = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        order = np.lexsort((column["track"], column["frame"]))
        left_alone = {name: column.pop(name) for name in ("too_small", "over_yaw")}
        return FaceSelection(**{name: values[order] for name, values in column.items()}, **left_alone)

    @staticmethod
    def empty() -> FaceSelection:
        """Return a selection of no face."""
        return FaceSelection(
            np.zeros(0, np.int64),
            np.zeros(0, np.int64),
            np.zeros((0, 4), np.float32),
            np.zeros((0, 4), np.float32),
            np.zeros((0, LANDMARKS, 2), np.float32),
            np.zeros(0, np.float32),
        )


@dataclass(frozen=True, slots=True)
class CropRules:
    """Rules that make crops of face boxes and leave faces alone.

    Attributes:
        pads: Pixels added at top, bottom, left, right; the result is clipped to the frame.
        pads_share: The same as shares of the face's height and width.
        min_face_px: Shorter side of the smallest face that is dubbed.
        max_yaw_deg: Yaw in degrees up to which a face is dubbed.
        fade_frames: Over how many frames a face fades before it is left alone.
        whole_pixels: Cut boxes to whole pixels, as the original does.
        reference: Smooth them in the original's way, after padding.
    """

    pads: tuple[int, int, int, int]
    pads_share: tuple[float, float, float, float]
    min_face_px: float
    max_yaw_deg: float
    fade_frames: int
    whole_pixels: bool
    reference: bool


def every_face(pads: tuple[int, int, int, int], pads_share: tuple[float, float, float, float]) -> CropRules:
    """Return rules that leave no face alone: for what is measured, whatever is dubbed.

    Args:
        pads: As in `CropRules`.
        pads_share: As in `CropRules`.
    """
    return CropRules(
        pads=pads,
        pads_share=pads_share,
        min_face_px=0.0,
        max_yaw_deg=90.0,
        fade_frames=3,
        whole_pixels=False,
        reference=False,
    )


def parse_selection_rule(text: str) -> SelectionRule:
    """Read a `faces` rule.

    Raises:
        FaceError: It is none of the known rules.
    """
    rule = text.strip().lower()
    if rule.startswith(f"{LIKE}:") and (image := text.strip()[len(LIKE) + 1 :].strip()):
        return SelectionRule(text, LIKE, image=image)
    if rule in (*_PLAIN, SPEAKING):
        return SelectionRule(text, rule)
    if match := _INDEX.match(rule):
        return SelectionRule(text, "index", number=int(match[1]))
    if match := _BOX.match(rule.replace(" ", "")):
        top, bottom, left, right = (int(n) for n in match.groups())
        if bottom > top and right > left:
            return SelectionRule(text, BOX, box=(left, top, right, bottom))
    raise FaceError(
        "bad_faces",
        "faces",
        got=f"{text[:100]!r} is no rule for choosing faces",
        must=f"one is {', '.join(_PLAIN)}, {SPEAKING}, like:IMAGE, index:N or box:top,bottom,left,right",
        do="See the table of options in the README",
    )


Likeness = Callable[[list[int]], float]
"""Score of some tracks, of one person: their lips' agreement with the original audio, or their likeness to a
portrait; minus infinity where it is too little.
"""


def select_tracks(tracks: Tracks, rule: SelectionRule, likeness: Likeness | None = None) -> list[int]:
    """Return the numbers of the tracks to dub; the choice is made shot by shot, person by person.

    Tracks of a shot that follow each other at the same place are one person, who was hidden for a
    while. ``largest`` takes the person who covers most pixels over the shot; ``left``, ``right`` and
    ``center`` go by the mean centre; ``index:N`` counts from the left, from 0. ``speaking`` takes the person whose lips
    agree best with the audio, the largest where nobody is heard; someone alone in a shot is taken to speak. ``like``
    takes the person who is most like the portrait, nobody in shots without anyone like it; those who are never there
    together may all be that person.

    Args:
        tracks: Smoothed tracks.
        rule: The rule.
        likeness: Gives the score by which ``speaking`` and ``like`` choose; other rules do without.

    Raises:
        FaceError: The rule is ``speaking`` or ``like``, and there is no `likeness`.
    """
    if rule.kind in (SPEAKING, LIKE) and likeness is None:
        raise FaceError(
            "no_likeness",
            "faces",
            got=f"the rule {rule.kind} cannot be used here",
            do="Choose another one: only `submit` compares faces",
        )
    if rule.kind == "all":
        return tracks.numbers
    shots = (_people(tracks, numbers) for numbers in _by_shot(tracks))
    return sorted(number for people in shots for number in _chosen(people, rule, tracks.size.width, likeness))


def _chosen(people: list[_Person], rule: SelectionRule, width: int, likeness: Likeness | None) -> list[int]:
    """Return the tracks of the person of a shot that a rule chooses; none where it chooses nobody."""
    present = sorted(_present(people), key=lambda person: person.centre_x)
    if rule.kind == "largest":
        return max(people, key=lambda person: person.area).tracks
    if rule.kind == SPEAKING and likeness is not None:
        return max(present, key=lambda person: (likeness(person.tracks), person.area)).tracks
    if rule.kind == LIKE and likeness is not None:
        return _most_like(people, likeness)
    if rule.kind == "center":
        return min(present, key=lambda person: abs(person.centre_x - width / 2)).tracks
    place = {"left": 0, "right": len(present) - 1}.get(rule.kind, rule.number)
    return present[place].tracks if place < len(present) else []


def _most_like(people: list[_Person], likeness: Likeness) -> list[int]:
    """Return the tracks of the person who is most like a portrait, and of those who may be the same seen elsewhere."""
    alike = [(score, person) for person in people if (score := likeness(person.tracks)) > -np.inf]
    taken: list[_Person] = []
    for _, person in sorted(alike, key=lambda pair: -pair[0]):
        if not any(person.meets(other) for other in taken):
            taken.append(person)
    return [number for person in taken for number in person.tracks]


def rivals(tracks: Tracks) -> list[int]:
    """Return the tracks of shots in which there is more than one person."""
    numbers_of_rivals: list[int] = []
    for numbers in _by_shot(tracks):
        present = _present(_people(tracks, numbers))
        if len(present) > 1:
            numbers_of_rivals += [number for person in present for number in person.tracks]
    return sorted(numbers_of_rivals)


@dataclass(slots=True)
class _Person:
    """Tracks of one shot that belong together. ``area`` is in pixels times frames."""

    tracks: list[int]
    area: float
    moment_x: float
    frames: int
    last_frame: int
    last_box: F32Array
    spans: list[Span]

    def meets(self, other: _Person) -> bool:
        """Tell whether both are in a frame together."""
        return any(a.start < b.stop and b.start < a.stop for a in self.spans for b in other.spans)

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
    return [[number for _, number in sorted(firsts)] for _, firsts in sorted(shots.items())]


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
            person = _Person([number], area, moment_x, len(box), 0, tracks.box[rows][-1], [])
            people.append(person)
        person.spans.append(Span(int(tracks.frame[rows.start]), int(tracks.frame[rows.stop - 1]) + 1))
        person.last_frame = int(tracks.frame[rows.stop - 1])
        person.last_box = tracks.box[rows][-1]
    return people


def _present(people: list[_Person]) -> list[_Person]:
    """Leave out who is hardly there (a passer-by, a false alarm) and does not count as left or right."""
    largest = max(person.area for person in people)
    return [person for person in people if person.area >= _PRESENT_SHARE * largest]


def select_faces(tracks: Tracks, numbers: Sequence[int], crops: CropRules) -> FaceSelection:
    """Return the faces to dub in every frame.

    Args:
        tracks: Smoothed tracks (raw ones for `CropRules.reference`).
        numbers: Numbers of the tracks to dub, of `select_tracks`.
        crops: Rules by which boxes become crops.
    """
    if not numbers:
        return FaceSelection.empty()
    limit = np.array([tracks.size.width, tracks.size.height] * 2, np.float32)
    return FaceSelection.joined([_faces_of(tracks, number, limit, crops) for number in numbers])


def _faces_of(tracks: Tracks, number: int, limit: F32Array, crops: CropRules) -> FaceSelection:
    """Return the faces to dub of one track."""
    rows = tracks.rows(number)
    frame, face_box = tracks.frame[rows], tracks.box[rows]
    landmarks = usable_landmarks(tracks.landmarks[rows], face_box)
    crop_box = _padded(face_box, limit, crops)
    is_small = (face_box[:, 2:] - face_box[:, :2]).min(axis=1) < crops.min_face_px
    is_over_yaw = (np.abs(yaw_degrees(landmarks)) > crops.max_yaw_deg) & ~is_small
    opacity = _faded(is_small | is_over_yaw, crops.fade_frames)
    usable = ((crop_box[:, 2:] - crop_box[:, :2]) >= _LEAST_CROP_PX).all(axis=1) & (opacity > 0)
    return FaceSelection(
        frame[usable],
        np.full(int(usable.sum()), number, np.int64),
        crop_box[usable],
        face_box[usable],
        landmarks[usable],
        opacity[usable],
        too_small=frame[is_small],
        over_yaw=frame[is_over_yaw],
    )


def _padded(face: F32Array, limit: F32Array, crops: CropRules) -> F32Array:
    """Return the crops of a track's faces, clipped to the frame."""
    top, bottom, left, right = crops.pads
    share_top, share_bottom, share_left, share_right = crops.pads_share
    sides = (face[:, 2:] - face[:, :2])[:, [0, 1, 0, 1]]
    shares = np.array([-share_left, -share_top, share_right, share_bottom], np.float32)
    box = face + np.array([-left, -top, right, bottom], np.float32) + sides * shares
    if crops.whole_pixels or crops.reference:
        whole = np.clip(np.trunc(box), 0, limit).astype(np.int64)
        box = (reference_smooth(whole) if crops.reference else whole).astype(np.float32)
    return np.asarray(np.clip(box, 0, limit), np.float32)


def yaw_degrees(landmarks: F32Array) -> F32Array:
    """Return the yaw of faces in degrees, shape (N,), positive to the image's right.

    The tip of the nose stands out about as far as half the distance between the eyes, so in a turned face it moves
    off their middle while they come together.

    Args:
        landmarks: Shape (N, 5, 2).
    """
    between_eyes = (landmarks[:, 0] + landmarks[:, 1]) / 2
    down = (landmarks[:, 3] + landmarks[:, 4]) / 2 - between_eyes
    across = np.stack([down[:, 1], -down[:, 0]], axis=1) / np.maximum(np.linalg.norm(down, axis=1), 1e-3)[:, None]
    apart = ((landmarks[:, 1] - landmarks[:, 0]) * across).sum(axis=1)
    off = ((landmarks[:, 2] - between_eyes) * across).sum(axis=1)
    return np.degrees(np.arctan2(2 * off, np.maximum(apart, 1e-3))).astype(np.float32)


def _faded(left_alone: BoolArray, fade_frames: int) -> F32Array:
    """Return opacities of a track: 0 where it is left alone, rising to 1 over some frames on both sides."""
    if not left_alone.any():
        return np.ones(len(left_alone), np.float32)
    return np.clip(steps_to(left_alone) / (fade_frames + 1), 0, 1).astype(np.float32)


def fixed_box(rule: SelectionRule, frames: int, size: Size, number: int = 0) -> FaceSelection:
    """Return one unmoving box for every frame, clipped to the frame, as the track of that number.

    Raises:
        FaceError: The box lies outside the frame.
    """
    assert rule.box is not None  # only called for a box rule
    limit = np.array([size.width, size.height] * 2, np.float32)
    box = np.clip(np.array(rule.box, np.float32), 0, limit)
    if (box[2:] - box[:2]).min() < _LEAST_CROP_PX:
        raise FaceError(
            "box_outside",
            "faces",
            got=f"left, top, right, bottom = {rule.box} lies outside the frame of {size.width}x{size.height}",
            do="Give box:top,bottom,left,right in pixels of the shown frame",
        )
    return FaceSelection(
        np.arange(frames, dtype=np.int64),
        np.full(frames, number, np.int64),
        np.tile(box, (frames, 1)),
        np.tile(box, (frames, 1)),
        np.tile(_typical_landmarks(box[None]), (frames, 1, 1)),
        np.ones(frames, np.float32),
    )


def _typical_landmarks(box: F32Array) -> F32Array:
    """Return landmarks of typical faces that fill boxes of shape (N, 4), shape (N, 5, 2)."""
    share = np.array([[0.31, 0.40], [0.69, 0.40], [0.5, 0.58], [0.35, 0.76], [0.65, 0.76]], np.float32)
    return np.asarray(box[:, None, :2] + share * (box[:, None, 2:] - box[:, None, :2]), np.float32)


def usable_landmarks(landmarks: F32Array, box: F32Array) -> F32Array:
    """Return landmarks, typical ones in place of those that span no face: a user's tracks may have none.

    Args:
        landmarks: Eyes, nose, mouth corners, shape (N, 5, 2).
        box: Boxes of the same faces, shape (N, 4).
    """
    extent = np.ptp(landmarks, axis=1).max(axis=1)
    is_face = extent > _LEAST_EXTENT * (box[:, 3] - box[:, 1])
    return np.where(is_face[:, None, None], landmarks, _typical_landmarks(box))
