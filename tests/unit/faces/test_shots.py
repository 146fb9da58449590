"""How much pictures change, and where shots begin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from lipwise_ray.faces.shots import BLEND_FRAMES, BlendMeter, ChangeMeter, is_spike, jump_cuts, shots, tiny_image
from lipwise_ray.values import BoolArray, Span

FRAMES, START = 75, 30


def test_change_is_pyscenedetects_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of noise, of light and of nothing new get the very numbers of PySceneDetect's ContentDetector."""
    monkeypatch.setenv("PATH", "")  # it runs programs as it is imported
    scenedetect = pytest.importorskip("scenedetect")
    from scenedetect.detectors import ContentDetector

    random = np.random.default_rng(1)
    pictures = [random.integers(0, 256, (72, 128, 3), dtype=np.uint8) for _ in range(4)]
    pictures += [pictures[-1], pictures[-1] // 2, np.full((72, 128, 3), 200, np.uint8)]
    meter, detector, stats = ChangeMeter(), ContentDetector(), scenedetect.StatsManager()
    detector.stats_manager = stats
    for number, picture in enumerate(pictures):
        now = scenedetect.FrameTimecode(number, 25.0)
        detector.process_frame(now, picture)
        expected = stats.get_metrics(now, [ContentDetector.FRAME_SCORE_KEY])[0] if number else 0.0
        assert meter.measure(picture) == expected


def _blends(images: Sequence[np.ndarray]) -> BoolArray:
    meter = BlendMeter()
    found = [meter.measure(tiny_image(np.asarray(image, np.uint8))) for image in images]
    return np.array([*found[BLEND_FRAMES:], *[False] * BLEND_FRAMES])


def _talking(shared: Path, name: str) -> Sequence[np.ndarray]:
    with av.open(str(shared / "clips" / name)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)][:FRAMES]


@pytest.mark.parametrize("frames", [6, 12, 25, 40])
def test_a_dissolve_is_a_cut_in_its_middle(frames: int, shared: Path) -> None:
    """Two people at one place, who speak: one becomes the other over some frames."""
    share = np.clip((np.arange(FRAMES) - START) / frames, 0, 1)
    two = zip(_talking(shared, "grid_man.mpg"), _talking(shared, "grid_woman.mpg"), share, strict=True)
    is_blend = _blends([cv2.addWeighted(man, 1 - part, woman, part, 0) for man, woman, part in two])
    (first, second) = shots(np.zeros(FRAMES, np.float32), is_blend, 27.0)
    assert (first.start, second.stop) == (0, FRAMES)
    assert abs(first.stop - (START + frames / 2)) <= 2


@pytest.mark.parametrize("motion", ["speech", "pan", "cut", "nod"])
def test_what_moves_is_no_dissolve(motion: str, shared: Path) -> None:
    """Somebody who speaks or nods, a camera that moves, a cut: none of them is a frame between two others."""
    images = _talking(shared, "grid_man.mpg")
    wide = [np.concatenate([image, image[:, ::-1]], axis=1) for image in images]
    shift = {
        "speech": np.zeros(FRAMES),
        "pan": 4 * np.arange(FRAMES),
        "cut": 150 * (np.arange(FRAMES) > START),
        "nod": 30 + 30 * np.sin(np.arange(FRAMES) / 4),
    }[motion]
    moved = [image[:, int(left) : int(left) + 360] for image, left in zip(wide, shift, strict=True)]
    assert shots(np.zeros(FRAMES, np.float32), _blends(moved), 27.0) == [Span(0, FRAMES)]


def test_jump_cuts_stand_out_from_the_frames_around() -> None:
    """Two cuts that soon follow each other are two; a camera that moves, and frames that are shown twice, have none."""
    change = np.full(30, 0.5, np.float32)
    assert jump_cuts(change, 10, 13) == 0
    change[[10, 12]] = 6.0
    assert [jump_cuts(change, *frames) for frames in ((10, 13), (10, 11), (11, 12), (7, 10))] == [2, 1, 0, 0]
    assert jump_cuts(np.full(30, 6.0, np.float32), 10, 13) == 0
    assert jump_cuts(np.tile(np.array([0.0, 6.0], np.float32), 15), 10, 13) == 0


def test_a_cut_within_a_shot_is_a_change_at_once() -> None:
    """A jump cut changes the image at once; a moving camera changes it all the time."""
    calm = np.full(12, 0.5, np.float32)
    assert not is_spike(calm, calm[4:7])
    calm[5] = 6.0
    assert is_spike(calm, calm[4:7])
    assert not is_spike(calm, calm[6:7])
    assert not is_spike(np.full(12, 6.0, np.float32), np.full(3, 6.0, np.float32))
