"""The kernel inception distance of two sets of features, by torch-fidelity."""

from __future__ import annotations

from lipwise_ray.values import F32Array

_SUBSETS, _SUBSET_SIZE, _SEED = 10, 1000, 1
_FEWEST = 2


def kernel_distance(a: F32Array, b: F32Array) -> float | None:
    """Return the distance of two sets of features, shape (N, D) each; None for fewer than two in a set.

    Unlike the Fréchet distance it is not too large for few features: its mean is right, and it may be below nought.

    Source: Bińkowski et al., Demystifying MMD GANs (2018); differs in: 10 subsets for 100, of as many as there are
    where these are fewer than 1000.
    """
    size = min(len(a), len(b), _SUBSET_SIZE)
    if size < _FEWEST:
        return None
    from lipwise_ray.nets.torchvision_compat import declare_torchvision_operators

    declare_torchvision_operators()
    import torch
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    whole = size == len(a) == len(b)  # every subset is the same
    found = kid_features_to_metric(
        torch.from_numpy(a).double(),
        torch.from_numpy(b).double(),
        kid_subsets=1 if whole else _SUBSETS,
        kid_subset_size=size,
        rng_seed=_SEED,
        verbose=False,
    )
    return float(found[KEY_METRIC_KID_MEAN])
