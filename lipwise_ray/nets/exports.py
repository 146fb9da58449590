"""Exports of networks from torch to ONNX, by which other runtimes know them; kept on the machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lipwise_ray.errors import StorageError, os_reason
from lipwise_ray.nets.runtimes import BATCH, Runtime, refusing
from lipwise_ray.storage.cache import Cache, machine_folder
from lipwise_ray.storage.digest import ID_CHARACTERS

if TYPE_CHECKING:
    from torch import nn

_MOST_BYTES = 8 << 30
_OPSET = 17
_VERSION = 2
"""Raised when the same network and torch would give another file."""

_DOC_STRING = bytes((6 << 3 | 2, 2 * hashlib.sha256().digest_size))
"""Start of a text of that length in a file of ONNX: field 6 of the model. Source: onnx/onnx.proto."""

_SEAL_BYTES = len(_DOC_STRING) + _DOC_STRING[1]
_BLOCK_BYTES = 1 << 20
_OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Exportable:
    """A network that can be exported.

    Attributes:
        name: Tells it from other networks of the same checkpoint.
        sha256: Of its checkpoint.
        make: Loads it, in torch and float32, with its checkpoint's weights.
        inputs: Shape of each input by its name, without the first axis, which is the batch.
    """

    name: str
    sha256: str
    make: Callable[[], nn.Module]
    inputs: Mapping[str, tuple[int, ...]]

    @property
    def key(self) -> str:
        """Name of its file: other checkpoints, and other versions of what makes the file, have others."""
        facts = [self.name, self.sha256, importlib.metadata.version("torch"), _OPSET, _VERSION, dict(self.inputs)]
        return f"{self.name}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:ID_CHARACTERS]}.onnx"


class Exports:
    """Exported networks of this machine's processes, made when first asked for.

    A file ends with the digest of the rest, as the text that ONNX lets describe a model: one that was damaged is made
    again.

    Args:
        cache: Keeps the files.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def get(self, network: Exportable, runtime: Runtime) -> Path:
        """Return a network as an ONNX file, which is not to be changed.

        Args:
            network: The network.
            runtime: The runtime that asks, for the message of the error.

        Raises:
            SetupError: It cannot be exported.
            WeightsError: Its checkpoint cannot be used.
            StorageError: The folder cannot be written, or what is there cannot be read.
        """

        def fill(part: Path) -> bool:
            with refusing(runtime):
                model = export(network)
            part.write_bytes(model + _seal(hashlib.sha256(model).hexdigest()))
            return True

        while True:
            path = self._cache.get(network.key, fill)
            assert path is not None  # `fill` never says that there is none
            try:
                if _is_whole(path):
                    return path
                path.unlink()
            except FileNotFoundError:  # another process made room, or found it damaged
                continue
            except OSError as error:
                raise StorageError(
                    "cache", str(path), got=f"cannot be read: {os_reason(error)}", do="Remove it: it is made again"
                ) from error


def _seal(hexdigest: str) -> bytes:
    return _DOC_STRING + hexdigest.encode()


def _is_whole(path: Path) -> bool:
    """Tell whether a file ends with the digest of what comes before."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        left = os.fstat(file.fileno()).st_size - _SEAL_BYTES
        while left > 0 and (block := file.read(min(left, _BLOCK_BYTES))):
            digest.update(block)
            left -= len(block)
        return file.read() == _seal(digest.hexdigest())


def exports_of(scratch: str | None) -> Exports:
    """Return the exports of this machine.

    Args:
        scratch: The setting `paths.scratch`.
    """
    return Exports(Cache((Path(scratch) if scratch else machine_folder()) / "exports", _MOST_BYTES))


def export(network: Exportable) -> bytes:
    """Return a network as an ONNX file whose batch is open.

    It is torch's exporter by tracing: these networks have no branches, and its successor takes a package more.
    """
    import torch

    module = network.make().eval()
    inputs = tuple(torch.zeros(2, *shape) for shape in network.inputs.values())
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # it says that it is the older one
        torch.onnx.export(
            module,
            inputs,
            file,  # type: ignore[arg-type]  # the stub names paths only
            dynamo=False,
            opset_version=_OPSET,
            input_names=list(network.inputs),
            output_names=[_OUTPUT],
            dynamic_axes={name: {0: BATCH} for name in (*network.inputs, _OUTPUT)},
        )
    return file.getvalue()
