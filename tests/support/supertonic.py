"""Made-up networks in the layout of Supertonic 3: noise, whose length follows the text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

VOICES = ("F1", "M1")
RATE_HZ = 16_000
_COLUMN = 24  # samples that a column of the latent stands for, and its height
_INPUTS = {
    "duration_predictor": ("text_ids", "style_dp", "text_mask"),
    "text_encoder": ("text_ids", "style_ttl", "text_mask"),
    "vector_estimator": (
        *("noisy_latent", "text_emb", "style_ttl", "text_mask"),
        *("latent_mask", "current_step", "total_step"),
    ),
    "vocoder": ("latent",),
}
_NODES = {
    "duration_predictor": [
        helper.make_node("ReduceSum", ["text_mask"], ["letters"], keepdims=0),
        helper.make_node("Reshape", ["letters", "one"], ["count"]),
        helper.make_node("Mul", ["count", "seconds"], ["out"]),
    ],
    "text_encoder": [helper.make_node("Identity", ["text_mask"], ["out"])],
    "vector_estimator": [helper.make_node("Identity", ["noisy_latent"], ["out"])],
    "vocoder": [
        helper.make_node("Transpose", ["latent"], ["columns"], perm=[0, 2, 1]),
        helper.make_node("Reshape", ["columns", "flat"], ["wave"]),
        helper.make_node("Mul", ["wave", "quiet"], ["out"]),
    ],
}
_CONSTANTS = [
    numpy_helper.from_array(np.array([1], np.int64), "one"),
    numpy_helper.from_array(np.array([1, -1], np.int64), "flat"),
    numpy_helper.from_array(np.array([0.05], np.float32), "seconds"),
    numpy_helper.from_array(np.array([0.1], np.float32), "quiet"),
]


def write_supertonic(folder: Path) -> Path:
    """Write a folder as it is published."""
    for name in ("onnx", "voice_styles"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, inputs in _INPUTS.items():
        used = {one for node in _NODES[name] for one in node.input}
        types = {one: TensorProto.INT64 if one == "text_ids" else TensorProto.FLOAT for one in inputs}
        graph = helper.make_graph(
            _NODES[name],
            name,
            [helper.make_tensor_value_info(one, kind, None) for one, kind in types.items()],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
            [one for one in _CONSTANTS if one.name in used],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        (folder / "onnx" / f"{name}.onnx").write_bytes(model.SerializeToString())
    described = {
        "ae": {"sample_rate": RATE_HZ, "base_chunk_size": _COLUMN},
        "ttl": {"chunk_compress_factor": 1, "latent_dim": _COLUMN},
    }
    (folder / "onnx" / "tts.json").write_text(json.dumps(described))
    (folder / "onnx" / "unicode_indexer.json").write_text(json.dumps([n if n < 591 else -1 for n in range(1 << 16)]))
    for voice in VOICES:
        style = {"dims": [1, 1, 2], "data": [[[0.0, 1.0]]], "type": "float32"}
        record = {"style_ttl": style, "style_dp": style}
        (folder / "voice_styles" / f"{voice}.json").write_text(json.dumps(record))
    return folder
