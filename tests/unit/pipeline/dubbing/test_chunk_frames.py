"""Ids of chunks: what they show decides them, as far as rendering looks and no further."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwise_ray.faces.select import FaceSelection
from lipwise_ray.lipsync.audio_features import MEL
from lipwise_ray.lipsync.frame_windows import FRAME_BY_FRAME, FrameWindow
from lipwise_ray.lipsync.reach import NO_REACH, Reach
from lipwise_ray.media.timeline import Timeline
from lipwise_ray.pipeline.dubbing.chunk_frames import ChunkFrames
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.plan import Part, Plan
from lipwise_ray.settings.model import Settings
from lipwise_ray.state import layout
from lipwise_ray.state.job_result import Counts
from lipwise_ray.state.store import LocalStore
from lipwise_ray.values import Span

FRAMES, CHUNK, COLUMNS_A_FRAME = 200, 50, 3
REACH = Reach(restored=0, dubbed=5, seen=18)
SPEC = JobSpec("r", "v", None, "o.mkv", "o.mkv", None, 0.0, None, None, (), Settings())


def plan_of(parts: int = 1) -> Plan:
    """Return a plan in which each frame shows its number, and one face that all parts are of."""
    numbers = np.arange(FRAMES, dtype=np.int64)
    boxes = np.arange(FRAMES * 4, dtype=np.float32).reshape(FRAMES, 4)
    chosen = FaceSelection(
        frame=numbers,
        track=np.full(FRAMES, 7),
        crop_box=boxes,
        face_box=boxes,
        landmarks=np.arange(FRAMES * 10, dtype=np.float32).reshape(FRAMES, 5, 2),
        opacity=np.ones(FRAMES, np.float32),
    )
    pauses = np.zeros((0, 2), np.int64)
    return Plan(
        source=numbers,
        mel_start=numbers * COLUMNS_A_FRAME,
        timeline=Timeline(numbers, FRAMES, Fraction(1, 25)),
        rate=Fraction(25),
        chosen=chosen,
        parts=tuple(Part((7,), f"s{n}", np.ones(FRAMES, np.float32), pauses) for n in range(parts)),
        chunks=[Span(start, start + CHUNK) for start in range(0, FRAMES, CHUNK)],
        audio_s=Fraction(FRAMES, 25),
        counts=Counts(),
    )


def _ids(
    folder: Path,
    plan: Plan,
    *changed: int,
    reach: Reach = REACH,
    dubs: bool = True,
    frames: FrameWindow = FRAME_BY_FRAME,
) -> list[str]:
    """Return the ids of a plan's chunks, with another sound at some columns of the mel."""
    store, nothing = LocalStore(folder), object()
    mel = np.random.default_rng(1).uniform(-4, 4, (FRAMES * COLUMNS_A_FRAME + 16, 80)).astype(np.float16)
    mel[[*changed]] = 0
    for part in plan.parts:
        file = folder / "mel.npy"
        np.save(file, mel)
        store.put_file(layout.mel(part.sound_id, salvage=False), file)
    job: Any = JobContext(SPEC, store, nothing, nothing)  # type: ignore[arg-type]  # neither inputs nor video are read
    planned = ChunkFrames(job, plan, reach, MEL if dubs else None, frames)
    return [planned.id_of(chunk, "rendering") for chunk in plan.chunks]


def _differing(one: list[str], other: list[str]) -> list[int]:
    return [number for number, (before, after) in enumerate(zip(one, other, strict=True)) if before != after]


@pytest.mark.parametrize(
    ("frame", "chunks"),
    [(75, [1]), (100 - REACH.dubbed - 6, [1]), (100 - REACH.dubbed, [1, 2]), (100 + REACH.dubbed - 1, [1, 2])],
)
def test_a_sound_counts_as_far_as_faces_are_dubbed(frame: int, chunks: list[int], tmp_path: Path) -> None:
    """A column of the mel counts in the chunks of all frames whose windows hold it, and those near enough."""
    assert _differing(_ids(tmp_path, plan_of()), _ids(tmp_path, plan_of(), frame * COLUMNS_A_FRAME)) == chunks


@pytest.mark.parametrize(("frame", "chunks"), [(90, [1]), (91, [1, 2]), (111, [1, 2]), (112, [2])])
def test_a_sound_counts_as_far_as_windows_reach(frame: int, chunks: list[int], tmp_path: Path) -> None:
    """Where 16 frames are taken together, those of 96 to 111, which a border cuts, count in the chunks beside it.

    The column is in the windows of the mel of six frames.
    """
    window, at = FrameWindow(16, 0, Fraction(25)), frame * COLUMNS_A_FRAME + 15
    plan = plan_of()
    ids = [_ids(tmp_path, plan, *changed, reach=NO_REACH, frames=window) for changed in ((), (at,))]
    assert _differing(*ids) == chunks


def _moved(plan: Plan, frame: int) -> Plan:
    landmarks = plan.chosen.landmarks.copy()
    landmarks[frame] += 1
    return replace(plan, chosen=replace(plan.chosen, landmarks=landmarks))


def _faded(plan: Plan, frame: int) -> Plan:
    opacity = plan.parts[0].opacity.copy()
    opacity[frame] = 0.5
    return replace(plan, parts=(replace(plan.parts[0], opacity=opacity),))


def _paused(plan: Plan, frame: int) -> Plan:
    pauses = np.array([[frame * COLUMNS_A_FRAME, frame * COLUMNS_A_FRAME + 1]])
    return replace(plan, parts=(replace(plan.parts[0], pauses=pauses),))


def _other_source(plan: Plan, frame: int) -> Plan:
    source = plan.source.copy()
    source[frame] -= 1
    return replace(plan, source=source)


def _later(plan: Plan, frame: int) -> Plan:
    pts = plan.timeline.pts * 2
    pts[frame] += 1
    return replace(plan, timeline=replace(plan.timeline, pts=pts))


@pytest.mark.parametrize(
    ("change", "reach"),
    [(_moved, REACH.seen), (_faded, REACH.dubbed), (_paused, REACH.dubbed), (_other_source, REACH.seen)],
)
def test_frames_count_as_far_as_they_are_looked_at(
    change: Callable[[Plan, int], Plan], reach: int, tmp_path: Path
) -> None:
    """Places of faces and source frames farther than what is said."""
    plan = plan_of()
    before = _ids(tmp_path, plan)
    assert _differing(before, _ids(tmp_path, change(plan, 75))) == [1]
    assert 2 in _differing(before, _ids(tmp_path, change(plan, 100 - reach)))
    assert 2 not in _differing(before, _ids(tmp_path, change(plan, 100 - reach - 6)))


def test_times_count_in_their_chunk(tmp_path: Path) -> None:
    """And nowhere else."""
    plan = plan_of()
    assert _differing(_ids(tmp_path, _later(plan, 60)), _ids(tmp_path, _later(plan, 70))) == [1]


def test_tracks_count_by_which_faces_are_of_one(tmp_path: Path) -> None:
    """Their numbers do not, nor do parts that say nothing else."""
    plan = plan_of()
    named = replace(
        plan,
        chosen=replace(plan.chosen, track=np.full(FRAMES, 3)),
        parts=(replace(plan.parts[0], tracks=(3,)),),
    )
    assert _ids(tmp_path, plan) == _ids(tmp_path, named) == _ids(tmp_path, plan_of(parts=2))
    track = plan.chosen.track.copy()
    track[75:] = 8
    cut = replace(plan, chosen=replace(plan.chosen, track=track), parts=(replace(plan.parts[0], tracks=(7, 8)),))
    assert _differing(_ids(tmp_path, plan), _ids(tmp_path, cut)) == [1]


def test_an_end_that_moves_counts_where_it_is_near(tmp_path: Path) -> None:
    """The chunk before the last is rendered up to frames that are no longer there."""
    plan = plan_of()
    frames = 155
    shorter = replace(
        plan,
        source=plan.source[:frames],
        mel_start=plan.mel_start[:frames],
        timeline=Timeline(plan.timeline.pts[:frames], frames, Fraction(1, 25)),
        chunks=[*plan.chunks[:3], Span(150, frames)],
    )
    assert _differing(_ids(tmp_path, plan), _ids(tmp_path, shorter)) == [2, 3]


def test_frames_that_stay_as_they_are_have_no_faces(tmp_path: Path) -> None:
    """Without a network nothing that is said counts."""
    plan = plan_of()
    silent = [_ids(tmp_path, plan, *columns, reach=NO_REACH, dubs=False) for columns in ((), (225,))]
    assert silent[0] == silent[1] != _ids(tmp_path, plan)
