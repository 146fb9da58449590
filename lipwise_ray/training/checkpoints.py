"""A run's checkpoints: the original's layout, with what an exact resume needs besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save as to_bytes
from torch import Tensor

from lipwise_ray.errors import StateError, StorageError, WeightsError
from lipwise_ray.media.container import write_problem
from lipwise_ray.nets.checkpoint import load_contents, load_pickled, tensors_in
from lipwise_ray.training.networks import disc_within, optimizer_of, step_of
from lipwise_ray.training.settings import TrainSettings
from lipwise_ray.training.task import TrainingTask

LAST, BEST = "last.pth", "best.pth"


def kept_name(step: int) -> str:
    """Return the name of the checkpoint of a step that is kept for good."""
    return f"checkpoint-{step:07d}.pth"


@dataclass(frozen=True, slots=True)
class Begin:
    """Start of a run: its step, and what its checkpoint says besides."""

    step: int
    extra: dict[str, Any]


def save(path: Path, task: TrainingTask, step: int, extra: dict[str, Any], settings: TrainSettings) -> None:
    """Write a checkpoint; the one before stays until the new one is whole.

    The keys of the original's loader come first: ``state_dict``, ``optimizer``, ``global_step``,
    ``global_epoch``.

    Args:
        path: The file.
        task: The network, its optimiser and its state.
        step: Steps that are done.
        extra: Values that `load` returns beside the step.
        settings: The run's, by which the checkpoint can be evaluated wherever it is.

    Raises:
        StorageError: The disk is full.
    """
    content: dict[str, Any] = {
        "state_dict": task.network.state_dict(),
        "optimizer": task.optimizer.state_dict(),
        "global_step": step,
        "global_epoch": 0,
        "parts": {name: part.state_dict() for name, part in task.parts.items()},
        "state": dict(task.state),
        "torch_rng": torch.get_rng_state(),
        "extra": extra,
        "settings": settings.model_dump(mode="json"),
    }
    partial = path.with_name(f".{path.name}.partial")
    try:
        torch.save(content, partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise StorageError(
            "disk_full",
            str(path),
            got=f"the checkpoint could not be written: {str(error).splitlines()[0]}",
            do="Free some space and run the same command again; the checkpoint before is whole",
        ) from error


def load(path: Path, task: TrainingTask) -> Begin:
    """Put a checkpoint into a task; return where the run goes on.

    Raises:
        StateError: The file is missing, damaged or of another run.
    """
    try:
        content = cast("dict[str, Any]", load_pickled(path))
        task.network.load_state_dict(content["state_dict"])
        task.optimizer.load_state_dict(content["optimizer"])
        for name, part in task.parts.items():
            part.load_state_dict(content["parts"][name])
        task.state.update(content["state"])
        torch.set_rng_state(content["torch_rng"])
        _check_finite(task.network.state_dict())
        return Begin(int(content["global_step"]), dict(content["extra"]))
    except (WeightsError, OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        why = error.got if isinstance(error, WeightsError) else str(error).partition("\n")[0][:160]
        raise StateError(
            "bad_checkpoint",
            str(path),
            got=f"cannot be resumed from: {why}",
            do="Put best.pth in its place, or begin another run",
        ) from error


def _check_finite(tensors: Mapping[str, Tensor]) -> None:
    for name, value in tensors.items():
        if not bool(value.isfinite().all()):
            message = f"weights that are not finite ({name})"
            raise ValueError(message)


def export(
    path: Path,
    target: Path,
    *,
    half: bool,
    blend: Path | None = None,
    share: float = 0.0,
    disc: bool = False,
    optimizer: bool = False,
) -> None:
    """Write a checkpoint's weights as safetensors, or in the original's layout (``.pth``).

    Args:
        path: A checkpoint.
        target: The file to write; its ending chooses the layout.
        half: Write float16.
        blend: Another checkpoint of the same network, from which this one was trained on or the other way round.
        share: Its share in every weight.
        disc: Write the discriminator beside the generator, which the original keeps in a file of its own.
        optimizer: Write the optimiser's state too, as the original's training goes on with it.

    Raises:
        WeightsError: A checkpoint cannot be read, is of another network or lacks what is to be written, or the ending
            is neither.
        StorageError: The disk is full.
        OutputError: The target cannot be written.
    """
    if target.suffix not in {".safetensors", ".pth", ".pt"}:
        raise WeightsError(
            "bad_target",
            str(target),
            got=f"unknown ending {target.suffix!r}" if target.suffix else "a name without an ending",
            must="weights are written as .safetensors or .pth",
        )
    if optimizer and (blend is not None or target.suffix == ".safetensors"):
        raise WeightsError(
            "bad_target",
            str(target),
            got="the optimiser's state does not go with a mean of two checkpoints"
            if blend is not None
            else "safetensors hold no optimiser's state",
            do="Leave --optimizer out" if blend is not None else "Write a .pth, or leave --optimizer out",
        )
    contents = load_contents(path)
    weights, state = _part_of(contents, path, disc=disc)
    if optimizer and not isinstance(state, Mapping):
        raise WeightsError("no_tensors", str(path), got="holds no optimiser's state", do="Leave --optimizer out")
    if blend is not None:
        weights = _blended(weights, _part_of(load_contents(blend), blend, disc=disc)[0], share, blend)
    tensors = {key: _exported(value, half=half) for key, value in weights.items()}
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".safetensors":
            partial.write_bytes(to_bytes(tensors))
        else:
            kept = {"optimizer": state if optimizer else None, "global_step": step_of(contents), "global_epoch": 0}
            torch.save({"state_dict": tensors, **kept}, partial)
        partial.replace(target)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        cause = error if isinstance(error, OSError) else OSError(ENOSPC, str(error).partition("\n")[0])
        raise write_problem(target, cause) from error


def _part_of(contents: object, path: Path, *, disc: bool) -> tuple[dict[str, Tensor], object]:
    """Return a network's tensors and its optimiser's state among a checkpoint's contents."""
    part = disc_within(contents) if disc else (contents, optimizer_of(contents))
    if part is None:
        raise WeightsError(
            "other_network",
            str(path),
            got="holds no discriminator beside its network",
            do="Choose a checkpoint of a run with disc_weight, or leave --disc out",
        )
    return tensors_in(part[0], path), part[1]


def _blended(first: dict[str, Tensor], second: dict[str, Tensor], share: float, where: Path) -> dict[str, Tensor]:
    if {key: value.shape for key, value in first.items()} != {key: value.shape for key, value in second.items()}:
        raise WeightsError(
            "other_network",
            str(where),
            got="of another network or width than the checkpoint that it is to be blended with",
        )
    return {
        key: value.lerp(second[key].to(value), share) if value.is_floating_point() else value
        for key, value in first.items()
    }


def _exported(value: Tensor, *, half: bool) -> Tensor:
    wanted = value.half() if half and value.is_floating_point() else value
    return wanted.detach().clone(memory_format=torch.contiguous_format)
