"""How much pictures change, and where shots begin."""

from __future__ import annotations

import numpy as np
import pytest

from lipwise_ray.faces.shots import ChangeMeter


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
