"""The restorer role and its implementations: a face that is blurred goes in, a sharp one comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, cast, runtime_checkable

import numpy as np

from lipwise_ray.errors import SettingsError, ran_out_of_memory
from lipwise_ray.lipsync.align import TEMPLATE_PX
from lipwise_ray.media.planes import FaceImage, HostImage
from lipwise_ray.values import F32Array

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from lipwise_ray.nets.image_models import ImageModel
    from lipwise_ray.nets.precision import Precision

Space = Literal["aligned", "crop"]
"""Input that a restorer was trained on: a face aligned to the template, or the lip-sync network's crop."""

Made = TypeVar("Made")
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


@runtime_checkable
class DeviceRestorer(Restorer, Protocol):
    """A restorer that takes faces where they are, and leaves the restored ones there."""

    def redrawn(self, faces: Sequence[FaceImage]) -> Sequence[FaceImage]:
        """Return restored faces; the call is one of `batch_faces`, whatever comes.

        Args:
            faces: At most `batch_faces`, BGR in [0, 1], shape (size_px, size_px, 3) each.
        """
        ...


def restored_faces(restorer: Restorer, faces: Sequence[FaceImage]) -> Sequence[FaceImage]:
    """Return the faces that a restorer makes of others: on their device where it takes them there.

    Args:
        restorer: The network.
        faces: At most a batch.
    """
    if isinstance(restorer, DeviceRestorer) and not any(isinstance(face, HostImage) for face in faces):
        return restorer.redrawn(faces)
    side = restorer.size_px
    batch = np.zeros((restorer.batch_faces, side, side, 3), np.float32)
    for place, face in enumerate(faces):
        batch[place] = face.host()
    restored = restorer(batch)[: len(faces)]
    # A face's image goes as soon as it is laid over its frame: large ones must not hold the whole batch.
    return [HostImage(face.copy() if restorer.scale > 1 else face) for face in restored]


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

        def sent(first: int, stop: int) -> Tensor:
            return self._copies.sent(faces_nhwc[first:stop])

        made = self._made(sent, len(faces_nhwc), lambda part: cast("F32Array", self._copies.downloaded(part)))
        return np.concatenate(made)

    def redrawn(self, faces: Sequence[FaceImage], *, swaps: bool = False) -> Sequence[FaceImage]:
        """Return the network's results for images, on its device.

        Args:
            faces: At most a batch, of one size.
            swaps: The network's channels come the other way round.
        """
        import torch

        from lipwise_ray.lipsync.device_copies import device_images

        def gathered(first: int, stop: int) -> Tensor:
            part = torch.stack(self._copies.gathered(faces[first:stop]))
            return part.flip(3) if swaps else part

        def kept(part: Tensor) -> Sequence[FaceImage]:
            part = part.flip(3) if swaps else part.contiguous()
            # Each in memory of its own: large ones must not hold the whole batch.
            return [device_images(face.clone()[None])[0] for face in part]

        return [face for some in self._made(gathered, len(faces), kept) for face in some]

    def _made(self, given: Callable[[int, int], Tensor], total: int, taken: Callable[[Tensor], Made]) -> list[Made]:
        """Return the results of the network for some faces, batch by batch, as `taken` makes them.

        Args:
            given: Returns faces from one number to before another, on the device, shape (B, S, S, 3).
            total: Number of faces.
            taken: Takes the results of a batch's faces.
        """
        done: list[Made] = []
        count = 0
        while count < total:
            stop = min(total, count + self._most)
            try:
                with self._copies.working():
                    done.append(taken(self._restored(given(count, stop))))
            except (MemoryError, RuntimeError) as error:
                if not ran_out_of_memory(error) or self._most == 1:
                    raise
                self._most //= 2
            else:
                count = stop
                continue
            self._give_back()  # outside the handler: the error's traceback holds what is to be freed
        return done

    def _restored(self, faces_nhwc: Tensor) -> Tensor:
        """Return the network's results for at most `_most` faces, float32, clipped to [0, 1]."""
        import torch

        spare = self._most - len(faces_nhwc)
        batch = torch.nn.functional.pad(faces_nhwc, (0, 0, 0, 0, 0, 0, 0, spare)).to(self._dtype)
        result = self._call(batch.permute(0, 3, 1, 2).contiguous())
        return result[: len(faces_nhwc)].permute(0, 2, 3, 1).float().clamp(0, 1)

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

    def redrawn(self, faces: Sequence[FaceImage]) -> Sequence[FaceImage]:
        """Return sharper faces, on this network's device."""
        return self._run.redrawn(faces)


class ModelFaces:
    """A restorer or upscaler that spandrel loads, resident on one device. RGB.

    Face restorers get faces aligned to the template, the others the lip-sync network's crop, or tiles of a frame.

    Args:
        model: The network.
        device: ``cpu`` or ``cuda``.
        precision: Number format.
        batch_faces: Faces a call.
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
        size_px: int = 0,
        bfloat16: bool | None = None,
    ) -> None:
        dtype = model.dtype(precision, device, "restore.precision", bfloat16=bfloat16)
        placed = model.placed(device, dtype)
        self.space: Space = "aligned" if model.purpose == "face" else "crop"
        self.size_px = size_px or (TEMPLATE_PX if model.purpose == "face" else _UPSCALED_PX)
        self.scale = model.scale
        self.batch_faces = batch_faces
        self._run = _OnDevice(placed.call, device, dtype, batch_faces)

    def __call__(self, faces_bgr: F32Array) -> F32Array:
        """Return restored faces."""
        return self._run(faces_bgr[..., ::-1])[..., ::-1]

    def redrawn(self, faces: Sequence[FaceImage]) -> Sequence[FaceImage]:
        """Return restored faces, on this network's device."""
        return self._run.redrawn(faces, swaps=True)


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

    def redrawn(self, faces: Sequence[FaceImage]) -> Sequence[FaceImage]:
        """Return restored, enlarged faces, on the networks' device."""
        return restored_faces(self._upscaler, restored_faces(self._restorer, faces))


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
