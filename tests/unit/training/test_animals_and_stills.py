"""Preparing of animals and of photographs with speech laid over them: nothing of either is learnt from."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from lipwise_ray.errors import FaceError
from lipwise_ray.faces.detections import FaceDetector
from lipwise_ray.metrics.sync_scorers import load_sync_scorer
from lipwise_ray.models.registry import Registry
from lipwise_ray.resources import models_folder
from lipwise_ray.roles.detector import DetectorMaker
from lipwise_ray.training.curation import CurationRules
from lipwise_ray.training.prepare import CurationNetworks, SortedFace, prepare_source
from tests.support.footage import prepare_spec, write_photograph

data = pytest.importorskip("skimage.data", reason="its photographs come with the extra eval")
REGISTRY = Registry(models_folder() / "registry.toml", Path())
MIN_SCORE = 0.7


@pytest.fixture
def speech(shared: Path) -> Path:
    """Real speech."""
    return shared / "clips" / "speech_en.wav"


@pytest.fixture(params=["yunet", "tiny"])
def detector(request: pytest.FixtureRequest) -> FaceDetector:
    """Each detector that is at hand, as `train prepare` makes it."""
    if request.param == "tiny":
        return DetectorMaker((REGISTRY.resolve("tiny_detector"),), MIN_SCORE)("cpu")
    weights: Path = request.getfixturevalue("yunet_file")
    return DetectorMaker((REGISTRY.own_file(weights, "yunet"),), MIN_SCORE)("cpu")


def _prepared(path: Path, out: Path, detector: FaceDetector) -> tuple[SortedFace, ...]:
    expert = REGISTRY.resolve("tiny_expert")
    networks = CurationNetworks(detector, ("x",), load_sync_scorer(expert.network, expert.path), expert.sha256)
    spec = prepare_spec(min_face_px=CurationRules().min_face_px)
    return prepare_source(path, f"a/{path.stem}", out, spec, networks)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.6, 2.4])
def test_a_cat_is_not_taken(scale: float, speech: Path, detector: FaceDetector, tmp_path: Path) -> None:
    """A cat that looks into the camera, its face 200 pixels wide and more, under a camera that moves."""
    cat = write_photograph(tmp_path / "cat.mp4", data.chelsea(), speech, centre=(225, 120), scale=scale)
    with contextlib.suppress(FaceError):  # no face, or one of a few frames
        assert [face.clip for face in _prepared(cat, tmp_path, detector) if face.refused is None] == []


@pytest.mark.slow
@pytest.mark.parametrize("begin_s", [0.0, 5.0], ids=["by chance in sync", "elsewhere"])
def test_a_photograph_with_speech_is_not_taken(
    begin_s: float, speech: Path, detector: FaceDetector, tmp_path: Path
) -> None:
    """A person who does not move her lips is told by her mouth, though by chance the audio may fit."""
    still = write_photograph(
        tmp_path / "still.mp4", data.astronaut(), speech, centre=(225, 140), scale=0.8, begin_s=begin_s
    )
    (face,) = _prepared(still, tmp_path, detector)
    assert face.refused is not None
    assert face.refused.code == "still_mouth"
    assert face.face.score > 0.8
