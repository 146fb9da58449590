"""NVIDIA's GPUs that reach this process, and the missing part where none does.

Containers get only what they ask for.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_DRIVER, _ENCODER = "libcuda.so.1", "libnvidia-encode.so.1"
_DEVICE = re.compile(r"nvidia\d+", re.ASCII)
_NO_GPUS = ("", "none", "void")
"""Of NVIDIA_VISIBLE_DEVICES: what asks for none."""


@dataclass(frozen=True, slots=True)
class VisibleGpus:
    """GPUs, driver and encoder that a process can see.

    Attributes:
        devices: Names of the device files.
        has_driver: True where the driver's library can be loaded.
        has_encoder: True where that of its video encoder (NVENC) can.
        asked: GPUs that the container asks NVIDIA's toolkit for (NVIDIA_VISIBLE_DEVICES); None where it says nothing.
        capabilities: Parts of the driver that it asks for (NVIDIA_DRIVER_CAPABILITIES); None where it says nothing.
    """

    devices: tuple[str, ...]
    has_driver: bool
    has_encoder: bool
    asked: str | None
    capabilities: str | None

    @property
    def is_asked_for(self) -> bool:
        """True where this container is meant to have GPUs."""
        return self.asked is not None and self.asked not in _NO_GPUS

    @property
    def lacks_capability(self) -> bool:
        """True where the container itself leaves the encoder out of what it asks for."""
        return self.capabilities is not None and not {"video", "all"} & set(self.capabilities.split(","))

    @property
    def encoder_problem(self) -> str:
        """Reason why NVENC cannot work here; empty where its library is there."""
        if self.has_encoder:
            return ""
        if self.capabilities is None:
            return f"NVENC: no {_ENCODER}. In a container set NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"
        if not self.lacks_capability:
            return f"NVENC: no {_ENCODER}, though it is asked for: the machine's driver comes without it"
        return (
            f"NVENC: no {_ENCODER}, as NVIDIA_DRIVER_CAPABILITIES is {self.capabilities}. "
            "Start the container with compute,utility,video"
        )

    def why_none(self, cuda: str | None, reason: str) -> str:
        """Return the reason why torch sees no GPU although there should be one; empty where none is meant to be here.

        Args:
            cuda: Version of CUDA that torch was built with; None for a build for CPUs.
            reason: Error message of torch.
        """
        if not self.devices and not self.has_driver:
            if not self.is_asked_for:
                return ""
            return (
                f"none is here, though NVIDIA_VISIBLE_DEVICES={self.asked} asks for them. Start the container by "
                "NVIDIA's runtime: docker run --gpus all; in Kubernetes a limit of nvidia.com/gpu"
            )
        devices = ", ".join(self.devices) or "no device file"
        if not self.has_driver:
            variable = "" if self.capabilities is None else f", as NVIDIA_DRIVER_CAPABILITIES is {self.capabilities}"
            return f"{devices} without the driver ({_DRIVER}){variable}. Start the container with compute,utility,video"
        if cuda is None:
            return f"{devices} and a driver are here, but this torch is a build for CPUs. Use the image of GPU nodes"
        return (
            f"{devices} and a driver are here, but torch (CUDA {cuda}) cannot use them: {reason or 'no reason given'}"
        )


def visible_gpus(
    environment: Mapping[str, str], devices: Path = Path("/dev"), load: Callable[[str], object] = ctypes.CDLL
) -> VisibleGpus:
    """Look for GPUs, their driver and its encoder.

    Args:
        environment: This process's variables.
        devices: Folder of device files.
        load: Loads a shared library; raises OSError where there is none.
    """

    def can_load(library: str) -> bool:
        try:
            load(library)
        except OSError:
            return False
        return True

    device_files = (
        sorted(path.name for path in devices.iterdir() if _DEVICE.fullmatch(path.name)) if devices.is_dir() else []
    )
    return VisibleGpus(
        devices=tuple(device_files),
        has_driver=can_load(_DRIVER),
        has_encoder=can_load(_ENCODER),
        asked=environment.get("NVIDIA_VISIBLE_DEVICES"),
        capabilities=environment.get("NVIDIA_DRIVER_CAPABILITIES"),
    )
