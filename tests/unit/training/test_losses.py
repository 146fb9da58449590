"""Losses of the generator beyond the original's."""

from __future__ import annotations

import numpy as np
import torch
from skimage.metrics import structural_similarity

from lipwise_ray.training.generator import edge_loss, structure_loss


def _faces(seed: int, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 96, 96, generator=torch.Generator().manual_seed(seed))


def test_structure_is_ssim_as_scikit_image_has_it() -> None:
    """On any two pictures the loss is 1 minus the library's figure."""
    one, other = _faces(1), (_faces(1) + 0.2 * _faces(2)).clamp(0, 1)
    pairs = [
        (a.permute(1, 2, 0).double().numpy(), b.permute(1, 2, 0).double().numpy())
        for a, b in zip(one, other, strict=True)
    ]
    known = np.mean(
        [structural_similarity(a, b, channel_axis=2, data_range=1.0, use_sample_covariance=False) for a, b in pairs]
    )
    assert abs(float(1 - structure_loss(one, other, 1.0)) - known) < 1e-5
    assert float(structure_loss(one, one, 1.0)) < 1e-6


def test_what_counts_more_weighs_more() -> None:
    """An error where the counts are high costs more than the same error elsewhere, in edges and in structure."""
    target = _faces(3, 1)
    counts = torch.ones(1, 1, 96, 96)
    counts[:, :, 60:80, 30:66] = 9
    losses = {}
    for place, (rows, columns) in {
        "mouth": (slice(62, 78), slice(34, 62)),
        "brow": (slice(10, 26), slice(34, 62)),
    }.items():
        drawn = target.clone()
        drawn[:, :, rows, columns] = 0.5
        losses[place] = [float(edge_loss(drawn - target, counts)), float(structure_loss(drawn, target, counts))]
    assert losses["mouth"][0] > 3 * losses["brow"][0]
    assert losses["mouth"][1] > 3 * losses["brow"][1]
