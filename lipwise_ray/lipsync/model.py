"""The lip-sync role and its implementations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from lipwise_ray.lipsync.audio_features import MEL, AudioFeature
from lipwise_ray.lipsync.crop_alignment import Alignment
from lipwise_ray.lipsync.frame_windows import FRAME_BY_FRAME, FrameWindow
from lipwise_ray.lipsync.mouth_strength import louder_mel
from lipwise_ray.lipsync.resident_lipsync import ResidentLipSync
from lipwise_ray.media.planes import FaceImage, HostImage
from lipwise_ray.nets.sizes import WAV2LIP_PX
from lipwise_ray.values import F32Array

if TYPE_CHECKING:
    from torch import Tensor

    from lipwise_ray.nets.precision import Precision
    from lipwise_ray.nets.runtimes import CompiledNetwork
    from lipwise_ray.nets.wav2lip import Wav2Lip


class LipSync(Protocol):
    """Makes the lips of face crops follow the audio.

    Attributes:
        size_px: Side of the crops.
        batch_faces: Faces a call; calls always have this many, so that a face's result does not
            depend on how many come with it.
        feature: What it hears.
        frames: Frames that it takes together; a call is one window where these are several.
        alignment: How crops lie on faces.
    """

    size_px: int
    batch_faces: int
    feature: AudioFeature
    frames: FrameWindow
    alignment: Alignment

    def __call__(self, faces_bgr: F32Array, sounds: F32Array) -> F32Array:
        """Return new faces.

        Args:
            faces_bgr: (B, size_px, size_px, 3) in [0, 1].
            sounds: A window of `feature` for each, (B, *shape).

        Returns:
            (B, size_px, size_px, 3) in [0, 1].
        """
        ...


@runtime_checkable
class DeviceLipSync(LipSync, Protocol):
    """A lip-sync network that takes faces where they are, and leaves the new ones there."""

    def redrawn(self, faces: Sequence[FaceImage], sounds: F32Array) -> Sequence[FaceImage]:
        """Return new faces; the call is one of `batch_faces`, whatever comes.

        Args:
            faces: At most `batch_faces`, BGR in [0, 1], shape (size_px, size_px, 3) each.
            sounds: A window of `feature` for each, shape (N, *shape).
        """
        ...


@runtime_checkable
class PlacedLipSync(LipSync, Protocol):
    """A lip-sync network that draws a window by its place in the output, too."""

    def at(self, first: int) -> LipSync:
        """Return the network as it draws the window that begins at a frame.

        Args:
            first: The frame's number in the output.
        """
        ...


def new_faces(lipsync: LipSync, crops: Sequence[FaceImage], sounds: F32Array) -> Sequence[FaceImage]:
    """Return the faces that a network makes of crops: on their device where it takes them there.

    Args:
        lipsync: The network.
        crops: At most a batch.
        sounds: A window of what the network hears for each, shape (N, *shape).
    """
    if isinstance(lipsync, DeviceLipSync) and not any(isinstance(crop, HostImage) for crop in crops):
        return lipsync.redrawn(crops, sounds)
    side, spare = lipsync.size_px, lipsync.batch_faces - len(crops)
    faces = np.zeros((lipsync.batch_faces, side, side, 3), np.float32)
    for place, crop in enumerate(crops):
        faces[place] = crop.host()
    made = lipsync(faces, np.pad(sounds, ((0, spare), (0, 0), (0, 0))))
    return [HostImage(image) for image in made[: len(crops)]]


class Passthrough:
    """Returns every crop unchanged: for dry runs, and for tests of everything around the network."""

    feature = MEL
    frames = FRAME_BY_FRAME
    alignment: Alignment = "box"

    def __init__(self, size_px: int = 96, batch_faces: int = 16) -> None:
        self.size_px = size_px
        self.batch_faces = batch_faces

    def __call__(self, faces_bgr: F32Array, sounds: F32Array) -> F32Array:  # noqa: ARG002  # the role's signature
        """Return the faces."""
        return faces_bgr


class Wav2LipSync(ResidentLipSync):
    """Wav2Lip, resident on one device.

    Args:
        checkpoint: Any form of Wav2Lip checkpoint, of any width.
        device: ``cpu`` or ``cuda``.
        precision: Number format.
        batch_faces: Faces a call.
        bfloat16: True where ``auto`` may be bfloat16; None asks the hardware.
        strength: Scale on what it hears, see `louder_mel`.

    Raises:
        WeightsError: The file does not hold Wav2Lip's tensors.
    """

    feature = MEL
    frames = FRAME_BY_FRAME
    alignment: Alignment = "box"

    def __init__(
        self,
        checkpoint: Path,
        *,
        device: str,
        precision: Precision,
        batch_faces: int,
        bfloat16: bool | None = None,
        strength: float = 1.0,
    ) -> None:
        import torch

        from lipwise_ray.nets.fixed_call import fixed_call
        from lipwise_ray.nets.precision import choose_dtype, computing_in

        dtype = choose_dtype(precision, device, bfloat16=bfloat16)
        network = load_wav2lip(checkpoint).to(device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the stub

        def drawn(sound: Tensor, pair: Tensor) -> Tensor:
            with computing_in(dtype):
                return network(sound, pair)

        call = fixed_call(drawn, device)

        def draw(whole_nhwc: Tensor, mels: Tensor) -> Tensor:
            whole = whole_nhwc.to(dtype).permute(0, 3, 1, 2)
            masked = whole.clone()
            masked[:, :, WAV2LIP_PX // 2 :] = 0
            pair = torch.cat((masked, whole), dim=1).contiguous(memory_format=torch.channels_last)
            return call(louder_mel(mels, strength).to(dtype).unsqueeze(1), pair).permute(0, 2, 3, 1)

        super().__init__(WAV2LIP_PX, batch_faces, device, draw)


class CompiledWav2LipSync:
    """Wav2Lip by another runtime than torch.

    Args:
        network: Wav2Lip, opened for ``batch_faces``.
        batch_faces: Faces a call.
        size_px: Side of its crops.
        strength: Scale on what it hears, see `louder_mel`.
    """

    feature = MEL
    frames = FRAME_BY_FRAME
    alignment: Alignment = "box"

    def __init__(
        self, network: CompiledNetwork, batch_faces: int, *, size_px: int = WAV2LIP_PX, strength: float = 1.0
    ) -> None:
        self.size_px = size_px
        self.batch_faces = batch_faces
        self._network = network
        self._strength = strength

    def __call__(self, faces_bgr: F32Array, sounds: F32Array) -> F32Array:
        """Return the faces with new lips."""
        half = self.size_px // 2
        pair_nchw = np.empty((len(faces_bgr), 6, self.size_px, self.size_px), np.float32)
        pair_nchw[:, 3:] = faces_bgr.transpose(0, 3, 1, 2)
        pair_nchw[:, :3, :half] = pair_nchw[:, 3:, :half]
        pair_nchw[:, :3, half:] = 0
        mels = louder_mel(sounds, self._strength)[:, None]
        faces_nchw = self._network(np.ascontiguousarray(mels, np.float32), pair_nchw)
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
