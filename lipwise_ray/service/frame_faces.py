"""Faces of single frames, found as the pipeline finds them, with pictures of those frames."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from lipwise_ray.errors import OutputError, os_reason
from lipwise_ray.faces.detections import FaceDetector
from lipwise_ray.media.frames import small_image
from lipwise_ray.media.index import build_index
from lipwise_ray.media.probe import probe_video
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.pipeline.analysis.looks import FaceFinder
from lipwise_ray.pipeline.dubbing.planner import recipe_of
from lipwise_ray.pipeline.inputs.records import Video
from lipwise_ray.roles.detector import DETECTOR, DetectorMaker
from lipwise_ray.runs.model_requirements import ModelRequirements
from lipwise_ray.runs.run_inputs import registry_of
from lipwise_ray.runs.settings_source import SettingsSource
from lipwise_ray.service.side_messages import STILLS, FacesWanted, FrameFaces
from lipwise_ray.settings.model import Settings
from lipwise_ray.values import U8Array

_STILL_PX = 1280
_MOST_STILLS = 200
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 85]


class FrameFaceFinder:
    """Finds faces of frames; a detector is loaded once.

    Args:
        source: Settings.
        folder: Folder in which the pictures lie; the oldest ones go when there are many.
    """

    def __init__(self, source: SettingsSource, folder: Path) -> None:
        self._source = source
        self._folder = folder / STILLS
        self._detectors: dict[object, FaceDetector] = {}

    def find(self, wanted: FacesWanted) -> FrameFaces:
        """Return the faces of a frame.

        Raises:
            InputError: The video cannot be read.
            SetupError: The detector is not there.
            OutputError: The picture cannot be written.
        """
        settings = self._source.for_preset(wanted.preset or self._source.preset)
        path = Path(wanted.video)
        info = probe_video(path, settings.limits, Fraction(settings.source.still_rate))
        index = build_index(info, salvage=settings.source.salvage)
        recipe = recipe_of(settings, Video("", info, index))
        moments = (index.pts - index.pts[0]) * float(index.time_base)
        number = int(np.clip(np.searchsorted(moments, wanted.at_s + 1e-6, side="right") - 1, 0, len(index) - 1))
        with VideoReader(
            info.path, info.stream_index, index, salvage=settings.source.salvage, deinterlace=recipe.deinterlace
        ) as reader:
            frame = next(iter(reader.read(number, number + 1)))
        searched = small_image(frame, recipe, settings.detect.size_px)
        finder = FaceFinder(self._detector(settings), recipe, settings.detect)
        (look,) = finder.look([(number, searched, frame)])
        boxes = sorted(tuple(round(float(edge), 1) for edge in box) for box in look.faces.box)
        size = recipe.canvas.shown_size
        return FrameFaces(
            frame=number,
            at_s=round(float(moments[number]), 3),
            seconds=round(float((index.end_pts - int(index.pts[0])) * index.time_base), 3),
            width=size.width,
            height=size.height,
            boxes=tuple((box[0], box[1], box[2], box[3]) for box in boxes),
            still=self._still(small_image(frame, recipe, _STILL_PX).image_bgr, f"{path} {number} {wanted.preset}"),
        )

    def _detector(self, settings: Settings) -> FaceDetector:
        requirements = ModelRequirements(registry_of(settings), gpu=False)
        checkpoints = requirements.for_role(DETECTOR, settings)
        key = tuple(one.path for one in checkpoints), settings.detect.min_score
        if key not in self._detectors:
            self._detectors[key] = DetectorMaker(tuple(checkpoints), settings.detect.min_score)()
        return self._detectors[key]

    def _still(self, image_bgr: U8Array, name: str) -> str:
        """Write a picture; return its name."""
        name = f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.jpg"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            kept = sorted(self._folder.iterdir(), key=lambda file: file.stat().st_mtime)
            for old in kept[: max(0, len(kept) - _MOST_STILLS + 1)]:
                old.unlink(missing_ok=True)
            (self._folder / name).write_bytes(cv2.imencode(".jpg", image_bgr, _QUALITY)[1].tobytes())
        except OSError as error:
            raise OutputError("not_writable", "the still", got=f"cannot be written: {os_reason(error)}") from error
        return name
