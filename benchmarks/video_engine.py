"""Decoding by a GPU's video engine: its table, its frames beside software's, and frames a second of both.

The last line is about frames that stay on the device until faces are laid over them, beside such that are uploaded.

    python -m benchmarks.video_engine [--height 1080] [--frames 100] [--cpu]

``--cpu`` decodes in software in the engine's place and goes the same way through torch: it proves the script.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import tempfile
import time
import zlib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

CODECS = {
    "h264": ("libx264", {"preset": "ultrafast", "bf": "2"}),
    "hevc": ("libx265", {"preset": "ultrafast", "x265-params": "log-level=error"}),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
    "av1": ("libsvtav1", {"preset": "12"}),
}


def engine_of(device: str) -> Any:
    """Return the video engine of a device; a CPU's is software, whose frames take the same way."""
    from lipwise_ray.lipsync.device_frames import DeviceDownloads
    from lipwise_ray.lipsync.video_engine import video_engine
    from lipwise_ray.media.hardware import HardwareDecoder
    from lipwise_ray.media.hardware_check import HardwareFrames

    def semi_planar(frames: Iterator[Any]) -> Iterator[Any]:
        return (frame.reformat(format="nv12" if frame.format.name == "yuv420p" else "p010le") for frame in frames)

    downloads = DeviceDownloads("cpu", 1 << 30)
    return video_engine(device, stays=True) or HardwareFrames(
        lambda codec: HardwareDecoder(codec, None, lambda frames: downloads(semi_planar(frames)))
    )


def decoding(arguments: dict[str, Any]) -> str:
    """Return what an engine decodes, and for four codecs whether its frames are software's and how fast they come."""
    from lipwise_ray.lipsync.video_engine import hardware_encoding
    from lipwise_ray.media.encode import is_hardware, opening_encoders, scheduled_as_before
    from lipwise_ray.media.encoder_surfaces import SURFACE_FORMATS
    from lipwise_ray.media.index import build_index
    from lipwise_ray.media.pixels import plane_array
    from lipwise_ray.media.probe import probe_video
    from lipwise_ray.media.reader import VideoReader
    from lipwise_ray.synth.clips import ClipSpec, write_clip
    from lipwise_ray.values import Size

    height, frames, engine = arguments["height"], arguments["frames"], engine_of(arguments["device"])
    name = "the engine" if arguments["device"] == "cuda" else "software in the engine's place"
    lines = [f"{name}: {one.kind}: {one.problem or 'as software'}" for one in engine.table()]
    encoders, encoding = [*filter(is_hardware, opening_encoders())], hardware_encoding(arguments["device"])
    lines.append(f"engine encodes: {', '.join(encoders) or 'nothing: it has no encoder that opens'}")
    for codec, pixel_format in product(encoders if encoding else [], SURFACE_FORMATS):
        problem = encoding.problem(codec, pixel_format)  # type: ignore[union-attr]  # there are none without it
        lines.append(f"{codec} {pixel_format} from the card's memory: {problem or 'as from this machine'}")

    def read(info: Any, index: Any, hardware: Any) -> tuple[list[int], float, bool]:
        begin = time.perf_counter()
        with VideoReader(info.path, info.stream_index, index, hardware=hardware) as reader:
            frames = reader.read(0, len(index))
            found = [zlib.crc32(plane_array(frame, plane).tobytes()) for frame in frames for plane in range(3)]
            is_whole = reader._hardware is hardware  # noqa: SLF001  # whether it gave up
            return found, len(index) / (time.perf_counter() - begin), is_whole

    for codec, (encoder, options) in CODECS.items():
        path = Path(arguments["folder"]) / f"{codec}-{height}.mkv"
        spec = ClipSpec(size=Size(height * 16 // 9, height), frames=frames, codec=encoder, options=options)
        with scheduled_as_before():
            write_clip(path, spec)
        info = probe_video(path)
        index = build_index(info)
        decoder = engine.decoder(info, index)
        if decoder is None:
            lines.append(f"{height}p {codec}: no engine for it")
            continue
        read(info, index, decoder)  # what is made once is made
        ours, speed, is_whole = read(info, index, decoder)
        theirs, plain_speed, _ = read(info, index, None)
        wrong = sum(one != other for one, other in zip(ours, theirs, strict=True))
        given_up = "" if is_whole else ", GIVEN UP on the way"
        lines.append(
            f"{height}p {codec}: {wrong} of {3 * frames} planes differ{given_up}; "
            f"{speed:.0f} frames/s by {name}, {plain_speed:.0f} plainly"
        )
    return "\n".join(lines)


def outside_region(arguments: dict[str, Any]) -> str:
    """Render a clip's frames from an engine with a face; say how many bytes outside the face are not the source's."""
    from benchmarks.gpu import face_of
    from lipwise_ray.lipsync.device_light import DeviceLights
    from lipwise_ray.lipsync.device_planes import DevicePlanes
    from lipwise_ray.lipsync.frame_job import Blend, FaceTarget, FrameJob
    from lipwise_ray.lipsync.model import Passthrough
    from lipwise_ray.lipsync.renderer import Renderer
    from lipwise_ray.media.frames import make_recipe
    from lipwise_ray.media.index import build_index
    from lipwise_ray.media.pixels import plane_array
    from lipwise_ray.media.probe import probe_video
    from lipwise_ray.media.reader import VideoReader

    height, device = arguments["height"], arguments["device"]
    info = probe_video(Path(arguments["folder"]) / f"h264-{height}.mkv")
    index, recipe = build_index(info), make_recipe(info)
    box, points, (top, bottom, left, right) = face_of(height)
    mel = np.zeros((80, 16), np.float32)
    blend = Blend("soft", 0.1, "cubic", match_light=True, linear_light=True, grain=True, align=True)
    renderer = Renderer(Passthrough(), recipe.canvas, blend, planes=DevicePlanes(device), lights=DeviceLights(device))
    decoder = engine_of(device).decoder(info, index)
    touched = inside = 0
    with (
        VideoReader(info.path, info.stream_index, index, hardware=decoder) as reader,
        VideoReader(info.path, info.stream_index, index) as plain,
    ):
        jobs = (
            FrameJob(recipe.apply(frame), (FaceTarget(0, box, points, mel),), number, number)
            for number, frame in enumerate(reader.read(0, len(index)))
        )
        for ours, theirs in zip(renderer.render(jobs), plain.read(0, len(index)), strict=True):
            for plane in range(3):
                away = plane_array(ours, plane) != plane_array(theirs, plane)
                step = 1 if plane == 0 else 2
                part = (slice(top // step - 2, bottom // step + 3), slice(left // step - 2, right // step + 3))
                inside += int(away[part].sum())
                away[part] = False
                touched += int(away.sum())
    by = "the engine" if decoder is not None and device == "cuda" else "software"
    return f"{height}p dubbed from frames by {by}: {touched} bytes outside the face differ, {inside} within"


def staying(arguments: dict[str, Any]) -> str:
    """Render a clip's frames with their planes on the device and without; return what differs, uploads and speed."""
    from benchmarks.gpu import face_of
    from lipwise_ray.lipsync.device_copies import DeviceCopies
    from lipwise_ray.lipsync.device_light import DeviceLights
    from lipwise_ray.lipsync.device_planes import DevicePlanes
    from lipwise_ray.lipsync.frame_job import Blend, FaceTarget, FrameJob
    from lipwise_ray.lipsync.model import Passthrough
    from lipwise_ray.lipsync.renderer import Renderer
    from lipwise_ray.media.frames import make_recipe
    from lipwise_ray.media.index import build_index
    from lipwise_ray.media.pixels import plane_array
    from lipwise_ray.media.probe import probe_video
    from lipwise_ray.media.reader import VideoReader

    height, device = arguments["height"], arguments["device"]
    info = probe_video(Path(arguments["folder"]) / f"h264-{height}.mkv")
    index, recipe = build_index(info), make_recipe(info)
    box, points, _ = face_of(height)
    mel = np.zeros((80, 16), np.float32)
    blend = Blend("soft", 0.1, "cubic", match_light=True, linear_light=True, grain=True, align=True)
    uploads, upload = [0], DeviceCopies.uploaded

    def counted(self: Any, planes: Any, rectangles: Any) -> Any:
        uploads[0] += len(planes)
        return upload(self, planes, rectangles)

    def prepared(frame: Any, *, stays: bool) -> Any:
        made = recipe.apply(frame)
        if not stays:
            made.opaque = None
        return made

    def rendered(*, stays: bool) -> tuple[list[int], str]:
        renderer = Renderer(
            Passthrough(), recipe.canvas, blend, planes=DevicePlanes(device), lights=DeviceLights(device)
        )
        decoder = engine_of(device).decoder(info, index)
        uploads[0], begin, cpu = 0, time.perf_counter(), time.process_time()
        with VideoReader(info.path, info.stream_index, index, hardware=decoder) as reader:
            jobs = (
                FrameJob(prepared(frame, stays=stays), (FaceTarget(0, box, points, mel),), number, number)
                for number, frame in enumerate(reader.read(0, len(index)))
            )
            found = [zlib.crc32(plane_array(f, n).tobytes()) for f in renderer.render(jobs) for n in range(3)]
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        text = (
            f"{len(index) / seconds:.1f} frames/s, {1000 * cpu / len(index):.1f} CPU ms a frame, {uploads[0]} uploads"
        )
        return found, text

    DeviceCopies.uploaded = counted  # type: ignore[method-assign]  # to count
    try:
        rendered(stays=True)  # what is made once is made
        (ours, kept), (theirs, plain) = rendered(stays=True), rendered(stays=False)
    finally:
        DeviceCopies.uploaded = upload  # type: ignore[method-assign]  # as it was
    wrong = sum(one != other for one, other in zip(ours, theirs, strict=True))
    return f"{height}p on the device from decoding on: {wrong} of {len(ours)} planes differ; {kept}; uploaded: {plain}"


def main() -> None:
    """Print the lines."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--cpu", action="store_true", help="software in the engine's place")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        arguments = {"height": options.height, "frames": options.frames, "folder": folder,
                     "device": "cpu" if options.cpu else "cuda"}  # fmt: skip
        print(decoding(arguments), flush=True)
        print(outside_region(arguments), flush=True)
        print(staying(arguments))


if __name__ == "__main__":
    main()
