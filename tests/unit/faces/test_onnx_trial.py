"""ONNX files of users' own are tried in a process of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.errors import WeightsError
from lipwise_ray.faces.sface import SFace

_A_NAMES_LENGTH = 22


def test_a_file_that_crashes_its_reader_is_a_plain_error(tmp_path: Path) -> None:
    """One byte of a name's length makes OpenCV end the process; the worker that asked goes on. A good file is used."""
    pytest.importorskip("onnx")
    from tests.support.embedder import write_embedder

    path = write_embedder(tmp_path / "own.onnx")
    assert SFace(path).values > 0
    data = bytearray(path.read_bytes())
    data[_A_NAMES_LENGTH] = 0xFF
    path.write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        SFace(path)
    assert caught.value.code == "not_sface"
