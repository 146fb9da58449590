"""CPU time a face of Wav2Lip by each runtime and number format, and how far its faces are from torch's in float32.

    python -m benchmarks.runtimes [--checkpoint FILE] [--batch 16] [--rounds 7]
    python -m benchmarks.runtimes --others [--network gfpgan]    scorers, restorers: benchmarks/other_runtimes.py
    python -m benchmarks.runtimes --int8    the bundled generator in int8: benchmarks/int8.py

Without --checkpoint the network has its full width and random weights, which take the same time. Every runtime gets one
thread; they take turns, so that what else the machine does meets all of them.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import int8, other_runtimes
from benchmarks.pipeline import random_checkpoint


def ways() -> list[tuple[Any, Any]]:
    """Return the runtimes that are installed with the number formats that each has."""
    from lipwise_ray.nets.bfloat16 import has_bfloat16_cpu
    from lipwise_ray.nets.runtimes import ONNXRUNTIME, OPENVINO, TORCH, Runtime, computes_in, is_installed

    formats = ("float32", "bfloat16") if has_bfloat16_cpu() else ("float32",)
    installed: list[Runtime] = [one for one in (TORCH, ONNXRUNTIME, OPENVINO) if is_installed(one)]
    return [(runtime, precision) for precision in formats for runtime in installed if computes_in(runtime, precision)]


def models_of(checkpoint: Path, folder: Path, batch: int) -> dict[tuple[str, str], Any]:
    """Return Wav2Lip by each way, as a worker loads it, and print what loading took."""
    from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
    from lipwise_ray.models.loading import ModelRequest
    from lipwise_ray.nets.exports import Exports
    from lipwise_ray.pipeline.tasks.models import Models
    from lipwise_ray.roles.lipsync import LIPSYNC
    from lipwise_ray.settings.layers import resolve
    from lipwise_ray.storage.cache import Cache
    from lipwise_ray.storage.digest import sha256_of

    models = Models("cpu", 1, room=lambda: 1 << 40, exports=Exports(Cache(folder / "exports")))
    file = Checkpoint("wav2lip", "wav2lip", checkpoint, sha256_of(checkpoint))
    found = {}
    for runtime, precision in ways():
        settings = resolve([("benchmark", {"lipsync": {"precision": precision, "batch_frames": batch}})])
        begin_s = time.process_time()
        models.begin_task(runtime=runtime)
        found[runtime, precision] = models.needed(LIPSYNC, ModelRequest(settings, Checkpoints({LIPSYNC.name: file})))
        print(f"loaded by {runtime} in {precision}: {time.process_time() - begin_s:.1f} CPU-s")
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--int8", action="store_true")
    parser.add_argument("--others", action="store_true")
    parser.add_argument("--network", default="", help="with --others: part of a network's name")
    options = parser.parse_args()
    if options.int8 or options.others:
        int8.main(options.rounds) if options.int8 else other_runtimes.main(options.rounds, options.network)
        return
    random = np.random.default_rng(0)
    blocks = random.random((options.batch, 12, 12, 3))
    faces = np.kron(blocks, np.ones((1, 8, 8, 1))).astype(np.float32)
    mels = random.uniform(-4, 4, (options.batch, 80, 16)).astype(np.float32)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = options.checkpoint or folder / "random.pth"
        if options.checkpoint is None:
            random_checkpoint(checkpoint)
        models = models_of(checkpoint, folder, options.batch)
        exact, *_ = results = [model(faces, mels) for model in models.values()]  # torch's float32 comes first
        spent_ms: dict[Any, list[float]] = {way: [] for way in models}
        for _ in range(options.rounds):
            for way, model in models.items():
                begin_s = time.process_time()
                model(faces, mels)
                spent_ms[way].append((time.process_time() - begin_s) * 1000 / options.batch)
        print(
            f"\n{options.batch} faces a call, one thread, {options.rounds} rounds; levels of 255 from torch's float32"
        )
        print(f"{'runtime':12} {'format':9} {'CPU-ms/face':>12} {'least':>7} {'mean level':>11} {'largest':>8}")
        for (runtime, precision), result in zip(models, results, strict=True):
            levels = np.abs(result - exact) * 255
            times = spent_ms[runtime, precision]
            print(
                f"{runtime:12} {precision:9} {statistics.median(times):12.2f} {min(times):7.2f}"
                f" {levels.mean():11.4f} {levels.max():8.3f}"
            )


if __name__ == "__main__":
    main()
