"""People of a video: tracks that show one person, and those that are doubtful."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lipwise_ray.faces.continuity import Appearances, distance
from lipwise_ray.faces.detections import CLEAR_PX
from lipwise_ray.faces.embeddings import FaceEmbeddings
from lipwise_ray.faces.groups import Groups
from lipwise_ray.faces.shape import plausibility
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.values import BoolArray, F64Array, I64Array, Span

TOLD_BY_PLACE = "place"
"""Name, in results, of the way in which people are told apart without an embedder."""

_PRESENT_SHARE = 0.02
_PASSING_FRAMES, _MOMENT_FRAMES, _STRICTER = 25, 5, 4 / 3
"""Large things that come and go within so many frames of a shot, and small ones, are faces if they are so much surer:
hands that move look like faces for as long."""

_BRIEF_FRAMES, _BESIDE, _WEAK = 12, 1.5, 0.75
"""So short a stretch, that goes on in the very next frame from a sure one so near, needs less confidence: heads that
turn fast are blurred."""


@dataclass(frozen=True, slots=True)
class Person:
    """Tracks that show one person.

    Attributes:
        tracks: Their numbers, rising by first frame.
        spans: Where each is.
        area: Pixels times frames.
        frames: Frames with the face.
        centre_x: Mean column of the face.
        confidence: That it is a face at all, in [0, 1]: the mean over the frames that were looked at.
    """

    tracks: tuple[int, ...]
    spans: tuple[Span, ...]
    area: float
    frames: int
    centre_x: float
    confidence: float

    def meets(self, other: Person) -> bool:
        """Tell whether both are in a frame together."""
        return any(a.start < b.stop and b.start < a.stop for a in self.spans for b in other.spans)

    @staticmethod
    def joined(parts: Sequence[Person]) -> Person:
        """Return several as one."""
        if len(parts) == 1:
            return parts[0]
        order = sorted((span.start, track, span) for part in parts for track, span in part.items)
        frames = np.array([part.frames for part in parts], np.float64)
        return Person(
            tuple(track for _, track, _ in order),
            tuple(span for _, _, span in order),
            sum(part.area for part in parts),
            int(frames.sum()),
            float(np.average([part.centre_x for part in parts], weights=frames)),
            float(np.average([part.confidence for part in parts], weights=frames)),
        )

    @property
    def items(self) -> list[tuple[int, Span]]:
        """Their tracks, each with where it is."""
        return list(zip(self.tracks, self.spans, strict=True))


@dataclass(frozen=True, slots=True)
class People:
    """The people of a video.

    Attributes:
        shots: Those of each shot in which anybody is, each at least once. If they are followed over cuts those of the
            whole video come first, as of one shot; after them those of each shot in which it cannot be told who is who.
        doubtful: Tracks that are hardly those of a face.
        embeddings: Tell them apart; None where their places and colours do.
        over_cuts: They are followed over cuts.
    """

    shots: list[list[Person]]
    doubtful: list[int] = field(default_factory=list[int])
    embeddings: FaceEmbeddings | None = None
    over_cuts: bool = False

    def may_be(self, one: Person, other: Person) -> bool:
        """Tell whether two may be one person: they are never seen together, and their faces do not deny it."""
        if one.meets(other):
            return False
        return self.embeddings is None or self.embeddings.same_face(one.tracks, other.tracks) is not False


def find_people(
    tracks: Tracks,
    min_confidence: float,
    embeddings: FaceEmbeddings | None = None,
    *,
    over_cuts: bool = False,
    by_elimination: bool = True,
) -> People:
    """Return the people of a video.

    Tracks of a shot are one person where faces tell so; where they do not, those that follow each other at one place
    are, and those of somebody who is alone: whom nobody else is ever seen with, so that none of them meet.

    Over cuts they are one person where faces tell so. Whoever is alone in a shot and seen too badly to tell is the only
    one of the video whom he may be. Where several may be he, and where others are there of whom none can be told
    either, the people of the shot are its own.

    Args:
        tracks: Smoothed or not.
        min_confidence: Tracks that are less like those of a face are nobody's.
        embeddings: Tell people apart, of the whole video; without, their places and colours do.
        over_cuts: People are the same in all shots, where there are embeddings; else each shot has its own.
        by_elimination: Who comes back elsewhere is taken for who has gone; without, somebody else tells whether he is.
    """
    confidence = _confidence(tracks)
    is_face = _faces(tracks, confidence, min_confidence)
    shots = [
        _of_shot(
            tracks,
            [_person(tracks, number, confidence) for number in sure],
            embeddings,
            by_elimination=by_elimination,
        )
        for numbers in _by_shot(tracks)
        if (sure := [number for number in numbers if number in is_face])
    ]
    doubtful = sorted({*tracks.numbers} - is_face)
    if not over_cuts or embeddings is None or not shots:
        return People(shots, doubtful, embeddings)
    everybody, others = _followed(shots, embeddings)
    return People([everybody, *others] if everybody else others, doubtful, embeddings, over_cuts=bool(everybody))


def _by_shot(tracks: Tracks) -> list[list[int]]:
    """Return the track numbers of each shot that has any, in order of their first frame."""
    shots: dict[int, list[tuple[int, int]]] = {}
    for number in tracks.numbers:
        first = int(tracks.frame[tracks.rows(number).start])
        shot = int(np.searchsorted(tracks.shots[:, 0], first, side="right"))
        shots.setdefault(shot, []).append((first, number))
    return [[number for _, number in sorted(firsts)] for _, firsts in sorted(shots.items())]


def _confidence(tracks: Tracks) -> dict[int, float]:
    """Return the confidence of each track, by number: the detector's score, less where the points are no face's."""
    extent = np.ptp(tracks.landmarks, axis=1).max(axis=1) if len(tracks.frame) else np.zeros(0)
    has_points = extent > 0  # a user's tracks may have boxes alone
    likely = np.where(has_points, plausibility(tracks.landmarks, tracks.aspect), 1.0) * tracks.score
    found: dict[int, float] = {}
    for number in tracks.numbers:
        rows = tracks.rows(number)
        seen = tracks.seen[rows]
        found[number] = float(likely[rows][seen].mean() if seen.any() else likely[rows].mean())
    return found


def _faces(tracks: Tracks, confidence: Mapping[int, float], least: float) -> set[int]:
    """Return the tracks of faces: those that are sure, and short ones that go on from them and are hardly less so."""
    numbers = np.array([*confidence], np.int64)
    rows = [tracks.rows(int(number)) for number in numbers]
    first = np.array([one.start for one in rows], np.int64)
    last = np.array([one.stop - 1 for one in rows], np.int64)
    start, stop = tracks.frame[first], tracks.frame[last] + 1
    shot = np.searchsorted(tracks.shots[:, 0], start, side="right")
    confident = np.array([*confidence.values()])
    side = np.array([np.median((tracks.box[one, 2:] - tracks.box[one, :2]).min(axis=1)) for one in rows])
    lasts = stop - start
    is_whole_shot = np.isin(start, tracks.shots[:, 0]) & np.isin(stop, tracks.shots[:, 1])
    is_passing = (lasts <= np.where(side >= CLEAR_PX, _PASSING_FRAMES, _MOMENT_FRAMES)) & ~is_whole_shot
    is_face = confident >= np.where(is_passing, min(_STRICTER * least, (1 + least) / 2), least)
    is_weak = (confident >= least) | ((confident >= _WEAK * least) & (lasts <= _BRIEF_FRAMES))
    weak = np.flatnonzero(~is_face & is_weak)
    weak = weak[np.argsort(start[weak], kind="stable")]
    for one in (*weak, *weak[::-1]):  # one may go on from another
        for other_end, own_end, old, new in ((stop, start, last, first), (start, stop, first, last)):
            beside = np.flatnonzero(is_face & (shot == shot[one]) & (other_end == own_end[one]))
            if len(beside):
                is_face[one] |= bool(distance(tracks.box[old[beside]], tracks.box[new[one]]).min() <= _BESIDE)
    return {int(number) for number in numbers[is_face]}


def _person(tracks: Tracks, number: int, confidence: dict[int, float]) -> Person:
    rows = tracks.rows(number)
    box = tracks.box[rows].astype(np.float64)
    return Person(
        (number,),
        (Span(int(tracks.frame[rows.start]), int(tracks.frame[rows.stop - 1]) + 1),),
        float(((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])).sum()),
        len(box),
        float((box[:, 0] + box[:, 2]).mean() / 2),
        confidence[number],
    )


def _groups(people: Sequence[Person], embeddings: FaceEmbeddings | None) -> Groups:
    faces = (embeddings or FaceEmbeddings.empty()).sums_of([one.tracks for one in people])
    return Groups([one.spans for one in people], faces)


def _joined(people: Sequence[Person], groups: Groups) -> list[Person]:
    """Return one person for each group, in order of their first frame."""
    found = [Person.joined([people[number] for number in groups.members(int(group))]) for group in groups.live]
    return sorted(found, key=lambda one: (one.spans[0].start, one.tracks))


def _of_shot(
    tracks: Tracks, singles: list[Person], embeddings: FaceEmbeddings | None, *, by_elimination: bool
) -> list[Person]:
    """Return the people of a shot.

    Args:
        tracks: Of the video.
        singles: One person a track, in order of their first frame.
        embeddings: Tell people apart, if there are any.
        by_elimination: Who comes back elsewhere is who has gone.
    """
    groups = _groups(singles, embeddings)
    seen = Appearances(tracks, [single.tracks[0] for single in singles])
    same, denied = (float(embeddings.same[0]), embeddings.denied) if embeddings else (1.0, 0.0)
    groups.join_alike(same)
    _join_in_time(groups, len(singles), seen.at_one_place, lambda cosine: ~(cosine < denied))
    if by_elimination and groups.anybody_meets:
        # Who comes is the nearest of those who have gone, if that is not far and their faces do not tell.
        _join_in_time(
            groups,
            len(singles),
            seen.elsewhere,
            lambda cosine: np.isnan(cosine) | ((cosine >= denied) & (cosine < same)),
        )
    elif by_elimination:
        groups.join_alike(denied)
        _join_unknown(singles, groups)
    return _joined(singles, groups)


def _join_unknown(singles: Sequence[Person], groups: Groups) -> None:
    """Join those whose faces cannot be told, where nobody meets, with whoever covers most pixels of those known."""
    known = groups.live[groups.is_known[groups.live]]
    area = [sum(singles[number].area for number in groups.members(int(one))) for one in known]
    home = int(known[np.argmax(area)]) if len(known) else 0
    for other in groups.live[~groups.is_known[groups.live]]:
        if groups.group[home] != other:
            home = groups.join(int(groups.group[home]), int(other))


def _join_in_time(
    groups: Groups,
    count: int,
    nearness: Callable[[I64Array, int], F64Array],
    is_allowed: Callable[[F64Array], BoolArray],
) -> None:
    """Join each track with the person who was last seen nearest before, if any of them was near.

    Args:
        groups: Tracks of a shot that are one person, by their places in order of their first frame.
        count: Number of tracks.
        nearness: Of tracks that have gone, shape (N,), to one that comes; minus infinity of those that are too far.
        is_allowed: Tells by which cosines of faces two may be joined; nan where faces do not tell.
    """
    latest = np.full(count, -1)
    for number in range(count):
        group = int(groups.group[number])
        gone = np.flatnonzero(groups.partners(group) & (latest >= 0))
        near = nearness(latest[gone], number) if len(gone) else np.zeros(0)
        gone, near = gone[near > -np.inf], near[near > -np.inf]
        allowed = is_allowed(groups.cosines(group, gone))
        if allowed.any():
            group = groups.join(int(gone[allowed][near[allowed].argmax()]), group)
        latest[group] = number


def _followed(shots: list[list[Person]], embeddings: FaceEmbeddings) -> tuple[list[Person], list[list[Person]]]:
    """Return the people of a video over cuts, and those of shots in which it cannot be told who is who."""
    everybody = [person for people in shots for person in people]
    groups = _groups(everybody, embeddings)
    groups.join_alike(float(embeddings.same[0]))
    known = [int(one) for one in groups.live if groups.is_known[one]]
    whole = {one: Person.joined([everybody[number] for number in groups.members(one)]) for one in known}
    may_be = {*present(list(whole.values()))}
    known = [one for one, person in whole.items() if person in may_be]
    untold: list[list[Person]] = []
    of_video: list[int] = []
    first = 0
    for people in shots:
        here = range(first, first + len(people))
        first += len(people)
        if len(shots) == 1 or groups.is_known[groups.group[here]].any():
            of_video += here
        elif len(here) == len(known) == 1:
            groups.join(int(groups.group[known[0]]), here[0])
            of_video += here
        else:
            untold.append(people)
    chosen = dict.fromkeys(int(groups.group[number]) for number in of_video)
    found = [Person.joined([everybody[number] for number in groups.members(group)]) for group in chosen]
    return sorted(found, key=lambda one: (one.spans[0].start, one.tracks)), untold


def may_show(people: People, chosen: Collection[int]) -> list[int]:
    """Return the tracks of the people who were chosen, and of those who may be the same.

    Args:
        people: Who is there.
        chosen: Numbers of tracks.
    """
    picked = [[one for one in shot if not {*one.tracks}.isdisjoint(chosen)] for shot in people.shots]
    found: list[int] = []
    for shot, here in zip(people.shots, picked, strict=True):
        wanted = here or (picked[0] if people.over_cuts else [])
        maybe = [one for one in shot if wanted and all(one is other or people.may_be(one, other) for other in wanted)]
        found += [number for one in maybe for number in one.tracks]
    return sorted(found)


def present(people: Sequence[Person]) -> list[Person]:
    """Return people from left to right, without who is hardly there: a passer-by does not count as left or right."""
    largest = max((person.area for person in people), default=0.0)
    here = [person for person in people if person.area >= _PRESENT_SHARE * largest]
    return sorted(here, key=lambda person: person.centre_x)
