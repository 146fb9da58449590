"""Made-up lip-sync networks as ONNX files, in the layouts of the published ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lipwise_ray.lipsync.model import load_wav2lip
from lipwise_ray.nets.exports import Exportable, export

Shape = Sequence[int | str]


def write_network(path: Path, inputs: dict[str, Shape], nodes: Sequence[onnx.NodeProto], out: Shape) -> Path:
    """Write an ONNX file that takes float32 and gives ``output``.

    Args:
        path: The file.
        inputs: Shapes by name; a word for an axis of any length.
        nodes: Its layers, which may use ``half`` (0.5), ``sixteenth`` and ``zero``.
        out: Shape of what it gives.
    """
    constants = {"half": 0.5, "sixteenth": 1 / 16, "zero": 0.0}
    graph = helper.make_graph(
        list(nodes),
        "lips",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [*shape]) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [*out])],
        [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in constants.items()]
        + [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in _INDICES.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


_INDICES = {"first": [0], "third": [3], "end": [6], "channel": [1]}


def write_pair_lips(path: Path, side: int = 96, batch: int | str = "batch") -> Path:
    """Write a network of wav2lip's layout: half the masked image, a quarter of the whole one, and how loud it is.

    What it gives is masked / 2 + whole / 4 + (mean of the mel + 4) / 32, so that it tells order, range and batch.
    """
    nodes = [
        helper.make_node("Slice", ["target", "first", "third", "channel"], ["masked"]),
        helper.make_node("Slice", ["target", "third", "end", "channel"], ["whole"]),
        helper.make_node("Mul", ["masked", "half"], ["masked_half"]),
        helper.make_node("Mul", ["whole", "half"], ["whole_half"]),
        helper.make_node("Mul", ["whole_half", "half"], ["whole_quarter"]),
        helper.make_node("Add", ["masked_half", "whole_quarter"], ["image"]),
        *_loudness(),
        helper.make_node("Add", ["image", "loudness"], ["output"]),
    ]
    inputs: dict[str, Shape] = {"source": (batch, 1, 80, 16), "target": (batch, 6, side, side)}
    return write_network(path, inputs, nodes, (batch, 3, side, side))


def write_edtalk(path: Path, side: int = 256) -> Path:
    """Write a network of edtalk's layout: half the image, a sixteenth of its weight, and how loud it is."""
    nodes = [
        helper.make_node("Mul", ["target", "half"], ["image"]),
        helper.make_node("Mul", ["weight", "sixteenth"], ["weighed"]),
        *_loudness(),
        helper.make_node("Add", ["image", "loudness"], ["loud"]),
        helper.make_node("Add", ["loud", "weighed"], ["output"]),
    ]
    inputs: dict[str, Shape] = {"source": (1, 1, 80, 16), "target": (1, 3, side, side), "weight": (1,)}
    return write_network(path, inputs, nodes, (1, 3, side, side))


def _loudness() -> list[onnx.NodeProto]:
    """Return layers that give (mean of the mel + 4) / 32 as ``loudness``: 0 in silence, a quarter at the loudest."""
    return [
        helper.make_node("ReduceMean", ["source"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Mul", ["mean", "sixteenth"], ["mean_sixteenth"]),
        helper.make_node("Mul", ["mean_sixteenth", "half"], ["mean_part"]),
        helper.make_node("Mul", ["half", "half"], ["quarter"]),
        helper.make_node("Mul", ["quarter", "half"], ["eighth"]),
        helper.make_node("Add", ["mean_part", "eighth"], ["loudness"]),
    ]


def write_exported(path: Path, checkpoint: Path) -> Path:
    """Write a checkpoint of Wav2Lip as an ONNX file whose inputs have the published names."""
    inputs = {"source": (1, 80, 16), "target": (6, 96, 96)}
    path.write_bytes(export(Exportable("wav2lip", "0" * 64, partial(load_wav2lip, checkpoint), inputs)))
    return path
