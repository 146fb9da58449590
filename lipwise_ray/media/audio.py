"""Audio for the networks: decoded once to mono 16 kHz, streamed, never whole in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from lipwise_ray.errors import AudioError
from lipwise_ray.media.audio_reader import AudioReader, Channels
from lipwise_ray.media.channels import channel_names
from lipwise_ray.media.container import reading, write_problem
from lipwise_ray.media.loudness import LoudnessMeter
from lipwise_ray.media.network_mix import MONO, NetworkMix, measure_mixes, mix_weights
from lipwise_ray.media.probe import AudioInfo
from lipwise_ray.media.samples import Samples
from lipwise_ray.settings.model import LimitsSettings
from lipwise_ray.values import round_half_up

NETWORK_RATE_HZ = 16_000
_LEAST_METERED_S = Fraction(2, 5)  # EBU R 128 measures in stretches of so much
_LUFS_DIGITS = 2


@dataclass(frozen=True, slots=True)
class DecodedAudio:
    """A decoded audio stream.

    Attributes:
        samples: Native samples, silence before the first one and in holes included.
        rate_hz: Their rate; the highest where it changes.
        layout: FFmpeg's name of the channels; the most where they change.
        heard: Mix that the networks hear.
        holes: Holes in its time stamps that became silence, and overlaps that were cut.
        hole_s: Their length together.
        changes: Number of times that rate or channels change.
    """

    samples: int
    rate_hz: int
    layout: str
    heard: NetworkMix
    holes: int = 0
    hole_s: float = 0.0
    changes: int = 0

    @property
    def duration_s(self) -> Fraction:
        """Exact duration."""
        return Fraction(self.samples, self.rate_hz)

    def described(self, info: AudioInfo) -> AudioInfo:
        """Return a stream's description with what decoding found: the highest rate and the most channels."""
        return replace(info, rate_hz=self.rate_hz, layout=self.layout, channels=len(channel_names(self.layout)))

    @property
    def is_even(self) -> bool:
        """True where its packets can be taken as they are: no hole, and the same parameters throughout."""
        return not self.holes and not self.changes


def extract_network_audio(
    info: AudioInfo,
    target: Path,
    *,
    salvage: bool = False,
    limits: LimitsSettings | None = None,
    rate_hz: int = NETWORK_RATE_HZ,
) -> DecodedAudio:
    """Decode an audio stream to mono float32 and write the raw samples to a file.

    They are as loud as the mix of the channels is; `DecodedAudio.heard` holds the factor for the lip-sync network. A
    run of equal parameters passes one resampler, so no block has edges of its own.

    Args:
        info: The audio stream.
        target: File for the raw little-endian float32 samples.
        salvage: Keep what decodes of a damaged stream.
        limits: Limits on its length, whatever its header says.
        rate_hz: Rate of the samples.

    Returns:
        What was decoded, with the exact number of native samples.

    Raises:
        AudioError: The stream holds no sample, or a sample is NaN or infinite.
        MediaError: The stream is damaged, or too long.
        StorageError: The disk is full.
    """
    with reading(info.path):
        mixes = measure_mixes(AudioReader(info, salvage=salvage, limits=limits)) if info.channels > 1 else {}
        reader = AudioReader(info, salvage=salvage, limits=limits)
        try:
            lufs = _write(reader, target, mixes, rate_hz)
        except _UnknownLayoutError:  # more channels than the header says
            mixes = measure_mixes(AudioReader(info, salvage=salvage, limits=limits))
            reader = AudioReader(info, salvage=salvage, limits=limits)
            lufs = _write(reader, target, mixes, rate_hz)
    findings = reader.findings
    if not findings.runs:
        raise AudioError(
            "no_samples",
            str(info.path),
            got="the audio stream holds no samples",
            do='Set "audio" to a file with an audio stream',
        )
    rate_hz = max(run.rate_hz for run in findings.runs)
    return DecodedAudio(
        samples=max(1, round_half_up(findings.length_s * rate_hz)),
        rate_hz=rate_hz,
        layout=max(findings.runs, key=lambda run: run.count).layout,
        heard=NetworkMix({run.layout: mixes.get(run.layout, MONO) for run in findings.runs}, lufs),
        holes=findings.holes,
        hole_s=float(findings.hole_s),
        changes=len(findings.runs) - 1,
    )


class _UnknownLayoutError(Exception):
    """Several channels for which no mix was chosen."""


def mono(reader: AudioReader, mixes: Mapping[str, str], rate_hz: int) -> Iterator[Samples]:
    """Yield the network mix of an audio stream, in blocks of shape (1, N).

    Args:
        reader: The audio.
        mixes: Mixes to mono by layout.
        rate_hz: The rate wanted.
    """
    for channels, blocks in reader.runs():
        yield from reader.resampled(_mixed(blocks, channels, mixes), channels.rate_hz, rate_hz, 1)


def _mixed(blocks: Iterator[Samples], channels: Channels, mixes: Mapping[str, str]) -> Iterator[Samples]:
    if channels.count == 1:
        yield from blocks
        return
    if channels.layout not in mixes:
        raise _UnknownLayoutError
    weights = mix_weights(channels.layout, mixes[channels.layout])[None]
    for block in blocks:
        yield np.asarray(weights @ block, np.float32)


def _write(reader: AudioReader, target: Path, mixes: Mapping[str, str], rate_hz: int) -> float | None:
    """Write what the networks hear; return its loudness."""
    least = int(rate_hz * _LEAST_METERED_S)
    meter, written = LoudnessMeter(rate_hz, "mono"), 0
    try:
        with target.open("wb") as file:
            for block in mono(reader, mixes, rate_hz):
                meter.push(block)
                written += file.write(block.tobytes()) // block.itemsize
            if written == 0 and reader.findings.runs:
                # Less than one sample of that rate: the networks get one sample of silence.
                file.write(np.zeros(1, np.float32).tobytes())
    except OSError as error:
        raise write_problem(target, error) from error
    if not 0 < written < least:
        return meter.result().lufs
    # One stretch is measured then, of which the audio is a part: silence makes it no quieter than it is.
    meter.push(np.zeros((1, least - written), np.float32))
    lufs = meter.result().lufs
    return None if lufs is None else round(lufs + 10 * math.log10(least / written), _LUFS_DIGITS)
