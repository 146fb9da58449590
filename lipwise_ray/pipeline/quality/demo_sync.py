"""Videos beside their true lips: sync distance under the new sound, the mouth's shapes and sharpness."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lipwise_ray.errors import InputError
from lipwise_ray.faces.detections import FaceDetector
from lipwise_ray.faces.people import find_people
from lipwise_ray.faces.select import every_face, parse_selection_rule, select_faces, select_tracks
from lipwise_ray.media.index import build_index
from lipwise_ray.media.probe import probe_video
from lipwise_ray.metrics.mouth import MouthLikeness, mouth_likeness
from lipwise_ray.metrics.sync import RATE_HZ, SpeakerExpert
from lipwise_ray.nets.sizes import WAV2LIP_PX
from lipwise_ray.pipeline.analysis.crops import read_crops, read_mel, whole_tracks
from lipwise_ray.pipeline.manifest.row_table import Row
from lipwise_ray.settings.model import Settings
from lipwise_ray.values import F32Array, U8Array


@dataclass(frozen=True, slots=True)
class DemoComparison:
    """A row's figures under its new sound; a distance is None where there is no face, or no such file that can be read.

    Attributes:
        row: The row's id.
        before: Of the original lips.
        after: Of the dubbed lips.
        true: Of the same presenter really saying it.
        mouth: Likeness of the dubbed mouth to the true one.
    """

    row: str
    before: float | None
    after: float | None
    true: float | None
    mouth: MouthLikeness

    @property
    def gap_closed(self) -> float | None:
        """Return the closed fraction of the gap between original and true lips; None where that is unknown."""
        if self.before is None or self.after is None or self.true is None or self.before <= self.true:
            return None
        return gap_closed(self.before, self.after, self.true)


def gap_closed(before: float, after: float, true: float) -> float:
    """Return the closed fraction of the gap between the original lips' distance and the true lips', in [0, 1].

    Lips that a judge likes better than the true ones have closed the gap and no more: what they gain beyond it tells
    of the judge, not of the lips.

    Args:
        before: Distance of the original lips.
        after: Distance of the dubbed lips.
        true: Distance of the true lips, smaller than `before`.
    """
    return min(1.0, max(0.0, (before - after) / (before - true)))


def compare(
    rows: Iterable[Row],
    out: Path,
    true: Path,
    detector: FaceDetector,
    judge: SpeakerExpert,
    settings_of: Callable[[Row], Settings],
) -> Iterator[DemoComparison]:
    """Compare original, dubbed and true lips, row by row.

    Args:
        rows: Rows that were dubbed.
        out: Folder of the outputs.
        true: ``<id>.mp4`` of the true lips.
        detector: Finds the faces.
        judge: Compares.
        settings_of: Gives the settings by which a row's face is chosen and followed.
    """
    for row in rows:
        if row.audio is None:
            yield DemoComparison(row.id, None, None, None, MouthLikeness(None, None))
            continue
        mel = read_mel(Path(row.audio))
        settings = settings_of(row)
        filmed, dubbed, said = (
            _crops(file, detector, settings, len(mel))
            for file in (Path(row.video), out / row.output, true / f"{row.id}.mp4")
        )
        before, after, best = (judge.distance(crops, mel) for crops in (filmed, dubbed, said))
        yield DemoComparison(row.id, before, after, best, mouth_likeness(dubbed, said))


def _crops(file: Path, detector: FaceDetector, settings: Settings, mel_columns: int) -> dict[int, U8Array]:
    """Return a video's face as `crops_of`; nothing where there is no such file that can be read."""
    if not file.is_file():
        return {}
    try:
        return crops_of(file, detector, settings, mel_columns)
    except InputError:
        return {}


def crops_of(video: Path, detector: FaceDetector, settings: Settings, mel_columns: int) -> dict[int, U8Array]:
    """Return a video's face at 25 frames a second, as the networks see it; a still is repeated for the sound.

    Args:
        video: The file.
        detector: Finds the faces.
        settings: Rules by which the face is chosen and followed.
        mel_columns: Columns of the audio's mel, for a still's length.

    Raises:
        InputError: The file cannot be used.
    """
    info = probe_video(video)
    index = build_index(info)
    tracks = whole_tracks(info, index, detector, settings)
    crops = every_face(settings.faces.pads, settings.faces.pads_share)
    people = find_people(tracks, settings.faces.min_confidence)
    numbers = select_tracks(people, parse_selection_rule(settings.faces.select), tracks)
    chosen = select_faces(tracks, numbers, crops)
    boxes: dict[int, F32Array] = {int(n): np.asarray(b) for n, b in zip(chosen.frame, chosen.crop_box, strict=True)}
    crops = dict(read_crops(info, index, boxes, WAV2LIP_PX))
    if len(index) == 1 and crops:
        return dict.fromkeys(range(mel_columns * RATE_HZ // 80), crops[0])
    return crops
