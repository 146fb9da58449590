"""Arrays in .npy and .npz files, read within bounds: nothing is believed, and nothing made room for, before its header.

A few kilobytes of a zip archive may claim gigabytes, and an array of objects runs code when it is read.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

MOST_BYTES = 1 << 30
"""Bound of all arrays of a file together, where no narrower one is known."""

_MOST_HEADER_BYTES = 4096
_MOST_MEMBERS = 1024
_READ_BYTES = 1 << 20
_ENCRYPTED = 0x1
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """Specification of an array.

    Attributes:
        dtype: What it is given as.
        shape: Lengths of its axes: a number, or a letter for one that all arrays of the file with that letter share.
        kinds: numpy's letters of the kinds it may be stored as, e.g. ``iu``; empty for the very dtype.
        is_optional: It may be absent.
        is_finite: NaN and infinity are refused.
    """

    dtype: str
    shape: tuple[int | str, ...]
    kinds: str = ""
    is_optional: bool = False
    is_finite: bool = False


def read_npz(
    path: Path,
    specs: Mapping[str, ArraySpec],
    *,
    lengths: Mapping[str, int] | None = None,
    most_bytes: int = MOST_BYTES,
) -> dict[str, Array]:
    """Read arrays of an archive; others in it are not looked at.

    Args:
        path: The file.
        specs: The arrays by name.
        lengths: Axes whose length is known beforehand, by letter.
        most_bytes: Bound of all of them together, in memory.

    Returns:
        The arrays by name, without optional ones that are absent.

    Raises:
        ValueError: It is no such archive, or damaged, or an array is not what it must be; the message says which.
        OSError: It cannot be read.
    """
    known_lengths = dict(lengths or {})
    room = most_bytes
    arrays: dict[str, Array] = {}
    with _as_value_error(path), zipfile.ZipFile(path) as archive:
        members = _members(path, archive)
        for name, spec in specs.items():
            member = members.get(f"{name}.npy")
            if member is None:
                if spec.is_optional:
                    continue
                raise ValueError(f"{path.name}: no array named {name}")
            where = f"{path.name}: {name}"
            with archive.open(member) as file:
                header = _header(where, file)
                _check(where, header, spec, known_lengths)
                room -= header.memory_bytes(spec)
                if room < 0:
                    raise ValueError(
                        f"{where}: of shape {header.shape}, does not fit into {most_bytes} bytes with the others"
                    )
                arrays[name] = _converted(where, _values(where, file, header), spec)
    return arrays


def map_npy(path: Path, spec: ArraySpec) -> Array:
    """Return the one array of a .npy file as a read-only map of the file, of the type that it is stored as.

    Raises:
        ValueError: It is not what it must be, or not whole.
        OSError: It cannot be read.
    """
    with _as_value_error(path), path.open("rb") as file:
        header = _header(path.name, file)
        _check(path.name, header, spec, {})
        start = file.tell()
        is_other = not spec.kinds and header.dtype != np.dtype(spec.dtype)
        if is_other or os.fstat(file.fileno()).st_size != start + header.stored_bytes:
            raise ValueError(f"{path.name}: holds something else than {header.shape} of {spec.dtype}")
        if not header.stored_bytes:
            return np.zeros(header.shape, header.dtype)
        order = "F" if header.is_fortran else "C"
        return np.memmap(file, header.dtype, "r", offset=start, shape=header.shape, order=order)


@dataclass(frozen=True, slots=True)
class _Header:
    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]

    @property
    def stored_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def memory_bytes(self, spec: ArraySpec) -> int:
        """Return the memory that reading takes: as it is stored, and as it is given where that is another array."""
        dtype = self.dtype if spec.dtype == "U" else np.dtype(spec.dtype)
        return self.stored_bytes + (math.prod(self.shape) * dtype.itemsize if dtype != self.dtype else 0)


@contextlib.contextmanager
def _as_value_error(path: Path) -> Generator[None]:
    """Raise the exceptions of libraries over damaged archives and headers as ValueError."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        tokenize.TokenError,
        RuntimeError,  # encrypted, of an unknown compression, nested too deeply
        SyntaxError,
        TypeError,
        KeyError,
        OverflowError,
        MemoryError,
    ) as error:
        raise _not_whole(path, error) from error
    except ValueError as error:
        if str(error).startswith(path.name):
            raise
        raise _not_whole(path, error) from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # a damaged archive has zipfile look before the file's start
            raise
        raise _not_whole(path, error) from error


def _not_whole(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path.name}: damaged: {str(error) or type(error).__name__}")


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    listed = archive.infolist()
    members = {one.filename: one for one in listed}
    if len(listed) > _MOST_MEMBERS or len(members) < len(listed):
        raise ValueError(f"{path.name}: holds an array twice, or more than {_MOST_MEMBERS} of them")
    if any(one.flag_bits & _ENCRYPTED or one.compress_type not in _COMPRESSIONS for one in listed):
        raise ValueError(f"{path.name}: has a password, or is compressed by something else than deflate")
    return members


def _header(where: str, file: IO[bytes]) -> _Header:
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"{where}: of version {version} of the format, which is not 1 or 2")
    shape, is_fortran, dtype = read(file, max_header_size=_MOST_HEADER_BYTES)
    if any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"{where}: of shape {shape}, which is not of whole numbers")
    return _Header(shape, bool(is_fortran), dtype)


def _check(where: str, header: _Header, spec: ArraySpec, known: dict[str, int]) -> None:
    dtype = header.dtype
    fits = dtype.kind in spec.kinds if spec.kinds else dtype.kind == "U" if spec.dtype == "U" else dtype == spec.dtype
    if dtype.hasobject or dtype.fields is not None or dtype.subdtype is not None or not fits:
        raise ValueError(f"{where}: holds {dtype} instead of {spec.dtype}")
    if len(header.shape) != len(spec.shape):
        raise ValueError(f"{where}: of shape {header.shape} instead of {len(spec.shape)} axes")
    for length, axis in zip(header.shape, spec.shape, strict=True):
        wanted = known.setdefault(axis, length) if isinstance(axis, str) else axis
        if length != wanted:
            raise ValueError(f"{where}: has a length of {length} instead of {wanted}")


def _values(where: str, file: IO[bytes], header: _Header) -> Array:
    data = bytearray()
    while len(data) < header.stored_bytes:
        block = file.read(min(_READ_BYTES, header.stored_bytes - len(data)))
        if not block:
            raise ValueError(f"{where}: ends after {len(data)} of {header.stored_bytes} bytes")
        data += block
    if file.read(1):  # which also has the checksum looked at
        raise ValueError(f"{where}: goes on after its {header.stored_bytes} bytes")
    values = np.frombuffer(data, header.dtype) if data else np.zeros(0, header.dtype)
    if header.is_fortran:
        return values.reshape(header.shape[::-1]).transpose()
    return values.reshape(header.shape)


def _converted(where: str, values: Array, spec: ArraySpec) -> Array:
    if spec.is_finite and values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"{where}: holds NaN or infinity")
    wanted = values.dtype if spec.dtype == "U" else np.dtype(spec.dtype)
    if values.dtype == wanted:
        return values
    if wanted.kind in "iu" and values.dtype.kind in "fiu" and values.size:
        limits = np.iinfo(wanted)
        low, high = values.min(), values.max()
        is_whole = values.dtype.kind != "f" or bool((np.isfinite(values) & (np.floor(values) == values)).all())
        if not is_whole or int(low) < limits.min or int(high) > limits.max:
            raise ValueError(f"{where}: holds other values than whole numbers of {wanted}")
    with np.errstate(over="ignore"):  # what is too large for the type becomes infinite, which whoever asked looks for
        return values.astype(wanted)
