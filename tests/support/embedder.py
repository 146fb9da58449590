"""A made-up network that tells drawn people apart, in the layout of the published one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_SIDE, _CELL = 112, 16


def write_embedder(path: Path) -> Path:
    """Write an ONNX file that takes RGB levels and gives how cells of 16 pixels differ from middle gray."""
    values = 3 * (_SIDE // _CELL) ** 2
    nodes = [
        helper.make_node("AveragePool", ["data"], ["cells"], kernel_shape=[_CELL, _CELL], strides=[_CELL, _CELL]),
        helper.make_node("Sub", ["cells", "gray"], ["levels"]),
        helper.make_node("Reshape", ["levels", "shape"], ["fc1"]),
    ]
    graph = helper.make_graph(
        nodes,
        "cells",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, _SIDE, _SIDE])],
        [helper.make_tensor_value_info("fc1", TensorProto.FLOAT, [1, values])],
        [
            numpy_helper.from_array(np.array([128.0], np.float32), "gray"),
            numpy_helper.from_array(np.array([1, values], np.int64), "shape"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path
