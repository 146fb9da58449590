"""A made-up network in the layouts in which MediaPipe's for landmarks becomes an ONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lipwise_ray.values import F32Array

SIDE = 256
RED_PX, BLUE_PX = 10.0, 20.0
"""By so much red moves all points to the right, blue down."""


def mesh_points(count: int = 478) -> F32Array:
    """Return the points that the network gives of a black image, in pixels, shape (count, 3)."""
    return np.random.default_rng(478).uniform(40, 216, (count, 3)).astype(np.float32)


def write_landmarker(
    path: Path,
    *,
    takes: tuple[int | str, ...] = (1, SIDE, SIDE, 3),
    gives: tuple[int, ...] = (1, 1, 1, 1434),
    presence: str = "logit",
    scale: float = 1.0,
) -> Path:
    """Write an ONNX file that gives points which move with the image's colours, and is sure of bright images.

    Args:
        path: The file.
        takes: Shape of the image, with its channels first or last.
        gives: Shape of the points.
        presence: Whether a face is there as a ``logit`` or a ``probability``; empty without.
        scale: What points are multiplied by.
    """
    count = int(np.prod(gives)) // 3
    channels_last = takes[-1] == 3
    moves = np.zeros((3, count, 3), np.float32)
    moves[0, :, 0], moves[2, :, 1] = RED_PX, BLUE_PX
    constants = {
        "moves": scale * moves.reshape(3, -1),
        "base": scale * mesh_points(count).reshape(1, -1),
        "shape": np.array(gives, np.int64),
        "sure": np.full((3, 1), 2, np.float32),
        "doubt": np.array([[-1]], np.float32),
    }
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["means"], axes=[1, 2] if channels_last else [2, 3], keepdims=0),
        helper.make_node("MatMul", ["means", "moves"], ["moved"]),
        helper.make_node("Add", ["moved", "base"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["Identity"]),
    ]
    outputs = [helper.make_tensor_value_info("Identity", TensorProto.FLOAT, gives)]
    if presence:
        nodes += [
            helper.make_node("MatMul", ["means", "sure"], ["surety"]),
            helper.make_node("Add", ["surety", "doubt"], ["Identity_1" if presence == "logit" else "logit"]),
        ]
        nodes += [] if presence == "logit" else [helper.make_node("Sigmoid", ["logit"], ["Identity_1"])]
        outputs.append(helper.make_tensor_value_info("Identity_1", TensorProto.FLOAT, [1, 1]))
    graph = helper.make_graph(
        nodes,
        "landmarks",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, takes)],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path
