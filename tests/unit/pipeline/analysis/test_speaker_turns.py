"""Who speaks when: turns go by scores, an expert's word, and who is there at all."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from lipwise_ray.faces.embeddings import FaceEmbeddings
from lipwise_ray.faces.people import find_people
from lipwise_ray.pipeline.analysis.speaker_activity import SpeakerActivity
from lipwise_ray.pipeline.analysis.speaker_turns import frames_of_turns, matched_speakers, speaker_turns
from lipwise_ray.state.speaking_record import SpeakingRecord
from lipwise_ray.values import F32Array
from tests.support.boxes import link_boxes, make_detections

FRAMES = 200
SMALL, LARGE = (100.0, 100.0, 180.0, 200.0), (400.0, 60.0, 520.0, 220.0)
SPEAKS, IS_STILL, UNHEARD = 2.0, -1.0, np.nan


def _course(*parts: tuple[int, float]) -> F32Array:
    return np.concatenate([np.full(frames, score, np.float32) for frames, score in parts])


def _turns(
    *courses: F32Array,
    agreements: tuple[tuple[int, int, float], ...] = (),
    away: range = range(0),
    may_change: bool = True,
) -> tuple[list[tuple[int, int, int]], SpeakingRecord]:
    """Return (track, start, stop) of each turn; the first course is the small face's, who may be away."""
    boxes = {n: [*([SMALL] if n not in away else []), LARGE] for n in range(FRAMES)}
    tracks = link_boxes(make_detections(boxes, FRAMES))
    people = find_people(tracks, 0.0)
    numbers = [one.tracks[0] for one in sorted(people.shots[0], key=lambda one: one.centre_x)]
    scores = [
        (track, n, float(score))
        for track, course in zip(numbers, courses, strict=True)
        for n, score in enumerate(course)
        if np.isfinite(score)
    ]
    heard = [(part, numbers[who], np.array([25 * cosine]), 25) for who, part, cosine in agreements]
    activity = SpeakerActivity.of_scores(scores, heard)
    turns, figures = speaker_turns(people, activity, np.arange(FRAMES), may_change=may_change)
    return [(numbers.index(turn.person.tracks[0]), turn.frames.start, turn.frames.stop) for turn in turns], figures


def test_a_speaker_may_change_within_a_shot() -> None:
    """Whoever's lips move has the turn, and keeps it through the pause that follows."""
    left = _course((80, SPEAKS), (30, UNHEARD), (90, IS_STILL))
    right = _course((80, IS_STILL), (30, UNHEARD), (90, SPEAKS))
    turns, figures = _turns(left, right)
    assert [who for who, _, _ in turns] == [0, 1]
    assert turns[0][1:] == (0, turns[1][1])
    assert 110 <= turns[1][1] <= 118  # a change is worth some frames
    assert turns[1][2] == FRAMES
    assert (figures.turns, figures.certainty, figures.speech_s) == (2, 1.0, 6.8)


def test_a_moment_takes_no_turn() -> None:
    """Somebody who laughs for a third of a second does not have the other's lips left alone."""
    left = _course((100, SPEAKS), (8, IS_STILL), (92, SPEAKS))
    right = _course((100, IS_STILL), (8, SPEAKS), (92, IS_STILL))
    turns, figures = _turns(left, right)
    assert turns == [(0, 0, FRAMES)]
    assert figures.certainty is not None
    assert 0.9 < figures.certainty < 1


def test_one_speaker_a_shot_where_others_are_dubbed_too() -> None:
    """Whoever speaks more has the whole shot."""
    turns, _ = _turns(_course((120, SPEAKS), (80, IS_STILL)), _course((120, IS_STILL), (80, SPEAKS)), may_change=False)
    assert turns == [(0, 0, FRAMES)]


def test_the_largest_has_the_turn_where_nobody_is_told_to_speak() -> None:
    """Nobody is heard, or nobody's lips move: the choice is today's, and the figures say so."""
    for score in (UNHEARD, IS_STILL):
        turns, figures = _turns(_course((FRAMES, score)), _course((FRAMES, score)))
        assert turns == [(1, 0, FRAMES)]
        assert figures.nobody_s == (8.0 if score == IS_STILL else 0.0)
        assert figures.certainty == (0.0 if score == IS_STILL else None)


def test_where_several_move_their_lips_the_expert_decides() -> None:
    """The one who chews has the higher score, the one who speaks agrees with the audio: he has the turn."""
    left, right = _course((FRAMES, 1.5)), _course((FRAMES, 3.5))
    agreements = tuple((who, part, 0.7 if who == 0 else 0.1) for who in (0, 1) for part in range(8))
    turns, figures = _turns(left, right, agreements=agreements)
    assert turns == [(0, 0, FRAMES)]
    assert figures.several_s == figures.by_expert_s == 8.0
    turns, figures = _turns(left, right)  # no expert: the higher score does
    assert turns == [(1, 0, FRAMES)]
    assert figures.by_expert_s == 0.0


def test_an_expert_hears_who_takes_over() -> None:
    """Both move their lips throughout; the audio goes with the one, then with the other."""
    moving = _course((FRAMES, 2.5))
    agreements = tuple((who, part, 0.7 if (who == 0) == (part < 4) else 0.1) for who in (0, 1) for part in range(8))
    turns, _ = _turns(moving, moving, agreements=agreements)
    assert [who for who, _, _ in turns] == [0, 1]
    assert abs(turns[1][1] - 100) <= 25


def test_who_is_out_of_sight_for_a_moment_keeps_the_turn() -> None:
    """A speaker whom something hides is not taken for silent, and the one who listens is not dubbed meanwhile."""
    left = _course((90, SPEAKS), (20, UNHEARD), (90, SPEAKS))
    turns, _ = _turns(left, _course((FRAMES, IS_STILL)), away=range(90, 110))
    assert [who for who, _, _ in turns] == [0]


def test_those_who_are_never_there_together_have_the_turn_each() -> None:
    """A cut that nobody saw is between two people; each is alone, so nobody looked at their lips: both speak."""
    boxes = {n: [LARGE] if n < 120 else [SMALL] for n in range(FRAMES)}
    tracks = link_boxes(make_detections(boxes, FRAMES))
    people = find_people(tracks, 0.0, FaceEmbeddings(np.arange(2), np.eye(2), np.array([0.363])))
    assert len(people.shots[0]) == 2
    turns, figures = speaker_turns(people, SpeakerActivity.of_scores([]), np.arange(FRAMES))
    assert [(turn.frames.start, turn.frames.stop) for turn in turns] == [(0, 120), (120, FRAMES)]
    assert [turn.person for turn in turns] == people.shots[0]
    assert figures.certainty is None


def test_turns_are_told_by_track() -> None:
    """Each track of a person may be dubbed while the person has the turn."""
    boxes = {n: [SMALL, LARGE] for n in range(FRAMES)}
    people = find_people(link_boxes(make_detections(boxes, FRAMES)), 0.0)
    left, right = sorted(people.shots[0], key=lambda one: one.centre_x)
    scores = [
        (one.tracks[0], n, SPEAKS if (n < 100) == (one is left) else IS_STILL)
        for n in range(FRAMES)
        for one in (left, right)
    ]
    turns, _ = speaker_turns(people, SpeakerActivity.of_scores(scores), np.arange(FRAMES))
    masks = frames_of_turns(turns, FRAMES)
    assert masks[left.tracks[0]][:95].all()
    assert not (masks[left.tracks[0]] & masks[right.tracks[0]]).any()
    assert (masks[left.tracks[0]] | masks[right.tracks[0]]).all()


@pytest.mark.parametrize("rate", [12.5, 50.0])
def test_turns_are_in_frames_of_the_source(rate: float) -> None:
    """Scores are on a grid of 25 frames a second; turns are where the video's own frames are."""
    frames = round(8 * rate)
    grid = np.minimum((np.arange(FRAMES) * rate / 25).astype(np.int64), frames - 1)
    people = find_people(link_boxes(make_detections({n: [SMALL, LARGE] for n in range(frames)}, frames)), 0.0)
    left, right = sorted(people.shots[0], key=lambda one: one.centre_x)
    scores = [
        (one.tracks[0], n, SPEAKS if (n < 100) == (one is left) else IS_STILL)
        for n in range(FRAMES)
        for one in (left, right)
    ]
    turns, _ = speaker_turns(people, SpeakerActivity.of_scores(scores), grid)
    assert [turn.person for turn in turns] == [left, right]
    assert turns[0].frames.stop == turns[1].frames.start
    assert turns[1].frames.start == pytest.approx(4 * rate, abs=0.4 * rate)
    assert turns[1].frames.stop == frames


def _matched(
    *courses: F32Array, speakers: dict[str, list[tuple[float, float]]], start_s: float = 0.0, alone: bool = False
) -> tuple[dict[str, list[int]], SpeakingRecord]:
    """Return the faces of each speaker, 0 for the one on the left, and the figures."""
    people = find_people(
        link_boxes(make_detections({n: [LARGE] if alone else [SMALL, LARGE] for n in range(FRAMES)}, FRAMES)), 0.0
    )
    here = sorted(people.shots[0], key=lambda one: one.centre_x)
    numbers = [one.tracks[0] for one in here]
    scores = [
        (track, n, float(course[n])) for track, course in zip(numbers, courses, strict=True) for n in range(FRAMES)
    ]
    told = [(name, [(Fraction(a), Fraction(b)) for a, b in times]) for name, times in speakers.items()]
    activity = SpeakerActivity.of_scores([one for one in scores if np.isfinite(one[2])])
    found, figures = matched_speakers(people, activity, np.arange(FRAMES), told, start_s)
    return {name: [numbers.index(one) for one in tracks] for name, tracks in zip(speakers, found, strict=True)}, figures


def test_each_speaker_has_the_face_that_moves_in_their_turns() -> None:
    """Whose lips move while ANNA speaks is ANNA; a narrator, in whose turns nobody's do, has no face."""
    left = _course((80, SPEAKS), (60, IS_STILL), (60, IS_STILL))
    right = _course((80, 0.5), (60, SPEAKS), (60, IS_STILL))
    speakers = {"BEN": [(3.3, 5.5)], "ANNA": [(0.1, 3.1)], "NARRATOR": [(5.8, 7.9)]}
    found, figures = _matched(left, right, speakers=speakers)
    assert found == {"BEN": [1], "ANNA": [0], "NARRATOR": []}
    assert figures.found_s is not None
    assert figures.found_s["NARRATOR"] == 0.0
    assert figures.found_s["ANNA"] == pytest.approx(3.0, abs=0.1)
    assert figures.nobody_s > 1.9


def test_who_listens_alone_in_a_shot_says_nothing() -> None:
    """A voice from beyond the frame is not put into the mouth of whoever is seen meanwhile."""
    found, _ = _matched(_course((100, IS_STILL), (100, SPEAKS)), speakers={"ANNA": [(0, 4)]}, alone=True)
    assert found == {"ANNA": []}
    found, _ = _matched(
        _course((100, IS_STILL), (100, SPEAKS)), speakers={"ANNA": [(0, 4)], "BEN": [(4, 8)]}, alone=True
    )
    assert found == {"ANNA": [], "BEN": [0]}


def test_a_narrator_is_not_put_into_a_mouth_that_hardly_moves() -> None:
    """A face is found for a name by a second's worth of moving lips, or by half of what is said where that is less."""
    speakers = {"NARRATOR": [(0.0, 8.0)]}
    twitches = _course((50, 0.3), (150, UNHEARD))
    assert _matched(twitches, speakers=speakers, alone=True)[0] == {"NARRATOR": []}
    moment = _course((8, SPEAKS), (192, IS_STILL / 100))
    assert _matched(moment, speakers=speakers, alone=True)[0] == {"NARRATOR": []}
    assert _matched(_course((50, 1.0), (150, UNHEARD)), speakers=speakers, alone=True)[0] == {"NARRATOR": [0]}


def test_who_says_one_word_is_found() -> None:
    """A line shorter than a second is its speaker's if lips move through most of it."""
    word = _course((100, IS_STILL), (12, SPEAKS), (88, IS_STILL))
    assert _matched(word, speakers={"ANNA": [(4.0, 4.48)]}, alone=True)[0] == {"ANNA": [0]}
    assert _matched(word, speakers={"ANNA": [(3.0, 4.2)]}, alone=True)[0] == {"ANNA": []}


def test_turns_are_on_the_clock_of_what_is_shown() -> None:
    """A row that begins two seconds into its video shows then what the turns' first second goes with."""
    left = _course((50, IS_STILL), (50, SPEAKS), (100, IS_STILL))
    right = _course((50, SPEAKS), (50, IS_STILL), (100, IS_STILL))
    found, _ = _matched(left, right, speakers={"ANNA": [(0, 2)]}, start_s=2.0)
    assert found == {"ANNA": [0]}
    found, _ = _matched(left, right, speakers={"ANNA": [(0, 2)]})
    assert found == {"ANNA": [1]}
