"""Selection of the faces to dub, and their crops."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache

import numpy as np

from lipwise_ray.errors import FaceError
from lipwise_ray.faces.detections import LANDMARKS
from lipwise_ray.faces.people import People, Person, present
from lipwise_ray.faces.pointed import person_at
from lipwise_ray.faces.smoothing import reference_smooth
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.values import BoolArray, F32Array, I64Array, Size, steps_to

_PLAIN = ("largest", "all", "left", "right", "center")
SPEAKING, LIKE, BOX, AT, INDEX = "speaking", "like", "box", "at", "index"
BY_PLACE = ("largest", "left", "right", "center", INDEX, AT)
"""Kinds of rules that know nobody: whom they leave out may be the one whom they choose, seen elsewhere."""

_MOST_KNOWN_RULES = 1024
_LEAST_EXTENT = 0.05
_LEAST_CROP_PX = 2
_YAW_BAND_DEG, _SIZE_BAND = 4.0, 0.08
"""A face goes over a bound on its yaw, or under one on its size, once it is so far past it, and comes back once it is
so far within: between the two it stays as it was. About twice the noise of five smoothed points."""

_INDEX = re.compile(r"^index:(\d{1,6})$")
_AT = re.compile(r"^at:" + ",".join([r"(\d{1,8})"] * 3) + "$")
_BOX = re.compile(r"^box:" + ",".join([r"(-?\d{1,6})"] * 4) + "$")


@dataclass(frozen=True, slots=True)
class SelectionRule:
    """A parsed `faces` rule, as it was given in ``text``; equal rules may be written differently.

    ``number`` belongs to ``index``, and to ``at`` as that of a frame, whose ``point`` is a column and a row; ``box``
    (left, top, right, bottom) belongs to ``box``, ``image`` (a path or address) to ``like``.
    """

    text: str = field(compare=False)
    kind: str
    number: int = 0
    box: tuple[int, int, int, int] | None = None
    image: str = ""
    point: tuple[int, int] | None = None


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
        doubtful: The same for what is hardly a face.
        seen: Frames in which the person of a part is seen, or may be: one entry a frame, under ``all`` one a face.
        seen_part: The number of that part, shape of `seen`.
    """

    frame: I64Array
    track: I64Array
    crop_box: F32Array
    face_box: F32Array
    landmarks: F32Array
    opacity: F32Array
    too_small: I64Array = field(default_factory=lambda: np.zeros(0, np.int64))
    over_yaw: I64Array = field(default_factory=lambda: np.zeros(0, np.int64))
    doubtful: I64Array = field(default_factory=lambda: np.zeros(0, np.int64))
    seen: I64Array = field(default_factory=lambda: np.zeros(0, np.int64))
    seen_part: I64Array = field(default_factory=lambda: np.zeros(0, np.int64))

    @staticmethod
    def joined(parts: Sequence[FaceSelection]) -> FaceSelection:
        """Return several selections as one."""
        names = [column.name for column in fields(FaceSelection)]
        column = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        order = np.lexsort((column["track"], column["frame"]))
        apart = {name: column.pop(name) for name in ("too_small", "over_yaw", "doubtful", "seen", "seen_part")}
        return FaceSelection(**{name: values[order] for name, values in column.items()}, **apart)

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
        min_face_px: Shorter side of the smallest face that is dubbed, with hysteresis: see `beyond`.
        max_yaw_deg: Yaw in degrees up to which a face is dubbed, likewise.
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


@lru_cache(_MOST_KNOWN_RULES)
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
        return SelectionRule(text, INDEX, number=int(match[1]))
    if match := _AT.match(rule.replace(" ", "")):
        frame, column, row = (int(n) for n in match.groups())
        return SelectionRule(text, AT, number=frame, point=(column, row))
    if match := _BOX.match(rule.replace(" ", "")):
        top, bottom, left, right = (int(n) for n in match.groups())
        if bottom > top and right > left:
            return SelectionRule(text, BOX, box=(left, top, right, bottom))
    raise FaceError(
        "bad_faces",
        "faces",
        got=f"{text[:100]!r} is not a rule for choosing faces",
        must=f"one is {', '.join(_PLAIN)}, {SPEAKING}, like:IMAGE, index:N, at:FRAME,X,Y or box:top,bottom,left,right",
        do="lipwise-ray inspect FILE lists the people of a video",
    )


Likeness = Callable[[Sequence[int]], float]
"""Score of some tracks, of one person: their lips' agreement with the original audio, or their likeness to a
portrait; minus infinity where it is too little.
"""


def select_tracks(people: People, rule: SelectionRule, tracks: Tracks, likeness: Likeness | None = None) -> list[int]:
    """Return the numbers of the tracks to dub.

    The choice is made among the people of each shot; where they are followed over cuts among those of the whole video,
    and once more in each shot of which it cannot be told who is in it.
    ``largest`` takes the person who covers most pixels; ``left``, ``right`` and ``center`` go by the mean centre;
    ``index:N`` counts from the left, from 0. ``speaking`` takes the person whose lips agree best with the audio, the
    largest where nobody is heard; someone alone in a shot is taken to speak. ``like`` takes the person who is most like
    the portrait, nobody in shots without anyone like it; those who are never there together may all be that person.
    ``at`` takes the person whose box holds a point of a frame, in other shots only where people are followed over cuts.

    Args:
        people: Who is there.
        rule: Whom to dub.
        tracks: Of the whole video.
        likeness: Scores people, for ``speaking`` and ``like``; other rules do without.

    Raises:
        FaceError: The rule is ``speaking`` or ``like``, and there is no `likeness`; or ``at``, and nobody is there.
    """
    if rule.kind in (SPEAKING, LIKE) and likeness is None:
        raise FaceError(
            "no_likeness",
            "faces",
            got=f"the rule {rule.kind} cannot be used here",
            do="Choose another one: only `submit` compares faces",
        )
    if rule.kind == "all":
        return sorted(number for shot in people.shots for person in shot for number in person.tracks)
    if rule.point is not None:
        return person_at(people, tracks, rule.number, rule.point)
    width = tracks.size.width
    return sorted(number for shot in people.shots for number in _chosen(shot, rule, width, likeness))


def _chosen(people: list[Person], rule: SelectionRule, width: int, likeness: Likeness | None) -> Sequence[int]:
    """Return the tracks of the person that a rule chooses; none where it chooses nobody."""
    here = present(people)
    if rule.kind == "largest":
        return max(people, key=lambda person: person.area).tracks
    if rule.kind == SPEAKING and likeness is not None:
        return max(here, key=lambda person: (likeness(person.tracks), person.area)).tracks
    if rule.kind == LIKE and likeness is not None:
        return _most_like(people, likeness)
    if rule.kind == "center":
        return min(here, key=lambda person: abs(person.centre_x - width / 2)).tracks
    place = {"left": 0, "right": len(here) - 1}.get(rule.kind, rule.number)
    return here[place].tracks if place < len(here) else []


def _most_like(people: list[Person], likeness: Likeness) -> list[int]:
    """Return the tracks of the person who is most like a portrait, and of those who may be the same seen elsewhere."""
    alike = [(score, person) for person in people if (score := likeness(person.tracks)) > -np.inf]
    taken: list[Person] = []
    for _, person in sorted(alike, key=lambda pair: -pair[0]):
        if not any(person.meets(other) for other in taken):
            taken.append(person)
    return [number for person in taken for number in person.tracks]


def rivals(people: People) -> list[int]:
    """Return the tracks of shots in which there is more than one person."""
    shots = [present(shot) for shot in people.shots]
    return sorted(number for shot in shots if len(shot) > 1 for person in shot for number in person.tracks)


def select_faces(
    tracks: Tracks, numbers: Sequence[int], crops: CropRules, turns: Mapping[int, BoolArray] | None = None
) -> FaceSelection:
    """Return the faces to dub in every frame.

    Args:
        tracks: Smoothed tracks (raw ones for `CropRules.reference`).
        numbers: Numbers of the tracks to dub, of `select_tracks`.
        crops: Rules by which boxes become crops.
        turns: Mask of the frames in which a track may be dubbed, shape (frames,); all, where it is not named.
    """
    if not numbers:
        return FaceSelection.empty()
    limit = np.array([tracks.size.width, tracks.size.height] * 2, np.float32)
    always = np.ones(tracks.frames, np.bool_)
    has_turn = turns or {}
    return FaceSelection.joined(
        [_faces_of(tracks, number, limit, crops, has_turn.get(number, always)) for number in numbers]
    )


def _faces_of(tracks: Tracks, number: int, limit: F32Array, crops: CropRules, turns: BoolArray) -> FaceSelection:
    """Return the faces to dub of one track."""
    rows = tracks.rows(number)
    frame, face_box = tracks.frame[rows], tracks.box[rows]
    landmarks = usable_landmarks(tracks.landmarks[rows], face_box)
    crop_box = _padded(face_box, limit, crops)
    has_turn = turns[frame]
    extent, size_band = (face_box[:, 2:] - face_box[:, :2]).min(axis=1), _SIZE_BAND * crops.min_face_px
    is_small = has_turn & beyond(-extent, -crops.min_face_px, size_band)
    yaw = np.abs(yaw_degrees(landmarks, tracks.aspect))
    is_over_yaw = has_turn & beyond(yaw, crops.max_yaw_deg, _YAW_BAND_DEG) & ~is_small
    opacity = _faded(is_small | is_over_yaw | ~has_turn, crops.fade_frames)
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


def yaw_degrees(landmarks: F32Array, aspect: float = 1.0) -> F32Array:
    """Return the yaw of faces in degrees, shape (N,), positive to the image's right.

    The tip of the nose stands out about as far as half the distance between the eyes, so in a turned face it moves
    off their middle while they come together.

    Args:
        landmarks: Shape (N, 5, 2).
        aspect: Width of a pixel over its height.
    """
    landmarks = landmarks * np.array([aspect, 1.0], np.float32)
    between_eyes = (landmarks[:, 0] + landmarks[:, 1]) / 2
    down = (landmarks[:, 3] + landmarks[:, 4]) / 2 - between_eyes
    across = np.stack([down[:, 1], -down[:, 0]], axis=1) / np.maximum(np.linalg.norm(down, axis=1), 1e-3)[:, None]
    apart = ((landmarks[:, 1] - landmarks[:, 0]) * across).sum(axis=1)
    off = ((landmarks[:, 2] - between_eyes) * across).sum(axis=1)
    return np.degrees(np.arctan2(2 * off, np.maximum(apart, 1e-3))).astype(np.float32)


def beyond(values: F32Array, bound: float, band: float) -> BoolArray:
    """Tell in which frames of a track a value is over a bound, with hysteresis: hovering at it flips nothing.

    Until it first leaves the band around the bound it counts as being where it goes then; where it never does, as being
    where its mean is.

    Args:
        values: By frame, shape (N,).
        bound: The bound.
        band: So far over it a value counts as over, so far under it as under; in between it stays what it was.

    Returns:
        Shape (N,).
    """
    decided = np.flatnonzero(np.abs(values - bound) > band)
    if not len(decided):
        return np.full(len(values), len(values) > 0 and float(values.mean()) > bound, np.bool_)
    last = np.searchsorted(decided, np.arange(len(values)), side="right") - 1
    return np.asarray(values[decided[np.maximum(last, 0)]] > bound, np.bool_)


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
