"""Runtimes of networks on a CPU: torch, ONNX Runtime and OpenVINO make the same faces."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lipwise_ray.errors import SetupError, StorageError
from lipwise_ray.lipsync.model import CompiledWav2LipSync, LipSync, Wav2LipSync
from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.models.loading import ModelRequest
from lipwise_ray.models.registry import Registry
from lipwise_ray.nets.bfloat16 import has_bfloat16_cpu
from lipwise_ray.nets.exports import Exportable, Exports
from lipwise_ray.nets.runtimes import ONNXRUNTIME, OPENVINO, TORCH, Runtime, is_installed, open_network
from lipwise_ray.pipeline.tasks.models import Models
from lipwise_ray.resources import models_folder
from lipwise_ray.roles.lipsync import LIPSYNC
from lipwise_ray.settings.layers import resolve
from lipwise_ray.storage.cache import Cache

BATCH = 4
OTHERS = [ONNXRUNTIME, OPENVINO]


def _generator() -> Checkpoint:
    return Registry(models_folder() / "registry.toml", Path()).resolve("tiny_generator", "wav2lip")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """The models of a worker, with one export for all tests."""
    return Models("cpu", 1, exports=Exports(Cache(tmp_path_factory.mktemp("exports"))))


def _model(models: Models, runtime: Runtime, precision: str = "float32") -> LipSync:
    if runtime == OPENVINO and not is_installed(OPENVINO):
        pytest.skip("extra cpu is not installed")
    settings = resolve(
        [("test", {"lipsync": {"model": "tiny_generator", "precision": precision, "batch_frames": BATCH}})]
    )
    models.begin_task(runtime=runtime)
    return models.needed(LIPSYNC, ModelRequest(settings, Checkpoints({LIPSYNC.name: _generator()})))


def _faces() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    faces = np.kron(random.random((BATCH, 12, 12, 3)), np.ones((1, 8, 8, 1))).astype(np.float32)
    return faces, random.uniform(-4, 4, (BATCH, 80, 16)).astype(np.float32)


@pytest.mark.parametrize("runtime", OTHERS)
def test_float32_faces_are_those_of_torch(models: Models, runtime: Runtime) -> None:
    """Within one level of 255; and another face gives another result."""
    faces, mels = _faces()
    model = _model(models, runtime)
    assert isinstance(model, CompiledWav2LipSync)
    expected, found = _model(models, TORCH)(faces, mels), model(faces, mels)
    assert found.shape == (BATCH, 96, 96, 3)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() * 255 < 1
    assert np.abs(found[0] - found[1]).max() * 255 > 5


@pytest.mark.skipif(not has_bfloat16_cpu(), reason="this processor has no bfloat16")
def test_bfloat16_faces_are_no_further_from_float32_than_those_of_torch(models: Models) -> None:
    """Both round, and OpenVINO keeps the last layer's result in float32; they do differ from float32."""
    faces, mels = _faces()
    exact = _model(models, TORCH)(faces, mels)
    error = {
        runtime: np.abs(_model(models, runtime, "bfloat16")(faces, mels) - exact).mean()
        for runtime in (TORCH, OPENVINO)
    }
    assert 0 < error[OPENVINO] <= error[TORCH]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("runtime", [TORCH, *OTHERS])
def test_a_face_does_not_depend_on_those_beside_it(models: Models, runtime: Runtime, precision: str) -> None:
    """Bit by bit: at another place of the batch, and among other faces, so that chunks do not show."""
    faces, mels = _faces()
    model = _model(models, runtime, precision)
    whole = model(faces, mels)
    assert np.array_equal(model(faces[::-1].copy(), mels[::-1].copy()), whole[::-1])
    alone_faces, alone_mels = np.zeros_like(faces), np.zeros_like(mels)
    alone_faces[2], alone_mels[2] = faces[2], mels[2]
    assert np.array_equal(model(alone_faces, alone_mels)[2], whole[2])
    assert np.array_equal(model(faces, mels), whole)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("runtime", [TORCH, *OTHERS])
def test_threads_show_in_no_more_than_rounding(models: Models, runtime: Runtime, precision: str) -> None:
    """Three threads share out sums otherwise: faces agree within a level, and nearly all samples are the same."""
    faces, mels = _faces()
    before = torch.get_num_threads()
    try:
        found = [
            _model(Models("cpu", threads, exports=models._host.exports), runtime, precision)(faces, mels)
            for threads in (1, 3)
        ]
    finally:
        torch.set_num_threads(before)
    assert np.abs(found[0] - found[1]).max() * 255 < 1
    levels = [np.rint(255 * one) for one in found]
    assert (levels[0] != levels[1]).mean() < 1e-3


def test_number_formats_that_a_runtime_lacks_are_torchs(models: Models) -> None:
    """float16 is torch's on a processor, and bfloat16 is not ONNX Runtime's."""
    assert isinstance(_model(models, ONNXRUNTIME, "bfloat16"), Wav2LipSync)
    assert isinstance(_model(models, OPENVINO, "float16"), Wav2LipSync)


def _exportable(calls: list[int], width: int = 3) -> Exportable:
    def make():
        calls.append(1)
        torch.manual_seed(0)
        return torch.nn.Conv2d(3, width, 3)

    return Exportable("conv", "a" * 64, make, {"image": (3, 8, 8)})


def _need(runtime: Runtime) -> None:
    if not is_installed(runtime):
        pytest.skip("extra cpu is not installed")


@pytest.mark.parametrize("runtime", OTHERS)
def test_exports_are_made_once_and_damaged_ones_again(tmp_path: Path, runtime: Runtime) -> None:
    """By any of a machine's processes; files whose bytes changed, that end early or are gone, are not used."""
    _need(runtime)
    calls: list[int] = []
    network, exports = _exportable(calls), Exports(Cache(tmp_path))
    path = exports.get(network, runtime)
    image = np.ones((1, 3, 8, 8), np.float32)
    answer = open_network(path, runtime, batch=1)(image)
    assert Exports(Cache(tmp_path)).get(network, runtime) == path
    assert len(calls) == 1
    files = sorted(tmp_path.glob("conv-*"))
    assert [one.suffix for one in files] == ([".onnx"] if runtime == ONNXRUNTIME else [".bin", ".xml"])
    for file in files:
        whole = file.read_bytes()
        for damaged in (whole[:-9], whole[:200] + b"\x00" + whole[201:], whole + b"x", b"", None):
            file.unlink() if damaged is None else file.write_bytes(damaged)
            calls.clear()
            assert exports.get(network, runtime) == path
            assert calls == [1]
            assert np.array_equal(open_network(path, runtime, batch=1)(image), answer)
    assert sorted(tmp_path.glob("conv-*")) == files
    other = Exportable("conv", "b" * 64, network.make, network.inputs)
    assert other.key("1") != network.key("1") != network.key("2")


@pytest.mark.parametrize("runtime", OTHERS)
def test_an_export_that_cannot_be_read_is_a_fault_of_the_cache(tmp_path: Path, runtime: Runtime) -> None:
    """A folder in its place; the error names it and says what to do."""
    _need(runtime)
    exports, network = Exports(Cache(tmp_path)), _exportable([])
    exports.get(network, runtime)
    path = min(tmp_path.glob("conv-*"))
    path.unlink()
    path.mkdir()
    with pytest.raises(StorageError, match=rf"{path.name}: cannot be read: is a directory\. Remove it"):
        exports.get(network, runtime)


@pytest.mark.parametrize("runtime", OTHERS)
def test_a_network_needs_no_folder_for_its_export(
    tmp_path: Path, models: Models, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """Where exports cannot be kept the faces are the same to the bit, and the log says why it takes longer."""
    _need(runtime)
    (tmp_path / "taken").touch()
    unkept = Models("cpu", 1, exports=Exports(Cache(tmp_path / "taken")))
    assert np.array_equal(_model(unkept, runtime)(*_faces()), _model(models, runtime)(*_faces()))
    assert f"{tmp_path / 'taken'}: cannot be used" in caplog.text


@pytest.mark.parametrize("runtime", OTHERS)
def test_a_network_that_a_runtime_does_not_take_is_refused(runtime: Runtime) -> None:
    """With the runtime's name and what to do, as an error that workers can send."""
    if not is_installed(runtime):
        pytest.skip("extra cpu is not installed")
    with pytest.raises(SetupError, match=rf"runtime {runtime}: cannot be used: .*engine\.cpu_runtime") as refused:
        open_network(b"no network", runtime, batch=1)
    assert refused.value.code == "runtime"


def test_a_network_that_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    """And leaves nothing behind."""

    def make():
        class Sorting(torch.nn.Module):
            def forward(self, image):
                return torch.linalg.eigvals(image)  # ONNX has no such operator

        return Sorting()

    network = Exportable("odd", "a" * 64, make, {"image": (3, 3)})
    with pytest.raises(SetupError, match="runtime openvino: cannot be used"):
        Exports(Cache(tmp_path)).get(network, OPENVINO)
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".lock-")]


def test_a_runtime_that_fails_is_left_where_settings_allow_it(tmp_path: Path) -> None:
    """`auto` loads models by torch then; a name is taken at its word."""
    if not is_installed(OPENVINO):
        pytest.skip("extra cpu is not installed")
    (tmp_path / "exports").mkdir()

    class Failing(Exports):
        def get(self, network: Exportable, runtime: Runtime) -> Path:
            path = tmp_path / "later.onnx"
            path.write_bytes(b"no network")  # what a later runtime may find of an earlier one's export
            return path

    def loaded(runtime: str, exports: Exports) -> object:
        settings = resolve([("test", {"lipsync": {"model": "tiny_generator"}, "engine": {"cpu_runtime": runtime}})])
        request = ModelRequest(settings, Checkpoints({LIPSYNC.name: _generator()}))
        models = Models("cpu", 1, exports=exports)
        models.load_all([request])
        return models.of(LIPSYNC, request)

    failing, working = Failing(Cache(tmp_path)), Exports(Cache(tmp_path / "exports"))
    assert isinstance(loaded("auto", failing), Wav2LipSync)
    with pytest.raises(SetupError, match="runtime openvino"):
        loaded("openvino", failing)
    for runtime in ("auto", "openvino", "onnxruntime"):
        assert isinstance(loaded(runtime, working), CompiledWav2LipSync)
    assert isinstance(loaded("torch", failing), Wav2LipSync)


def test_a_runtime_that_does_not_load_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker tells before it loads its models what it can compute by; for `auto` it says what is wrong."""
    if not is_installed(OPENVINO):
        pytest.skip("extra cpu is not installed")

    def tried(runtime: str, checkpoints: Checkpoints):
        settings = resolve([("test", {"lipsync": {"model": "tiny_generator"}, "engine": {"cpu_runtime": runtime}})])
        return Models("cpu", 1).tried_runtimes([ModelRequest(settings, checkpoints)])

    lips = Checkpoints({LIPSYNC.name: _generator()})
    assert tried("auto", lips).runtimes == tried("openvino", lips).runtimes == (OPENVINO,)
    assert tried("onnxruntime", lips).runtimes == (ONNXRUNTIME,)
    assert tried("torch", lips).runtimes == tried("auto", Checkpoints()).runtimes == ()

    def broken() -> None:
        raise OSError("libopenvino.so: cannot open shared object file")

    monkeypatch.setattr("lipwise_ray.nets.runtimes._openvino", broken)
    assert tried("auto", lips).runtimes == ()
    assert "runtime openvino: cannot be used" in tried("auto", lips).problem
    with pytest.raises(SetupError, match="runtime openvino"):
        tried("openvino", lips)


_OPEN = """
import sys
from lipwise_ray.nets.exports import export
from lipwise_ray.nets.runtimes import open_network
import torch
from lipwise_ray.nets.exports import Exportable
model = export(Exportable("conv", "", lambda: torch.nn.Conv2d(3, 3, 3), {"image": (3, 8, 8)}))
open_network(model, "openvino", batch=1)
assert not [name for name, module in sys.modules.items() if "openvino_telemetry" in name and module]
"""


def test_openvino_reports_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    """Its telemetry is not loaded, and no identifier of the machine is written."""
    if not is_installed(OPENVINO):
        pytest.skip("extra cpu is not installed")
    homes = {name: tmp_path / name for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
    for folder in homes.values():
        folder.mkdir()
    environment = dict(os.environ) | {name: str(folder) for name, folder in homes.items()}
    subprocess.run([sys.executable, "-B", "-W", "ignore", "-c", _OPEN], check=True, cwd=tmp_path, env=environment)
    assert [path for folder in homes.values() for path in folder.rglob("*")] == []
