"""Restorers and upscalers of any architecture that spandrel knows, and how each is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lipwise_ray.errors import SettingsError, WeightsError, is_of_the_machine
from lipwise_ray.nets.bfloat16 import has_bfloat16
from lipwise_ray.nets.checkpoint import load_state_dict

if TYPE_CHECKING:
    import torch
    from spandrel import ImageModelDescriptor
    from torch import Tensor, nn

    from lipwise_ray.nets.precision import Precision

Purpose = Literal["face", "picture", "upscaler"]
"""``face``: works on aligned faces. ``picture``: on any image, at its size. ``upscaler``: enlarges any image."""

CODEFORMER = "CodeFormer"
_NOISY = ("AuraSR",)
_RGB = 3
_EXTRA_PACKAGE = "spandrel_extra_arches"
_CODEFORMER_KEYS = ("position_emb", "idx_pred_layer.1.weight")


@dataclass(frozen=True, slots=True)
class ImageModel:
    """A loaded network.

    Attributes:
        architecture: spandrel's name of it.
        purpose: Purpose of the network.
        scale: Factor by which its result is larger.
        network: The module.
        call: (N, 3, H, W), RGB in [0, 1], to the same times `scale`.
        supports_float16: It can be computed in that format without overflowing.
        supports_bfloat16: The same.
    """

    architecture: str
    purpose: Purpose
    scale: int
    network: nn.Module
    call: Callable[[Tensor], Tensor]
    supports_float16: bool
    supports_bfloat16: bool = True

    def placed(self, device: str, dtype: torch.dtype) -> ImageModel:
        """Move the network, in place, and return this model."""
        self.network.to(device, dtype)
        return self

    def dtype(self, precision: Precision, device: str, where: str, *, bfloat16: bool | None = None) -> torch.dtype:
        """Return the number format to compute in: ``auto`` is bfloat16 where the hardware has it, else float32.

        Args:
            precision: Precision that was asked for.
            device: ``cpu`` or ``cuda``.
            where: The setting, for errors.
            bfloat16: True where ``auto`` may be bfloat16; None asks the hardware.

        Raises:
            SettingsError: A format was asked for that does not suit this network.
        """
        import torch  # the class is named in modules that must load without it

        bears = {"float16": self.supports_float16, "bfloat16": self.supports_bfloat16}
        if not bears.get(precision, True):
            raise SettingsError(
                "no_precision", where, got=f"{precision} is too narrow for {self.architecture}", do="Leave it at auto"
            )
        if precision != "auto":
            return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
        has = has_bfloat16(device) if bfloat16 is None else bfloat16
        return torch.bfloat16 if has and self.supports_bfloat16 else torch.float32


def load_image_model(path: Path, fidelity: float = 0.5) -> ImageModel:
    """Return the network of a checkpoint; its tensors say which one it is.

    Args:
        path: A checkpoint in any form that `load_state_dict` reads.
        fidelity: CodeFormer's weight: 0 for its own idea of the face, 1 for what it was given.

    Raises:
        WeightsError: The file is no checkpoint, or of an architecture that is not known.
    """
    from lipwise_ray.nets.torchvision_compat import declare_torchvision_operators

    tensors = load_state_dict(path)
    declare_torchvision_operators()
    import spandrel  # takes seconds, and needs those operators

    registry = spandrel.MAIN_REGISTRY.copy()
    if find_spec(_EXTRA_PACKAGE):
        from spandrel_extra_arches import EXTRA_REGISTRY

        registry.add(*EXTRA_REGISTRY, ignore_duplicates=True)
    elif all(key in tensors for key in _CODEFORMER_KEYS):
        raise WeightsError(
            "needs_extra",
            str(path),
            got="a CodeFormer checkpoint, for which the extra codeformer is not installed",
            do="Its licence is non-commercial (S-Lab 1.0). If that fits your use, run "
            "`pip install 'lipwise-ray[codeformer]'`",
        )
    try:
        descriptor = spandrel.ModelLoader(registry=registry).load_from_state_dict(dict(tensors))
    except spandrel.UnsupportedModelError as error:
        architectures = ", ".join(sorted(architecture.architecture.id for architecture in registry.architectures()))
        raise WeightsError(
            "unknown_architecture",
            str(path),
            got="its architecture is unknown",
            must=f"known are {architectures}",
            do="Choose a checkpoint of one of these",
        ) from error
    except (RuntimeError, KeyError, ValueError, IndexError) as error:  # the tensors of half a network
        if is_of_the_machine(error):
            raise
        raise WeightsError(
            "unreadable_weights",
            str(path),
            got=f"its network cannot be loaded: {' '.join(str(error).split())[:200] or type(error).__name__}",
            do="Download it again",
        ) from error
    if not isinstance(descriptor, spandrel.ImageModelDescriptor) or {
        descriptor.input_channels,
        descriptor.output_channels,
    } != {_RGB}:
        raise WeightsError(
            "not_an_image_model",
            str(path),
            got=f"{descriptor.architecture.name} does not turn one RGB image into another",
            do="Choose a checkpoint of another architecture",
        )
    if descriptor.architecture.id in _NOISY:
        raise WeightsError(
            "draws_noise",
            str(path),
            got=f"{descriptor.architecture.name} draws noise in every call, so its images cannot be made again",
            do="Choose a checkpoint of another architecture",
        )
    network = descriptor.model.eval().requires_grad_(requires_grad=False)
    return ImageModel(
        architecture=str(descriptor.architecture.id),
        purpose="face" if descriptor.purpose == "FaceSR" else "upscaler" if descriptor.scale > 1 else "picture",
        scale=descriptor.scale,
        network=network,
        call=_call(descriptor, fidelity),
        supports_float16=descriptor.supports_half,
        supports_bfloat16=descriptor.supports_bfloat16,
    )


def _call(descriptor: ImageModelDescriptor[Any], fidelity: float) -> Callable[[Tensor], Tensor]:
    """Return the function that calls a network.

    GFPGAN is given its stored noise (spandrel's own call draws fresh noise each time), and like CodeFormer it takes
    and returns [-1, 1], which is scaled in float32: in a narrower format levels would fall together.
    Source: GFPGANer.enhance, CodeFormer inference_codeformer.py.
    """
    network = descriptor.model
    if descriptor.architecture.id == "GFPGAN":
        return lambda faces: (network(faces * 2 - 1, return_rgb=False, randomize_noise=False)[0].float() + 1) / 2
    if descriptor.architecture.id == CODEFORMER:
        return lambda faces: (network(faces * 2 - 1, weight=fidelity)[0].float() + 1) / 2
    return descriptor
