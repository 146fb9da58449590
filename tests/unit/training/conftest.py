from __future__ import annotations

from pathlib import Path

import pytest

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
    from lipwise_ray.training.prepare import PrepareSpec, prepare_clip

    root = tmp_path_factory.mktemp("prepared")
    for name in ("train", "val"):
        names = (corpus / f"{name}.txt").read_text().split()
        for one in names:
            prepare_clip(corpus / f"{one}.mp4", root / one, PrepareSpec(96, (0, 4, 0, 0), truth=True), None)
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
