"""Reading checkpoints as they are found in the wild, without running what is in them."""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from lipwise_ray.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn

_LFS = b"version https://git-lfs"
_Network = TypeVar("_Network", bound="nn.Module")
_DICT_KEYS = ("state_dict", "params_ema", "params")
_PREFIX = "module."


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_non_weights(path: Path) -> None:
    """Raise when a file is plainly no checkpoint; reads its first bytes only.

    Raises:
        WeightsError: The file is missing, empty, a web page or a Git LFS pointer.
    """
    where = str(path)
    if not path.is_file():
        raise WeightsError(
            "no_weights", where, "must be a checkpoint file", "nothing there", "Run `lipwise-ray models list`"
        )
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise WeightsError("empty_weights", where, "must hold weights", "an empty file", "Download it again")
    if head.startswith(_LFS):
        raise WeightsError(
            "lfs_pointer",
            where,
            "must hold weights",
            "a Git LFS pointer, which only names the file",
            "Download the file itself, or run `git lfs pull` where it came from",
        )
    if head.lstrip()[:1] == b"<":
        raise WeightsError(
            "html_weights",
            where,
            "must hold weights",
            "a web page",
            "The download was answered by a page: download it again with `lipwise-ray models pull`",
        )


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint: a dict, a flat state dict, TorchScript or safetensors.

    Only tensors are unpickled (`weights_only`). A TorchScript archive cannot be read that way;
    its code is loaded but never run.

    Raises:
        WeightsError: The file is no checkpoint, or is cut off.
    """
    refuse_non_weights(path)
    try:
        found = _read(path)
    except (
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        EOFError,
        RuntimeError,
        OSError,
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
    ) as error:
        raise WeightsError(
            "unreadable_weights",
            str(path),
            "must be a whole checkpoint of tensors",
            f"{path.stat().st_size} bytes that do not load ({_first_line(error)})",
            "The download may be cut off: check it with `lipwise-ray models verify`, or download it again",
        ) from error
    tensors = {key.removeprefix(_PREFIX): value for key, value in found.items()}
    if not tensors:
        raise WeightsError("no_tensors", str(path), "must hold tensors", "none", "Download it again")
    return tensors


def _read(path: Path) -> dict[str, Tensor]:
    import torch  # noqa: PLC0415  # the checks above work without it

    if path.suffix == ".safetensors":
        from safetensors import SafetensorError  # noqa: PLC0415  # beside torch
        from safetensors.torch import load_file  # noqa: PLC0415  # beside torch

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(str(error)) from error
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            scripted = any("/code/" in name for name in archive.namelist())
        if scripted:
            return dict(torch.jit.load(path, map_location="cpu").state_dict())
    loaded: object = torch.load(path, map_location="cpu", weights_only=True)
    for key in _DICT_KEYS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = cast("Mapping[str, object]", loaded)[key]
    if not isinstance(loaded, Mapping):
        message = f"a {type(loaded).__name__} where a dict of tensors belongs"
        raise TypeError(message)
    mapping = cast("Mapping[str, object]", loaded)
    return {str(key): value for key, value in mapping.items() if isinstance(value, torch.Tensor)}


def load_into(network: nn.Module, path: Path, name: str) -> None:
    """Load a checkpoint into a network, every tensor or none.

    Raises:
        WeightsError: The file is no checkpoint, or another network's.
    """
    tensors = load_state_dict(path)
    wanted = network.state_dict()
    counters = {key for key in wanted if key.endswith("num_batches_tracked")}
    missing = [key for key in wanted if key not in tensors and key not in counters]
    odd = [key for key in tensors if key not in wanted]
    reshaped = [key for key in wanted if key in tensors and tensors[key].shape != wanted[key].shape]
    if missing or odd or reshaped:
        example = (missing or odd or reshaped)[0]
        raise WeightsError(
            "other_network",
            str(path),
            f"must hold the {len(wanted)} tensors of {name}",
            f"{len(tensors)} tensors, {len(missing)} missing, {len(odd)} unknown, "
            f"{len(reshaped)} of another shape (for example {example})",
            "Choose a checkpoint of this network",
        )
    network.load_state_dict({**wanted, **tensors})


def load_network(kind: type[_Network], path: Path, name: str) -> _Network:
    """Return a network of the width that a checkpoint has.

    Raises:
        WeightsError: The file is no checkpoint, or another network's.
    """
    sized = cast("Any", kind)  # a class that takes a width and reads it off a checkpoint
    network: _Network = sized(sized.width_of(load_state_dict(path)))
    load_into(network, path, name)
    return network


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:120] if lines else type(error).__name__
