from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lipwise_ray.training.settings import TrainSettings
    from lipwise_ray.training.watching import RunProgress

pytest.importorskip("skia")
pytest.importorskip("espeakng_loader")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three presenters in two takes each, one of whom validates."""
    from lipwise_ray.synth.corpus import CorpusSpec, write_corpus
    from lipwise_ray.values import Size

    root = tmp_path_factory.mktemp("corpus")
    spec = CorpusSpec(6, seed=5, seconds=1.0, clips_a_speaker=1, takes=2, size=Size(128, 128), val_share=0.34)
    assert len(list(write_corpus(root, spec, 2))) == 6
    return root


@pytest.fixture(scope="session")
def prepared(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same clips as crops and sound."""
    from lipwise_ray.training.prepare import CurationNetworks, prepare_source
    from tests.support.footage import prepare_spec

    root = tmp_path_factory.mktemp("prepared")
    for name in ("train", "val"):
        names = (corpus / f"{name}.txt").read_text().split()
        for one in names:
            faces = prepare_source(corpus / f"{one}.mp4", one, root, prepare_spec(truth=True), CurationNetworks())
            assert [face.refused for face in faces] == [None]
        (root / f"{name}.txt").write_text("".join(f"{one}\n" for one in names))
    return root


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few scenes of one, two or no people."""
    from lipwise_ray.synth.corpus import CorpusSpec, write_corpus
    from lipwise_ray.values import Size

    root = tmp_path_factory.mktemp("scenes")
    spec = CorpusSpec(4, seed=9, kind="scenes", size=Size(320, 180), val_share=0.25)
    assert len(list(write_corpus(root, spec, 2))) == 4
    return root


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A little speech without pictures."""
    from lipwise_ray.synth.corpus import CorpusSpec, write_corpus

    root = tmp_path_factory.mktemp("speech")
    spec = CorpusSpec(8, seed=4, kind="speech", seconds=1.0, clips_a_speaker=1, val_share=0.25)
    assert len(list(write_corpus(root, spec, 1))) == 8
    return root


SMALL: dict[str, dict[str, Any]] = {
    "visemes": {"width": 0.0625, "batch": 32, "lr": 3e-3},
    "expert": {"width": 0.125, "batch": 16, "lr": 1e-3},
    "generator": {"width": 0.0625, "batch": 4, "lr": 1e-3, "sync_weight": 0.0},
    "detector": {"batch": 4, "lr": 3e-3},
    "restorer": {"batch": 4, "lr": 2e-3},
}


def small(network: str, data: Path, **more: Any) -> TrainSettings:
    """Settings of a run of a small network for a few steps."""
    from lipwise_ray.training.settings import make_settings

    values = {"eval_batches": 2, "eval_every": 20, "save_every": 20, "steps": 40, "seed": 3}
    return make_settings(network, {**values, **SMALL[network], **more, "data": str(data)})  # type: ignore[arg-type]


class Listener:
    """Watches a run: hands its lines on, keeps its progress, and stops it after a step, where one is given."""

    def __init__(self, say: Callable[[str], None] = lambda _: None, stop_after: int | None = None) -> None:
        self.say = say
        self.progress: list[RunProgress] = []
        self._stop_after = stop_after

    def moved(self, progress: RunProgress) -> None:
        self.progress.append(progress)

    def stops(self) -> bool:
        return self._stop_after is not None and len(self.progress) + 1 >= self._stop_after


def train(
    network: str, data: Path, folder: Path, say: Callable[[str], None] = lambda _: None, **more: Any
) -> dict[str, float]:
    """Train a small network for a few steps; return its latest figures."""
    from lipwise_ray.training.run import run
    from lipwise_ray.training.task import Team

    return run(small(network, data, **more), folder, Team(), Listener(say)).metrics


@pytest.fixture(scope="session")
def begun_expert(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps of an expert's training, for tests that go on from a copy."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    train("expert", prepared, folder, steps=2)
    return folder


@pytest.fixture
def expert_run(begun_expert: Path, tmp_path: Path) -> Path:
    """A training run of one's own that has done two steps."""
    return shutil.copytree(begun_expert, tmp_path / "run")


GAN: dict[str, Any] = {"disc_weight": 0.07, "disc_width": 0.0625, "eval_batches": 1}


@pytest.fixture(scope="session")
def begun_gan(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three steps of a generator's training with a discriminator, to begin from."""
    folder = tmp_path_factory.mktemp("gan") / "run"
    train("generator", prepared, folder, steps=3, **GAN)
    return folder
