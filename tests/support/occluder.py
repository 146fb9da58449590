"""A made-up network that finds blue things in front of faces, in the layout of the published ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_SIDE = 256


def write_occluder(
    path: Path,
    side: int = _SIDE,
    batch: int | str = "batch",
    size: tuple[int, int, int] | None = None,
    out: int = 1,
    weight: float = 4.0,
) -> Path:
    """Write an ONNX file that takes BGR and gives 0 on what is blue, 1 on the rest.

    Args:
        path: The file.
        side: Side of the images that it takes.
        batch: Images that it takes at once; a name for any number.
        size: Height, width and channels that it says it takes; None for those of the side.
        out: Channels that it gives.
        weight: Of the difference between red and blue.
    """
    weights = np.tile(weight * np.array([[-1], [0], [1]], np.float32), (1, out))
    taken = [batch, *(size or (side, side, 3))]
    nodes = [
        helper.make_node("MatMul", ["input", "weights"], ["difference"]),
        helper.make_node("Add", ["difference", "one"], ["face"]),
        helper.make_node("Clip", ["face", "zero", "one"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "blue",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, taken)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [*taken[:3], out])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array(1, np.float32), "one"),
            numpy_helper.from_array(np.array(0, np.float32), "zero"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path
