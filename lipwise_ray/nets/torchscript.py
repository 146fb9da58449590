"""The tensors of a TorchScript archive, read without running the code that lies beside them."""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import cast

import torch

_MOST_PICKLE_BYTES = 64 << 20
_MOST_PARTS = 100_000
_STORAGES: dict[str, torch.dtype] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_TYPED_LISTS = ("build_intlist", "build_tensorlist", "build_doublelist", "build_boollist")


def is_torchscript(archive: zipfile.ZipFile) -> bool:
    """Tell whether a zip file is a TorchScript archive."""
    return any("/code/" in name or name.endswith("/constants.pkl") for name in archive.namelist())


def tensors_of(archive: zipfile.ZipFile) -> dict[str, torch.Tensor]:
    """Return the tensors of an archive by their names in the module's state dict.

    ``torch.jit.load`` runs what modules define for being unpickled, so it is not used. Here every class of the archive
    is an empty shell that only keeps what was pickled, and nothing but these shells and tensors can be made.

    Raises:
        pickle.UnpicklingError: The pickle names something else, or holds more than there is data for.
        KeyError: A part of the archive is missing.
        ValueError: The archive is broken; so do the other errors of `pickle` and `zipfile`.
    """
    names = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(names) != 1:
        message = f"{len(names)} modules where one belongs"
        raise pickle.UnpicklingError(message)
    folder = names[0].rpartition("/")[0]
    if archive.getinfo(names[0]).file_size > _MOST_PICKLE_BYTES:
        message = f"more than {_MOST_PICKLE_BYTES >> 20} MiB of names"
        raise pickle.UnpicklingError(message)
    data = archive.read(names[0])
    _check_memo(data)
    return dict(_walk(_Unpickler(data, _storage_reader(archive, folder)).load()))


def _check_memo(data: bytes) -> None:
    """Refuse a pickle that makes its reader reserve room: objects are numbered, and there are no more than bytes."""
    for code, argument, _ in pickletools.genops(data):
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT") and isinstance(argument, int) and argument > len(data):
            message = f"a pickle that wants room for {argument} objects"
            raise pickle.UnpicklingError(message)


def _storage_reader(archive: zipfile.ZipFile, folder: str) -> Callable[[str, torch.dtype], torch.Tensor]:
    """Return the reader of an archive's storages, each read once as a flat tensor."""
    byteorder = f"{folder}/byteorder"
    if byteorder in archive.namelist() and archive.read(byteorder).strip() != b"little":
        message = "big-endian numbers"
        raise pickle.UnpicklingError(message)
    storages: dict[tuple[str, torch.dtype], torch.Tensor] = {}

    def read(key: str, dtype: torch.dtype) -> torch.Tensor:
        if (key, dtype) not in storages:
            data = bytearray(archive.read(f"{folder}/data/{key}"))
            storages[key, dtype] = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
        return storages[key, dtype]

    return read


class _Unpickler(pickle.Unpickler):
    """Makes tensors and empty shells, and nothing else."""

    def __init__(self, data: bytes, read: Callable[[str, torch.dtype], torch.Tensor]) -> None:
        super().__init__(io.BytesIO(data))
        self._read = read

    def find_class(self, module: str, name: str) -> object:
        """Return the stand-in for a name of the archive."""
        if module == "__torch__" or module.startswith("__torch__."):
            return _Shell
        if module == "torch" and name in _STORAGES:
            return _Storage(_STORAGES[name])
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Function(_tensor)
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _Function(_first)
        if (module, name) == ("collections", "OrderedDict"):
            return _Function(_no_hooks)
        if module == "torch.jit._pickle" and (name in _TYPED_LISTS or name == "restore_type_tag"):
            return _Function(_first)
        message = f"a pickle that names {module}.{name}"
        raise pickle.UnpicklingError(message)

    def persistent_load(self, pid: object) -> torch.Tensor:
        """Return a storage as a flat tensor."""
        kind, storage, key, *_ = cast("tuple[object, ...]", pid)
        if kind != "storage" or not isinstance(storage, _Storage) or not isinstance(key, str):
            message = "a pickle that refers to something else than a storage"
            raise pickle.UnpicklingError(message)
        return self._read(key, storage.dtype)


class _Shell:
    """Stands for an object of a class of the archive."""

    state: object = None
    """Its attributes by name, or whatever its own ``__getstate__`` gave."""

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Storage:
    """A type of storage."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


class _Function:
    """A function without attributes of its own that a pickle could set."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., object]) -> None:
        self._call = call

    def __call__(self, *arguments: object) -> object:
        return self._call(*arguments)


def _first(value: object, *_: object) -> object:
    return value


def _no_hooks(*_: object) -> OrderedDict[str, object]:
    return OrderedDict()


def _tensor(flat: object, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> object:
    """Return a view of a storage."""
    if not isinstance(flat, torch.Tensor) or math.prod(size) > flat.numel():
        message = "a tensor that is larger than its data"
        raise pickle.UnpicklingError(message)
    return torch.as_strided(flat, size, stride, offset)  # refuses what lies outside


def _walk(root: object) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors of a module and of those within it."""
    waiting: list[tuple[str, object]] = [("", root)]
    walked = 0
    while waiting and walked < _MOST_PARTS:
        walked += 1
        name, part = waiting.pop()
        if isinstance(part, torch.Tensor):
            yield name, part
        elif isinstance(part, _Shell):
            state = part.state
            if isinstance(state, tuple):  # what a module's own __getstate__ gave has no names
                state = dict(enumerate(cast("tuple[object, ...]", state)))
            if isinstance(state, Mapping):
                inner = cast("Mapping[object, object]", state)
                waiting += [(f"{name}.{key}" if name else str(key), value) for key, value in inner.items()]
    if not waiting:
        return
    message = f"more than {_MOST_PARTS} parts"
    raise pickle.UnpicklingError(message)
