"""Devices that workers compute on."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from lipwise_ray.errors import SettingsError
from lipwise_ray.nets.visible_gpus import visible_gpus

_OF_AMD = Path("/dev/kfd")


def no_gpu_here() -> SettingsError:
    """Return the error for a GPU asked of a machine that has none: no other node will come."""
    return SettingsError(
        "no_gpu",
        'engine.place = "gpu"',
        got="this machine has no GPU",
        do='Set engine.place to "auto" to render on what is there, or name a cluster with --address; '
        "`nvidia-smi` shows what the driver sees",
    )


def has_cuda() -> bool:
    """Tell whether torch can use a GPU of this machine; without a driver it is not loaded for the question."""
    if sys.platform == "linux" and not visible_gpus({}).has_driver and not _OF_AMD.exists():
        return False
    import torch

    return torch.cuda.is_available()


def check_cuda() -> None:
    """Find out whether this machine has the GPU that a worker is to compute on.

    Raises:
        SettingsError: It has none.
    """
    import torch

    if not torch.cuda.is_available():
        raise SettingsError(
            "no_gpu",
            "engine.device",
            got=f"no CUDA device on {socket.gethostname()}",
            must="cuda needs one wherever workers run",
            do="Use auto, or machines with a GPU and its driver",
        )
