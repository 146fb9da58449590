"""Networks that find what is in front of faces, through ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwise_ray.errors import WeightsError
from lipwise_ray.lipsync.occluder import Occluder
from tests.support.embedder import write_embedder
from tests.support.occluder import write_occluder

BLUE, SKIN = (0.9, 0.2, 0.1), (0.4, 0.5, 0.8)


def _faces(count: int, side: int = 256) -> np.ndarray:
    """Return faces with something blue before the left half, the further the later they are."""
    faces = np.full((count, side, side, 3), SKIN, np.float32)
    for number, face in enumerate(faces):
        face[:, : side // 4 + 8 * number] = BLUE
    return faces


@pytest.mark.parametrize("batch", ["batch", 1, 2])
def test_what_is_in_front_is_0(batch: int | str, tmp_path: Path) -> None:
    """For any number of faces, whatever number the network takes at once; its edge lies on the face."""
    occluder = Occluder(write_occluder(tmp_path / "o.onnx", batch=batch), batch_faces=3)
    assert (occluder.size_px, occluder.batch_faces) == (256, 3)
    masks = occluder(_faces(3))
    assert masks.shape == (3, 256, 256)
    for number, mask in enumerate(masks):
        edge = 64 + 8 * number
        assert mask[:, :edge].max() < 0.1
        assert mask[:, edge + 20 :].min() > 0.99


def test_another_side_is_taken(tmp_path: Path) -> None:
    """The network says how large its images are."""
    occluder = Occluder(write_occluder(tmp_path / "o.onnx", side=128))
    assert occluder.size_px == 128
    assert occluder(_faces(1, 128)).shape == (1, 128, 128)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({"size": (256, 128, 3)}, r"takes \['batch', 256, 128, 3\]"),
        ({"out": 2}, r"gives \(1, 256, 256, 2\)"),
        ({"weight": float("nan")}, "gives numbers that are not finite"),
    ],
)
def test_another_layout_is_refused(shape: dict[str, Any], said: str, tmp_path: Path) -> None:
    """The message says what the network takes or gives, and what is needed."""
    with pytest.raises(WeightsError, match=said) as error:
        Occluder(write_occluder(tmp_path / "o.onnx", **shape))
    assert error.value.code == "not_occluder"
    assert "XSeg's layout" in str(error.value)


def test_a_network_for_something_else_is_refused(tmp_path: Path) -> None:
    """One that tells people apart takes channels first."""
    with pytest.raises(WeightsError, match=r"takes \[1, 3, 112, 112\]"):
        Occluder(write_embedder(tmp_path / "e.onnx"))


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    """One that is cut off, and one that is a web page."""
    whole = write_occluder(tmp_path / "o.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"cut\.onnx: ONNX Runtime cannot load it") as cut:
        Occluder(tmp_path / "cut.onnx")
    assert cut.value.code == "not_onnx"
    (tmp_path / "page.onnx").write_bytes(b"<!doctype html>")
    with pytest.raises(WeightsError):
        Occluder(tmp_path / "page.onnx")
