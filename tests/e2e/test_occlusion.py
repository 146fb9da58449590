"""What is in front of real faces stays as it was filmed, and the result says how much it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwise_ray.errors import WeightsError
from tests.support.dub import LOSSLESS, UNJUDGED, dub
from tests.support.occluder import write_occluder


@pytest.mark.parametrize(
    ("clip", "hand"),
    [
        ("grid_man.mpg", 0.9),
        pytest.param("grid_woman.mpg", 0.9, marks=pytest.mark.slow),
        pytest.param("beard_portrait_1080_hevc.mp4", 0.0, marks=pytest.mark.slow),
    ],
)
def test_what_is_drawn_over_a_face_is_found(shared: Path, yunet_file: Path, clip: str, hand: float) -> None:
    """A microphone and, but for one as dark as the beard behind it, a hand; nothing where nothing is."""
    from benchmarks.occlusion import measure

    found = measure(shared / "clips" / clip, yunet_file.parent, 100)
    assert found.occluded == 0
    assert found.recall["microphone"] > 0.7
    assert found.precision["microphone"] > 0.75
    assert found.recall["hand"] > hand
    assert found.precision["hand"] > 0.7


@pytest.mark.slow
def test_real_hands_are_found(shared: Path, yunet_file: Path) -> None:
    """A man gesticulates before his face."""
    from benchmarks.occlusion import measure

    assert measure(shared / "clips" / "two_speakers_720.mp4", yunet_file.parent, 60, ()).occluded > 0.05


def _dubbed(folder: Path, shared: Path, clip: str, *settings: str) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Return the result of a real clip with the mouth of the bundled network, and its luma."""
    row = {"id": "x", "video": shared / "clips" / clip, "audio": shared / "clips" / "speech_en.wav"}
    row |= {"output": "x.mkv", "length": "video", "end": 1.4}
    usual = ('lipsync.model="tiny_generator"', LOSSLESS, UNJUDGED, 'lipsync.silence="off"', 'restore.model="none"')
    folder.mkdir()
    report = dub(folder, [row], *usual, 'faces.landmarks="none"', *settings, models=shared / "weights")
    assert report.done == 1, report.outcomes
    (result,) = (folder / "out.state").rglob("result.json")
    with av.open(str(folder / "out" / "x.mkv")) as container:
        return json.loads(result.read_text()), [f.to_ndarray(format="gray") for f in container.decode(video=0)]


@pytest.mark.slow
def test_frames_are_compared_without_an_occluder(tmp_path: Path, shared: Path, yunet_file: Path) -> None:
    """The result names the fallback, and any chunks give the frames and the figures of one."""
    assert yunet_file.is_file()
    clip = "two_speakers_720.mp4"
    whole, frames = _dubbed(tmp_path / "whole", shared, clip, 'faces.select="all"')
    chunks, parts = _dubbed(tmp_path / "chunks", shared, clip, 'faces.select="all"', "chunk.frames=9")
    assert all(np.array_equal(a, b) for a, b in zip(frames, parts, strict=True))
    assert whole["occluded"]["by"] == ["neighbours"]
    assert whole["occluded"]["frames"] > 0
    assert 0 < whole["occluded"]["mask"] < 1
    assert chunks["occluded"]["frames"] == whole["occluded"]["frames"]
    assert chunks["occluded"]["mask"] == pytest.approx(whole["occluded"]["mask"], abs=1e-4)
    off, painted = _dubbed(tmp_path / "off", shared, clip, 'faces.select="all"', "composite.occlusion=false")
    assert "occluded" not in off
    assert not all(np.array_equal(a, b) for a, b in zip(frames, painted, strict=True))


@pytest.mark.slow
def test_a_users_occluder_is_asked(tmp_path: Path, shared: Path, yunet_file: Path) -> None:
    """The result names it; the man before a blue wall has nothing blue in front of him."""
    assert yunet_file.is_file()
    path = write_occluder(tmp_path / "blue.onnx")
    result, _ = _dubbed(tmp_path / "x", shared, "grid_woman.mpg", f"composite.occluder_checkpoint='{path}'")
    assert result["weights"]["occluder"]["network"] == "xseg"
    assert result["occluded"]["by"] == [result["weights"]["occluder"]["name"]]


def test_an_occluder_of_another_layout_is_refused(tmp_path: Path, shared: Path, yunet_file: Path) -> None:
    """Before anything is dubbed: the message says what it takes."""
    assert yunet_file.is_file()
    path = write_occluder(tmp_path / "wide.onnx", size=(256, 128, 3))
    row = {"id": "x", "video": shared / "clips" / "grid_woman.mpg", "audio": shared / "clips" / "speech_en.wav"}
    row |= {"output": "x.mkv", "length": "video", "end": 0.4}
    usual = ('lipsync.model="tiny_generator"', 'restore.model="none"', f"composite.occluder_checkpoint='{path}'")
    with pytest.raises(WeightsError, match=r"wide\.onnx: a network that takes"):
        dub(tmp_path, [row], *usual, models=shared / "weights")
