"""Rows whose texts are spoken before anything else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lipwise_ray.pipeline.dubbing.speeches import MadeSpeech
from lipwise_ray.pipeline.flows.dub import RowFlow
from lipwise_ray.pipeline.flows.spoken_rows import SpokenRowTasks
from lipwise_ray.pipeline.flows.task_kinds import PROBE, SPEAK, SpeakResult
from lipwise_ray.pipeline.manifest.speakers import Script
from tests.support.tasks import row_part

ADDRESS = f"state://speech/abc/{'0' * 64}.wav"


def test_the_probe_of_a_text_gets_its_speech() -> None:
    """The row's own text stays with it, but whoever comes after reads audio."""
    part = row_part()
    part = replace(part, job=replace(part.job, audio=None, script=Script("Hello")))
    flow = RowFlow(0, 0, 0, "", part)
    assert isinstance(flow, SpokenRowTasks)
    (task,) = flow.start()
    assert (task.kind, flow.progress.stage) == (SPEAK, "speaking")
    (probe,) = flow.advance(task, SpeakResult(speeches=(MadeSpeech(ADDRESS),)))
    assert probe.kind is PROBE
    assert probe.payload.row.job.audio == ADDRESS
    assert flow.progress.stage == "probing"


def test_speech_is_of_the_state() -> None:
    """Two rows of one text share a task; one that has audio has none."""
    part = row_part()
    spoken = replace(part, job=replace(part.job, audio=None, script=Script("Hello")))
    ids = {RowFlow(row, 0, 0, "", replace(spoken)).start()[0].id for row in range(2)}
    assert len(ids) == 1
    (first,) = RowFlow(0, 0, 0, "", part).start()
    assert first.kind is PROBE
    with pytest.raises(TypeError, match="gave SpeakResult instead of ProbeResult"):
        RowFlow(0, 0, 0, "", part).advance(first, SpeakResult(speeches=()))
