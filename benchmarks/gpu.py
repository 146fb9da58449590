"""What one GPU does: agreement with the CPU, networks alone, whole dubs by each lip model, the original beside them.

    python -m benchmarks.gpu [--seconds 20] [--original FOLDER] [--cpu] [--quick]

`benchmarks/gpu.sh` runs the tests that need a GPU before it. ``--cpu`` goes the same way through torch on a CPU, and
``--quick`` with the bundled small networks on small frames: they prove the script, not the speed. The original is a
checkout of Wav2Lip whose `inference.py` runs in this Python, which the same random weights are handed to; without one
its lines are left out. All weights are seeded: they take the same time as trained ones.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np

from benchmarks import lip_models
from benchmarks.fresh_process import in_child
from benchmarks.pipeline import HEIGHT, RATE, WIDTH, box_at, dub, make_inputs, random_checkpoint
from benchmarks.restorer import seeded_gfpgan
from benchmarks.video_engine import decoding, outside_region, staying

_MIB = 1 << 20
_FACE_PX, _ALIGNED_PX = 96, 512
_EVERY_MS = 200


class GpuBusy:
    """Share of the time in which a GPU computed, by NVML as nvidia-smi reports it, while the ``with`` block runs."""

    def __init__(self) -> None:
        self._samples: list[float] = []
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        tool = shutil.which("nvidia-smi")
        if tool:
            query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", f"--loop-ms={_EVERY_MS}"]
            self._process = subprocess.Popen([tool, "--id=0", *query], stdout=subprocess.PIPE, text=True)
            threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            if line.strip().isdigit():
                self._samples.append(float(line))

    def __str__(self) -> str:
        if not self._samples:
            return "GPU busy: not measured (no nvidia-smi)"
        # Loading networks is no rendering: the time before the first work and after the last one is cut off.
        busy = np.flatnonzero(np.array(self._samples) > 0)
        within = self._samples[busy[0] : busy[-1] + 1] if len(busy) else [0.0]
        seconds = len(within) * _EVERY_MS / 1000
        return f"GPU busy {np.mean(within):.0f} % of {seconds:.1f} s (median {np.median(within):.0f} %)"


def face_of(height: int) -> tuple[Any, Any, tuple[int, int, int, int]]:
    """Return the box and the landmarks of the face that is dubbed, and its first and last rows and columns."""
    top, bottom, left, right = (int(side) for side in box_at(height)[4:].split(","))
    box = np.array([left, top, right, bottom], np.float32)
    points = np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.55], [0.35, 0.75], [0.65, 0.75]], np.float32)
    return box, np.asarray(points * (box[2:] - box[:2]) + box[:2], np.float32), (top, bottom, left, right)


def agreement(arguments: dict[str, Any]) -> str:
    """Render seeded frames by both implementations; say how far apart they are, and that nothing else was touched."""
    import torch

    from lipwise_ray.lipsync.device_compositor import DeviceCompositor
    from lipwise_ray.lipsync.device_light import DeviceLights
    from lipwise_ray.lipsync.device_planes import DevicePlanes
    from lipwise_ray.lipsync.frame_job import Blend, FaceTarget, FrameJob
    from lipwise_ray.lipsync.model import Wav2LipSync
    from lipwise_ray.lipsync.renderer import Renderer
    from lipwise_ray.media.pixels import planar_format, plane_array
    from lipwise_ray.media.region import Canvas
    from lipwise_ray.nets.wav2lip import Wav2Lip
    from lipwise_ray.synth.clips import ClipSpec, draw_frame
    from lipwise_ray.values import ColorTags, Size

    height, frames, device = arguments["height"], arguments["frames"], arguments["device"]
    shape = planar_format("yuv420p")
    assert shape is not None
    spec = ClipSpec(size=Size(height * WIDTH // HEIGHT, height))
    canvas = Canvas(spec.size, shape, ColorTags(matrix=1))
    blend = Blend("soft", 0.1, "cubic", match_light=True, linear_light=True, grain=True, align=True)
    box, points, (top, bottom, left, right) = face_of(height)
    mel = np.random.default_rng(0).uniform(-4, 4, (80, 16)).astype(np.float32)
    path = Path(arguments["folder"]) / "agreement.pth"
    torch.manual_seed(0)
    torch.save({"state_dict": Wav2Lip(arguments["width"]).state_dict()}, path)

    def rendered(**where: Any) -> list[Any]:
        network = Wav2LipSync(path, device=device, precision="float32", batch_faces=arguments["batch"])
        jobs = (FrameJob(draw_frame(spec, n), (FaceTarget(0, box, points, mel),), n, n) for n in range(frames))
        renderer = Renderer(network, canvas, blend, **where)
        return [[plane_array(frame, plane).copy() for plane in range(3)] for frame in renderer.render(jobs)]

    both = (
        rendered(),
        rendered(planes=DevicePlanes(device), lights=DeviceLights(device), compositor=DeviceCompositor(device)),
    )
    apart = touched = 0
    for number, pair in enumerate(zip(*both, strict=True)):
        for plane, (one, other) in enumerate(zip(*pair, strict=True)):
            apart = max(apart, int(np.abs(one.astype(int) - other.astype(int)).max()))
            away = other != plane_array(draw_frame(spec, number), plane)
            step = 1 if plane == 0 else 2
            away[top // step - 2 : bottom // step + 3, left // step - 2 : right // step + 3] = False
            touched += int(away.sum())
    return (
        f"{height}p, {frames} frames: device and CPU {apart} levels apart, {touched} bytes changed outside the region"
    )


def network_speed(arguments: dict[str, Any]) -> str:
    """Return faces a second of a network, its calls replayed from a graph and not, and its memory."""
    import torch

    from lipwise_ray.lipsync.model import Wav2LipSync
    from lipwise_ray.lipsync.restore import ModelFaces
    from lipwise_ray.nets import fixed_call
    from lipwise_ray.nets.image_models import load_image_model

    device, batch, name = arguments["device"], arguments["batch"], arguments["name"]
    precision, repeat = arguments["precision"], arguments["repeat"]
    rng, usual = np.random.default_rng(0), fixed_call.fixed_call
    calls: list[Any] = []  # the networks' own, so that they can be made to call plainly

    def noted(call: Any, where: str) -> Any:
        calls.append(usual(call, where))
        return calls[-1]

    fixed_call.fixed_call = noted
    if name == "wav2lip":
        network: Any = Wav2LipSync(Path(arguments["path"]), device=device, precision=precision, batch_faces=batch)
        faces = rng.random((batch, _FACE_PX, _FACE_PX, 3)).astype(np.float32)
        mels = rng.uniform(-4, 4, (batch, 80, 16)).astype(np.float32)
        call = lambda: network(faces, mels)  # noqa: E731  # one of two
    else:
        model = load_image_model(Path(arguments["path"]))
        if arguments["layout"] == "channels last":
            model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the stub
        network = ModelFaces(model, device=device, precision=precision, batch_faces=batch)
        faces = rng.random((batch, _ALIGNED_PX, _ALIGNED_PX, 3)).astype(np.float32)
        call = lambda: network(faces)  # noqa: E731  # one of two
    before = torch.cuda.memory_allocated() if device == "cuda" else 0
    speeds = []
    for is_plain in (False, True):
        if is_plain:
            calls[0]._capture = None  # noqa: SLF001  # the same network twice
        for _ in range(2):
            call()
        begin = time.perf_counter()
        for _ in range(repeat):
            call()
        speeds.append(batch * repeat / (time.perf_counter() - begin))
        if not is_plain:
            is_graph = isinstance(calls[0]._replay, fixed_call.GraphReplay)  # noqa: SLF001  # the same network twice
            graphed = "by a graph" if is_graph else f"no graph {calls[0].problem}".strip()
    told = f"{name} {precision} {arguments.get('layout', '')} batch {batch}: {speeds[0]:.0f} faces/s {graphed}"
    told += f", {speeds[1]:.0f} called"
    if device == "cuda":
        used = (torch.cuda.max_memory_allocated() - before) / batch / _MIB
        told += f", {used:.0f} MiB a face"
    return told


def whole_dub(
    options: argparse.Namespace, folder: Path, preset: str, height: int, models: list[str], model: str = ""
) -> float:
    """Dub a clip, a fifth of the length where a lip model is named; print its table; return frames a second of all."""
    name = f"{preset}-{height}{f'-{model}'.replace(' ', '-') if model else ''}"
    manifest = make_inputs(folder, name, options.seconds / 5 if model else options.seconds, height)
    settings = ["engine.kind=inline", f'engine.device="{options.device}"', "engine.hardware_frames=on", *models]
    begin = time.perf_counter()
    with GpuBusy() as busy:
        made = in_child(
            dub,
            {"folder": folder, "manifest": manifest, "state": f"state-{name}", "preset": preset, "set": settings},
        )
    whole_s, found = time.perf_counter() - begin, made["result"]
    speed = found["frames"] / found["render_s"]
    title = f"{height}p {preset}{f' by {model}' if model else ''}"
    print(f"{title}: {speed:.1f} frames/s, whole run with start-up {whole_s:.1f} s; {busy}")
    total = found["render_s"]
    for stage, seconds in found["stages_s"].items():
        each_ms = 1000 * seconds / found["frames"]
        print(f"    {stage:10s} {seconds:7.2f} s busy, {each_ms:6.2f} ms a frame, {seconds / total:4.0%}")
    return found["frames"] / whole_s


def original_speed(checkout: Path, folder: Path, checkpoint: Path, seconds: float, height: int) -> float:
    """Run the original on the same clip and face; return frames a second of its whole run."""
    clip, sound = (folder / f"fast-{height}.{ending}" for ending in ("mp4", "wav"))
    words = [sys.executable, "inference.py", "--checkpoint_path", str(checkpoint), "--face", str(clip)]
    words += ["--audio", str(sound), "--outfile", str(folder / "original.mp4"), "--box", *box_at(height)[4:].split(",")]
    begin = time.perf_counter()
    subprocess.run(words, cwd=checkout, check=True, capture_output=True)
    return seconds * RATE / (time.perf_counter() - begin)


def networks(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what is measured of networks."""
    common = {"device": options.device, "repeat": 2 if options.quick else 20}
    wav2lip = {**common, "name": "wav2lip", "path": folder / "random.pth"}
    if options.quick:
        yield {**wav2lip, "precision": "float32", "batch": 2}
        return
    for batch in (32, 128, 256):
        yield {**wav2lip, "precision": "float16" if options.device == "cuda" else "float32", "batch": batch}
    for layout in ("contiguous", "channels last"):
        for batch in (4, 8, 16):
            yield {**common, "name": "gfpgan", "path": folder / "gfpgan.pth", "precision": "bfloat16",
                   "batch": batch, "layout": layout, "repeat": 6}  # fmt: skip


OTHER_LIPS = [model for model in lip_models.MODELS if model not in {"wav2lip", "latentsync 1.5"}]
"""Lip models of which whole dubs are measured: Wav2Lip's are anyway, and LatentSync 1.6 is 1.5 with larger faces."""


def other_lips(options: argparse.Namespace, folder: Path, height: int, left: Callable[[], float]) -> None:
    """Dub a clip by each of the `OTHER_LIPS`; their files stay no longer."""
    for model in OTHER_LIPS:
        if not _within(left, f"{height}p by {model}"):
            continue
        with tempfile.TemporaryDirectory(dir=folder) as weights:
            made = in_child(lip_models.written, {"model": model, "folder": weights, "quick": options.quick})
            whole_dub(options, folder, "fast", height, lip_models.assignments(made), model)
        sys.stdout.flush()


def _within(seconds_left: Callable[[], float], what: str) -> bool:
    """Tell whether there is time; else say what is left out."""
    if seconds_left() > 0:
        return True
    print(f"{what}: left out, the time is up")
    return False


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the clips")
    parser.add_argument("--original", type=Path, help="a checkout of Wav2Lip")
    parser.add_argument("--cpu", action="store_true", help="torch on a CPU")
    parser.add_argument("--quick", action="store_true", help="small networks and frames")
    parser.add_argument("--most-s", type=float, default=360.0, help="begin nothing after so many seconds")
    options = parser.parse_args()
    import torch

    options.device = "cpu" if options.cpu else "cuda"
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device: --cpu goes the same way through torch on a CPU")
    begin = time.perf_counter()
    if options.quick:
        options.seconds = min(options.seconds, 0.4)

    def left() -> float:
        return options.most_s - (time.perf_counter() - begin)

    name = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    memory = f", {torch.cuda.mem_get_info()[0] >> 30} GiB free" if options.device == "cuda" else ""
    print(f"{name}{memory}, {os.cpu_count()} cores, torch {torch.__version__}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        heights = (144,) if options.quick else (720, 1080)
        for height in heights:
            frames, batch, width = (5, 2, 0.125) if options.quick else (100, 32, 1.0)
            print(in_child(agreement, {"height": height, "frames": frames, "device": options.device,
                                       "folder": folder, "batch": batch, "width": width}), flush=True)  # fmt: skip
        clip = {"height": heights[-1], "frames": 8 if options.quick else 100, "folder": folder}
        print(in_child(decoding, {**clip, "device": options.device}), flush=True)
        print(in_child(outside_region, {**clip, "device": options.device}), flush=True)
        print(in_child(staying, {**clip, "device": options.device}), flush=True)
        checkpoint, restorer = folder / "random.pth", folder / "gfpgan.pth"
        in_child(random_checkpoint, checkpoint)
        if not options.quick:
            in_child(seeded_gfpgan, restorer)
        for one in networks(options, folder):
            if _within(left, f"{one['name']} batch {one['batch']}"):
                print(in_child(network_speed, one), flush=True)
        given = {"lipsync.checkpoint": checkpoint, "restore.checkpoint": restorer}
        models = [f"{key}={json.dumps(str(path))}" for key, path in given.items()]
        if options.quick:
            models = ['lipsync.model="tiny_generator"', 'restore.model="tiny_restorer"']
        for height in heights:
            for preset, used in (("fast", models[:1]), ("quality", models)):
                if not _within(left, f"{height}p {preset}"):
                    continue
                ours = whole_dub(options, folder, preset, height, used)
                if preset == "fast" and options.original:
                    theirs = original_speed(options.original, folder, checkpoint, options.seconds, height)
                    told = f"{height}p, whole runs with start-up: the original {theirs:.1f} frames/s, ours {ours:.1f}"
                    print(f"{told}, {ours / theirs:.1f} times as fast")
                sys.stdout.flush()
            if height == heights[0]:
                other_lips(options, folder, height, left)


if __name__ == "__main__":
    main()
