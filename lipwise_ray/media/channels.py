"""Channels of an audio stream by the names of their loudspeakers, and their ways from one layout to another."""

from __future__ import annotations

import av
import numpy as np

from lipwise_ray.values import F32Array

STEREO = 2
_FRONT = ("FL", "FR")
_BESIDE = {"BL": "SL", "BR": "SR", "SL": "BL", "SR": "BR"}

# Share of each loudspeaker in a down-mix to one channel, before division by the sum (ITU-R BS.775).
_SPEAKER_WEIGHTS = {"FC": 1.0, "FL": 0.7071, "FR": 0.7071, "LFE": 0.0}
_SURROUND_WEIGHT = 0.5

_FOLDED = 0.7071
"""Gain of a loudspeaker that a layout lacks in those in front (ITU-R BS.775)."""

_LEVELS = {"LFE": 0.0, "DL": 1.0, "DR": 1.0}
"""The same of those that fold otherwise: two channels that were mixed down already stay as they are."""


def channel_names(layout: str) -> list[str]:
    """Return FFmpeg's names of a layout's channels, in order."""
    return [channel.name for channel in av.AudioLayout(layout).channels]


def downmix_weights(names: list[str]) -> F32Array:
    """Return each channel's share of a down-mix to one channel, shape (channels,)."""
    if len(names) <= STEREO:
        return np.full(len(names), 1 / len(names), np.float32)
    weights = np.array([_SPEAKER_WEIGHTS.get(name, _SURROUND_WEIGHT) for name in names], np.float32)
    if not weights.any():
        weights[:] = 1
    return weights / weights.sum()


def routes(source: list[str], target: list[str]) -> F32Array:
    """Return the gains from the channels of one layout to those of another, shape (target, source).

    One channel goes to both front ones as it is.

    Args:
        source: FFmpeg's names of the channels, in order.
        target: The same of the other layout.
    """
    if source == target:
        return np.eye(len(target), dtype=np.float32)
    if len(target) == 1:
        return downmix_weights(source)[None]
    gains = np.zeros((len(target), len(source)), np.float32)
    is_several = len(source) > 1
    fronts = [target.index(name) for name in _FRONT if name in target] or [0]
    for column, name in enumerate(source):
        beside = _BESIDE.get(name, name)
        if is_several and (name in target or beside in target):
            rows, level = [target.index(name if name in target else beside)], 1.0
        else:  # by its side, or to both sides
            rows = [row for row in fronts if is_several and target[row][-1] == name[-1]] or fronts
            level = _LEVELS.get(name, _FOLDED) if is_several else 1.0
        gains[rows, column] = level
    return gains
