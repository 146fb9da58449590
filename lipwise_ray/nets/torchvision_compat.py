"""Lets torchvision be imported beside a torch that its compiled half was not made for."""

from __future__ import annotations

from importlib import import_module

import torch

from lipwise_ray.errors import SetupError

_MISSING = ("nms", "qnms")
_declared: list[torch.library.Library] = []
"""Declarations last as long as their library object."""


def declare_torchvision_operators() -> None:
    """Declare the operators that torchvision describes while it is imported.

    torchvision's published wheel is built for CUDA. Beside a CPU build of torch its compiled half does not load, and
    the import ends with "operator torchvision::nms does not exist", although nothing here calls these operators. Where
    torchvision is whole, nothing is done.

    Raises:
        SetupError: torchvision is broken in another way.
    """
    if _declared:
        return
    try:
        import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise SetupError(
                "torchvision",
                "torchvision",
                got=f"does not work with torch {torch.__version__}: {str(error).splitlines()[0][:200]}",
                do=f"Install the torchvision of torch {torch.__version__}",
            ) from error
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in _MISSING:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
