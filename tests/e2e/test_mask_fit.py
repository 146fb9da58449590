"""Masks on real faces: how much of them lies outside of the jaw, as a network sees it that did not make them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.dub import LOSSLESS, UNJUDGED, dub

MOST_OUTSIDE = 0.12
USUAL_OUTSIDE = 0.05


@pytest.mark.parametrize(
    ("clip", "most"),
    [
        ("grid_man.mpg", USUAL_OUTSIDE),
        pytest.param("grid_woman.mpg", USUAL_OUTSIDE, marks=pytest.mark.slow),
        pytest.param("two_people_cut_negative_pts.mp4", USUAL_OUTSIDE, marks=pytest.mark.slow),
        pytest.param("turns_away_and_back.mp4", USUAL_OUTSIDE, marks=pytest.mark.slow),
        pytest.param("phone_and_hand.mp4", MOST_OUTSIDE, marks=pytest.mark.slow),
    ],
)
def test_masks_end_at_the_jaw(shared: Path, yunet_file: Path, clip: str, most: float) -> None:
    """By five points and by a landmarker, on frontal and turned heads; the lips are in both, and the box was worse."""
    pytest.importorskip("ai_edge_litert", reason="extra landmarks is not installed")
    if not (shared / "weights" / "face_landmarker.task").is_file():
        pytest.skip("no Face Landmarker among the weights")
    from benchmarks.mask_fit import measure

    found = measure(shared / "clips" / clip, yunet_file.parent, 12)
    outside = {kind: np.mean([fit.outside for fit in fits]) for kind, fits in found.items()}
    assert outside["five points"] <= most
    assert outside["landmarks"] <= 0.02
    assert outside["rounded box"] > 0.2
    for kind in ("five points", "landmarks"):
        assert np.mean([fit.lips for fit in found[kind]]) > 0.95


def _rendered(folder: Path, shared: Path, *settings: str) -> list[np.ndarray]:
    """Return the luma of a real clip's frames with the mouth of the bundled network."""
    row = {"id": "x", "video": shared / "clips" / "grid_woman.mpg", "audio": shared / "clips" / "speech_en.wav"}
    row |= {"output": "x.mkv", "length": "video", "end": 1.0}
    usual = ('lipsync.model="tiny_generator"', LOSSLESS, UNJUDGED, 'lipsync.silence="off"', 'restore.model="none"')
    folder.mkdir()
    assert dub(folder, [row], *usual, *settings, models=shared / "weights").done == 1
    with av.open(str(folder / "out" / "x.mkv")) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


@pytest.mark.slow
def test_a_landmarkers_masks_do_not_show_chunks(tmp_path: Path, shared: Path, yunet_file: Path) -> None:
    """Where the landmarker is installed it is used, and any chunks give the frames of one."""
    pytest.importorskip("ai_edge_litert", reason="extra landmarks is not installed")
    if not (yunet_file.parent / "face_landmarker.task").is_file():
        pytest.skip("no Face Landmarker among the weights")
    whole = _rendered(tmp_path / "whole", shared)
    chunks = _rendered(tmp_path / "chunks", shared, "chunk.frames=9")
    assert len(whole) == len(chunks) == 25
    assert all(np.array_equal(a, b) for a, b in zip(whole, chunks, strict=True))
    typical = _rendered(tmp_path / "typical", shared, 'faces.landmarks="none"')
    assert not any(np.array_equal(a, b) for a, b in zip(whole, typical, strict=True))
