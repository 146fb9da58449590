"""Turns of the people of each shot: who speaks when, by active speaker scores."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from lipwise_ray.faces.pairing import best_pairs
from lipwise_ray.faces.people import People, Person, present
from lipwise_ray.lipsync.voice_activity import runs
from lipwise_ray.lipsync.windows import CROP_RATE_HZ
from lipwise_ray.pipeline.analysis.speaker_activity import PART_FRAMES, SpeakerActivity
from lipwise_ray.state.speaking_record import SpeakingRecord
from lipwise_ray.values import BoolArray, F32Array, F64Array, I64Array, Span

_MEAN_FRAMES = 5
"""Scores are averaged over so many frames. Source: LR-ASD's demo."""

_MOST = 3.0
_CHANGE = 25.0
"""Somebody else takes the turn for this sum of scores: a second in which they are better by 1."""

_DECIDED = 1.0
"""By how much a lip-sync expert's word counts each frame where several people's lips move: two seconds take a turn."""

_LEAST_EVIDENCE, _LEAST_MEAN = 25.0, 0.5
"""A name has a face for a second in which its lips move by 1, or by half as much in the mean of a shorter line: lips of
who listens to a narrator move now and then, too."""

_AROUND_PARTS = 1
"""Seconds before and after that an expert is asked about too."""


@dataclass(frozen=True, slots=True)
class SpeakerTurn:
    """Somebody speaks, or is taken to, in source frames ``[start, stop)``."""

    person: Person
    frames: Span


def speaker_turns(
    people: People, activity: SpeakerActivity, grid: I64Array, *, may_change: bool = True
) -> tuple[list[SpeakerTurn], SpeakingRecord]:
    """Return the turns of every shot, and how sure they are.

    One person at a time has the turn, to whom a pause after it belongs too. Someone alone in a shot has it, and so has
    each of several who are never there together, where nobody looked at their lips; the largest has it where nobody is
    heard, or nobody's lips move. Where several people's lips move as in speech the lip-sync expert decides, if its
    agreements are there; else the higher score does.

    Args:
        people: Who is in each shot.
        activity: Their scores.
        grid: The source frame that is shown at each 25th of a second.
        may_change: Somebody else may take the turn within a shot; without, one person has it throughout.
    """
    turns: list[SpeakerTurn] = []
    figures = _Figures()
    for shot in people.shots:
        here = present(shot)
        whole = _extent(here)
        largest = max(range(len(here)), key=lambda n: here[n].area)
        order = np.full(0, largest)
        first, stop = (int(n) for n in np.searchsorted(grid, [whole.start, whole.stop]))
        if len(here) > 1 and first < stop:
            scores = np.stack([_smooth(activity.course(one.tracks, stop)[first:]) for one in here])
            worth, by_expert = _worth(scores, here, activity, first)
            if not np.isfinite(scores).any() and not any(a.meets(b) for a, b in itertools.combinations(here, 2)):
                worth = _MOST * np.array([_is_seen(one, grid[first:stop]) for one in here], np.float64)
            if worth.clip(min=0).any():
                order = _best_order(worth) if may_change else np.full(stop - first, int(worth.sum(axis=1).argmax()))
            figures.add(scores, order if len(order) else np.full(stop - first, largest), by_expert)
        starts = [0, *(np.flatnonzero(np.diff(order)) + 1).tolist()]
        for start, end in itertools.pairwise([*starts, len(order)]):
            frames = Span(
                int(grid[first + start]) if start else whole.start,
                int(grid[first + end]) if end < len(order) else whole.stop,
            )
            turns.append(SpeakerTurn(here[int(order[start]) if len(order) else largest], frames))
    return turns, figures.record(len(turns))


def matched_speakers(
    people: People,
    activity: SpeakerActivity,
    grid: I64Array,
    speakers: Sequence[tuple[str, Sequence[tuple[Fraction, Fraction]]]],
    start_s: float,
) -> tuple[list[tuple[int, ...]], SpeakingRecord]:
    """Return the tracks of each of several speakers whose turns are known, and how sure they are.

    In every shot, or in the whole video where people are followed over cuts, each has the face whose lips move most
    while the original is shown during their turns, and no two have one. Whose turns hardly move anybody's has none.

    Args:
        people: Who is there.
        activity: Their scores.
        grid: The source frame that is shown at each 25th of a second.
        speakers: Name and turns of each, in seconds of the delivered audio.
        start_s: Second of the source that is shown first.
    """
    has_turn = np.zeros((len(speakers), len(grid)), np.bool_)
    for mask, (_, times) in zip(has_turn, speakers, strict=True):
        for begin_s, end_s in times:
            first, stop = (round((float(moment) + start_s) * CROP_RATE_HZ) for moment in (begin_s, end_s))
            mask[min(first, len(grid)) : stop] = True
    tracks: list[set[int]] = [set() for _ in speakers]
    named = np.zeros(len(speakers))
    figures = _Figures()
    for here in people.shots:  # whoever is hardly there may still speak
        whole = _extent(here)
        first, stop = (int(n) for n in np.searchsorted(grid, [whole.start, whole.stop]))
        if first == stop:
            continue
        scores = np.stack([_smooth(activity.course(one.tracks, stop)[first:]) for one in here])
        worth, by_expert = _worth(scores, here, activity, first)
        turns = has_turn[:, first:stop]
        evidence = turns.astype(np.float64) @ worth.T
        heard = turns.astype(np.float64) @ np.isfinite(scores).T.astype(np.float64)
        evidence[evidence < np.minimum(_LEAST_EVIDENCE, _LEAST_MEAN * heard)] = 0
        order = np.full(stop - first, -1)
        for speaker, person in zip(*best_pairs(-evidence), strict=True):
            if evidence[speaker, person] > 0:
                tracks[speaker].update(here[person].tracks)
                is_heard = turns[speaker] & np.isfinite(scores[person])
                order[is_heard] = person
                named[speaker] += float(is_heard.sum())
        in_turns = np.where(turns.any(axis=0), scores, np.nan)
        figures.add(in_turns, order, by_expert & turns.any(axis=0))
    seconds = {name: round(float(frames) / CROP_RATE_HZ, 2) for (name, _), frames in zip(speakers, named, strict=True)}
    record = figures.record(sum(len(times) for _, times in speakers))
    return [tuple(sorted(found)) for found in tracks], replace(record, found_s=seconds)


def frames_of_turns(turns: Sequence[SpeakerTurn], frames: int) -> dict[int, BoolArray]:
    """Return in which frames the person of each track has the turn, by track, shape (frames,)."""
    found: dict[int, BoolArray] = {}
    for turn in turns:
        for number in turn.person.tracks:
            found.setdefault(number, np.zeros(frames, np.bool_))[turn.frames.start : turn.frames.stop] = True
    return found


def _is_seen(person: Person, grid: I64Array) -> BoolArray:
    """Return in which frames of a grid a person is there, shape (N,)."""
    return np.any([(grid >= span.start) & (grid < span.stop) for span in person.spans], axis=0)


def _extent(people: Sequence[Person]) -> Span:
    """Return the source frames from the first to the last in which anybody is seen."""
    return Span(min(one.spans[0].start for one in people), max(span.stop for one in people for span in one.spans))


def _smooth(scores: F32Array) -> F64Array:
    """Return scores, shape (N,), averaged over frames that have any; NaN where there is none."""
    box = np.ones(_MEAN_FRAMES)
    is_there = np.isfinite(scores)
    total = np.convolve(np.where(is_there, scores, 0).astype(np.float64), box, "same")
    count = np.convolve(is_there.astype(np.float64), box, "same")
    return np.where(is_there, total[: len(scores)] / np.maximum(count[: len(scores)], 1), np.nan)


def _worth(
    scores: F64Array, people: Sequence[Person], activity: SpeakerActivity, first: int
) -> tuple[F64Array, BoolArray]:
    """Return the worth of each frame for each person to have the turn, shape (P, N); and where an expert was asked.

    Who is away has 0: he may have the turn still, unless somebody who is there takes it.
    """
    worth = np.nan_to_num(scores, nan=0.0).clip(-_MOST, _MOST)
    by_expert = np.zeros(scores.shape[1], np.bool_)
    moves = np.nan_to_num(scores, nan=-1.0) > 0
    for start, stop in runs(moves.sum(axis=0) > 1):
        part = int(start)
        while part < stop:
            end = min(int(stop), ((first + part) // PART_FRAMES + 1) * PART_FRAMES - first)
            asked = np.flatnonzero(moves[:, part:end].any(axis=1))
            around = Span(max(0, first + part - _AROUND_PARTS * PART_FRAMES), first + end + _AROUND_PARTS * PART_FRAMES)
            heard = {int(n): activity.agreement(people[int(n)].tracks, around) for n in asked}
            told = {n: agreement for n, agreement in heard.items() if agreement is not None}
            if len(told) == len(asked):
                worth[asked, part:end] = 0
                worth[max(told, key=lambda n: told[n]), part:end] = _DECIDED
                by_expert[part:end] = True
            part = end
    return worth, by_expert


def _best_order(worth: F64Array) -> I64Array:
    """Return the person who has the turn in each frame, shape (N,): the order worth most, less `_CHANGE` a change.

    Changes come as late as they may: a pause belongs to who spoke before it.
    """
    people, frames = worth.shape
    came_from = np.zeros((frames, people), np.int64)
    own = np.arange(people)
    best = worth[:, 0].copy()
    for frame in range(1, frames):
        leader = int(best.argmax())
        changes = best[leader] - _CHANGE >= best
        came_from[frame] = np.where(changes, leader, own)
        best = np.where(changes, best[leader] - _CHANGE, best) + worth[:, frame]
    order = np.zeros(frames, np.int64)
    order[-1] = int(best.argmax())
    for frame in range(frames - 1, 0, -1):
        order[frame - 1] = came_from[frame, order[frame]]
    return order


class _Figures:
    """Adds up how sure turns are, in frames of 1/25 s."""

    def __init__(self) -> None:
        self._speech = self._clear = self._several = self._nobody = self._by_expert = 0

    def add(self, scores: F64Array, order: I64Array, by_expert: BoolArray) -> None:
        """Take in a shot.

        Args:
            scores: Smoothed, shape (P, N).
            order: Person who has the turn, -1 for nobody, shape (N,).
            by_expert: Mask of the frames in which an expert was asked, shape (N,).
        """
        is_heard = np.isfinite(scores).any(axis=0)
        moves = np.nan_to_num(scores, nan=-1.0) > 0
        of_chosen, people = (order >= 0) & moves[order, np.arange(len(order))], moves.sum(axis=0)
        self._speech += int(is_heard.sum())
        self._clear += int((of_chosen & (people == 1)).sum())
        self._several += int((people > 1).sum())
        self._nobody += int((is_heard & (people == 0)).sum())
        self._by_expert += int(by_expert.sum())

    def record(self, turns: int) -> SpeakingRecord:
        """Return them in seconds."""
        counted = (self._speech, self._clear, self._several, self._nobody, self._by_expert)
        speech_s, clear_s, several_s, nobody_s, by_expert_s = (round(frames / CROP_RATE_HZ, 2) for frames in counted)
        return SpeakingRecord(
            turns=turns,
            certainty=round(self._clear / self._speech, 4) if self._speech else None,
            speech_s=speech_s,
            clear_s=clear_s,
            several_s=several_s,
            nobody_s=nobody_s,
            by_expert_s=by_expert_s,
        )
