"""Speech in what a face says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from lipwise_ray.lipsync.mel import MEL_RATE_HZ
from lipwise_ray.pipeline.dubbing.job_audio import Sounds
from lipwise_ray.pipeline.dubbing.spoken import spoken_columns
from lipwise_ray.pipeline.flows.task_kinds import PlanPayload
from lipwise_ray.pipeline.inputs.records import open_columns, voices
from lipwise_ray.pipeline.manifest.speakers import Speaker
from lipwise_ray.state import layout
from lipwise_ray.synth.clips import ToneSpec, write_sound
from tests.conftest import ROOT
from tests.support.task_context import Bench


def test_clips_are_heard_where_they_are(tmp_path: Path) -> None:
    """Of two clips of a face the mask has both at their times, and the silence between them."""
    bench = Bench(tmp_path, lipsync={"model": "passthrough", "vad": "none"})
    write_sound(tmp_path / "clip.wav", ToneSpec(0.2, codec="pcm_s16le", rate_hz=16_000, channels=1))
    clip = str(tmp_path / "clip.wav")
    said = tuple(Speaker("box:60,110,50,110", clip, start_s) for start_s in (0.0, 0.6))
    bench.row = replace(bench.row, job=replace(bench.row.job, audio=None, speakers=said))
    probed = bench.probed()
    job = bench.context.open(PlanPayload(bench.row, probed))
    (line,) = Sounds(job, bench.context.scratch, probed.job_id, probed.identity).lines()
    mask = spoken_columns(job, line)
    assert len(line.clips) == 2
    assert mask[2:14].all()
    assert not mask[25:40].any()
    assert mask[52:60].all()


def test_a_clip_is_heard_alike_wherever_it_begins(tmp_path: Path) -> None:
    """Silence before it, and what the face says later, change neither its mel nor its pauses."""
    bench = Bench(tmp_path, {"vad": "silero_vad"})
    clip, start_s, stop_s = str(ROOT / "manifests" / "demo" / "still.m4a"), 2.5, 5.0
    once, twice = "box:60,110,50,110", "box:10,60,10,60"
    said = ((once, (start_s, stop_s)), (twice, (start_s, stop_s)), (twice, (6.0, 7.0)))
    speakers = tuple(Speaker(faces, clip, *times) for faces, times in said)
    bench.row = replace(bench.row, job=replace(bench.row.job, audio=None, speakers=speakers))
    probed = bench.probed()
    job = bench.context.open(PlanPayload(bench.row, probed))
    lines = Sounds(job, bench.context.scratch, probed.job_id, probed.identity).lines()
    begin, end = (round(time_s * MEL_RATE_HZ) for time_s in (start_s, stop_s))
    alone, other = (spoken_columns(job, line)[:end] for line in lines)
    own = voices(job.store, probed.identity["speakers"][0]["audio"], 0, salvage=False, speech=job.speech)
    assert np.array_equal(alone, other)
    assert alone[:begin].sum() == 0
    assert begin + np.flatnonzero(own)[0] == np.flatnonzero(alone)[0]
    mels = [open_columns(job.store, layout.mel(line.sound_id, salvage=False)) for line in lines]
    assert np.array_equal(mels[0][: end - 4], mels[1][: end - 4])  # up to where it is cut
