"""Made-up networks that tell two tones apart, in the layouts that sherpa-onnx takes, and people who speak in tones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lipwise_ray.values import F32Array

LOW_HZ, HIGH_HZ = 330.0, 1200.0
"""Voices of two people."""

_FIELD, _SHIFT, _WINDOW_S = 991, 270, 10  # as pyannote's segmentation 3.0 has them at 16 kHz
_SPEAKERS, _CLASSES = 3, 7  # nobody, A, B, C, A and B, A and C, B and C
_LOUD = 0.001


def write_segmentation(path: Path, rate_hz: int = 16_000, metadata: Mapping[str, object] | None = None) -> Path:
    """Write an ONNX file that gives the class of each frame by the energy at the two tones.

    Args:
        path: The file.
        rate_hz: Rate of its samples.
        metadata: In place of what sherpa-onnx needs.
    """
    window = np.hanning(_FIELD)
    phase = 2 * np.pi * np.arange(_FIELD) / rate_hz
    waves = [wave(phase * hz) * window / window.sum() for hz in (LOW_HZ, HIGH_HZ) for wave in (np.cos, np.sin)]
    constants: dict[str, F32Array] = {
        "waves": np.stack(waves)[:, None].astype(np.float32),
        "pairs": np.array([[1, 1, 0, 0], [0, 0, 1, 1]], np.float32)[:, :, None],
        "none": np.array(0, np.float32),
        "loud": np.array(_LOUD, np.float32),
        "never": np.array(-1, np.float32),
        "twice": np.array(2, np.float32),  # both speak where the weaker has more than half of the stronger's energy
    }
    nodes = [
        helper.make_node("Conv", ["x", "waves"], ["parts"], strides=[_SHIFT]),
        helper.make_node("Mul", ["parts", "parts"], ["powers"]),
        helper.make_node("Conv", ["powers", "pairs"], ["each"]),
        helper.make_node("ReduceMin", ["each"], ["weaker"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["weaker", "twice"], ["both"]),
        helper.make_node("Mul", ["weaker", "none"], ["zero"]),
        helper.make_node("Add", ["zero", "loud"], ["nobody"]),
        helper.make_node("Add", ["zero", "never"], ["absent"]),
        helper.make_node("Concat", ["nobody", "each", "absent", "both", "absent", "absent"], ["classes"], axis=1),
        helper.make_node("Transpose", ["classes"], ["y"], perm=[0, 2, 1]),
    ]
    told: Mapping[str, object] = {
        "sample_rate": rate_hz,
        "window_size": _WINDOW_S * rate_hz,
        "receptive_field_size": _FIELD,
        "receptive_field_shift": _SHIFT,
        "num_speakers": _SPEAKERS,
        "powerset_max_classes": 2,
        "num_classes": _CLASSES,
    }
    return _write(path, nodes, constants, ["N", 1, "T"], ["N", "F", _CLASSES], told if metadata is None else metadata)


def write_embedding(path: Path, *, stated: int = 80, metadata: Mapping[str, object] | None = None) -> Path:
    """Write an ONNX file whose voices are the shares of the energy in 80 bands.

    Args:
        path: The file.
        stated: How many numbers it says that it gives.
        metadata: In place of what sherpa-onnx needs.
    """
    nodes = [
        helper.make_node("Softmax", ["x"], ["shares"], axis=2),
        helper.make_node("ReduceMean", ["shares"], ["y"], axes=[1], keepdims=0),
    ]
    told: Mapping[str, object] = {
        "framework": "3d-speaker",
        "language": "none",
        "sample_rate": 16_000,
        "output_dim": stated,
        "normalize_samples": 1,
    }
    return _write(path, nodes, {}, ["N", "T", 80], ["N", 80], told if metadata is None else metadata)


def _write(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: Mapping[str, F32Array],
    taken: list[int | str],
    given: list[int | str],
    metadata: Mapping[str, object],
) -> Path:
    graph = helper.make_graph(
        nodes,
        "voices",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, taken)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, given)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {key: str(value) for key, value in metadata.items()})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def talk(parts: Sequence[tuple[float, tuple[float, ...]]], rate_hz: int = 16_000) -> F32Array:
    """Return people who speak one after the other, or at once.

    Args:
        parts: Seconds, and the voices that are heard meanwhile.
        rate_hz: Samples a second.
    """
    pieces = [
        np.sum([0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz) for hz in voices], axis=0)
        if voices
        else np.zeros(round(seconds * rate_hz))
        for seconds, voices in parts
    ]
    return np.concatenate(pieces).astype(np.float32)
