"""The lip-sync role and its implementations."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from lipwise_ray.values import F32Array

if TYPE_CHECKING:
    from lipwise_ray.nets.precision import Precision
    from lipwise_ray.nets.runtimes import CompiledNetwork
    from lipwise_ray.nets.wav2lip import Wav2Lip


class LipSync(Protocol):
    """Makes the lips of face crops follow the audio.

    Attributes:
        size_px: Side of the crops.
        batch_faces: Faces a call; calls always have this many, so that a face's result does not
            depend on how many come with it.
    """

    size_px: int
    batch_faces: int

    def __call__(self, faces_bgr: F32Array, mels: F32Array) -> F32Array:
        """Return new faces.

        Args:
            faces_bgr: (B, size_px, size_px, 3) in [0, 1].
            mels: (B, 80, 16) in [-4, 4].

        Returns:
            (B, size_px, size_px, 3) in [0, 1].
        """
        ...


class Passthrough:
    """Returns every crop unchanged: for dry runs, and for tests of everything around the network."""

    def __init__(self, size_px: int = 96, batch_faces: int = 16) -> None:
        self.size_px = size_px
        self.batch_faces = batch_faces

    def __call__(self, faces_bgr: F32Array, mels: F32Array) -> F32Array:  # noqa: ARG002  # the role's signature
        """Return the faces."""
        return faces_bgr


class Wav2LipSync:
    """Wav2Lip, resident on one device.

    Args:
        checkpoint: Any form of Wav2Lip checkpoint, of any width.
        device: ``cpu`` or ``cuda``.
        precision: Number format.
        batch_faces: Faces a call.
        bfloat16: True where ``auto`` may be bfloat16; None asks the hardware.

    Raises:
        WeightsError: The file does not hold Wav2Lip's tensors.
    """

    def __init__(
        self, checkpoint: Path, *, device: str, precision: Precision, batch_faces: int, bfloat16: bool | None = None
    ) -> None:
        import torch

        from lipwise_ray.nets.precision import choose_dtype, computing_in
        from lipwise_ray.nets.wav2lip import SIZE_PX

        self.size_px = SIZE_PX
        self.batch_faces = batch_faces
        self._torch = torch
        self._device = device
        self._dtype = choose_dtype(precision, device, bfloat16=bfloat16)
        self._computing = partial(computing_in, self._dtype)
        self._network = load_wav2lip(checkpoint).to(device, self._dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the stub

    def __call__(self, faces_bgr: F32Array, mels: F32Array) -> F32Array:
        """Return the faces with new lips."""
        torch = self._torch
        whole = torch.from_numpy(faces_bgr).to(self._device, self._dtype).permute(0, 3, 1, 2)
        masked = whole.clone()
        masked[:, :, self.size_px // 2 :] = 0
        pair = torch.cat((masked, whole), dim=1).contiguous(memory_format=torch.channels_last)
        sound = torch.from_numpy(mels).to(self._device, self._dtype).unsqueeze(1)
        with torch.inference_mode(), self._computing():
            faces = self._network(sound, pair)
        result = faces.permute(0, 2, 3, 1).float().cpu().numpy()
        return np.ascontiguousarray(result, np.float32)


class CompiledWav2LipSync:
    """Wav2Lip by another runtime than torch, on a CPU.

    Args:
        network: Wav2Lip, opened for ``batch_faces``.
        batch_faces: Faces a call.
    """

    def __init__(self, network: CompiledNetwork, batch_faces: int) -> None:
        from lipwise_ray.nets.wav2lip import SIZE_PX

        self.size_px = SIZE_PX
        self.batch_faces = batch_faces
        self._network = network

    def __call__(self, faces_bgr: F32Array, mels: F32Array) -> F32Array:
        """Return the faces with new lips."""
        half = self.size_px // 2
        pair_nchw = np.empty((len(faces_bgr), 6, self.size_px, self.size_px), np.float32)
        pair_nchw[:, 3:] = faces_bgr.transpose(0, 3, 1, 2)
        pair_nchw[:, :3, :half] = pair_nchw[:, 3:, :half]
        pair_nchw[:, :3, half:] = 0
        faces_nchw = self._network(np.ascontiguousarray(mels[:, None], np.float32), pair_nchw)
        return np.ascontiguousarray(faces_nchw.transpose(0, 2, 3, 1), np.float32)


def load_wav2lip(checkpoint: Path) -> Wav2Lip:
    """Return Wav2Lip in float32 on the CPU, its batch normalisations folded.

    Args:
        checkpoint: Any form of Wav2Lip checkpoint, of any width.

    Raises:
        WeightsError: The file does not hold Wav2Lip's tensors.
    """
    from lipwise_ray.nets.checkpoint import load_network
    from lipwise_ray.nets.layers import fold_batch_norms
    from lipwise_ray.nets.wav2lip import Wav2Lip

    network = load_network(Wav2Lip, checkpoint, "Wav2Lip").eval()
    fold_batch_norms(network)
    return network
