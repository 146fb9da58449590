"""Core-milliseconds a face of reading and writing regions of frames, by each implementation of `Planes`.

    python -m benchmarks.planes [--faces 100 200 400 700 1000] [--heights 720 1080] [--rounds 15] [--device cpu]

They take turns in one run; each figure is the median of the rounds, of CPU seconds on a CPU and of wall seconds on a
GPU. Under `warped` stands the reading of an upright crop as that of a turned one: warped to a multiple of its side and
averaged. How far the upright one is from that is in the last columns, in levels of 255: at most, and on the mean.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch

from lipwise_ray.lipsync.compose import paste_mask
from lipwise_ray.lipsync.device_planes import DevicePlanes
from lipwise_ray.media.grain import Grain
from lipwise_ray.media.pixels import planar_format, plane_array
from lipwise_ray.media.planes import FaceLayer, HostPlanes, Planes, View
from lipwise_ray.media.region import Canvas, box_to_shown, read_region
from lipwise_ray.synth.clips import ClipSpec, draw_frame
from lipwise_ray.values import ColorTags, Size

SIDE_PX, FEATHER = 96, 0.1
_LITTLE_DEGREES = 1e-9
"""A turn that moves nothing, but by which a crop counts as turned."""


def _milliseconds(work: Callable[[], object], device: str) -> float:
    clock = time.process_time_ns if device == "cpu" else time.perf_counter_ns
    begin = clock()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return (clock() - begin) / 1e6


def measure(size: Size, face_px: int, rounds: int, device: str) -> tuple[dict[str, float], float, float]:
    """Return the milliseconds a face of each operation, and how far an upright crop is from a warped one."""
    shape = planar_format("yuv420p")
    assert shape is not None
    canvas = Canvas(size, shape, ColorTags(matrix=1))
    box = np.array([50.3, 9.7, 50.3 + face_px, 9.7 + face_px])
    to_shown, turned = box_to_shown(box, SIDE_PX), box_to_shown(box, SIDE_PX, _LITTLE_DEGREES)
    count = 1 if device == "cpu" else 32
    spec = ClipSpec(size=size)
    views = [View(draw_frame(spec, number), to_shown) for number in range(count)]
    for view in views:  # no drawing is as fine as a film
        luma = plane_array(view.frame, 0)
        noise = 6 * np.random.default_rng(1).standard_normal(luma.shape)
        luma[:] = np.clip(cv2.GaussianBlur(luma, (0, 0), 1.2) + cv2.GaussianBlur(noise, (0, 0), 0.7), 16, 235)
    host, other = HostPlanes(), DevicePlanes(device)
    mask = paste_mask(SIDE_PX, FEATHER)

    def layers(planes: Planes) -> Callable[[], None]:
        images = planes.read(canvas, views, SIDE_PX)
        made = [FaceLayer(view, image, mask, Grain(1, 2.0)) for view, image in zip(views, images, strict=True)]
        return lambda: planes.write(canvas, made, linear_light=True)

    work: dict[str, Callable[[], object]] = {
        "warped": lambda: [read_region(view.frame, canvas, turned, SIDE_PX) for view in views],
        "read": lambda: host.read(canvas, views, SIDE_PX),
        "read torch": lambda: [image.host() for image in other.read(canvas, views, SIDE_PX)],
        "write": layers(host),
        "write torch": layers(other),
    }
    crops = [read_region(views[0].frame, canvas, affine, SIDE_PX) for affine in (to_shown, turned)]
    off = np.abs(crops[0] - crops[1]) * 255
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, one in work.items():
            times[name].append(_milliseconds(one, device) / count)
    return {name: float(np.median(values)) for name, values in times.items()}, float(off.max()), float(off.mean())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--faces", type=int, nargs="+", default=[100, 200, 400, 700, 1000], help="sides in pixels")
    parser.add_argument("--heights", type=int, nargs="+", default=[720, 1080], help="of the frames")
    parser.add_argument("--rounds", type=int, default=15, help="times that each is done")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="of torch")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    heads = ("warped", "read", "read torch", "write", "write torch")
    print("ms a face" + "".join(f"{head:>12s}" for head in heads) + f"{'levels':>9s}{'mean':>7s}")
    for height in options.heights:
        for face_px in (side for side in options.faces if side < height):
            size = Size(height * 16 // 9, height)
            times, most, mean = measure(size, face_px, options.rounds, options.device)
            cells = "".join(f"{times[head]:12.2f}" for head in heads)
            print(f"{height}p {face_px:4d}{cells}{most:9.1f}{mean:7.2f}", flush=True)


if __name__ == "__main__":
    main()
