"""A made-up HTDemucs of the published layout, as demucs 4 writes it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

SOURCES = ["drums", "bass", "other", "vocals"]
SMALL: dict[str, Any] = {
    "channels": 8,
    "depth": 4,
    "t_layers": 1,
    "t_heads": 2,
    "nfft": 4096,
    "segment": Fraction(39, 40),
    "samplerate": 44100,
}


def seeded_network(seed: int = 0, **changes: Any) -> Any:
    """Return a small network of seeded weights."""
    import torch
    from demucs.htdemucs import HTDemucs

    torch.manual_seed(seed)
    return HTDemucs(SOURCES, **{**SMALL, **changes}).eval()


def write_pickle(path: Path, network: Any) -> Path:
    """Write a network as the published ``.th`` files are: its class, its arguments, weights of half precision."""
    import torch

    args, kwargs = network._init_args_kwargs
    state = {name: value.half() for name, value in network.state_dict().items()}
    package = {"klass": type(network), "args": args, "kwargs": kwargs, "state": state, "training_args": {"lr": 3e-4}}
    torch.save(package, path)
    return path


def write_safetensors(path: Path, network: Any) -> Path:
    """Write a network as the files of demucs' hub are: arguments as JSON in the metadata."""
    from safetensors.torch import save_file

    args, kwargs = network._init_args_kwargs
    parts = {
        name: {"_type": "fraction", "numerator": value.numerator, "denominator": value.denominator}
        if isinstance(value, Fraction)
        else value
        for name, value in kwargs.items()
    }
    told = {"klass": "demucs.htdemucs.HTDemucs", "args": json.dumps(args), "kwargs": json.dumps(parts)}
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path, told)
    return path
