"""A run's checkpoints: the original's layout, with what an exact resume needs besides."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from lipwise_ray.errors import StateError, StorageError, WeightsError
from lipwise_ray.nets.checkpoint import load_state_dict
from lipwise_ray.training.task import Task

LAST, BEST = "last.pth", "best.pth"


def save(path: Path, task: Task, step: int, extra: dict[str, Any]) -> None:
    """Write a checkpoint; the one before stays until the new one is whole.

    The keys of the original's loader come first: ``state_dict``, ``optimizer``, ``global_step``,
    ``global_epoch``.

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
            "needs room for a checkpoint",
            str(error).splitlines()[0],
            "Free some space and run the same command again; the checkpoint before is whole",
        ) from error


def load(path: Path, task: Task) -> tuple[int, dict[str, Any]]:
    """Put a checkpoint into a task; return its step and the extra values.

    Raises:
        StateError: The file is damaged or of another run.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        task.network.load_state_dict(content["state_dict"])
        task.optimizer.load_state_dict(content["optimizer"])
        for name, part in task.parts.items():
            part.load_state_dict(content["parts"][name])
        task.state.update(content["state"])
        torch.set_rng_state(content["torch_rng"])
        return int(content["global_step"]), dict(content["extra"])
    except (OSError, RuntimeError, KeyError, ValueError, EOFError, TypeError, UnpicklingError) as error:
        raise StateError(
            "bad_checkpoint",
            str(path),
            "must be a whole checkpoint of this run",
            str(error).splitlines()[0][:160] if str(error) else type(error).__name__,
            "Put best.pth in its place, or begin another run",
        ) from error


def export(path: Path, target: Path, *, half: bool) -> None:
    """Write a checkpoint's weights as safetensors, or in the original's layout (``.pth``).

    Args:
        path: A checkpoint.
        target: The file to write; its ending chooses the layout.
        half: Write float16.

    Raises:
        WeightsError: The checkpoint cannot be read, or the ending is neither.
    """
    tensors = {key: _exported(value, half=half) for key, value in load_state_dict(path).items()}
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix == ".safetensors":
        from safetensors.torch import save_file  # noqa: PLC0415  # beside its use

        save_file(tensors, target)
    elif target.suffix in {".pth", ".pt"}:
        torch.save({"state_dict": tensors, "optimizer": None, "global_step": _step_of(path), "global_epoch": 0}, target)
    else:
        raise WeightsError("bad_target", str(target), "must end in .safetensors or .pth", target.suffix or "no ending")


def _exported(value: Tensor, *, half: bool) -> Tensor:
    wanted = value.half() if half and value.is_floating_point() else value
    return wanted.detach().clone(memory_format=torch.contiguous_format)


def _step_of(path: Path) -> int:
    content = torch.load(path, map_location="cpu", weights_only=True) if path.suffix != ".safetensors" else {}
    return int(content.get("global_step", 0))
