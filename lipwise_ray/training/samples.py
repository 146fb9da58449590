"""Drawing samples from a pack: which windows, which mels, in sync or not."""

from __future__ import annotations

import numpy as np

from lipwise_ray.nets.expert import FRAMES
from lipwise_ray.training.pack import Pack
from lipwise_ray.training.task import Arrays
from lipwise_ray.values import I64Array, U8Array

_MOST_MOVE_PX = 3
_IN_SYNC, _MIRRORED = 0.5, 0.5  # shares of the samples


def expert_samples(pack: Pack, rng: np.random.Generator, count: int, part: slice, *, augment: bool = False) -> Arrays:
    """Return lips and mels, half of them from another time of the same clip.

    Args:
        pack: The clips.
        rng: Random numbers.
        count: Samples of the whole batch.
        part: Those to return, B of them.
        augment: Mirror, move and relight the lips, each window as a whole.

    Returns:
        ``lips`` (B, 5, S/2, S, 3) uint8; ``mel`` (B, 80, 16); ``in_sync`` (B,) float32.

    Source: Wav2Lip color_syncnet_train.py; differs in: every window is equally likely, not every clip.
    """
    rows, run = _draw(pack, rng, count)
    other = _another(pack, rng, rows, run)
    in_sync = rng.random(count) < _IN_SYNC
    shown = np.where(in_sync, rows, other)[part]
    if augment:
        chances = [np.random.default_rng(int(seed)) for seed in rng.integers(1 << 31, size=count)[part]]
        lips = np.stack(
            [_varied(pack.frames[row : row + FRAMES], chance) for row, chance in zip(shown, chances, strict=True)]
        )
    else:
        lips = pack.frames[shown[:, None] + np.arange(FRAMES)][:, :, pack.size_px // 2 :]
    return {
        "lips": lips,
        "mel": pack.mel_windows(rows[part], run[part]),
        "in_sync": in_sync[part].astype(np.float32),
    }


def _varied(faces: U8Array, rng: np.random.Generator) -> U8Array:
    """Return the lower halves of a window's faces (5, S, S, 3), mirrored, moved and relit."""
    size = faces.shape[1]
    down, aside = rng.integers(-_MOST_MOVE_PX, _MOST_MOVE_PX + 1, size=2)
    rows = np.clip(np.arange(size // 2, size) + down, 0, size - 1)
    columns = np.clip(np.arange(size) + aside, 0, size - 1)
    if rng.random() < _MIRRORED:
        columns = columns[::-1]
    light = rng.uniform(0.8, 1.2) * rng.uniform(0.9, 1.1, 3)
    levels = np.clip(np.arange(256)[:, None] * light + rng.uniform(-15, 15), 0, 255).astype(np.uint8)
    moved = faces[:, rows][:, :, columns]
    return np.stack([levels[moved[..., channel], channel] for channel in range(3)], axis=-1)


def generator_samples(
    pack: Pack,
    rng: np.random.Generator,
    count: int,
    part: slice,
    *,
    window: int,
    lead_frames: int,
    take_share: float = 0.0,
    same_share: float = 0.0,
) -> Arrays:
    """Return target frames, frames to draw them from, and the mels.

    Args:
        pack: The clips.
        rng: Random numbers.
        count: Samples of the whole batch.
        part: Those to return, B of them.
        window: Consecutive frames a sample, T.
        lead_frames: Frames by which a frame's mel begins before it.
        take_share: Share of the samples that are drawn from the same moment of another take, where
            there is one; the others are drawn from another time of the same clip, as the original's.
        same_share: Share of the samples that are drawn from the target itself, whose mouth is right.

    Returns:
        ``target`` and ``reference`` (B, T, S, S, 3) uint8; ``mels`` (B, T, 80, 16) of each frame;
        ``mel`` (B, 80, 16) of the window.

    Source: Wav2Lip wav2lip_train.py.
    """
    rows, run = _draw(pack, rng, count)
    other = _another(pack, rng, rows, run)
    if take_share:
        other = np.where(rng.random(count) < take_share, _other_take(pack, rng, rows, run, other), other)
    if same_share:
        other = np.where(rng.random(count) < same_share, rows, other)
    rows, run, other = rows[part], run[part], other[part]
    frames = rows[:, None] + np.arange(window)
    return {
        "target": pack.frames[frames],
        "reference": pack.frames[other[:, None] + np.arange(window)],
        "mels": pack.mel_windows(frames, np.repeat(run[:, None], window, 1), lead_frames),
        "mel": pack.mel_windows(rows, run),
    }


def _draw(pack: Pack, rng: np.random.Generator, count: int) -> tuple[I64Array, I64Array]:
    chosen = pack.windows[rng.integers(len(pack.windows), size=count)]
    return chosen[:, 0], chosen[:, 1]


def _another(pack: Pack, rng: np.random.Generator, rows: I64Array, run: I64Array) -> I64Array:
    """Return another window of the same run, at the same place for none."""
    starts = np.array([pack.runs[number].row for number in run])
    choices = np.array([pack.runs[number].frames - FRAMES + 1 for number in run])
    moved = rng.integers(1, np.maximum(choices, 2))
    return starts + (rows - starts + moved) % choices


def _other_take(pack: Pack, rng: np.random.Generator, rows: I64Array, run: I64Array, fallback: I64Array) -> I64Array:
    """Return the windows at the same frame numbers of another take, `fallback` where there is none."""
    references = fallback.copy()
    for place, (row, own, chance) in enumerate(zip(rows, run, rng.random(len(rows)), strict=True)):
        number = pack.runs[own].first + row - pack.runs[own].row
        takes = [pack.runs[n] for n in pack.takes[own]]
        takes = [take for take in takes if take.first <= number <= take.first + take.frames - FRAMES]
        if takes:
            take = takes[int(chance * len(takes))]
            references[place] = take.row + number - take.first
    return references
