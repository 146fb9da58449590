"""Dubbing by another runtime than torch: the same whatever the chunks, another job, and told."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwise_ray.nets.runtimes import is_installed
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import LOSSLESS, UNJUDGED, dub, write_manifest

LIPS = 'lipsync.model="tiny_generator"'
FRAMES = 12


def _frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def _result(path: Path) -> dict[str, Any]:
    (found,) = path.glob("**/result.json")
    return json.loads(found.read_text())


ROW = {"id": "r", "output": "r.mkv", "faces": "box:60,110,50,110"}
LOADED = """
import sys
import lipwise_ray

settings = lipwise_ray.load_settings("fast", assignments=sys.argv[3:])
print(lipwise_ray.submit(sys.argv[1], out=sys.argv[2], settings=settings, engine="inline").done, "torch" in sys.modules)
"""


def _inputs(folder: Path) -> dict[str, Any]:
    write_clip(folder / "v.mp4", ClipSpec(size=Size(160, 120), frames=FRAMES, rate=Fraction(25)))
    write_sound(folder / "s.wav", ToneSpec(FRAMES / 25, codec="pcm_s16le", rate_hz=16_000, channels=1))
    return {**ROW, "video": folder / "v.mp4", "audio": folder / "s.wav"}


@pytest.mark.parametrize("runtime", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.slow)])
def test_chunks_do_not_show_and_the_runtime_is_told(tmp_path: Path, runtime: str) -> None:
    """Two chunks give the frames of one, to the bit; they are those of torch within two levels, in a job of another
    name whose file and record name the runtime.
    """
    if runtime == "openvino" and not is_installed("openvino"):
        pytest.skip("extra cpu is not installed")
    row = _inputs(tmp_path)
    exact = (LIPS, LOSSLESS, 'lipsync.precision="float32"', f'paths.scratch="{tmp_path}/scratch"')
    found = {}
    for name, used, length in (("whole", runtime, 100), ("cut", runtime, 5), ("torch", "torch", 100)):
        sets = (*exact, f"chunk.frames={length}", f'engine.cpu_runtime="{used}"')
        report = dub(tmp_path, [row], *sets, out=name)
        assert report.exit_code == 0, report.lines
        found[name] = _frames(tmp_path / name / "r.mkv")
    digests = {name: [hashlib.sha256(frame.tobytes()).hexdigest() for frame in of] for name, of in found.items()}
    assert digests["whole"] == digests["cut"]
    differences = [
        np.abs(one.astype(int) - other).max() for one, other in zip(found["whole"], found["torch"], strict=True)
    ]
    assert max(differences) <= 2  # of RGB: a level of a stored plane is up to two of these
    results = {name: _result(tmp_path / f"{name}.state") for name in found}
    assert results["whole"]["identity"]["runtime"] == runtime
    assert "runtime" not in results["torch"]["identity"]
    assert results["whole"]["job_id"] != results["torch"]["job_id"]
    with av.open(str(tmp_path / "whole" / "r.mkv")) as container:
        assert json.loads(container.metadata["DESCRIPTION"])["runtime"] == runtime


@pytest.mark.slow
def test_torch_is_not_loaded_where_another_runtime_computes(tmp_path: Path) -> None:
    """Once a network's export is known, a job that no other network is needed for starts without loading torch."""
    manifest = write_manifest(tmp_path / "m.csv", [_inputs(tmp_path)])
    sets = (LIPS, UNJUDGED, 'engine.cpu_runtime="onnxruntime"', f'paths.scratch="{tmp_path}/scratch"')
    said: list[str] = []
    for number in range(2):
        words = [sys.executable, "-c", LOADED, str(manifest), str(tmp_path / f"out{number}"), *sets]
        said.append(subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    assert said == ["1 True", "1 False"]
