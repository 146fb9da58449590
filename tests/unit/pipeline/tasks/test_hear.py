"""The task that encodes what faces say, for lip-sync networks that hear an encoder's states."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.pipeline.dubbing.job_audio import Sounds
from lipwise_ray.pipeline.flows.task_kinds import HearPayload
from lipwise_ray.pipeline.inputs.encoded_audio import open_states
from lipwise_ray.pipeline.manifest.speakers import Speaker
from lipwise_ray.pipeline.tasks.hear import hear
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.synth.clips import ToneSpec, write_sound
from tests.support.latent_models import write_musetalk
from tests.support.task_context import NOTHING_KNOWN, Bench


def _bench(folder: Path, **cells: Any) -> Bench:
    file = Path(write_musetalk(folder / "models")["audio_encoder_checkpoint"])
    bench = Bench(folder, lipsync={"model": "passthrough", "vad": "none"})
    weights = Checkpoints({"audio_encoder": Checkpoint("custom", "whisper_encoder", file, sha256_of(file))})
    bench.row = replace(bench.with_spec(**cells) if cells else bench.row, weights=weights)
    return bench


def _files(folder: Path) -> list[Path]:
    return sorted((folder / "state" / "sounds").glob("*/states-*/*.npy"))


@pytest.mark.slow
def test_states_are_made_once_and_again_where_they_are_damaged(tmp_path: Path) -> None:
    """They are there for every 20 ms of the audio; a second task finds them, and what is cut off is made anew."""
    bench = _bench(tmp_path)
    payload = HearPayload(bench.row, bench.probed())
    hear(bench.context, payload, NOTHING_KNOWN)
    (path,) = _files(tmp_path)
    whole, made = path.read_bytes(), path.stat().st_mtime_ns
    job = bench.context.open(payload)
    assert job.encoder is not None
    encoded = open_states(job.store, payload.probed.identity["audio"], job.encoder.id, salvage=False)
    assert encoded.states.shape == (40, 5, 384)
    assert np.isfinite(encoded.states).all()
    assert encoded.silence.shape == (5, 384)
    hear(bench.context, payload, NOTHING_KNOWN)
    assert path.stat().st_mtime_ns == made
    path.write_bytes(whole[:-10])
    hear(bench.context, payload, NOTHING_KNOWN)
    (path,) = _files(tmp_path)
    assert path.read_bytes() == whole


def test_each_face_has_the_states_of_what_it_says(tmp_path: Path) -> None:
    """Of a speaker's one audio, of one that begins later, and of several in turn; of nothing else."""
    for name in ("one", "two", "three"):
        tone_hz = {"one": 200, "two": 300, "three": 400}[name]
        sound = ToneSpec(0.3, codec="pcm_s16le", rate_hz=16_000, channels=1, tone_hz=tone_hz)
        write_sound(tmp_path / f"{name}.wav", sound)
    left, right, middle = "box:10,60,10,60", "box:60,110,50,110", "box:10,60,90,150"
    told = ((left, "one", 0.0), (right, "two", 0.2), (middle, "three", 0.0), (middle, "two", 0.4))
    speakers = tuple(Speaker(face, str(tmp_path / f"{name}.wav"), start_s) for face, name, start_s in told)
    bench = _bench(tmp_path, audio=None, speakers=speakers)
    payload = HearPayload(bench.row, bench.probed())
    hear(bench.context, payload, NOTHING_KNOWN)
    job, probed = bench.context.open(payload), payload.probed
    lines = Sounds(job, bench.context.scratch, probed.job_id, probed.identity).lines()
    assert len(lines) == 3
    assert {path.parts[-3] for path in _files(tmp_path)} == {line.sound_id for line in lines}
    assert job.encoder is not None
    for line in lines:
        assert len(open_states(job.store, line.sound_id, job.encoder.id, salvage=False).states) >= 15
