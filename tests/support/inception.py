"""Inception v3 with made-up weights, in the layout of the file that is published for the Fréchet distance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from lipwise_ray.nets.torchvision_compat import declare_torchvision_operators


def write_inception(path: Path) -> Path:
    """Write the file."""
    declare_torchvision_operators()
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    torch.manual_seed(3)
    tensors: dict[str, torch.Tensor] = {}

    class Shell(FeatureExtractorInceptionV3):
        def load_state_dict(self, *arguments: Any, **options: Any) -> None:
            tensors.update(self.state_dict())

    torch.save({}, path)
    Shell("seeded", ["2048"], feature_extractor_weights_path=path)
    for name, tensor in tensors.items():
        if tensor.ndim > 1:
            tensors[name] = torch.randn(tensor.shape) * (2 / tensor[0].numel()) ** 0.5
    torch.save(tensors, path)
    return path
