"""Which frames are compared for a score, and in which chunk they are."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from lipwise_ray.media.timeline import Timeline
from lipwise_ray.pipeline.dubbing.job_context import read_plan
from lipwise_ray.pipeline.dubbing.planner import recipe_of
from lipwise_ray.pipeline.flows.task_kinds import ScorePayload
from lipwise_ray.pipeline.quality.score_chunk import chunk_of, is_said, stills
from lipwise_ray.pipeline.quality.segment_lips import grid_of
from tests.support.task_context import FRAMES, Bench


def test_frames_of_a_25th_are_found_in_the_chunks_of_the_output(tmp_path: Path) -> None:
    """At 25 frames a second each is its own; every frame belongs to one chunk."""
    bench = Bench(tmp_path)
    plan = read_plan(bench.store, bench.planned().job_id)
    assert grid_of(plan).tolist() == list(range(FRAMES))
    assert [chunk_of(plan, number) for number in (0, 9, 10, 19)] == [0, 0, 1, 1]


def test_other_rates_are_sampled_25_times_a_second(tmp_path: Path) -> None:
    """Of 50 frames a second every other one is looked at, of 12.5 each one twice."""
    plan = read_plan(Bench(tmp_path).store, Bench(tmp_path).planned().job_id)
    ticks = np.arange(FRAMES, dtype=np.int64)
    fast = replace(plan, timeline=Timeline(ticks, FRAMES, Fraction(1, 50)))
    slow = replace(plan, timeline=Timeline(ticks, FRAMES, Fraction(2, 25)))
    assert grid_of(fast).tolist() == list(range(0, FRAMES, 2))
    assert grid_of(slow).tolist() == [number // 2 for number in range(2 * FRAMES)]


def test_the_images_of_a_report_are_of_the_middle_frame(tmp_path: Path) -> None:
    """Of the chunk that has it, before and after; the others have none."""
    bench = Bench(tmp_path)
    probed = bench.rendered()
    job, plan = bench.context.open(ScorePayload(bench.row, probed, 1)), read_plan(bench.store, probed.job_id)
    found = [
        stills(job, plan, chunk, recipe_of(job.spec.settings, job.video), job_id=probed.job_id, threads=1)
        for chunk in (0, 1)
    ]
    assert found[0] is None
    assert found[1] is not None
    before, after = (cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR) for image in found[1])
    assert before.shape == after.shape == (224, 224, 3)
    assert np.abs(before.astype(float) - after).mean() < 3  # nothing was dubbed here


def test_a_face_counts_while_it_speaks(tmp_path: Path) -> None:
    """A window belongs to the turn that its middle is in, of turns that overlap a little too; without turns all do."""
    part = read_plan(Bench(tmp_path).store, Bench(tmp_path).planned().job_id).parts[0]
    begins = np.arange(0, 100, 5, dtype=np.int64)

    def said(*times_s: tuple[str, str]) -> list[int]:
        turns = tuple((Fraction(start), Fraction(stop)) for start, stop in times_s)
        return begins[is_said(replace(part, times_s=turns), begins)].tolist()

    assert said() == begins.tolist()
    assert said(("1", "2")) == [25, 30, 35, 40, 45]
    assert said(("0", "0.5"), ("0.49", "0.6"), ("3.25", "3.6")) == [0, 5, 10, 80, 85]
    assert said(("1", "2"), ("1.2", "1.4")) == [25, 30, 35, 40, 45]
    assert said(("9", "9.5")) == []
