"""The task that takes voices out of a video's own audio."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lipwise_ray.errors import AudioError
from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.pipeline.flows.audio_tasks import audio_task
from lipwise_ray.pipeline.flows.task_kinds import SEPARATE, SOUND, ProbePayload, SeparatePayload
from lipwise_ray.pipeline.manifest.background import KEEP
from lipwise_ray.pipeline.tasks.probe import probe
from lipwise_ray.pipeline.tasks.separate import separate
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.demucs import seeded_network, write_pickle
from tests.support.loudness_meter import samples_in
from tests.support.task_context import NOTHING_KNOWN, Bench


def _bench(folder: Path) -> Bench:
    """Return a bench whose row keeps the background of its video, by a made-up network."""
    file = write_pickle(folder / "small.th", seeded_network())
    bench = Bench(folder)
    weights = Checkpoints({"separator": Checkpoint("custom", "htdemucs", file, sha256_of(file))})
    bench.row = replace(bench.with_spec(background=KEEP), weights=weights)
    return bench


def _write_voice(folder: Path) -> None:
    """Write the voice that the bench would write beside a video of its own."""
    write_sound(folder / "s.wav", ToneSpec(0.8, codec="pcm_s16le", rate_hz=16_000, channels=1))


def test_six_channels_stay_six_and_their_bass_is_not_touched(tmp_path: Path) -> None:
    """It is made once, found by a second task, and made again where the file became another."""
    tone = ToneSpec(0.8, codec="flac", rate_hz=44_100, channels=6)
    write_clip(tmp_path / "v.mkv", ClipSpec(size=Size(160, 120), frames=20, tone=tone))
    _write_voice(tmp_path)
    wave = samples_in(tmp_path / "v.mkv")[0]
    bench = _bench(tmp_path)
    payload = SeparatePayload(bench.row, bench.probed())
    separate(bench.context, payload, NOTHING_KNOWN)
    (path,) = (tmp_path / "state" / "sounds").glob("*/background-*/*.mka")
    found, rate_hz = samples_in(path)
    assert (found.shape, rate_hz) == (wave.shape, 44_100)
    changed = np.abs(found - wave).max(axis=1)
    assert changed[3] < 1e-6
    assert (np.delete(changed, 3) > 1e-3).all()
    made = path.stat().st_mtime_ns
    separate(bench.context, payload, NOTHING_KNOWN)
    assert path.stat().st_mtime_ns == made
    path.write_bytes(path.read_bytes()[:-10])
    separate(bench.context, payload, NOTHING_KNOWN)
    (path,) = (tmp_path / "state" / "sounds").glob("*/background-*/*.mka")
    assert np.array_equal(samples_in(path)[0], found)


def test_rows_of_one_video_have_one_separation_and_then_each_its_audio(tmp_path: Path) -> None:
    """Whatever else their jobs differ in, the task has one name."""
    bench = _bench(tmp_path)
    first = audio_task(bench.row, bench.probed(), is_separated=False)
    bench.row = bench.with_spec(language="es")
    probed = bench.probed()
    second = audio_task(bench.row, probed, is_separated=False)
    assert first[:2] == second[:2]
    assert first[0] is SEPARATE
    assert audio_task(bench.row, probed, is_separated=True)[:2] == (SOUND, probed.job_id)


def test_a_video_without_audio_is_refused_before_any_work(tmp_path: Path) -> None:
    """Its background cannot be kept."""
    write_clip(tmp_path / "v.mkv", ClipSpec(size=Size(160, 120), frames=20))
    _write_voice(tmp_path)
    bench = _bench(tmp_path)
    with pytest.raises(AudioError) as caught:
        probe(bench.context, ProbePayload(bench.row), NOTHING_KNOWN)
    assert caught.value.code == "no_own_background"
