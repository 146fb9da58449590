"""The features by which the Fréchet inception distance compares images."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import torch

from lipwise_ray.errors import SetupError, WeightsError, is_of_the_machine
from lipwise_ray.nets.checkpoint import load_state_dict
from lipwise_ray.nets.precision import exact_float32
from lipwise_ray.nets.torchvision_compat import declare_torchvision_operators
from lipwise_ray.values import F32Array, U8Array

VALUES = 2048
_BATCH = 16


class Inception:
    """Inception v3 as FID takes it, by torch-fidelity.

    Args:
        weights: The published file, converted from TensorFlow's of 2015.
        device: ``cpu`` or ``cuda``.
        batch: Images a network call.

    Raises:
        SetupError: The extra is not installed.
        WeightsError: The file holds another network.
    """

    def __init__(self, weights: Path, device: str = "cpu", batch: int = _BATCH) -> None:
        declare_torchvision_operators()
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise SetupError(
                "no_extra",
                "score.inception",
                got=f"the Fréchet distance cannot be measured: {error}",
                do="Run `pip install 'lipwise-ray[eval]'` on all machines",
            ) from error

        safe = io.BytesIO()
        torch.save(load_state_dict(weights), safe)  # the library would run whatever a pickle holds
        safe.seek(0)
        try:
            network = FeatureExtractorInceptionV3(
                "inception-v3-compat", [str(VALUES)], feature_extractor_weights_path=safe
            )
        except (RuntimeError, pickle.UnpicklingError) as error:
            if is_of_the_machine(error):
                raise
            raise WeightsError(
                "other_network",
                str(weights),
                got=f"not Inception v3 as published for FID: {str(error).splitlines()[0]}",
                do="Run `lipwise-ray models pull inception_fid`",
            ) from error
        self._network = network.to(device)
        self._device = device
        self._batch = batch

    @exact_float32()
    @torch.inference_mode()
    def __call__(self, images_bgr: U8Array) -> F32Array:
        """Return features, shape (N, 2048), of images, shape (N, 299, 299, 3)."""
        batches: list[F32Array] = [np.zeros((0, VALUES), np.float32)]
        for begin in range(0, len(images_bgr), self._batch):
            part = np.ascontiguousarray(images_bgr[begin : begin + self._batch, :, :, ::-1].transpose(0, 3, 1, 2))
            (features,) = self._network(torch.from_numpy(part).to(self._device))
            batches.append(features.cpu().numpy())
        return np.concatenate(batches)
