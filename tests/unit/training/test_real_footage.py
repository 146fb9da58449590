"""Preparing of real recordings, where they are at hand: who is taken by default, and who is not."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from lipwise_ray.errors import FaceError
from lipwise_ray.metrics.sync_scorers import load_sync_scorer
from lipwise_ray.models.registry import Registry
from lipwise_ray.resources import models_folder
from lipwise_ray.training.curation import CurationRules
from lipwise_ray.training.prepare import CurationNetworks, SortedFace, prepare_source
from tests.support.footage import prepare_spec, with_changed_frames, with_moved_audio


@pytest.fixture
def recordings(shared: Path) -> Path:
    """Folder of real recordings."""
    folder = shared / "clips"
    if not folder.is_dir():
        pytest.skip(f"no real recordings: {folder} is not there")
    return folder


@pytest.fixture(scope="module")
def networks(yunet_file: Path) -> CurationNetworks:
    """YuNet, and the bundled expert."""
    from lipwise_ray.faces.yunet import YuNet

    expert = Registry(models_folder() / "registry.toml", Path()).resolve("tiny_expert")
    scorer = load_sync_scorer(expert.network, expert.path)
    return CurationNetworks(YuNet(yunet_file, min_score=0.49), ("yunet",), scorer, expert.sha256)


def _prepared(path: Path, out: Path, networks: CurationNetworks) -> tuple[SortedFace, ...]:
    spec = prepare_spec(min_face_px=CurationRules().min_face_px)
    return prepare_source(path, f"a/{path.stem}", out, spec, networks)


def _codes(faces: tuple[SortedFace, ...]) -> list[str]:
    return [face.refused.code if face.refused else "" for face in faces]


@pytest.mark.parametrize("name", ["grid_man", "grid_woman"])
def test_speakers_in_sync_are_taken(recordings: Path, networks: CurationNetworks, tmp_path: Path, name: str) -> None:
    """A person who speaks to the camera is what training is after."""
    assert _codes(_prepared(recordings / f"{name}.mpg", tmp_path, networks)) == [""]


@pytest.mark.parametrize("frames", [15, 25])
def test_real_lips_out_of_sync_are_refused(
    recordings: Path, networks: CurationNetworks, tmp_path: Path, frames: int
) -> None:
    """Even the bundled expert, which saw drawn faces only, measures offsets of 15 and 25 frames within two."""
    moved = with_moved_audio(recordings / "grid_woman.mpg", tmp_path / "moved.mkv", frames / 25)
    (face,) = _prepared(moved, tmp_path, networks)
    assert _codes((face,)) == ["out_of_sync"]
    assert face.sync is not None
    assert abs(face.sync.offset_frames - frames) <= 2


@pytest.mark.slow
def test_small_and_blurred_faces_are_refused(recordings: Path, networks: CurationNetworks, tmp_path: Path) -> None:
    """A face of 39 pixels, and one out of focus."""
    source = recordings / "grid_woman.mpg"
    small = with_changed_frames(
        source, tmp_path / "small.mkv", lambda image: cv2.resize(image, (136, 108), interpolation=cv2.INTER_AREA)
    )
    blurred = with_changed_frames(source, tmp_path / "blur.mkv", lambda image: cv2.GaussianBlur(image, (0, 0), 4))
    (face,) = _prepared(small, tmp_path, networks)
    assert _codes((face,)) == ["small_face"]
    assert 36 < face.face.size_px < 42
    assert _codes(_prepared(blurred, tmp_path, networks)) == ["blurred_face"]


@pytest.mark.slow
def test_a_hand_and_a_profile_are_refused(recordings: Path, networks: CurationNetworks, tmp_path: Path) -> None:
    """A hand that is taken for a face, and a face that shows its side, are no faces to learn from."""
    hand = _prepared(recordings / "phone_and_hand.mp4", tmp_path, networks)
    assert min(face.face.score for face in hand) < 0.5
    assert [face.clip for face in hand if face.refused is None] == []
    profile = _prepared(recordings / "two_people_cut_negative_pts.mp4", tmp_path, networks)
    turned = [face for face in profile if face.face.yaw_deg > 75]
    assert turned
    assert not any(code == "" for code in _codes(tuple(turned)))


def test_footage_without_a_face_is_told(recordings: Path, networks: CurationNetworks, tmp_path: Path) -> None:
    """Nobody is in it."""
    with pytest.raises(FaceError, match="no face in 325 frames"):
        _prepared(recordings / "no_face_two_audio.mp4", tmp_path, networks)
