"""The video engine of a worker's GPU."""

from __future__ import annotations

from functools import partial

from av.codec.hwaccel import HWAccel

from lipwise_ray.media.encode import HARDWARE_CODECS
from lipwise_ray.media.encoder_surfaces import EncoderSurfaces, SurfaceFormat
from lipwise_ray.media.hardware import HardwareDecoder
from lipwise_ray.media.hardware_check import HardwareFrames
from lipwise_ray.media.hardware_encoding import HardwareEncoding
from lipwise_ray.values import Size

_RESIDENT_SHARE = 16
"""Of the GPU's memory one part in so many is for frames that stay there; models need the rest."""


def video_engine(device: str, *, stays: bool) -> HardwareFrames | None:
    """Return the hardware decoding of a worker, None where there is no GPU.

    Args:
        device: ``cpu`` or ``cuda``.
        stays: Frames stay on the device too, as far as there is room: faces are read there.
    """
    return HardwareFrames(partial(_decoder, stays=stays)) if device.startswith("cuda") else None


def hardware_encoding(device: str) -> HardwareEncoding | None:
    """Return the encoding of frames from the memory of a worker's GPU, None where there is no GPU.

    Args:
        device: ``cpu`` or ``cuda``.
    """
    return HardwareEncoding(_surfaces, HARDWARE_CODECS) if device.startswith("cuda") else None


def _surfaces(size: Size, surface_format: SurfaceFormat) -> EncoderSurfaces:
    from lipwise_ray.lipsync.device_surfaces import DeviceSurfaces

    return DeviceSurfaces("cuda", size, surface_format, cuda_accelerator)


def _decoder(codec: str, *, stays: bool) -> HardwareDecoder:
    import torch

    from lipwise_ray.lipsync.device_frames import DeviceDownloads

    is_there = stays and torch.cuda.is_available()
    room = torch.cuda.get_device_properties(0).total_memory // _RESIDENT_SHARE if is_there else 0
    return HardwareDecoder(codec, cuda_accelerator, DeviceDownloads("cuda", room))


def cuda_accelerator() -> HWAccel:
    """Return the description of the GPU whose context torch has made.

    Raises:
        RuntimeError: There is none.
    """
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("there is no CUDA device")
    # FFmpeg refuses the device's usual context once torch has made it, with other flags; it takes what is current in
    # the thread, which this makes torch's.
    torch.zeros(1, device="cuda")
    context = {"primary_ctx": "0", "current_ctx": "1"}
    # Frames stay on the device until they are asked for; FFmpeg's own way down waits for each with Python held up.
    return HWAccel("cuda", options={**context}, allow_software_fallback=False, is_hw_owned=True)
