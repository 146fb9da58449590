"""Memory that runs out where no task had it: while a model is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

import lipwise_ray
from lipwise_ray.cli import app
from lipwise_ray.errors import SetupError
from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import run

_NUMBERS = 1 << 42  # 16 TiB of float32


def _greedy(path: Path) -> Path:
    """Write a lip-sync network that asks for more memory than any machine has."""
    mel = helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["n", 1, 80, 16])
    faces = helper.make_tensor_value_info("faces", TensorProto.FLOAT, ["n", 6, 96, 96])
    made = helper.make_tensor_value_info("made", TensorProto.FLOAT, ["n", 3, 96, 96])
    numbers = {"begin": 0, "end": 3, "axis": 1, "many": _NUMBERS}
    nodes = [
        helper.make_node("Slice", ["faces", "begin", "end", "axis"], ["half"]),
        helper.make_node("Shape", ["mel"], ["shape"], start=0, end=1),
        helper.make_node("Mul", ["shape", "many"], ["wanted"]),
        helper.make_node("ConstantOfShape", ["wanted"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        helper.make_node("Add", ["half", "sum"], ["made"]),
    ]
    constants = [helper.make_tensor(name, TensorProto.INT64, [1], [number]) for name, number in numbers.items()]
    graph = helper.make_graph(nodes, "greedy", [mel, faces], [made], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A short clip, new audio for it, and the network."""
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(160, 112), frames=10))
    write_sound(tmp_path / "s.wav", ToneSpec(0.4, codec="pcm_s16le", rate_hz=16000, channels=1))
    _greedy(tmp_path / "greedy.onnx")
    return tmp_path


def _sets(folder: Path) -> list[str]:
    greedy = f'lipsync.checkpoint="{folder / "greedy.onnx"}"'
    return [greedy, 'detect.detector="tiny"', 'engine.kind="inline"', 'score.judge="none"']


def test_a_model_that_wants_too_much_memory_is_told_as_that(folder: Path) -> None:
    """By the last event for machines too: no traceback, and no fault of the program, for nothing could start."""
    told = [f"--set={one}" for one in _sets(folder)]
    done = run("dub", "v.mp4", "s.wav", "out.mp4", "--json", "--state", folder / "state", *told, cwd=folder)
    assert done.returncode == 2
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["event"], last["code"]) == ("failed", "worker_start")
    assert "memory: ran out while the models were loaded" in last["message"]
    assert "Traceback" not in done.stdout + done.stderr


def test_a_program_gets_an_error_of_this_packages(folder: Path) -> None:
    """Not one of a library below it."""
    settings = lipwise_ray.load_settings(assignments=_sets(folder))
    places = (str(folder / name) for name in ("v.mp4", "s.wav", "out.mp4"))
    with pytest.raises(SetupError, match="memory: ran out"):
        lipwise_ray.dub(*places, state=str(folder / "state"), settings=settings)


def test_memory_that_runs_out_anywhere_else_is_told_as_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as while a long manifest is read: one line, and the exit code of what could not start."""

    def full(**_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(app, "app", full)
    assert app._run() == ExitCode.CANNOT_START
    assert capsys.readouterr().err.startswith("error: memory: ran out: MemoryError.")
