"""Sessions of ONNX Runtime."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.occluder import write_occluder

_OPEN = """
from pathlib import Path
from lipwise_ray.nets.onnx_session import open_session
open_session(Path("o.onnx"))
"""


def test_nothing_is_reported_and_nothing_is_left(tmp_path: Path) -> None:
    """ONNX Runtime's telemetry is off before it begins: it writes no identifier of the machine, nor anything else."""
    write_occluder(tmp_path / "o.onnx")
    homes = {name: tmp_path / name for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    for folder in homes.values():
        folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {name: str(folder) for name, folder in homes.items()}
    subprocess.run([sys.executable, "-B", "-c", _OPEN], check=True, cwd=tmp_path, env=environment)
    assert [path for folder in homes.values() for path in folder.rglob("*")] == []
