"""The lag of a file behind another one, found in their frames."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from lipwise_ray.pipeline.dubbing.planner import recipe_of
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.quality.lag_search import PairedVideo, search_lag
from lipwise_ray.pipeline.quality.size_fit import SizeFit
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.store import LocalStore
from lipwise_ray.values import Size

SIZE = Size(128, 96)


def _film(folder: Path, name: str, late_frames: int) -> PairedVideo:
    """Write a bright disc that sways at two speeds, and open it."""
    path, (down, right) = folder / f"{name}.mp4", np.mgrid[: SIZE.height, : SIZE.width]
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = SIZE.width, SIZE.height, "yuv420p"
        for number in range(50):
            time_s = (number - late_frames) / 25
            x, y = 64 + 30 * np.sin(3.1 * time_s), 48 + 20 * np.sin(5.3 * time_s + 1)
            disc = 40 + 180 * ((right - x) ** 2 + (down - y) ** 2 < 200)
            image = np.repeat(disc[:, :, None], 3, axis=2).astype(np.uint8)
            out.mux(video.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        out.mux(video.encode(None))
    found = records.open_video(LocalStore(folder / "state"), folder, path, name, salvage=False)
    return PairedVideo(found, recipe_of(Settings(), found))


@pytest.mark.parametrize(("late", "most_s", "expected_s"), [(10, 1.0, 0.4), (-5, 1.0, -0.2), (10, 0.0, 0.0)])
def test_the_lag_is_found_in_the_frames(tmp_path: Path, late: int, most_s: float, expected_s: float) -> None:
    """Late and early; none is searched where that is not asked."""
    video, reference = _film(tmp_path, "video", late), _film(tmp_path, "reference", 0)
    whole, frames = SizeFit(0, 0, SIZE, 1.0, 1.0), list[None]()
    lag_s = search_lag(video, reference, whole, most_s, threads=1, salvage=False, on_frame=lambda: frames.append(None))
    assert lag_s == pytest.approx(expected_s, abs=0.001)
    assert len(frames) == (100 if most_s else 0)
