"""Dubbing by another runtime than torch: the same whatever the chunks, another job, and told."""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwise_ray.nets.runtimes import is_installed
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import LOSSLESS, dub

LIPS = 'lipsync.model="tiny_generator"'
FRAMES = 12


def _frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def _result(path: Path) -> dict[str, Any]:
    (found,) = path.glob("**/result.json")
    return json.loads(found.read_text())


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_chunks_do_not_show_and_the_runtime_is_told(tmp_path: Path, runtime: str) -> None:
    """Two chunks give the frames of one, to the bit; they are those of torch within two levels, in a job of another
    name whose file and record name the runtime.
    """
    if runtime == "openvino" and not is_installed("openvino"):
        pytest.skip("extra cpu is not installed")
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(160, 120), frames=FRAMES, rate=Fraction(25)))
    write_sound(tmp_path / "s.wav", ToneSpec(FRAMES / 25, codec="pcm_s16le", rate_hz=16_000, channels=1))
    row = {
        "id": "r",
        "video": tmp_path / "v.mp4",
        "audio": tmp_path / "s.wav",
        "output": "r.mkv",
        "faces": "box:60,110,50,110",
    }
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
