"""The published sync measure: its network, its features, its reduction, in parts and whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lipwise_ray.metrics.lse import MOST_SHIFT, Curve, distances, reduce
from lipwise_ray.metrics.mfcc import columns_of, mfcc
from lipwise_ray.nets.syncnet import SyncNet
from tests.support.seeded import GOLDEN, seeded_input, seeded_weights, speech_like_wave


def test_syncnet_gives_the_reference_numbers() -> None:
    """Seeded weights and inputs give the reference implementation's embeddings to 1e-4 of their size."""
    network = SyncNet()
    network.load_state_dict(seeded_weights("syncnet_v2"))
    network.eval()
    golden = np.load(GOLDEN / "syncnet_v2.npz")
    with torch.inference_mode():
        lips = network.embed_lips(torch.from_numpy(seeded_input("frames", (2, 3, 5, 224, 224), 0, 255))).numpy()
        sound = network.embed_sound(torch.from_numpy(seeded_input("mfcc", (2, 1, 13, 20), -20, 20))).numpy()
    for found, wanted in ((lips, golden["lip"]), (sound, golden["audio"])):
        assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize("samples", [1, 399, 400, 401, 560, 561, 16000, 16000 * 75 + 77])
def test_cepstra_are_those_of_the_published_package(samples: int) -> None:
    """Beside python_speech_features, over the borders of blocks, with silence inside, to 1e-4."""
    package = pytest.importorskip("python_speech_features")
    wave = np.tile(speech_like_wave(3.0), 1 + samples // 48000)[:samples]
    wave[samples // 3 : samples // 2] = 0
    found = mfcc(wave)
    levels = np.clip(np.rint(wave * 32768.0), -32768, 32767).astype(np.int16)
    wanted = package.mfcc(levels, 16000)
    assert found.shape == wanted.shape == (columns_of(samples), 13)
    assert np.abs(found - wanted).max() < 1e-4


def _heard(at: Any, begin: int, total: int) -> Any:
    """Return indices of sounds at all shifts, where embeddings begin with window `begin` of `total`."""
    there = at[:, None] + np.arange(-MOST_SHIFT, MOST_SHIFT + 1)
    return np.where((there >= 0) & (there < total), there - begin, -1)


def test_the_reduction_is_the_reference_s() -> None:
    """Distances at all shifts, their mean, and the three figures."""
    golden = np.load(GOLDEN / "lse_reduction.npz")
    lips, sound = golden["lip"], golden["audio"]
    found = distances(lips, sound, _heard(np.arange(len(lips)), 0, len(lips)))
    total = found.sum(axis=0, dtype=np.float64)
    assert np.abs(total / len(lips) - golden["mean_distance"]).max() < 1e-4
    score = reduce(total, len(lips))
    assert score.lse_d == pytest.approx(float(golden["lse_d"]), abs=1e-4)
    assert score.lse_c == pytest.approx(float(golden["lse_c"]), abs=1e-4)
    assert score.offset == int(golden["offset"])


@pytest.mark.parametrize("length", [1, 7, 25, 100])
def test_parts_add_up_to_the_whole(length: int) -> None:
    """Parts that know the sound 15 windows to both sides give the whole's figures to 1e-4; averaging parts does not."""
    rng = np.random.default_rng(5)
    count, moved = 230, 4
    sound = rng.standard_normal((count, 64)).astype(np.float32)
    lips = np.roll(sound, moved, axis=0) + 0.5 * rng.standard_normal((count, 64)).astype(np.float32)
    everything = distances(lips, sound, _heard(np.arange(count), 0, count))
    whole = reduce(everything.sum(axis=0, dtype=np.float64), count)
    total = np.zeros(2 * MOST_SHIFT + 1)
    for start in range(0, count, length):
        at = np.arange(start, min(start + length, count))
        begin = max(0, start - MOST_SHIFT)
        near = sound[begin : min(count, at[-1] + MOST_SHIFT + 1)]
        total += distances(lips[at], near, _heard(at, begin, count)).sum(axis=0, dtype=np.float64)
    found = reduce(total, count)
    assert found.offset == whole.offset == moved
    assert found.lse_d == pytest.approx(whole.lse_d, abs=1e-4)
    assert found.lse_c == pytest.approx(whole.lse_c, abs=1e-4)


def test_the_curve_has_a_value_a_second() -> None:
    """None where a second has no window; the others by that second's own mean."""
    at = np.array([0, 1, 60, 61])
    distance = np.full((4, 31), 5.0, np.float32)
    distance[:2, 15], distance[2:, 3] = 2.0, 4.0
    found = Curve()
    assert found.values() == []
    for order in ([2], [0, 1], [], [3]):
        found.add(at[order], distance[order])
    assert found.values() == [3.0, None, 1.0]
