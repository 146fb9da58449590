"""CPU time of sync scorers and restorers by each runtime and number format, and their distance from torch's float32.

    python -m benchmarks.runtimes --others [--network gfpgan]

The bundled networks have their weights; SyncNet, the expert of full width and GFPGAN have seeded ones, which take the
same time. GFPGAN is exported for one face: its convolutions' kernels are computed for each, and of an open batch their
shape would not be known.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import copy
import gc
import io
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.restorer import seeded_gfpgan


def cases(folder: Path, wanted: str) -> Iterator[tuple[str, Any, tuple[int, ...], float]]:
    """Yield name, network, shape of a call's input and its greatest value.

    Args:
        folder: Where seeded checkpoints are put.
        wanted: Part of the names; empty for all.
    """
    import torch

    from lipwise_ray.metrics.sync_scorers import exported_halves
    from lipwise_ray.nets.checkpoint import load_into
    from lipwise_ray.nets.expert import LipSyncExpert
    from lipwise_ray.nets.image_models import load_image_model
    from lipwise_ray.nets.syncnet import SyncNet
    from lipwise_ray.nets.tiny_restorer import TinyRestorerNetwork
    from lipwise_ray.resources import models_folder

    def seeded(name: str, network: Any) -> Path:
        torch.manual_seed(0)
        torch.save(network().state_dict(), folder / name)
        return folder / name

    scorers = {
        "syncnet": ("syncnet", lambda: seeded("syncnet.pth", SyncNet)),
        "lipsync_expert": ("lipsync_expert", lambda: seeded("expert.pth", LipSyncExpert)),
        "tiny_judge": ("lipsync_expert", lambda: models_folder() / "tiny" / "tiny_judge.safetensors"),
    }
    for name, (network, path) in scorers.items():
        if wanted in name:
            for half, greatest in zip(
                exported_halves(network, "", path()), (255 if name == "syncnet" else 1, 4), strict=True
            ):
                (shape,) = half.inputs.values()
                yield f"{name}: {half.name.rpartition('_')[2]}", half.make().eval(), (16, *shape), greatest
    if wanted in "tiny_restorer":
        tiny = TinyRestorerNetwork()
        load_into(tiny, models_folder() / "tiny" / "tiny_restorer.safetensors", "the bundled restorer")
        yield "tiny_restorer", tiny.eval(), (1, 3, 160, 160), 1
    if wanted in "gfpgan":
        seeded_gfpgan(folder / "gfpgan.pth")
        restorer = load_image_model(folder / "gfpgan.pth").network

        class Faces(torch.nn.Module):
            """GFPGAN between its scalings: in bfloat16 these would fold levels together."""

            def __init__(self) -> None:
                super().__init__()
                self.network = restorer

            def forward(self, faces: Any) -> Any:
                return self.network(faces, return_rgb=False, randomize_noise=False)[0]

        yield "gfpgan", Faces().eval(), (1, 3, 512, 512), 1


def ways(network: Any, shape: tuple[int, ...]) -> dict[str, Callable[[Any], Any]]:
    """Return the functions that compute a network, torch's float32 first."""
    import torch

    from lipwise_ray.nets.bfloat16 import has_bfloat16_cpu
    from lipwise_ray.nets.runtimes import ONNXRUNTIME, OPENVINO, is_installed, open_network

    file = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(shape),),
            file,  # type: ignore[arg-type]  # the stub names paths only
            dynamo=False,
            opset_version=17,
            input_names=["x"],
            output_names=["y"],
        )
    model = file.getvalue()

    def by_torch(module: Any, dtype: Any) -> Callable[[Any], Any]:
        def call(given: Any) -> Any:
            with torch.inference_mode():
                return module(torch.from_numpy(given).to(dtype)).float().numpy()

        return call

    found: dict[str, Callable[[Any], Any]] = {"torch float32": by_torch(network, torch.float32)}
    for runtime in (ONNXRUNTIME, OPENVINO):
        if is_installed(runtime):
            opened = open_network(model, runtime, batch=shape[0], threads=1)
            found[f"{runtime} float32"] = lambda given, opened=opened: opened(given).copy()
    if has_bfloat16_cpu() and is_installed(OPENVINO):
        narrow = open_network(model, OPENVINO, batch=shape[0], threads=1, bfloat16=True)
        found["openvino bfloat16"] = lambda given: narrow(given).copy()
    if has_bfloat16_cpu():
        found["torch bfloat16"] = by_torch(copy.deepcopy(network).to(torch.bfloat16), torch.bfloat16)
    return found


def main(rounds: int, wanted: str) -> None:
    """Print the table."""
    import torch

    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    print(f"one thread, {rounds} rounds; distances from torch's float32, in units of the result")
    print(f"{'network':24} {'by':20} {'CPU-ms/item':>12} {'least':>9} {'mean':>10} {'largest':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for name, network, shape, greatest in cases(Path(folder), wanted):
            given = (random.random(shape) * greatest).astype(np.float32)
            called = ways(network, shape)
            results = {way: call(given) for way, call in called.items()}
            spent_ms: dict[str, list[float]] = {way: [] for way in called}
            for _ in range(rounds):
                for way, call in called.items():
                    begin_s = time.process_time()
                    call(given)
                    spent_ms[way].append((time.process_time() - begin_s) * 1000 / shape[0])
            exact = results["torch float32"]
            for way, result in results.items():
                away, times = np.abs(result - exact), spent_ms[way]
                print(
                    f"{name:24} {way:20} {statistics.median(times):12.2f} {min(times):9.2f}"
                    f" {away.mean():10.2e} {away.max():10.2e}",
                    flush=True,
                )
            del network, called
            gc.collect()
