"""Cost of restoring a face: GFPGAN's size with random weights, and the share of rendering outside the networks.

    python -m benchmarks.restorer [--repeat 3]

With the extra `reference` the package gfpgan runs the same weights in the same run.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fresh_process import in_child
from benchmarks.pipeline import dub, make_inputs, random_checkpoint

_SIDE = 512


def seeded_gfpgan(path: Path) -> None:
    """Write a GFPGAN checkpoint of seeded weights: spandrel's own network, filled with noise of a fair size."""
    import torch

    from lipwise_ray.nets.torchvision_compat import declare_torchvision_operators

    declare_torchvision_operators()
    from spandrel.architectures.GFPGAN import GFPGAN

    torch.manual_seed(0)
    network = GFPGAN(
        out_size=_SIDE, num_style_feat=512, channel_multiplier=2, decoder_load_path=None, fix_decoder=False, num_mlp=8,
        input_is_latent=True, different_w=True, narrow=1, sft_half=True,
    )  # fmt: skip
    torch.save({"params_ema": network.state_dict()}, path)


def device() -> str:
    """Return the device that networks run on here."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def ours(arguments: dict[str, Any]) -> float:
    """Return seconds a face."""
    import torch

    from lipwise_ray.lipsync.restore import ModelFaces
    from lipwise_ray.nets.image_models import load_image_model

    torch.set_num_threads(os.cpu_count() or 1)
    batch = arguments["batch"]
    role = ModelFaces(
        load_image_model(arguments["path"]), device=device(), precision=arguments["precision"], batch_faces=batch
    )
    faces = np.random.default_rng(1).uniform(0, 1, (batch, _SIDE, _SIDE, 3)).astype(np.float32)
    return _seconds(lambda: role(faces), arguments["repeat"]) / batch


def reference(arguments: dict[str, Any]) -> float:
    """Return seconds a face of the published package, which is called with one face at a time."""
    import torch

    from lipwise_ray.nets.torchvision_compat import declare_torchvision_operators

    declare_torchvision_operators()
    from torchvision.transforms import functional

    moved: Any = types.ModuleType("torchvision.transforms.functional_tensor")
    moved.rgb_to_grayscale = functional.rgb_to_grayscale
    sys.modules[moved.__name__] = moved
    from gfpgan.archs.gfpganv1_clean_arch import GFPGANv1Clean  # pyright: ignore[reportMissingImports]  # an extra

    torch.set_num_threads(os.cpu_count() or 1)
    network = GFPGANv1Clean(
        out_size=_SIDE, num_style_feat=512, channel_multiplier=2, num_mlp=8, input_is_latent=True, different_w=True,
        narrow=1, sft_half=True,
    )  # fmt: skip
    network.load_state_dict(torch.load(arguments["path"], weights_only=True)["params_ema"])
    network.eval().to(device())
    face = torch.rand(1, 3, _SIDE, _SIDE) * 2 - 1

    def call() -> None:
        with torch.inference_mode():
            network(face.to(device()), return_rgb=False, randomize_noise=False)[0].cpu()

    return _seconds(call, arguments["repeat"])


def _seconds(call: Any, repeat: int) -> float:
    call()
    begin = time.perf_counter()
    for _ in range(repeat):
        call()
    return (time.perf_counter() - begin) / repeat


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "gfpgan.pth"
        in_child(seeded_gfpgan, path)
        common = {"path": path, "repeat": options.repeat}
        there = all(importlib.util.find_spec(package) for package in ("gfpgan", "basicsr"))
        beside = in_child(reference, common) if there else None
        print(f"networks on: {device()}")
        print(
            f"gfpgan's own package, float32: {beside:.4g} s a face" if beside else "gfpgan's own package: not installed"
        )
        for precision in ("float32", "bfloat16"):
            for batch in (1, 4) if device() == "cpu" else (1, 4, 16):
                seconds = in_child(ours, {**common, "precision": precision, "batch": batch})
                ratio = f", {beside / seconds:.2f}x" if beside else ""
                print(f"GFPGAN {precision}, batch {batch}: {seconds:.4g} s a face{ratio}")
        checkpoint = folder / "random.pth"
        in_child(random_checkpoint, checkpoint)
        manifest = make_inputs(folder, "clip", 1.0)
        for preset, restorer in (("quality", path), ("quality, no restorer", None)):
            settings = [
                "engine.kind=inline",
                f"engine.threads_per_worker={os.cpu_count()}",
                f"lipsync.checkpoint={json.dumps(str(checkpoint))}",
                *([f"restore.checkpoint={json.dumps(str(restorer))}"] if restorer else []),
            ]
            state = f"state-{preset}"
            stages = in_child(dub, {"folder": folder, "manifest": manifest, "state": state, "set": settings})["result"][
                "stages_s"
            ]
            networks, total = stages["network"] + stages["restore"], sum(stages.values())
            print(f"{preset}: {1 - networks / total:.1%} of busy time outside the networks; {stages}")


if __name__ == "__main__":
    main()
