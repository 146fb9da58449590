"""Processor time a frame of the dubbing path's own code, a row a stage: what is neither network nor codec.

    python -m benchmarks.own_code [--preset fast|quality] [--shared ../shared] [--frames 75] [--repeats 3]
        [--beside CHECKOUT]

A face of about 300 pixels in frames of as many pixels as 720p has: a real one where the clips and YuNet are in the
folder `--shared`, else a drawn one. The network is a stand-in that costs little and is left out of the sum; there is
no restorer, and no network looks at the face's edge. A table a preset. With another checkout both are measured in
turn, each in processes of its own, on one thread, and it is said whether their pixels are the same.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import functools
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from scipy.signal import savgol_filter

CLIP, WIDTH, HEIGHT, TOP_PX, FACE_PX = "beard_portrait_1080_hevc.mp4", 720, 1280, 200, 300
NETWORK, REST, VERIFY = "network's stand-in", "queues, neighbours, the rest", "verify (decoder)"
PRESETS = ("quality", "fast")
STAGES = (
    ("copy of the frame", "lipwise_ray.media.frame_copies", "FrameCopies.__call__"),
    ("copy by numpy", "lipwise_ray.media.frames", "FrameRecipe.apply"),
    ("crop", "lipwise_ray.media.planes", "HostPlanes.read"),
    ("occlusion: view", "lipwise_ray.lipsync.occlusion", "filmed_face"),
    ("occlusion: comparison", "lipwise_ray.lipsync.occlusion", "covered"),
    ("jaw: measure", "lipwise_ray.lipsync.jaw", "Jaws.measure"),
    ("jaw: over time", "lipwise_ray.lipsync.jaw", "Jaws.shown"),
    ("jaw: mask", "lipwise_ray.lipsync.renderer", "jaw_mask"),
    ("light: fit", "lipwise_ray.lipsync.light", "light_shift"),
    ("light: fit", "lipwise_ray.lipsync.light", "light_shifts"),  # in one checkout the one is there, in another this
    ("light: shift", "lipwise_ray.lipsync.light", "relit"),
    ("same face", "lipwise_ray.lipsync.drafts", "_goes_on"),
    ("noise around", "lipwise_ray.media.planes", "noise_around"),
    ("composite", "lipwise_ray.media.planes", "HostPlanes.write"),
    ("fading lips", "lipwise_ray.lipsync.renderer", "Renderer._lay"),
    ("measures: crop", "lipwise_ray.lipsync.measures", "Measures.cropped"),
    ("measures: luma", "lipwise_ray.lipsync.measures", "Measures.seen"),
    ("measures: flicker", "lipwise_ray.lipsync.measures", "Measures.add"),
)
_FADES = (0.2, 0.4, 0.6, 0.8)
"""Opacities of the first frames of every second: lips fade at pauses."""


class Timers:
    """Processor time of functions, each without what those inside of it take."""

    def __init__(self) -> None:
        self.busy_s: dict[str, float] = defaultdict(float)
        self._inner = threading.local()

    def around(self, label: str, function: Any) -> Any:
        """Return the function, timed."""

        @functools.wraps(function)
        def timed(*args: Any, **named: Any) -> Any:
            outer = getattr(self._inner, "total", 0.0)
            self._inner.total = 0.0
            begin = time.thread_time()
            try:
                return function(*args, **named)
            finally:
                whole = time.thread_time() - begin
                self.busy_s[label] += whole - self._inner.total
                self._inner.total = outer + whole

        return timed

    def install(self) -> None:
        """Put timers around all stages that this version of the product has."""
        for label, module, path in STAGES:
            if importlib.util.find_spec(module) is None:
                continue
            holder: Any = importlib.import_module(module)
            *outer, name = path.split(".")
            for one in outer:
                holder = getattr(holder, one)
            if hasattr(holder, name):
                setattr(holder, name, self.around(label, getattr(holder, name)))


class Lips:
    """A network that moves the lower half of a face by two pixels, darker."""

    size_px, batch_faces = 96, 8
    feature: Any = None  # what it would hear is never looked up
    frames: Any = SimpleNamespace(length=1)  # it draws each frame for itself
    alignment: Any = "box"

    def __call__(self, faces_bgr: Any, sounds: Any) -> Any:
        """Return the faces."""
        made = faces_bgr.copy()
        made[:, 50:] = 0.95 * faces_bgr[:, 48:-2]
        return made


def real_frames(shared: Path, count: int) -> tuple[Any, list[Any], Any, Any]:
    """Return the canvas, the first frames of the real clip in it, and a face's boxes and points."""
    from lipwise_ray.faces.yunet import YuNet
    from lipwise_ray.media.frames import make_recipe
    from lipwise_ray.media.index import build_index
    from lipwise_ray.media.probe import probe_video
    from lipwise_ray.media.reader import VideoReader

    info = probe_video(shared / "clips" / CLIP)
    index = build_index(info)
    # Of the whole frame a part is taken that is as large as 720p: the face keeps its size.
    whole = make_recipe(info, index.sizes).canvas.shown_size
    left, top = (whole.width - WIDTH) // 2, TOP_PX
    recipe = make_recipe(info, index.sizes, crop=(top, top + HEIGHT, left, left + WIDTH))
    detector = YuNet(shared / "weights" / "face_detection_yunet_2023mar.onnx", min_score=0.6)
    boxes, points, frames = [], [], []
    with VideoReader(info.path, info.stream_index, index) as reader:
        for decoded in reader.read_order(range(count)):
            frame = recipe.apply(decoded)
            (found,) = detector.detect([np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)])
            best = int(np.argmax(found.score))
            boxes.append(found.box[best])
            points.append(found.landmarks[best])
            frames.append(frame)
    # As calm as those of a job are.
    boxes, points = (savgol_filter(np.array(one), 9, 2, axis=0) for one in (boxes, points))
    return recipe.canvas, frames, boxes, points


def drawn_frames(count: int) -> tuple[Any, list[Any], Any, Any]:
    """Return the same of a drawn presenter."""
    import av

    from lipwise_ray.media.pixels import planar_format
    from lipwise_ray.media.region import Canvas
    from lipwise_ray.synth.scene import DrawnPerson, Scene, Shot, draw_scene
    from lipwise_ray.values import ColorTags, Size

    size, shape = Size(WIDTH, HEIGHT), planar_format("yuv420p")
    assert shape is not None
    person = DrawnPerson(2, scale=FACE_PX / 2 / HEIGHT)
    scene = Scene(size, count / 25, (Shot(0.0, (person,), 1),), np.zeros(0, np.float32))
    boxes, points, frames = [], [], []
    for drawn in draw_scene(scene):
        frame = av.VideoFrame.from_ndarray(drawn.rgb, format="rgb24")
        frames.append(frame.reformat(format="yuv420p", dst_colorspace=1, dst_color_range=1))
        boxes.append(drawn.faces[0].truth.box)
        points.append(drawn.faces[0].truth.landmarks)
    return Canvas(size, shape, ColorTags(1, 1, 1, full_range=False)), frames, np.array(boxes), np.array(points)


def measure(shared: Path, count: int, preset: str) -> dict[str, Any]:
    """Return core-milliseconds a frame by stage with a preset, beside a digest of the pixels."""
    from lipwise_ray.lipsync.renderer import Renderer
    from lipwise_ray.media.frames import FrameRecipe
    from lipwise_ray.pipeline.dubbing.render_chunk import blend_of, has_occlusion
    from lipwise_ray.runs.load_settings import load_settings

    settings = load_settings(preset).for_run()
    cv2.setNumThreads(1)
    is_real = (shared / "clips" / CLIP).is_file() and (shared / "weights").is_dir()
    canvas, frames, boxes, points = real_frames(shared, count) if is_real else drawn_frames(count)
    recipe = FrameRecipe(canvas, (0, 0), canvas.size, canvas.size, canvas.format.name, canvas.color)
    for frame in frames:  # as decoders hand them over
        frame.colorspace, frame.color_range = canvas.color.matrix, 2 if canvas.color.full_range else 1
    timers = Timers()
    timers.install()
    Lips.__call__ = timers.around(NETWORK, Lips.__call__)
    digest = hashlib.sha256()
    for is_warm in (False, True):
        renderer = Renderer(
            Lips(),
            canvas,
            blend_of(settings),
            quantize_8bit=settings.lipsync.levels,
            compares=has_occlusion(settings),
        )
        timers.busy_s.clear()
        begin = time.process_time()
        for frame in renderer.render(_jobs(recipe, frames, boxes, points)):
            if not is_warm:
                digest.update(np.asarray(frame.to_ndarray()).tobytes())
        total = 1000 * (time.process_time() - begin) / count
        if not is_warm:
            digest.update(repr((renderer.measures.flicker, renderer.measures.sharpness)).encode())
    busy = {label: 1000 * seconds / count for label, seconds in timers.busy_s.items()}
    busy[REST] = total - sum(busy.values())
    del busy[NETWORK]
    face = float((boxes[:, 2:] - boxes[:, :2]).mean())
    return {
        "stages": busy,
        "verify": _verify(frames, canvas),
        "face_px": face,
        "is_real": is_real,
        "pixels": digest.hexdigest(),
    }


def _jobs(recipe: Any, frames: list[Any], boxes: Any, points: Any) -> Any:
    from lipwise_ray.lipsync.frame_job import FaceTarget, FrameJob

    mel = np.zeros((80, 16), np.float32)
    # Not every checkout that is measured copies frames as late as they are written to.
    shares = "is_shared" in FrameJob.__slots__
    own = recipe.apply
    if not shares and importlib.util.find_spec("lipwise_ray.media.frame_copies"):
        from lipwise_ray.media.frame_copies import FrameCopies

        own = FrameCopies(recipe)
    for number, (frame, box, five) in enumerate(zip(frames, boxes, points, strict=True)):
        second = number % 25
        opacity = _FADES[second] if second < len(_FADES) else 1.0
        padded = box + np.array([0, 0, 0, 0.1 * (box[3] - box[1])], np.float32)
        target = FaceTarget(0, padded.astype(np.float32), five.astype(np.float32), mel, opacity)
        job = FrameJob(frame if shares else own(frame), (target,), source=number, number=number)
        yield replace(job, is_shared=True) if shares else job


def _verify(frames: list[Any], canvas: Any) -> float:
    """Return the core-milliseconds a frame that decoding a segment of them again takes."""
    from lipwise_ray.media.encode import EncodeSpec
    from lipwise_ray.media.segment_writer import SegmentWriter
    from lipwise_ray.media.verify import check_segment

    rate = Fraction(25)
    spec = EncodeSpec(
        "libx264", None, "veryfast", 50, canvas.format.name, canvas.size, rate, 1 / rate, canvas.color, Fraction(1), 1
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "segment.mkv"
        with SegmentWriter(path, spec) as writer:
            for number, frame in enumerate(frames):
                writer.write(frame, number)
            writer.finish()
        begin = time.process_time()
        check_segment(path, len(frames), threads=1)
        return 1000 * (time.process_time() - begin) / len(frames)


def in_child(root: Path, options: argparse.Namespace, preset: str) -> dict[str, Any]:
    """Measure the product of a checkout in a process of its own."""
    words = [sys.executable, __file__, "--child", "--preset", preset]
    words += ["--shared", str(options.shared), "--frames", str(options.frames)]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    made = subprocess.run(words, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(made.stdout.splitlines()[-1])


def show(found: dict[str, list[dict[str, Any]]], preset: str) -> None:
    """Print the table of a preset.

    Args:
        found: What `measure` returned, by checkout.
        preset: Its name.
    """
    first = found["now"][0]
    kind, repeats = "a real" if first["is_real"] else "a drawn", len(found["now"])
    print(f"{preset}: core-ms a frame of {WIDTH}x{HEIGHT} with {kind} face of {first['face_px']:.0f} px", end="")
    print(f", least of {repeats}")
    print(f"{'stage':32s}" + "".join(f"{name:>9s}" for name in found))
    for label in (*dict.fromkeys(label for label, _, _ in STAGES), REST):
        cells = [min(one["stages"].get(label, 0.0) for one in runs) for runs in found.values()]
        if any(cells):
            print(f"{label:32s}" + "".join(f"{cell:9.2f}" for cell in cells))
    sums = [min(sum(one["stages"].values()) for one in runs) for runs in found.values()]
    print(f"{'own code':32s}" + "".join(f"{total:9.2f}" for total in sums))
    checks = [min(one["verify"] for one in runs) for runs in found.values()]
    print(f"{VERIFY:32s}" + "".join(f"{check:9.2f}" for check in checks))
    if len(found) > 1:
        is_same = len({one["pixels"] for runs in found.values() for one in runs}) == 1
        print(f"pixels and measures: {'the same' if is_same else 'DIFFERENT'}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--preset", choices=PRESETS, help="one of them; else both")
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("LIPWISE_SHARED", "../shared")))
    parser.add_argument("--frames", type=int, default=75)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--beside", type=Path, help="another checkout, measured in turn")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.shared, options.frames, options.preset)))
        return
    here = Path(__file__).resolve().parent.parent
    roots = {"before": options.beside, "now": here} if options.beside else {"now": here}
    for preset in (options.preset,) if options.preset else PRESETS:
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in roots}
        for _ in range(options.repeats):
            for name, root in roots.items():
                found[name].append(in_child(root, options, preset))
        show(found, preset)


if __name__ == "__main__":
    main()
