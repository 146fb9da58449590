"""Exports of networks from torch to ONNX, by which other runtimes know them; kept on the machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lipwise_ray.errors import StorageError, os_reason
from lipwise_ray.nets.runtimes import BATCH, OPENVINO, Runtime, load_runtime, refusing, save_for_openvino
from lipwise_ray.storage.cache import Cache, machine_folder
from lipwise_ray.storage.digest import ID_CHARACTERS

if TYPE_CHECKING:
    from torch import nn

_MOST_BYTES = 8 << 30
_OPSET = 17
_VERSION = 3
"""Raised when the same network, torch and runtime would give another file."""

_HEX_BYTES = 2 * hashlib.sha256().digest_size
_BLOCK_BYTES = 1 << 20
_OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class _Format:
    """Files of one network, as a runtime reads them.

    Attributes:
        ending: Of its file.
        weights: Of a file of the same name with the weights, where they are not in the first.
        seal: What is around the digest of both with which the first ends, so that it stays a file of its kind.
    """

    ending: str
    weights: str | None
    seal: tuple[bytes, bytes]

    def sealed(self, hexdigest: str) -> bytes:
        """Return the end of a file."""
        return self.seal[0] + hexdigest.encode() + self.seal[1]


# A text that describes the model is the field 6 of ONNX's. Source: onnx/onnx.proto.
_ONNX = _Format(".onnx", None, (bytes((6 << 3 | 2, _HEX_BYTES)), b""))
# OpenVINO maps weights of its own format, where it would read and copy those of an ONNX file.
_IR = _Format(".xml", ".bin", (b"<!--", b"-->"))


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

    def key(self, runtime_version: str) -> str:
        """Return the name of its files: other checkpoints, and versions of what makes the files, have others."""
        versions = importlib.metadata.version("torch"), runtime_version
        facts = [self.name, self.sha256, *versions, _OPSET, _VERSION, dict(self.inputs)]
        return f"{self.name}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:ID_CHARACTERS]}"


class Exports:
    """Exported networks of this machine's processes, made when first asked for.

    A file ends with the digest of the rest, and one that was damaged is made again.

    Args:
        cache: Keeps the files.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def get(self, network: Exportable, runtime: Runtime) -> Path:
        """Return the file that a runtime reads a network from, which is not to be changed.

        Args:
            network: The network.
            runtime: OpenVINO, for a file of its own format with the weights beside it, or ONNX Runtime.

        Raises:
            SetupError: The runtime is not installed, or the network cannot be exported for it.
            WeightsError: Its checkpoint cannot be used.
            StorageError: The folder cannot be written, or what is there cannot be read.
        """
        form, key = _IR if runtime == OPENVINO else _ONNX, network.key(load_runtime(runtime))

        def fill(part: Path) -> bool:
            with refusing(runtime):
                model = export(network)
            if form.weights is None:
                part.write_bytes(model)
                digest = _digest([part])
            else:
                graph, weights = part.with_suffix(form.ending), part.with_suffix(form.weights)
                try:
                    with refusing(runtime):
                        save_for_openvino(model, graph)
                    digest = _digest([weights, graph])
                    self._cache.keep(key + form.weights, weights)
                    graph.replace(part)
                finally:
                    graph.unlink(missing_ok=True)
                    weights.unlink(missing_ok=True)
            with part.open("ab") as file:
                file.write(form.sealed(digest))
            return True

        while True:
            path = self._cache.get(key + form.ending, fill)
            assert path is not None  # `fill` never says that there is none
            files = [path]
            if form.weights is not None and (weights := self._cache.get(key + form.weights, lambda _: False)):
                files.insert(0, weights)
            try:
                if _is_whole(files, form):
                    return path
                path.unlink()
            except FileNotFoundError:  # another process made room, or found it damaged
                continue
            except OSError as error:
                raise StorageError(
                    "cache",
                    error.filename or str(path),
                    got=f"cannot be read: {os_reason(error)}",
                    do="Remove it: it is made again",
                ) from error


def _digest(files: Sequence[Path], but_bytes: int = 0) -> str:
    """Return the digest of files, one after the other, without the last bytes of the last."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            left = os.fstat(file.fileno()).st_size - (but_bytes if path == files[-1] else 0)
            while left > 0 and (block := file.read(min(left, _BLOCK_BYTES))):
                digest.update(block)
                left -= len(block)
    return digest.hexdigest()


def _is_whole(files: Sequence[Path], form: _Format) -> bool:
    """Tell whether the last of some files ends with the digest of what comes before."""
    end = form.sealed(_digest(files, len(form.sealed("0" * _HEX_BYTES))))
    with files[-1].open("rb") as file:
        file.seek(-min(len(end), os.fstat(file.fileno()).st_size), os.SEEK_END)
        return file.read() == end


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
