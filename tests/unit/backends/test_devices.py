from __future__ import annotations

import torch

from lipwise_ray.backends.devices import has_cuda


def test_a_gpu_is_found_where_torch_finds_one() -> None:
    """The quick look for a driver leads to torch's own answer."""
    assert has_cuda() is torch.cuda.is_available()
