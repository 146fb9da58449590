"""Weights and inputs that depend on their names alone, as the golden files were made with."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

GOLDEN = Path(__file__).parents[1] / "golden"


def _generator(key: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(key.encode())))


def seeded_weights(golden: str) -> dict[str, torch.Tensor]:
    """Return the state dict behind a golden file: every tensor follows from its name and shape."""
    import torch

    facts = json.loads((GOLDEN / f"{golden}.json").read_text())
    gain = facts["gain"]
    return {name: torch.from_numpy(_tensor(name, tuple(shape), gain)) for name, shape in facts["state_dict"]}


def _tensor(name: str, shape: tuple[int, ...], gain: float) -> npt.NDArray[Any]:
    leaf = name.rsplit(".", maxsplit=1)[-1]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    rng = _generator(name)
    if leaf == "running_var":
        values = rng.uniform(0.5, 1.5, shape)
    elif len(shape) > 1:
        values = rng.standard_normal(shape) * gain / np.sqrt(int(np.prod(shape[1:])))
    elif leaf == "weight":
        values = rng.uniform(0.8, 1.2, shape)
    else:
        values = rng.standard_normal(shape) * 0.1
    return values.astype(np.float32)


def seeded_input(name: str, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> npt.NDArray[np.float32]:
    """Return uniform values in [low, high)."""
    return _generator(f"input:{name}").uniform(low, high, shape).astype(np.float32)


def speech_like_wave(seconds: float, rate_hz: int = 16_000) -> npt.NDArray[np.float32]:
    """Return gated harmonics with a sweep, noise and a gap, as the golden mel was made from."""
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    noise = np.random.Generator(np.random.PCG64(7)).standard_normal(t.size)
    phase = 2 * np.pi * np.cumsum(120 + 40 * np.sin(2 * np.pi * 0.7 * t)) / rate_hz
    harmonics = sum(np.sin(k * phase) / k for k in range(1, 20))
    gate = (np.sin(2 * np.pi * 3.1 * t) > -0.2).astype(np.float64)
    wave = 0.25 * harmonics * gate + 0.1 * np.sin(2 * np.pi * (300 * t + 900 * t**2)) + 0.02 * noise
    wave[int(0.45 * t.size) : int(0.5 * t.size)] = 0.0
    return np.clip(wave, -1, 1).astype(np.float32)
