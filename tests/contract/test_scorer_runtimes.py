"""Runtimes of sync scorers on a CPU: torch, ONNX Runtime and OpenVINO tell the same figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lipwise_ray.errors import SetupError
from lipwise_ray.metrics.lse import SHIFTS, distances, reduce
from lipwise_ray.metrics.sync_scorers import SyncScorer
from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.models.loading import ModelRequest
from lipwise_ray.models.registry import Registry
from lipwise_ray.nets.exports import Exportable, Exports
from lipwise_ray.nets.runtimes import ONNXRUNTIME, OPENVINO, TORCH, Runtime, is_installed
from lipwise_ray.nets.syncnet import SyncNet
from lipwise_ray.pipeline.dubbing.capabilities import Choice
from lipwise_ray.pipeline.quality.sync_scores import score_needs, score_records_id
from lipwise_ray.pipeline.tasks.models import Models
from lipwise_ray.resources import models_folder
from lipwise_ray.roles.judge import JUDGE
from lipwise_ray.roles.lipsync import LIPSYNC
from lipwise_ray.settings.layers import resolve
from lipwise_ray.storage.cache import Cache
from lipwise_ray.values import F32Array, FloatArray, U8Array
from tests.support.tasks import row_part

BOUND = 1e-3
"""Of LSE-D and LSE-C, and of every distance: figures are shown with three digits."""

WINDOWS = 21  # more than a batch, and no multiple of it


@pytest.fixture(scope="module", params=["tiny_judge", pytest.param("syncnet", marks=pytest.mark.slow)])
def judge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """The bundled scorer, and SyncNet of seeded weights, whose embeddings are as long as the published one's."""
    if request.param == "tiny_judge":
        return Registry(models_folder() / "registry.toml", Path()).resolve("tiny_judge", "lipsync_expert")
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("syncnet") / "seeded.pth"
    tensors = SyncNet().state_dict()
    for name in ("netfclip.3.weight", "netfcaud.3.weight"):  # published ones are about 9 long
        tensors[name] *= 9
    torch.save(tensors, path)
    return Checkpoint("custom", "syncnet", path, "5" * 64)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """The models of a worker, with one export for all tests."""
    return Models("cpu", 1, exports=Exports(Cache(tmp_path_factory.mktemp("exports"))))


def _scorer(models: Models, judge: Checkpoint, runtime: Runtime) -> SyncScorer:
    if runtime == OPENVINO and not is_installed(OPENVINO):
        pytest.skip("extra cpu is not installed")
    models.begin_task(runtime=runtime)
    return models.needed(JUDGE, ModelRequest(resolve([]), Checkpoints({JUDGE.name: judge})))


def _crops(scorer: SyncScorer, count: int = WINDOWS) -> U8Array:
    random, side = np.random.default_rng(4), scorer.side_px
    blocks = random.integers(0, 256, (count, 5, side // 16, side // 16, 3), np.uint8)
    return blocks.repeat(16, axis=2).repeat(16, axis=3)


def _heard(scorer: SyncScorer) -> FloatArray:
    random, bands = np.random.default_rng(5), 13 if scorer.hears == "mfcc" else 80
    return random.uniform(-4, 4, (4 * WINDOWS + 80, bands)).astype(np.float32)


def _embedded(scorer: SyncScorer) -> tuple[F32Array, F32Array]:
    columns = scorer.column(np.arange(WINDOWS) / 25)
    return scorer.lips(_crops(scorer)), scorer.sound(_heard(scorer), columns)


@pytest.mark.parametrize("runtime", [ONNXRUNTIME, OPENVINO])
def test_figures_are_those_of_torch(models: Models, judge: Checkpoint, runtime: Runtime) -> None:
    """Each distance of lips and audio, and the two figures; other lips have other ones."""
    heard = np.arange(WINDOWS)[:, None] + np.arange(SHIFTS) - SHIFTS // 2
    heard[(heard < 0) | (heard >= WINDOWS)] = -1
    expected, found = (distances(*_embedded(_scorer(models, judge, one)), heard) for one in (TORCH, runtime))
    assert found.shape == (WINDOWS, SHIFTS)
    assert np.abs(found - expected).max() < BOUND
    assert not np.array_equal(found, expected)  # another library has computed them
    scores = [reduce(one.sum(0, np.float64), WINDOWS) for one in (expected, found)]
    assert abs(scores[0].lse_d - scores[1].lse_d) < BOUND
    assert abs(scores[0].lse_c - scores[1].lse_c) < BOUND
    assert np.ptp(found[:, SHIFTS // 2]) > 2 * BOUND


@pytest.mark.slow
@pytest.mark.parametrize("runtime", [ONNXRUNTIME, OPENVINO])
def test_a_window_does_not_depend_on_those_beside_it(models: Models, judge: Checkpoint, runtime: Runtime) -> None:
    """Bit by bit: alone, or at another place of the batch, so that chunks do not show in figures."""
    scorer = _scorer(models, judge, runtime)
    crops = _crops(scorer)
    whole = scorer.lips(crops)
    assert np.array_equal(scorer.lips(crops[::-1]), whole[::-1])
    assert np.array_equal(scorer.lips(crops[17:18]), whole[17:18])


def test_a_judge_alone_asks_for_no_runtime(tmp_path: Path, judge: Checkpoint) -> None:
    """It follows that of the frames: a job whose frames no network makes keeps its id, and torch scores it."""
    settings = resolve([("test", {"engine": {"cpu_runtime": ONNXRUNTIME}})])
    request = ModelRequest(settings, Checkpoints({JUDGE.name: judge}))
    models = Models("cpu", 1, exports=Exports(Cache(tmp_path)))
    assert models.tried_runtimes([request]).runtimes == ()
    models.load_all([request])
    assert not any(tmp_path.iterdir())


def test_records_of_another_runtime_have_another_name(judge: Checkpoint) -> None:
    """Their figures differ in the last bits; the names of torch's records stay, and its tasks go to any worker."""
    row = row_part(weights=Checkpoints({JUDGE.name: judge}))
    by_torch, by_openvino = (Choice("auto", runtime=runtime) for runtime in (TORCH, OPENVINO))
    usual = f"{judge.sha256[:12]}-{row.job.settings.score.stride}"
    assert score_records_id(row, None) == score_records_id(row, by_torch) == usual
    assert score_records_id(row, by_openvino) == f"{usual}-openvino"
    assert score_needs(row, None) == score_needs(row, by_torch) == frozenset()
    assert score_needs(row, by_openvino) == {OPENVINO}


def test_a_scorer_that_a_runtime_does_not_take_is_torchs(tmp_path: Path, judge: Checkpoint) -> None:
    """Where `auto` leaves it open, with all of the job's networks; a runtime that is named is an error."""
    if not is_installed(OPENVINO):
        pytest.skip("extra cpu is not installed")
    lips = Registry(models_folder() / "registry.toml", Path()).resolve("tiny_generator", "wav2lip")

    class Failing(Exports):
        def get(self, network: Exportable, runtime: Runtime) -> Path:
            path = tmp_path / "other.onnx"
            path.write_bytes(b"no network")
            return path if network.sha256 == judge.sha256 else super().get(network, runtime)

    def loaded(runtime: str) -> SyncScorer | None:
        settings = resolve([("test", {"lipsync": {"model": "tiny_generator"}, "engine": {"cpu_runtime": runtime}})])
        request = ModelRequest(settings, Checkpoints({LIPSYNC.name: lips, JUDGE.name: judge}))
        models = Models("cpu", 1, exports=Failing(Cache(tmp_path)))
        models.load_all([request])
        return models.of(JUDGE, request)

    scorer = loaded("auto")
    assert scorer is not None
    assert np.isfinite(scorer.lips(_crops(scorer, 1))).all()
    for runtime in (OPENVINO, ONNXRUNTIME):
        with pytest.raises(SetupError, match=rf"runtime {runtime}: cannot be used"):
            loaded(runtime)
