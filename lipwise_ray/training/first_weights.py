"""Weights that a run begins with: where they are, and what a network and its optimiser take of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from lipwise_ray.models.checkpoints import Checkpoint
from lipwise_ray.models.registry import Registry
from lipwise_ray.nets.checkpoint import load_contents, refuse_non_weights, tensors_in
from lipwise_ray.storage.address import whole_path
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.training.networks import DISC, NETWORKS, disc_within, load_weights, optimizer_of, step_of
from lipwise_ray.training.settings import Network, TrainSettings

_MOMENTS = ("exp_avg", "exp_avg_sq")


def find_weights(setting: str, value: str, network: Network, registry: Registry) -> Checkpoint:
    """Find the file that a setting names: a path, or a checkpoint of the registry.

    Args:
        setting: ``init``, ``disc_init``, ``expert`` or ``sound``.
        value: The setting's value.
        network: Network that is trained.
        registry: The published checkpoints.

    Raises:
        WeightsError: There is no such file or name, or it is a published checkpoint of another network.
    """
    role = {"init": network, "disc_init": DISC, "expert": "expert", "sound": "visemes"}[setting]
    return find_checkpoint(value, registry, NETWORKS[role].registered or None)


def find_checkpoint(value: str, registry: Registry, network: str | None) -> Checkpoint:
    """Find a checkpoint: a file by its path, or a published one by its name.

    Args:
        value: A path or a name; a file goes before a checkpoint of its name.
        registry: The published checkpoints.
        network: The network that a published one must be of, as the registry has it; None for any.

    Raises:
        WeightsError: There is no such file or name, or it is a published checkpoint of another network.
    """
    path = whole_path(value)
    if not path.is_file() and (value in registry.entries or not set("/.") & set(value)):
        return registry.resolve(value, network)
    if network is None:
        refuse_non_weights(path)
        return Checkpoint("custom", "", path, sha256_of(path))
    return registry.own_file(path, network)


def terms_note(checkpoint: Checkpoint) -> str:
    """Return a note on terms that may bind what is made of published weights; empty where there is none to give."""
    if checkpoint.commercial == "yes" or checkpoint.name == "custom":
        return ""
    words = {"no": "is not for commercial use", "unclear": "may not be for commercial use"}[checkpoint.commercial]
    return f"{checkpoint.name} {words} ({checkpoint.reason}): so may be what is trained from it"


def begin_with(network: nn.Module, optimizer: torch.optim.Adam, path: Path, name: str, settings: TrainSettings) -> str:
    """Put a checkpoint's weights into a network, and its optimiser's state into the optimiser where it fits.

    The optimiser's rates stay those of the run.

    Args:
        network: The network.
        optimizer: Its optimiser.
        path: A checkpoint, of the original or of a run.
        name: The network's key in `networks.NETWORKS`.
        settings: The run's.

    Returns:
        A line for people: what was taken.

    Raises:
        WeightsError: The file is no checkpoint, or another network's.
    """
    contents = load_contents(path)
    width = settings.disc_width if name == DISC else settings.width
    weights, state = (name == DISC and disc_within(contents)) or (contents, optimizer_of(contents))
    load_weights(network, tensors_in(weights, path), path, name, width)
    step = step_of(contents)
    begun = f"{NETWORKS[name].words} begins with {path.name}" + (f" of step {step}" if step else "")
    if not settings.init_optimizer:
        return f"{begun}; its optimiser begins empty (init_optimizer=false)"
    moments = _fitting(optimizer, state)
    if isinstance(moments, str):
        return f"{begun}; its optimiser begins empty: {moments}"
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return f"{begun}, and with its optimiser's state"


def _fitting(optimizer: torch.optim.Adam, state: object) -> dict[int, dict[str, Tensor]] | str:
    """Return Adam's moments by the number of the parameter, or the reason why a file's state cannot be taken.

    Source: torch.optim. Up to torch 1.5, as the original was trained by, a parameter's key was its address; so only
    the order of the keys in the group says whose they are.
    """
    if not isinstance(state, Mapping) or not state:
        return "the file has no optimiser's state"
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    try:
        groups, found = cast("Any", state["param_groups"]), cast("Any", state["state"])
        keys = [key for group in groups for key in group["params"]]
        if len(keys) != len(parameters):
            return f"the file's has {len(keys)} parameters, the network {len(parameters)}"
        moments = {
            number: _moments_of(found[key], parameter)
            for number, (key, parameter) in enumerate(zip(keys, parameters, strict=True))
            if key in found
        }
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        return f"the file's does not fit ({str(error).partition(chr(10))[0][:120]})"
    return moments or "the file's has taken no step"


def _moments_of(entry: Mapping[str, Any], parameter: Tensor) -> dict[str, Tensor]:
    """Return a parameter's moments, laid out as the parameter is.

    Raises:
        ValueError: They are of another shape, or not finite.
    """
    moments = {"step": torch.as_tensor(float(entry["step"]))}
    for name in _MOMENTS:
        value = entry[name]
        if value.shape != parameter.shape or not bool(value.isfinite().all()):
            message = f"{name} of shape {tuple(value.shape)} for one of {tuple(parameter.shape)}, or not finite"
            raise ValueError(message)
        moments[name] = torch.empty_like(parameter).copy_(value)
    return moments
