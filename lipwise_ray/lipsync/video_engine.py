"""The video engine of a worker's GPU."""

from __future__ import annotations

from lipwise_ray.media.hardware import HardwareDecoder
from lipwise_ray.media.hardware_check import HardwareFrames


def video_engine(device: str) -> HardwareFrames | None:
    """Return the hardware decoding of a worker, None where there is no GPU.

    Args:
        device: ``cpu`` or ``cuda``.
    """
    return HardwareFrames(_decoder) if device.startswith("cuda") else None


def _decoder(codec: str) -> HardwareDecoder:
    from av.codec.hwaccel import HWAccel

    from lipwise_ray.lipsync.device_frames import DeviceDownloads

    # Frames stay on the device until they are asked for; FFmpeg's own way down waits for each with Python held up.
    accelerator = HWAccel("cuda", allow_software_fallback=False, is_hw_owned=True)
    return HardwareDecoder(codec, accelerator, DeviceDownloads("cuda"))
