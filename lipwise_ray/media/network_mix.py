"""The mix that networks hear of an audio stream: one channel in which the speech is, at one loudness.

A plain mean of the channels loses speech: in opposite phase it cancels out, on one side it is 6 dB low. So the channels
are compared over the whole stream first, in the band of speech, and one mix is chosen for each layout that occurs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import soxr

from lipwise_ray.media.audio_reader import AudioReader, Channels
from lipwise_ray.media.channels import STEREO, channel_names, downmix_weights
from lipwise_ray.media.samples import Samples
from lipwise_ray.values import F32Array, F64Array

NETWORK_LUFS = -20.0
"""Loudness (EBU R 128, integrated) of what the lip-sync network hears.

Between broadcast speech (-23), of which LRS2 and so Wav2Lip's training is made, and what the bundled networks learnt
from (-14 to -24).
"""

MOST_GAIN_DB = 30.0
SILENT_LUFS = -60.0
"""An audio stream that is quieter as a whole holds no speech, and is not made louder."""

MONO, SUM, DIFFERENCE, DOWNMIX = "mono", "sum", "difference", "downmix"
"""Names of mixes; any other is the name of the one channel that is heard."""

_OPPOSITE = 2.0
"""In opposite phase: the difference of two channels has so many times the power of their sum."""

_FAINT = 0.01
"""A channel with less of the loudest one's power holds no speech."""

_BAND_RATE_HZ = 8000
_EMPHASIS = 0.97


def gain_of(lufs: float | None) -> float:
    """Return the factor that brings an audio stream of this loudness to that of the networks; 1 for silence."""
    if lufs is None or lufs < SILENT_LUFS:
        return 1.0
    return float(10 ** (min(NETWORK_LUFS - lufs, MOST_GAIN_DB) / 20))


def mix_weights(layout: str, mix: str) -> F32Array:
    """Return each channel's share of what is heard, shape (channels,).

    Args:
        layout: FFmpeg's name of the channels.
        mix: ``mono``, ``sum``, ``difference``, ``downmix``, or a channel's name.
    """
    names = channel_names(layout)
    if mix in names:
        return np.array([float(name == mix) for name in names], np.float32)
    pair = _pair(names)
    if pair is not None and mix in (SUM, DIFFERENCE):
        weights = np.zeros(len(names), np.float32)
        weights[list(pair)] = (0.5, 0.5 if mix == SUM else -0.5)
        return weights
    return downmix_weights(names)


def choose_mix(layout: str, powers: F64Array) -> str:
    """Return the mix in which speech is kept.

    Of two channels their sum; their difference where they are in opposite phase; one alone where the other is all but
    silent. Of more channels the centre, where dialogue is mixed; without one the two in front, as above; else the
    loudest.

    Args:
        layout: FFmpeg's name of the channels.
        powers: Products of the channels with each other in the band of speech, summed, shape (channels, channels).
    """
    names = channel_names(layout)
    loud = powers.diagonal().copy()
    if "LFE" in names:
        loud[names.index("LFE")] = 0.0
    faint = loud.max(initial=0.0) * _FAINT
    if len(names) == 1:
        return MONO
    if faint <= 0 or len(set(names)) < len(names):  # silence, or channels without names
        return DOWNMIX
    if len(names) > STEREO and "FC" in names and loud[names.index("FC")] > faint:
        return "FC"
    pair = _pair(names)
    if pair is None or loud[list(pair)].max() <= faint:
        return names[int(loud.argmax())]
    left, right = pair
    if loud[left] <= faint or loud[right] <= faint:
        return names[left if loud[left] > loud[right] else right]
    both, cross = loud[left] + loud[right], 2 * powers[left, right]
    return DIFFERENCE if both - cross > _OPPOSITE * (both + cross) else SUM


def _pair(names: Sequence[str]) -> tuple[int, int] | None:
    """Return the places of the two front channels."""
    if "FL" in names and "FR" in names:
        return names.index("FL"), names.index("FR")
    return (0, 1) if len(names) == STEREO else None


def measure_mixes(reader: AudioReader) -> dict[str, str]:
    """Read an audio stream and return the mix of each layout in it."""
    powers: dict[str, F64Array] = {}
    for channels, blocks in reader.runs():
        products = powers.setdefault(channels.layout, np.zeros((channels.count, channels.count)))
        band = _SpeechBand(channels)
        for block in blocks:
            products += band.powers(block)
    return {layout: choose_mix(layout, products) for layout, products in powers.items()}


class _SpeechBand:
    """Measures channels between some 300 and 4000 Hz: at 8 kHz, with the emphasis that speech coders use."""

    def __init__(self, channels: Channels) -> None:
        self._stream = soxr.ResampleStream(
            channels.rate_hz, _BAND_RATE_HZ, channels.count, dtype="float32", quality="LQ"
        )
        self._last = np.zeros((1, channels.count), np.float32)

    def powers(self, block: Samples) -> F64Array:
        piece = np.concatenate([self._last, self._stream.resample_chunk(block.T)])
        self._last = piece[-1:]
        emphasised = (piece[1:] - np.float32(_EMPHASIS) * piece[:-1]).astype(np.float64)
        return emphasised.T @ emphasised


@dataclass(frozen=True, slots=True)
class NetworkMix:
    """The mix of an audio stream that networks hear.

    Attributes:
        mixes: The mix by layout: ``mono``, ``sum``, ``difference``, ``downmix``, or a channel's name.
        lufs: Loudness of that mix, None where it is too short or silent to tell.
    """

    mixes: Mapping[str, str]
    lufs: float | None

    @property
    def gain(self) -> float:
        """Factor by which the lip-sync network hears it louder."""
        return gain_of(self.lufs)
