"""Faces of single frames, found as the pipeline finds them, with pictures of those frames."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from lipwise_ray.errors import MediaError, OutputError, os_reason
from lipwise_ray.faces.detections import FaceDetector
from lipwise_ray.media.frames import small_image
from lipwise_ray.media.index import build_index
from lipwise_ray.media.probe import probe_video
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.pipeline.analysis.looks import FaceFinder
from lipwise_ray.pipeline.dubbing.planner import recipe_of
from lipwise_ray.pipeline.inputs.records import Video
from lipwise_ray.pipeline.inputs.resolver import cache_of, media_of
from lipwise_ray.roles.detector import DETECTOR, DetectorMaker
from lipwise_ray.runs.model_requirements import ModelRequirements
from lipwise_ray.runs.run_inputs import registry_of
from lipwise_ray.runs.settings_source import SettingsSource
from lipwise_ray.service.side_messages import STILLS, FacesWanted, FrameFaces
from lipwise_ray.settings.model import Settings
from lipwise_ray.storage.address import Policy, is_local, whole_path
from lipwise_ray.storage.stream_choice import split_choice
from lipwise_ray.values import FloatArray, U8Array

_STILL_PX = 1280
_MOST_STILLS = 200
_FIRST_LOOKS_S = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Moments at which a face is looked for where none was named: many videos open on a title, or in the dark."""

_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 85]


class FrameFaceFinder:
    """Finds faces of frames; a detector is loaded once.

    Args:
        source: Settings.
        folder: Folder in which the pictures lie; the oldest ones go when there are many.
        policy: Rules for the addresses of videos.
    """

    def __init__(self, source: SettingsSource, folder: Path, policy: Policy) -> None:
        self._source = source
        self._policy = policy
        self._folder = folder / STILLS
        self._detectors: dict[object, FaceDetector] = {}

    def find(self, wanted: FacesWanted) -> FrameFaces:
        """Return the faces of a frame.

        Raises:
            InputError: The video may not be read, or cannot be.
            SetupError: The detector is not there.
            StorageError: A store refused.
            OutputError: The picture cannot be written.
        """
        settings = self._source.for_preset(wanted.preset or self._source.preset)
        path, choice = self._file(wanted.video, settings), split_choice(wanted.video)[1]
        info = probe_video(path, settings.limits, Fraction(settings.source.still_rate), choice)
        index = build_index(info, salvage=settings.source.salvage)
        recipe = recipe_of(settings, Video("", info, index))
        moments = (index.pts - index.pts[0]) * float(index.time_base)
        finder = FaceFinder(self._detector(settings), recipe, settings.detect)
        looks: list[tuple[int, U8Array, list[tuple[float, ...]]]] = []
        with VideoReader(
            info.path, info.stream_index, index, salvage=settings.source.salvage, deinterlace=recipe.deinterlace
        ) as reader:
            for number in _frames_at(moments, wanted.at_s):
                frame = next(iter(reader.read(number, number + 1)))
                (look,) = finder.look([(number, small_image(frame, recipe, settings.detect.size_px), frame)])
                boxes = sorted(tuple(round(float(edge), 1) for edge in box) for box in look.faces.box)
                looks.append((number, small_image(frame, recipe, _STILL_PX).image_bgr, boxes))
                if boxes:
                    break
        number, still_bgr, boxes = looks[-1] if looks[-1][2] else looks[0]
        size = recipe.canvas.shown_size
        return FrameFaces(
            frame=number,
            at_s=round(float(moments[number]), 3),
            seconds=round(float((index.end_pts - int(index.pts[0])) * index.time_base), 3),
            width=size.width,
            height=size.height,
            boxes=tuple((box[0], box[1], box[2], box[3]) for box in boxes),
            still=self._still(still_bgr, f"{path} {number} {wanted.preset}"),
        )

    def _file(self, address: str, settings: Settings) -> Path:
        """Return the video as a file; one that lies elsewhere is fetched once, as a job would fetch it.

        Raises:
            InputError: It may not be read, or is not there.
            StorageError: The store refused.
        """
        file = split_choice(address)[0]
        if is_local(file):
            path = whole_path(Path("/", file))  # a relative path of a client's leads nowhere
            self._policy.check(str(path))
            if not path.is_file():
                raise MediaError("missing_file", path.name, got="file not found")
            return path
        self._policy.check(file)
        media = media_of(settings, cache_of(settings.paths))
        return media.local(file, media.identity(file))

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


def _frames_at(moments_s: FloatArray, at_s: float | None) -> list[int]:
    """Return the frames to look at, in order; without a moment the early ones at which a face may be.

    Args:
        moments_s: Time of each frame.
        at_s: The moment that was asked for.
    """
    asked_s = [at_s] if at_s is not None else [one for one in _FIRST_LOOKS_S if one <= moments_s[-1]]
    found = np.searchsorted(moments_s, np.asarray(asked_s) + 1e-6, side="right") - 1
    return [int(one) for one in dict.fromkeys(np.clip(found, 0, len(moments_s) - 1).tolist())]
