"""Sound: decoded once to mono 16 kHz for the networks, streamed, never whole in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np
import soxr

from lipwise_ray.errors import AudioError
from lipwise_ray.media.container import decode_problem, open_input, reading, write_problem
from lipwise_ray.media.limits import check_duration
from lipwise_ray.media.probe import AudioInfo
from lipwise_ray.media.samples import samples_of
from lipwise_ray.settings import Limits
from lipwise_ray.values import F32Array

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

NETWORK_RATE_HZ = 16_000
_BLOCK_SAMPLES = 1 << 16

# Share of each loudspeaker in the mono sound, before division by the sum (ITU-R BS.775 down-mix).
_SPEAKER_WEIGHTS = {"FC": 1.0, "FL": 0.7071, "FR": 0.7071, "LFE": 0.0}
_SURROUND_WEIGHT = 0.5
_STEREO = 2


@dataclass(frozen=True, slots=True)
class Sound:
    """A decoded sound.

    ``samples`` counts native samples, silence before the first one included.
    """

    samples: int
    rate_hz: int

    @property
    def duration_s(self) -> Fraction:
        """Exact duration."""
        return Fraction(self.samples, self.rate_hz)


def decode_audio(info: AudioInfo, *, salvage: bool = False) -> Iterator[AudioFrame]:
    """Yield the decoded frames of an audio stream.

    Raises:
        MediaError: The stream is damaged and `salvage` is off.
    """
    with reading(info.path), open_input(info.path) as container:
        stream = next(s for s in container.streams.audio if s.index == info.stream_index)
        packets = container.demux(stream)
        while True:
            try:
                yield from next(packets).decode()
            except (StopIteration, av.error.EOFError):
                return
            except av.error.FFmpegError as error:
                if not salvage:
                    raise decode_problem(info.path, error, "in its sound") from error


def _mono(frames: Iterator[AudioFrame], info: AudioInfo) -> Iterator[F32Array]:
    """Yield mono samples at the native rate."""
    to_float = av.AudioResampler(format="flt", layout=info.layout, rate=info.rate_hz)
    weights: F32Array | None = None
    done = 0
    lead = round(info.lead_s * info.rate_hz)
    while lead > 0:
        yield np.zeros(min(lead, _BLOCK_SAMPLES), np.float32)
        lead -= _BLOCK_SAMPLES
    for frame in frames:
        for piece in to_float.resample(frame):
            if weights is None:
                weights = channel_weights([channel.name for channel in piece.layout.channels])
            mono = np.asarray(weights @ samples_of(piece), np.float32)
            if not np.isfinite(mono).all():
                raise AudioError(
                    "not_finite",
                    str(info.path),
                    "must hold finite samples",
                    f"NaN or infinity after {done / info.rate_hz:.2f} s",
                    "Export the sound again, as 16 or 24 bit integers",
                )
            done += len(mono)
            yield mono


def channel_weights(names: list[str]) -> F32Array:
    """Return each channel's share of the mono sound that the networks hear, shape (channels,)."""
    if len(names) <= _STEREO:
        return np.full(len(names), 1 / len(names), np.float32)
    weights = np.array([_SPEAKER_WEIGHTS.get(name, _SURROUND_WEIGHT) for name in names], np.float32)
    if not weights.any():
        weights[:] = 1
    return weights / weights.sum()


def extract_network_sound(
    info: AudioInfo, target: Path, *, salvage: bool = False, limits: Limits | None = None
) -> Sound:
    """Decode a sound to mono 16 kHz float32 and write the raw samples to a file.

    The whole stream passes one resampler, so no block has edges of its own.

    Args:
        info: The audio stream.
        target: Where the raw little-endian float32 samples go.
        salvage: Keep what decodes of a damaged stream.
        limits: How long it may be, whatever its header says.

    Returns:
        The exact number of native samples.

    Raises:
        AudioError: The stream holds no sample, or a sample is NaN or infinite.
        MediaError: The stream is damaged, or too long.
        StorageError: The disk is full.
    """
    limits = limits or Limits()
    resampler = soxr.ResampleStream(info.rate_hz, NETWORK_RATE_HZ, 1, dtype="float32", quality="HQ")
    samples = 0
    direct = info.rate_hz == NETWORK_RATE_HZ
    try:
        with reading(info.path), target.open("wb") as file:
            for block in _mono(decode_audio(info, salvage=salvage), info):
                samples += len(block)
                check_duration(Fraction(samples, info.rate_hz), info.path, limits)
                file.write((block if direct else resampler.resample_chunk(block)).tobytes())
            if not direct:
                file.write(resampler.resample_chunk(np.zeros(0, np.float32), last=True).tobytes())
            if file.tell() == 0 and samples:
                # Less than one sample of 16 kHz: the networks get one sample of silence.
                file.write(np.zeros(1, np.float32).tobytes())
    except OSError as error:
        raise write_problem(target, error) from error
    if samples == 0:
        raise AudioError(
            "no_samples",
            str(info.path),
            "needs at least one audio sample",
            "a stream of length zero",
            'Set "audio" to a file with sound',
        )
    return Sound(samples, info.rate_hz)
