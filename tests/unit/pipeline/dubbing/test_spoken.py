"""Speech in what a face says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lipwise_ray.pipeline.dubbing.job_audio import Sounds
from lipwise_ray.pipeline.dubbing.spoken import spoken_columns
from lipwise_ray.pipeline.flows.task_kinds import PlanPayload
from lipwise_ray.pipeline.manifest.speakers import Speaker
from lipwise_ray.synth.clips import ToneSpec, write_sound
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
