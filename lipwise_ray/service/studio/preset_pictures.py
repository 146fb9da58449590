"""Pictures of presets: ``python -m lipwise_ray.service.studio.preset_pictures`` renders the demo under each."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np

from lipwise_ray.resources import jobs_folder
from lipwise_ray.runs.load_settings import load_settings
from lipwise_ray.runs.preview import preview
from lipwise_ray.service.studio.preset_cards import preset_picture
from lipwise_ray.service.studio.shell import STATIC
from lipwise_ray.settings.layers import preset_names

_DEMO = "demo"
_AT_S = 1.0
_SIZE = 320, 180
_PART = 0.29, 0.38, 0.69, 0.78
"""Part of the frame that is shown, the lower face: left, top, right, bottom as shares of its sides."""

_QUALITY = 60
_BUNDLED = 'lipsync.model="tiny_generator"', 'detect.detector="tiny"', "lipsync.vad=none"
_RESTORER = "restore.model"


def render_presets(clip: Path, audio: Path, target: Path) -> list[Path]:
    """Write the picture of every preset, by the bundled networks; return the files.

    Args:
        clip: Video of the demo.
        audio: Audio of the demo.
        target: Folder of the pictures.

    Raises:
        LipwiseError: One cannot be made.
    """
    made: list[Path] = []
    for name in preset_names(jobs_folder()):
        asked = load_settings(name).for_run()
        restorer = "none" if asked.restore.model == "none" else "tiny_restorer"
        settings = load_settings(name, assignments=[*_BUNDLED, f"{_RESTORER}={restorer}"])
        with tempfile.TemporaryDirectory(prefix="lipwise-") as cache:
            row = {"video": str(clip), "audio": str(audio), "faces": "largest"}
            shown = preview(row, _AT_S, 0, settings=settings, cache=cache)
            image = cv2.imread(str(shown.file))
        assert image is not None  # it was written just now
        height, width = image.shape[:2]
        left, top, right, bottom = (round(part * side) for part, side in zip(_PART, (width, height) * 2, strict=True))
        small = cv2.resize(image[top:bottom, left:right], _SIZE, interpolation=cv2.INTER_AREA).astype(np.uint8)
        file = target / preset_picture(name)
        file.write_bytes(cv2.imencode(".webp", small, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])[1].tobytes())
        made.append(file)
    return made


if __name__ == "__main__":
    demo = jobs_folder().parent / "manifests" / _DEMO
    for picture in render_presets(demo / "presenter.mp4", demo / "presenter.m4a", STATIC):
        print(picture.name, picture.stat().st_size)  # noqa: T201  # what it made
