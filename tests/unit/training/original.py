"""Files as the original's training writes them, and its way of loading one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

_GROUP_OF_TORCH_1_1 = ("lr", "betas", "eps", "weight_decay", "amsgrad")


def write_original(
    path: Path, weights: dict[str, torch.Tensor], optimizer: dict[str, Any] | None, *, step: int, prefix: str = ""
) -> None:
    """Write a checkpoint as torch 1.1 and the original do.

    It is a legacy pickle; parameters are named by their addresses; the step is a plain number; Adam's group has the
    options of that time alone.
    """
    old = optimizer
    if optimizer is not None:
        (group,) = optimizer["param_groups"]
        address = {number: 140_000_000_000_000 + 72 * (number * 7919 % 1000) for number in group["params"]}
        old = {
            "state": {
                address[number]: {**entry, "step": int(entry["step"])} for number, entry in optimizer["state"].items()
            },
            "param_groups": [
                {name: group[name] for name in _GROUP_OF_TORCH_1_1}
                | {"params": [address[number] for number in group["params"]]}
            ],
        }
    content = {
        "state_dict": {f"{prefix}{key}": value for key, value in weights.items()},
        "optimizer": old,
        "global_step": step,
        "global_epoch": 12,
    }
    torch.save(content, path, _use_new_zipfile_serialization=False)


def load_as_original(path: Path, model: nn.Module, optimizer: torch.optim.Adam) -> tuple[int, int]:
    """Load a checkpoint as the original's training does; return step and epoch.

    Source: Wav2Lip wav2lip_train.py, load_checkpoint.
    """
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(checkpoint["state_dict"])
    if checkpoint["optimizer"] is not None:
        optimizer.load_state_dict(checkpoint["optimizer"])
    return checkpoint["global_step"], checkpoint["global_epoch"]


def adam_of(network: nn.Module, steps: int, seed: int = 5) -> dict[str, Any]:
    """Return the state of an Adam that has taken steps on random gradients."""
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for parameter in network.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    return optimizer.state_dict()
