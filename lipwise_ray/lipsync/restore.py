"""The restorer role and its implementations: a face that is blurred goes in, a sharp one comes out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast

import numpy as np

from lipwise_ray.errors import SettingsError, ran_out_of_memory
from lipwise_ray.lipsync.align import TEMPLATE_PX
from lipwise_ray.values import F32Array

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from lipwise_ray.nets.image_models import ImageModel
    from lipwise_ray.nets.precision import Precision

Space = Literal["aligned", "crop"]
"""Input that a restorer was trained on: a face aligned to the template, or the lip-sync network's crop."""

_TINY_PX, _UPSCALED_PX = 160, 128


class Restorer(Protocol):
    """Makes face images sharper.

    Attributes:
        size_px: Side of the images it takes.
        scale: Factor by which its results are larger.
        batch_faces: Faces a call; calls always have this many, so that a face's result does not depend on how many
            come with it.
        space: Alignment of the images on the face.
    """

    size_px: int
    scale: int
    batch_faces: int
    space: Space

    def __call__(self, faces_bgr: F32Array) -> F32Array:
        """Return restored faces; the same face gives the same pixels, run after run.

        Args:
            faces_bgr: (B, size_px, size_px, 3) in [0, 1].

        Returns:
            (B, size_px * scale, size_px * scale, 3) in [0, 1].
        """
        ...


class _OnDevice:
    """Runs a network on images; where the device's memory does not suffice, on fewer at a time from then on.

    Args:
        call: (B, 3, H, W) to (B, 3, H', W').
        device: ``cpu`` or ``cuda``.
        dtype: Number format.
        batch: Images a call.
    """

    def __init__(self, call: Callable[[Tensor], Tensor], device: str, dtype: torch.dtype, batch: int) -> None:
        import torch

        from lipwise_ray.lipsync.device_copies import DeviceCopies
        from lipwise_ray.nets.fixed_call import fixed_call
        from lipwise_ray.nets.precision import computing_in

        def computed(faces_nchw: Tensor) -> Tensor:
            with computing_in(dtype):
                return call(faces_nchw)

        self._copies = DeviceCopies(torch.device(device))
        self._call = fixed_call(computed, device)
        self._device = device
        self._dtype = dtype
        self._most = batch

    def __call__(self, faces_nhwc: F32Array) -> F32Array:
        """Return the network's results, float32, clipped to [0, 1]."""
        done: list[F32Array] = []
        count = 0
        while count < len(faces_nhwc):
            part = faces_nhwc[count : count + self._most]
            filled = np.concatenate([part, np.zeros_like(part[:1]).repeat(self._most - len(part), axis=0)])
            try:
                done.append(self._run(filled)[: len(part)])
            except (MemoryError, RuntimeError) as error:
                if not ran_out_of_memory(error) or self._most == 1:
                    raise
                self._most //= 2
            else:
                count += len(part)
                continue
            self._give_back()  # outside the handler: the error's traceback holds what is to be freed
        return np.concatenate(done)

    def _run(self, faces_nhwc: F32Array) -> F32Array:
        with self._copies.working():
            batch = self._copies.sent(faces_nhwc).to(self._dtype)
            result = self._call(batch.permute(0, 3, 1, 2).contiguous())
            return cast("F32Array", self._copies.downloaded(result.permute(0, 2, 3, 1).float().clamp(0, 1)))

    def _give_back(self) -> None:
        if self._device.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()


class TinyRestorer:
    """The bundled restorer, resident on one device. BGR, at the lip-sync network's crop.

    Args:
        checkpoint: Its weights.
        device: ``cpu`` or ``cuda``.
        batch_faces: Faces a call.

    Raises:
        WeightsError: The file does not hold its tensors.
    """

    size_px, scale = _TINY_PX, 1
    space: Space = "crop"

    def __init__(self, checkpoint: Path, *, device: str, batch_faces: int) -> None:
        import torch

        from lipwise_ray.nets.checkpoint import load_into
        from lipwise_ray.nets.tiny_restorer import TinyRestorerNetwork

        network = TinyRestorerNetwork()
        load_into(network, checkpoint, "the bundled restorer")
        self.batch_faces = batch_faces
        self._run = _OnDevice(network.eval().to(device), device, torch.float32, batch_faces)

    def __call__(self, faces_bgr: F32Array) -> F32Array:
        """Return sharper faces."""
        return self._run(faces_bgr)


class ModelFaces:
    """A restorer or upscaler that spandrel loads, resident on one device. RGB.

    Face restorers get faces aligned to the template, the others the lip-sync network's crop, or tiles of a frame.

    Args:
        model: The network.
        device: ``cpu`` or ``cuda``.
        precision: Number format.
        batch_faces: Faces a call.
        where: The setting of the number format, for errors.
        size_px: Side of its images; that of its purpose without one.
        bfloat16: True where ``auto`` may be bfloat16; None asks the hardware.

    Raises:
        SettingsError: The number format does not suit the network.
    """

    def __init__(
        self,
        model: ImageModel,
        *,
        device: str,
        precision: Precision,
        batch_faces: int,
        where: str = "restore.precision",
        size_px: int = 0,
        bfloat16: bool | None = None,
    ) -> None:
        dtype = model.dtype(precision, device, where, bfloat16=bfloat16)
        placed = model.placed(device, dtype)
        self.space: Space = "aligned" if model.purpose == "face" else "crop"
        self.size_px = size_px or (TEMPLATE_PX if model.purpose == "face" else _UPSCALED_PX)
        self.scale = model.scale
        self.batch_faces = batch_faces
        self._run = _OnDevice(placed.call, device, dtype, batch_faces)

    def __call__(self, faces_bgr: F32Array) -> F32Array:
        """Return restored faces."""
        return self._run(faces_bgr[..., ::-1])[..., ::-1]


class Chain:
    """A restorer whose results are enlarged by an upscaler."""

    def __init__(self, restorer: Restorer, upscaler: ModelFaces) -> None:
        self._restorer, self._upscaler = restorer, upscaler
        self.space: Space = restorer.space
        self.size_px, self.scale = restorer.size_px, restorer.scale * upscaler.scale
        self.batch_faces = restorer.batch_faces

    def __call__(self, faces_bgr: F32Array) -> F32Array:
        """Return restored, enlarged faces."""
        return self._upscaler(self._restorer(faces_bgr))


def check_restorer(model: ImageModel, where: str) -> ImageModel:
    """Return a model that may restore faces.

    Args:
        model: The model.
        where: The setting, for errors.

    Raises:
        SettingsError: It is an upscaler.
    """
    if model.purpose == "upscaler":
        raise SettingsError(
            "is_upscaler",
            where,
            got=f"is an upscaler by {model.scale} ({model.architecture})",
            must="a restorer keeps a face's size",
            do="Name it in restore.upscale.model",
        )
    return model


def check_upscaler(model: ImageModel, where: str) -> ImageModel:
    """Return a model that may enlarge images.

    Args:
        model: The model.
        where: The setting, for errors.

    Raises:
        SettingsError: It does not enlarge, or only faces.
    """
    if model.purpose != "upscaler":
        raise SettingsError(
            "no_upscaler",
            where,
            got=f"is a model of scale {model.scale} ({model.architecture})",
            must="an upscaler enlarges any image by 2 or more",
            do="Name it in restore.model",
        )
    return model
