"""Inputs and outputs that an ONNX file says its network has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from lipwise_ray.errors import WeightsError
from lipwise_ray.nets.onnx_session import broken_networks, not_onnx

if TYPE_CHECKING:
    import onnx

_FLOAT = 1  # TensorProto.FLOAT
_FIRST_FIELD = b"\x08"
_SAFETENSORS = slice(8, 9), b"{"


@dataclass(frozen=True, slots=True)
class OnnxPort:
    """An input or output of an ONNX file.

    Attributes:
        name: Its name.
        shape: Its axes; None where the file leaves one open.
        is_float32: It holds numbers of that format.
    """

    name: str
    shape: tuple[int | None, ...]
    is_float32: bool

    def __str__(self) -> str:
        axes = " x ".join("N" if axis is None else str(axis) for axis in self.shape)
        return f"{self.name} ({axes or 'a number'}{'' if self.is_float32 else ', not of float32'})"


@dataclass(frozen=True, slots=True)
class OnnxPorts:
    """Inputs and outputs of an ONNX file, in the file's order."""

    inputs: tuple[OnnxPort, ...]
    outputs: tuple[OnnxPort, ...]


def is_onnx(path: Path) -> bool:
    """Tell whether a file begins as ONNX files do, whatever its name is; a file that is not there does not."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    place, brace = _SAFETENSORS  # its first eight bytes are a length, which may be anything
    return head.startswith(_FIRST_FIELD) and head[place] != brace


def ports_of(weights: Path) -> OnnxPorts:
    """Return the inputs and outputs that an ONNX file states; weights are no inputs.

    Args:
        weights: The file.

    Raises:
        WeightsError: It is no whole ONNX file, or keeps weights in files beside it, which its digest does not cover.
    """
    import onnx

    try:
        graph = onnx.load_model_from_string(weights.read_bytes()).graph
    except broken_networks() as error:
        raise not_onnx(weights, error) from error
    if any(tensor.data_location == tensor.EXTERNAL for tensor in _tensors(graph)):
        raise WeightsError(
            "not_onnx",
            str(weights),
            got="keeps its weights in another file",
            must="a whole ONNX file is needed",
            do="Make it one file: onnx.save(onnx.load(FILE), OTHER)",
        )
    held = {tensor.name for tensor in graph.initializer}
    inputs = tuple(_port(value) for value in graph.input if value.name not in held)
    return OnnxPorts(inputs, tuple(_port(value) for value in graph.output))


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield the weights and constants of a graph and of those within it."""
    yield from graph.initializer
    for attribute in chain.from_iterable(node.attribute for node in graph.node):
        yield from (attribute.t, *attribute.tensors)
        yield from chain.from_iterable(map(_tensors, (attribute.g, *attribute.graphs)))


def _port(value: onnx.ValueInfoProto) -> OnnxPort:
    tensor = value.type.tensor_type
    axes = (axis.dim_value if axis.HasField("dim_value") and axis.dim_value > 0 else None for axis in tensor.shape.dim)
    return OnnxPort(value.name, tuple(axes), tensor.elem_type == _FLOAT)
