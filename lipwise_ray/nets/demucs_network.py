"""HTDemucs, which tells voices from music: its published files, read without running what they name."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lipwise_ray.errors import SetupError, WeightsError
from lipwise_ray.nets.checkpoint import OTHER_DO, check_fit, load_pickled, load_state_dict, refuse_non_weights

if TYPE_CHECKING:
    from demucs.htdemucs import HTDemucs
    from torch import Tensor

VOCALS = "vocals"
_CLASS = "demucs.htdemucs.HTDemucs"
_MOST_CHANNELS, _MOST_LAYERS = 1024, 32


class _Named:
    """Takes the place of the class that a pickle names: nothing is made of it."""


def load_demucs(path: Path) -> HTDemucs:
    """Return the network of a published file, ready to be asked.

    Args:
        path: A file of demucs 4: a pickle (``.th``), or safetensors with the network's arguments in its metadata.
            Weights of half precision become float32.

    Raises:
        SetupError: The package is not installed.
        WeightsError: The file is no checkpoint, is another network's, or names something to be run.

    Source: demucs 4 `states.load_model` and `hf.load_safetensors_model`, which run what a pickle names.
    """
    try:
        from demucs.htdemucs import HTDemucs
    except ImportError as error:
        raise SetupError(
            "no_demucs",
            "background = keep",
            got=f"its package is not installed ({error})",
            do="Install the extra `stems`: pip install lipwise-ray[stems]",
        ) from error
    import torch

    options, tensors = _of_safetensors(path) if path.suffix == ".safetensors" else _of_pickle(path)
    try:
        known = inspect.signature(HTDemucs).parameters
        options = {name: value for name, value in options.items() if name in known}
        _check_size(options)
        with torch.device("meta"), warnings.catch_warnings():  # a number in a file does not decide how much memory
            warnings.simplefilter("ignore")  # that what is on no device cannot be copied to
            check_fit(HTDemucs(**options), tensors, path, "htdemucs")
        network = HTDemucs(**options)
    except (TypeError, ValueError, AssertionError, RuntimeError, ArithmeticError, LookupError) as error:
        raise _other(path, f"its arguments make no network ({error})") from error
    if VOCALS not in network.sources or network.audio_channels != 2:  # noqa: PLR2004  # stereo
        raise _other(path, f"it does not take stereo apart into {VOCALS} and others")
    network.load_state_dict(dict(tensors))
    return network.eval()


def _check_size(options: Mapping[str, Any]) -> None:
    """Refuse a network that would take minutes to lay out.

    Raises:
        ValueError: It is many times larger than any that was published.
    """
    if max(options.get("channels", 1), options.get("bottom_channels", 1)) > _MOST_CHANNELS:
        raise ValueError(f"more than {_MOST_CHANNELS} channels")
    if max(options.get("depth", 1), options.get("t_layers", 1)) > _MOST_LAYERS:
        raise ValueError(f"more than {_MOST_LAYERS} layers")


def _of_pickle(path: Path) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
    import torch

    with torch.serialization.safe_globals([(_Named, _CLASS), Fraction]):
        package = load_pickled(path)
    parts = cast("dict[str, Any]", package) if isinstance(package, dict) else {}
    if parts.get("klass") is not _Named or not isinstance(parts.get("kwargs"), dict):
        raise _other(path, "it does not say with which arguments the network was made")
    state: object = parts.get("state")
    if not isinstance(state, dict) or not all(
        isinstance(one, torch.Tensor) for one in cast("dict[Any, Any]", state).values()
    ):
        raise _other(path, "it holds no plain tensors; quantised ones are not read")
    return _options(path, parts.get("args"), parts["kwargs"]), cast("dict[str, Tensor]", state)


def _of_safetensors(path: Path) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    refuse_non_weights(path)
    try:
        with safe_open(str(path), framework="pt") as file:
            told: dict[str, str] = file.metadata() or {}
        args, kwargs = (json.loads(told[name], object_hook=_with_fractions) for name in ("args", "kwargs"))
    except (SafetensorError, KeyError, ValueError, OSError, ArithmeticError) as error:
        raise _other(path, "it does not say with which arguments the network was made") from error
    if told.get("klass") != _CLASS or not isinstance(kwargs, dict):
        raise _other(path, f"it is of {told.get('klass', 'no class')[:80]}")
    return _options(path, args, cast("dict[str, Any]", kwargs)), load_state_dict(path)


def _with_fractions(values: dict[str, Any]) -> object:
    is_fraction = values.get("_type") == "fraction"
    return Fraction(values["numerator"], values["denominator"]) if is_fraction else values


def _options(path: Path, args: object, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return all arguments by name; the only one that may stand by its place names the sources."""
    places = list(cast("list[object]", args)) if isinstance(args, list | tuple) else []
    if len(places) > 1:
        raise _other(path, f"{len(places)} arguments without a name")
    return {**({"sources": places[0]} if places else {}), **kwargs}


def _other(path: Path, why: str) -> WeightsError:
    return WeightsError("other_network", str(path), got=f"not a checkpoint of htdemucs: {why}", do=OTHER_DO)
