"""A mark is added at the audio's own rate: the audio stays as long as it is, and nothing clips."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.network_mix import measure_mixes
from lipwise_ray.media.probe import AudioInfo, probe_audio
from lipwise_ray.media.watermark import HiddenMark, MarkedAudio, marked_wave, write_marked
from lipwise_ray.synth.clips import ToneSpec, write_sound
from lipwise_ray.values import F32Array


class _Tone:
    """Marks with a tone of 1 kHz, in blocks of its own size."""

    def __init__(self, level: float = 0.01) -> None:
        self.level, self.heard = level, 0

    def marks(self, wave: Iterable[F32Array], message: int, on_window: Callable[[], None]) -> Iterator[F32Array]:
        self.heard = sum(len(block) for block in wave)
        times = np.arange(self.heard) / 16_000
        tone = (self.level * np.sin(2 * np.pi * (1000 + message) * times)).astype(np.float32)
        for start in range(0, self.heard, 4321):
            on_window()
            yield tone[start : start + 4321]


def _samples(info: AudioInfo) -> F32Array:
    return np.concatenate([*AudioReader(info).blocks(info.rate_hz, info.layout)], axis=1)


def _marked(source: AudioInfo, target: Path, mark: HiddenMark) -> MarkedAudio:
    mixes = measure_mixes(AudioReader(source)) if source.channels > 1 else {}
    return write_marked(source, mixes, target, mark)


@pytest.mark.parametrize(("rate_hz", "channels"), [(48_000, 2), (44_100, 1), (16_000, 2), (8_000, 1), (48_000, 6)])
def test_every_rate_and_layout_keeps_its_samples(rate_hz: int, channels: int, tmp_path: Path) -> None:
    """All channels get the same mark, and what the figures say is what was added."""
    write_sound(tmp_path / "s.wav", ToneSpec(1.37, codec="pcm_s16le", rate_hz=rate_hz, channels=channels))
    source = probe_audio(tmp_path / "s.wav")
    marked = _marked(source, tmp_path / "m.mka", HiddenMark(_Tone(), 500, 0.5))
    before, after = _samples(source), _samples(probe_audio(tmp_path / "m.mka"))
    assert after.shape == before.shape
    added = after - before
    np.testing.assert_allclose(added, np.broadcast_to(added[:1], added.shape), atol=1e-6)
    times = np.arange(added.shape[1]) / rate_hz
    wanted, inner = 0.005 * np.sin(2 * np.pi * 1500 * times), slice(rate_hz // 20, -(rate_hz // 20))
    np.testing.assert_allclose(added[0][inner], wanted[inner], atol=2e-5)
    powers = np.square(before, dtype=np.float64).sum(), np.square(added, dtype=np.float64).sum()
    assert marked.snr_db == pytest.approx(10 * np.log10(powers[0] / powers[1]), abs=0.01)


def test_full_scale_is_not_passed(tmp_path: Path) -> None:
    """Where the audio is at its loudest the mark gives way."""
    write_sound(tmp_path / "s.wav", ToneSpec(0.5, codec="pcm_s16le", rate_hz=48_000, channels=1))
    source = probe_audio(tmp_path / "s.wav")
    marked = _marked(source, tmp_path / "m.mka", HiddenMark(_Tone(level=0.9), 0, 4.0))
    after = _samples(marked.info)
    assert np.abs(after).max() == pytest.approx(1.0, abs=1e-6)


def test_silence_has_no_figure(tmp_path: Path) -> None:
    """Nothing over something, or something over nothing, is no ratio."""
    write_sound(tmp_path / "s.wav", ToneSpec(0.2, codec="pcm_s16le", rate_hz=16_000, channels=1))
    assert _marked(probe_audio(tmp_path / "s.wav"), tmp_path / "m.mka", HiddenMark(_Tone(0.0), 0, 1.0)).snr_db is None


def test_a_detector_hears_a_mark_under_channels_in_opposite_phase(tmp_path: Path) -> None:
    """Speech that cancels out in the sum leaves the mark, which is the same in both channels."""
    rate_hz, count = 16_000, 16_000
    left = (0.3 * np.sin(2 * np.pi * 200 * np.arange(count) / rate_hz) * 32767).astype(np.int16)
    with av.open(str(tmp_path / "s.wav"), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=rate_hz, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.stack([left, -left]).T.reshape(1, -1).copy(), "s16", "stereo")
        frame.sample_rate = rate_hz
        output.mux([*stream.encode(frame), *stream.encode(None)])
    tone = _Tone()
    marked = _marked(probe_audio(tmp_path / "s.wav"), tmp_path / "m.mka", HiddenMark(tone, 0, 1.0))
    assert tone.heard == count
    heard = np.concatenate([*marked_wave(marked.info)])
    assert np.abs(heard).max() == pytest.approx(0.01, rel=0.02)
