"""Reading checkpoints as they are found in the wild, without running what is in them."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from lipwise_ray.errors import WeightsError
from lipwise_ray.nets.onnx_layout import is_onnx

if TYPE_CHECKING:
    from torch import Tensor, nn

_LFS = b"version https://git-lfs"
_Network = TypeVar("_Network", bound="nn.Module")
_DICT_KEYS = ("state_dict", "params_ema", "params", "net_state_dict", "model_state_dict")
_TRAINED_KEYS = ("best_state", "model")
_PREFIX = "module."
_WIDEST = 16  # times the original; a broken shape must not make a network that fills the memory
_MOST_UNPACKED = 20
OTHER_DO = "Choose a checkpoint of this network"
"""Advice on a checkpoint that is another network's."""

_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    RuntimeError,
    OSError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    ArithmeticError,
    AssertionError,
    ImportError,
)
"""Errors that readers raise on files that are none of theirs."""
_NAMED = re.compile(r"(?:names|GLOBAL) ([\w.]+)")
_OTHER_PROTOCOL = "Detected pickle protocol"
_TORCHS = 2  # protocol that torch.save writes
_REASON = re.compile(r"WeightsUnpickler error:\s*(\S.*)")


def refuse_non_weights(path: Path) -> None:
    """Raise when a file is plainly no checkpoint; reads its first bytes only.

    Raises:
        WeightsError: The file is missing, empty, a web page or a Git LFS pointer.
    """
    where = str(path)
    if not path.is_file():
        raise WeightsError("no_weights", where, got="no such checkpoint file", do="See `lipwise-ray models list`")
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise WeightsError("empty_weights", where, got="an empty file", do="Download it again")
    if head.startswith(_LFS):
        raise WeightsError(
            "lfs_pointer",
            where,
            got="a Git LFS pointer, which only names the file with the weights",
            do="Download the file itself, or run `git lfs pull` where it came from",
        )
    if head.lstrip()[:1] == b"<":
        raise WeightsError(
            "html_weights",
            where,
            got="a web page, not weights",
            do="The download was answered by a page: download it again with `lipwise-ray models pull`",
        )


def load_state_dict(path: Path, *, with_settings: bool = False) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint: a dict, a flat state dict, TorchScript or safetensors.

    Only tensors are unpickled; nothing that a file names is run.

    Args:
        path: The checkpoint.
        with_settings: It may hold its training's settings beside the tensors, see `nets.stand_ins`; these are left out.

    Raises:
        WeightsError: The file is no checkpoint, is cut off, or names something to be run.
    """
    return tensors_in(load_contents(path, with_settings=with_settings), path, with_settings=with_settings)


def load_contents(path: Path, *, with_settings: bool = False) -> object:
    """Return all that a checkpoint holds: that of `load_pickled`, or the tensors of safetensors.

    Args:
        path: The checkpoint.
        with_settings: See `load_state_dict`.

    Raises:
        WeightsError: The file is no checkpoint, is cut off, or names something to be run.
    """
    return _safetensors(path) if path.suffix == ".safetensors" else load_pickled(path, with_settings=with_settings)


def tensors_in(contents: object, path: Path, *, with_settings: bool = False) -> dict[str, Tensor]:
    """Return the tensors among a checkpoint's contents, or in a part of them.

    Args:
        contents: Of `load_contents`.
        path: The checkpoint, for messages.
        with_settings: See `load_state_dict`.

    Raises:
        WeightsError: There are none, or one is not whole.
    """
    for key in (*_DICT_KEYS, *(_TRAINED_KEYS if with_settings else ())):
        if isinstance(contents, Mapping) and isinstance(contents.get(key), Mapping):
            contents = cast("Mapping[str, object]", contents)[key]
    if not isinstance(contents, Mapping):
        raise _unreadable(path, f"a {type(contents).__name__} where a dict of tensors belongs")
    mapping = cast("Mapping[object, object]", contents)
    tensors = {str(key).removeprefix(_PREFIX): value for key, value in mapping.items() if _is_whole(path, value)}
    if not tensors:
        raise WeightsError("no_tensors", str(path), got="holds no tensors", do="Download it again")
    return cast("dict[str, Tensor]", tensors)


def load_pickled(path: Path, *, with_settings: bool = False) -> object:
    """Return the contents of a file of `torch.save`: dicts, lists, numbers, text, tensors. Nothing it names is run.

    Args:
        path: The file.
        with_settings: Empty shells take the place of its training's settings, see `nets.stand_ins`.

    Raises:
        WeightsError: The file is no checkpoint, is cut off, or names something to be run.
    """
    import torch

    from lipwise_ray.nets.stand_ins import stand_ins
    from lipwise_ray.nets.torchscript import is_torchscript, tensors_of

    refuse_non_weights(path)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _check_size(archive, path)
                if is_torchscript(archive):
                    return tensors_of(archive)
        allowed = torch.serialization.safe_globals(stand_ins()) if with_settings else nullcontext()
        with allowed, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=_OTHER_PROTOCOL)  # whether it loads is told below
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, *_BROKEN) as error:
        named = _NAMED.search(str(error))
        if named:
            raise WeightsError(
                "unsafe_weights",
                str(path),
                got=f"holds a pickle that names {named[1]}, which is not run",
                must="only tensors, numbers and text are loaded",
                do="Where you trust it, load it with torch and save its state_dict() anew",
            ) from error
        if is_onnx(path):
            raise WeightsError(
                "other_network", str(path), got="an ONNX file, where a checkpoint for torch belongs", do=OTHER_DO
            ) from error
        if protocol := _plain_protocol(path):
            raise WeightsError(
                "unreadable_weights",
                str(path),
                got=f"a plain pickle of protocol {protocol}, which torch.save does not write",
                do="Where you trust it, load it with pickle and save its tensors by torch.save",
            ) from error
        raise _unreadable(path, f"{path.stat().st_size} bytes that do not load ({_first_line(error)})") from error


def _plain_protocol(path: Path) -> int:
    """Return the protocol of a pickle that torch.save did not write; 0 for any other file."""
    with path.open("rb") as file:
        head = file.read(2)
    known = len(head) > 1 and head[:1] == pickle.PROTO and _TORCHS < head[1] <= pickle.HIGHEST_PROTOCOL
    return head[1] if known else 0


def _safetensors(path: Path) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    refuse_non_weights(path)
    try:
        return load_file(path)
    except (SafetensorError, *_BROKEN) as error:
        raise _unreadable(path, f"{path.stat().st_size} bytes that do not load ({_first_line(error)})") from error


def _check_size(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse an archive that unpacks to far more than it is; `torch.save` does not compress.

    Raises:
        ValueError: It does.
    """
    unpacked, most = sum(part.file_size for part in archive.infolist()), path.stat().st_size * _MOST_UNPACKED
    if unpacked > most:
        message = f"{unpacked} bytes when unpacked, more than {_MOST_UNPACKED} times the file"
        raise ValueError(message)


def _is_whole(path: Path, value: object) -> bool:
    """Tell whether a value is a tensor, and refuse one without data of its own for every number."""
    import torch

    if not isinstance(value, torch.Tensor):
        return False
    if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
        raise _unreadable(path, "a tensor that is not a plain array")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise _unreadable(path, "a tensor that is larger than its data")
    return True


def _unreadable(path: Path, got: str) -> WeightsError:
    return WeightsError(
        "unreadable_weights",
        str(path),
        got=f"not a whole checkpoint: {got}",
        do="The download may be cut off: check it with `lipwise-ray models verify`, or download it again",
    )


def load_into(network: nn.Module, path: Path, name: str) -> None:
    """Load a checkpoint into a network, every tensor or none.

    Args:
        network: The module.
        path: The checkpoint.
        name: Name of the network in messages.

    Raises:
        WeightsError: The file is no checkpoint, or another network's.
    """
    tensors = load_state_dict(path)
    check_fit(network, tensors, path, name)
    network.load_state_dict({**network.state_dict(), **tensors})


def load_network(kind: type[_Network], path: Path, name: str) -> _Network:
    """Return a network of the width that a checkpoint has.

    Args:
        kind: Class of the network; takes its width.
        path: The checkpoint.
        name: Name of the network in messages.

    Raises:
        WeightsError: The file is no checkpoint, or another network's.
    """
    import torch

    sized = cast("Any", kind)  # a class that takes a width and reads it off a checkpoint
    tensors = load_state_dict(path)
    try:
        width: float = sized.width_of(tensors)
    except IndexError:  # a number where a layer's weights belong
        width = 0.0
    if not 0 < width <= _WIDEST:
        raise WeightsError(
            "other_network",
            str(path),
            got=f"not a checkpoint of {name}: its layers have no width that {name} can have",
            do=OTHER_DO,
        )
    with torch.device("meta"):  # a shape in a file does not decide how much memory is taken
        check_fit(sized(width), tensors, path, name)
    network: _Network = sized(width)
    network.load_state_dict({**network.state_dict(), **tensors})
    return network


def check_fit(network: nn.Module, tensors: Mapping[str, Tensor], path: Path, name: str) -> None:
    """Compare a checkpoint's tensors with those that a network has.

    Raises:
        WeightsError: They are another network's.
    """
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
            got=f"not a checkpoint of {name}: {len(tensors)} tensors instead of {len(wanted)}, {len(missing)} missing, "
            f"{len(odd)} unknown, {len(reshaped)} of another shape (for example {example})",
            do=OTHER_DO,
        )


def _first_line(error: Exception) -> str:
    reason = _REASON.search(str(error))  # torch puts advice before it that is not for whoever reads this
    lines = (reason[1] if reason else str(error)).splitlines()
    named = isinstance(error, LookupError)  # its text is a key alone
    return (f"{type(error).__name__}: " if named else "") + lines[0][:120] if lines else type(error).__name__
