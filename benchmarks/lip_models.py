"""Time a face and memory of every lip-sync model at its published size, with seeded weights; and whole dubs by each.

    python -m benchmarks.lip_models [--models "wav2lip,musetalk 1.5"] [--rounds 3] [--steps 1]
        [--formats bfloat16] [--device cuda] [--quick]
    python -m benchmarks.lip_models --memory 1,10 [--models "latentsync 1.6"]

Each is loaded as a worker loads it, in a process of its own, from files that are written first: MuseTalk's have 3.9 GB,
LatentSync's 5.6 GB, and they take as much memory. LatentSync draws 16 faces in 20 steps, which take minutes on a CPU:
there it is measured once, by one step, and its line says so; what ``--steps 2`` takes more is what each further one
does. Calls of its networks are printed as they end.

``--memory`` dubs videos of so many minutes instead, each in a process of its own, and prints the peak memory of each
and how much more that of the last takes: by small networks and faces, for it is growth with the length that is looked
for. ``--quick`` has small networks of the same layouts, and proves the script. `benchmarks/gpu.sh` prints frames a
second of whole dubs at 720p besides.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from benchmarks.fresh_process import in_child
from benchmarks.network_calls import told_calls
from benchmarks.pipeline import dub, tell_peaks
from lipwise_ray.nets.diffusion.autoencoder import AUTOENCODER_CHANNELS, ImageAutoencoder
from lipwise_ray.nets.diffusion.unet import LATENTSYNC_UNET, MUSETALK_UNET, LatentUNet, UNetShape
from lipwise_ray.nets.wav2lip import Wav2Lip
from lipwise_ray.nets.whisper_encoder import WhisperEncoder, WhisperShape
from lipwise_ray.settings.lipsync import LipsyncSettings

_MIB = 1 << 20
_SMALL = (32, 32, 32, 32)
_SMALL_WIDTH = 0.125
_SMALL_PX, _SMALL_HEIGHT = 64, 90
_SLOW = {"LatentUNet": "U-Net", "_ImageEncoder": "encoder", "_ImageDecoder": "decoder"}


class Write(Protocol):
    """Writes a file of seeded weights, small ones if told so."""

    def __call__(self, path: Path, *, is_small: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class LipModel:
    """A lip-sync model to be measured.

    Attributes:
        name: What `lipsync.model` is set to.
        files: Writes each file that it takes, by the setting that names it.
        has_steps: It draws in as many steps as `lipsync.steps` says.
        small: What `lipsync.model` is set to for small networks, where that is another.
    """

    name: str
    files: Mapping[str, Write]
    has_steps: bool = False
    small: str = ""


def _saved(make: Callable[[bool], nn.Module], prefix: str = "") -> Write:
    def write(path: Path, *, is_small: bool) -> None:
        torch.manual_seed(0)
        torch.save({f"{prefix}{name}": one for name, one in make(is_small).state_dict().items()}, path)

    return write


def _unet(shape: UNetShape) -> Write:
    small = UNetShape(shape.c_in, _SMALL, shape.has_motion)
    return _saved(lambda is_small: LatentUNet(small if is_small else shape))


def _wav2lip(is_small: bool) -> nn.Module:  # noqa: FBT001  # called by `write`
    return Wav2Lip(_SMALL_WIDTH if is_small else 1.0)


def _exported(path: Path, *, is_small: bool) -> None:
    """Write Wav2Lip as it is published for ONNX Runtime, its batch normalisations folded."""
    from lipwise_ray.lipsync.model import load_wav2lip
    from lipwise_ray.nets.exports import Exportable, export

    checkpoint = path.with_suffix(".pth")
    _saved(_wav2lip)(checkpoint, is_small=is_small)
    inputs = {"source": (1, 80, 16), "target": (6, 96, 96)}
    path.write_bytes(export(Exportable("wav2lip", "0" * 64, partial(load_wav2lip, checkpoint), inputs)))


_LATENT: dict[str, Write] = {
    "autoencoder_checkpoint": _saved(lambda small: ImageAutoencoder(_SMALL if small else AUTOENCODER_CHANNELS)),
    "audio_encoder_checkpoint": _saved(lambda _: WhisperEncoder(WhisperShape()), "model.encoder."),
}

MODELS = {
    "wav2lip": LipModel("wav2lip", {"checkpoint": _saved(_wav2lip)}),
    "wav2lip onnx": LipModel("wav2lip_96", {"checkpoint": _exported}),
    "musetalk 1.5": LipModel("musetalk_15", {"checkpoint": _unet(MUSETALK_UNET), **_LATENT}),
    "latentsync 1.5": LipModel("latentsync_15", {"checkpoint": _unet(LATENTSYNC_UNET), **_LATENT}, has_steps=True),
    "latentsync 1.6": LipModel(
        "latentsync_16", {"checkpoint": _unet(LATENTSYNC_UNET), **_LATENT}, has_steps=True, small="latentsync_15"
    ),
}
"""Models by what they are called here."""


def written(arguments: dict[str, Any]) -> dict[str, Any]:
    """Write a model's files, and return the settings of `lipsync` that name them; small networks draw in one step."""
    model, folder = MODELS[arguments["model"]], Path(arguments["folder"])
    settings: dict[str, Any] = {"model": (arguments["quick"] and model.small) or model.name}
    if model.has_steps and arguments["quick"]:
        settings["steps"] = 1
    for key, write in model.files.items():
        path = folder / f"{model.name}-{key}.bin"
        write(path, is_small=arguments["quick"])
        settings[key] = str(path)
    return settings


def measured(arguments: dict[str, Any]) -> dict[str, Any]:
    """Load a model as a worker does, and return what a face takes."""
    from lipwise_ray.models.checkpoints import Checkpoints
    from lipwise_ray.models.loading import ModelRequest
    from lipwise_ray.models.registry import Registry
    from lipwise_ray.models.role import RowFacts
    from lipwise_ray.pipeline.tasks.models import Models
    from lipwise_ray.resources import models_folder
    from lipwise_ray.roles.autoencoder import AUTOENCODER
    from lipwise_ray.roles.lipsync import LIPSYNC
    from lipwise_ray.runs.model_requirements import ModelRequirements
    from lipwise_ray.settings.layers import resolve

    device, cores = arguments["device"], os.cpu_count() or 1
    settings = resolve([("benchmark", {"lipsync": {**arguments["settings"], "precision": arguments["precision"]}})])
    required = ModelRequirements(Registry(models_folder() / "registry.toml", Path()), gpu=device == "cuda")
    roles = [role for role in (LIPSYNC, AUTOENCODER) if role.needed(settings, RowFacts())]
    checkpoints = Checkpoints({role.name: required.for_role(role, settings)[0] for role in roles})
    models = Models(device, cores, room=lambda: 1 << 40)
    begin_s = time.perf_counter()
    lips = models.needed(LIPSYNC, ModelRequest(settings, checkpoints))
    loaded_s, random = time.perf_counter() - begin_s, np.random.default_rng(0)
    faces = random.random((lips.batch_faces, lips.size_px, lips.size_px, 3)).astype(np.float32)
    sounds = random.uniform(-1, 1, (lips.batch_faces, *lips.feature.shape)).astype(np.float32)
    wall_s, cpu_s = [], []  # of several rounds the first, in which memory is taken, is not the least
    with told_calls(_SLOW if arguments["tells"] else {}, partial(print, flush=True)):
        for _ in range(arguments["rounds"]):
            begin_s, cpu_begin_s = time.perf_counter(), time.process_time()
            lips(faces, sounds)
            wall_s.append((time.perf_counter() - begin_s) / len(faces))
            cpu_s.append((time.process_time() - cpu_begin_s) / len(faces))
    return {
        "size_px": lips.size_px,
        "batch": lips.batch_faces,
        "wall_s": min(wall_s),
        "cpu_s": min(cpu_s),
        "loaded_s": loaded_s,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "device_mib": torch.cuda.max_memory_allocated() / _MIB if device == "cuda" else 0.0,
    }


def lines(name: str, settings: dict[str, Any], options: argparse.Namespace) -> Iterator[str]:
    """Yield what a model takes in each number format that it has here."""
    from lipwise_ray.nets.bfloat16 import has_bfloat16

    formats, usual = ["float32", *(["bfloat16"] if has_bfloat16(options.device) else [])], LipsyncSettings()
    by_steps, rounds = "", options.rounds
    if MODELS[name].has_steps:
        rounds = rounds if options.device == "cuda" else 1
        steps = options.steps or settings.get("steps") or (1 if options.device == "cpu" else usual.steps)
        settings = {**settings, "steps": steps}
        by_steps = f", by {steps} of its {usual.steps} steps, guidance {usual.guidance:g}"
    if options.formats:
        formats = options.formats.split(",")
    for precision in formats[:1] if name.endswith("onnx") else formats:
        tells = options.device == "cpu" and MODELS[name].has_steps and not options.quick
        asked = {"device": options.device, "rounds": rounds, "quick": options.quick, "tells": tells}
        found = in_child(measured, {**asked, "settings": settings, "precision": precision})
        memory = f", {found['device_mib']:.0f} MiB of the GPU" if options.device == "cuda" else ""
        yield (
            f"{name:14s} {precision:9s} {found['size_px']:4d} px, batch {found['batch']:3d}: {found['wall_s']:8.4f} s "
            f"a face ({found['cpu_s']:.4f} CPU-s), loaded in {found['loaded_s']:.1f} s, "
            f"{found['peak_mib']:.0f} MiB in all{memory}{by_steps}"
        )


def dub_small_faces(arguments: dict[str, Any]) -> dict[str, Any]:
    """Dub one manifest inline, by latent models of small crops: the networks are of any size, and no file tells it."""
    from lipwise_ray.lipsync import musetalk
    from lipwise_ray.roles import lipsync

    musetalk.MUSETALK_PX = _SMALL_PX
    for network in lipsync.LATENTSYNC:
        lipsync.LATENTSYNC[network] = _SMALL_PX
    return dub(arguments)


def tell_memory(name: str, minutes: Sequence[float], folder: Path) -> None:
    """Print the peak memory of dubs of several lengths by a model of small networks."""
    settings = in_child(written, {"model": name, "folder": folder, "quick": True})
    print(f"{name}, small networks, images of {_SMALL_HEIGHT} lines", flush=True)
    if MODELS[name].has_steps:
        settings["guidance"] = 1.0  # in half the time
    sets = ['engine.kind="inline"', f"engine.threads_per_worker={os.cpu_count()}", *assignments(settings)]
    tell_peaks(folder, minutes, sets, _SMALL_HEIGHT, dub_small_faces)


def assignments(settings: Mapping[str, Any]) -> list[str]:
    """Return settings of `lipsync` as ``--set`` takes them."""
    return [f"lipsync.{key}={json.dumps(value)}" for key, value in settings.items()]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", default=",".join(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="of LatentSync; 1 on a CPU and its usual 20 on a GPU if left out")
    parser.add_argument("--formats", help="number formats; those that the machine has if left out")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--quick", action="store_true", help="small networks")
    parser.add_argument("--memory", metavar="MINUTES", help="lengths of videos to be dubbed instead, as 1,10")
    options = parser.parse_args()
    names = options.models.split(",")
    if unknown := [name for name in names if name not in MODELS]:
        parser.error(f"no such model: {', '.join(unknown)}; there are {', '.join(MODELS)}")
    if options.memory:
        for name in names:
            with tempfile.TemporaryDirectory() as folder:
                tell_memory(name, [float(one) for one in options.memory.split(",")], Path(folder))
        return
    print(f"{os.cpu_count()} cores, torch {torch.__version__}, least of {options.rounds}", flush=True)
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            settings = in_child(written, {"model": name, "folder": folder, "quick": options.quick})
            for line in lines(name, settings, options):
                print(line, flush=True)


if __name__ == "__main__":
    main()
