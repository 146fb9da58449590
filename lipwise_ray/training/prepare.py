"""From footage to a prepared clip: face crops at 25 frames a second, and the audio."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lipwise_ray.errors import AudioError, FaceError, InputError, MediaError
from lipwise_ray.lipsync.mel import SILENCE, mel_spectrogram
from lipwise_ray.media.container import write_problem
from lipwise_ray.media.frames import make_recipe
from lipwise_ray.media.index import FrameIndex, build_index
from lipwise_ray.media.probe import VideoInfo, probe_video
from lipwise_ray.nets.expert import FRAMES
from lipwise_ray.nets.sizes import WAV2LIP_PX
from lipwise_ray.pipeline.analysis.crops import read_crops, read_wave, whole_tracks
from lipwise_ray.settings.model import Settings
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.synth.truth import read_truth, truth_beside, without_take
from lipwise_ray.training.dataset import AUDIO, NOTE
from lipwise_ray.training.pack import write_wave
from lipwise_ray.values import F32Array, Json, Size, U8Array

if TYPE_CHECKING:
    from lipwise_ray.faces.detections import FaceDetector
    from lipwise_ray.metrics.sync import SpeakerExpert

_QUALITY = 95
_SMALLEST_PX, _LARGEST_PX = 96, 384
_JITTER_SHIFT, _JITTER_SCALE = 0.025, 0.04
_MOST_OFFSET_FRAMES = 1
_JUDGED_FRAMES = 1500
"""One minute is enough to measure an offset, and fits in memory however long the footage is."""


@dataclass(frozen=True, slots=True)
class PrepareSpec:
    """Rules by which clips are prepared.

    Attributes:
        size_px: Side of the square crops; 0 keeps the face's own size, 96 to 384.
        pads: Pixels added to the box at top, bottom, left, right.
        settings: Rules by which faces are looked for and followed.
        truth: Take boxes from the truth beside a synthetic clip, moved a little as a detector would.
    """

    size_px: int = 0
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    settings: Settings = field(default_factory=Settings)
    truth: bool = False


def prepare_clip(
    video: Path,
    target: Path,
    spec: PrepareSpec,
    detector: FaceDetector | None,
    judge: SpeakerExpert | None = None,
) -> Json:
    """Prepare a clip; one that is there already stays, if it was prepared from the same footage in the same way.

    Args:
        video: Footage with audio and one face.
        target: The folder of crops and audio; appears whole or not at all.
        spec: Rules by which it is prepared.
        detector: Finds faces, unless the spec takes them from the truth.
        judge: Measures the offset of audio and lips; clips out of sync are refused.

    Returns:
        The clip's note: frames, offset.

    Raises:
        InputError: The clip cannot be used: no face, no audio, too short, out of sync.
        StorageError: The disk is full.
    """
    wanted_spec: Json = {
        "source_sha256": sha256_of(video) if video.is_file() else None,
        "size_px": spec.size_px,
        "pads": list(spec.pads),
        "truth": spec.truth,
        "checked": judge is not None,
    }
    noted = _known(target / NOTE)
    if noted is not None and noted.get("asked") == wanted_spec:
        return noted
    info = probe_video(video)
    index = build_index(info)
    boxes_by_frame = _true_boxes(video, index) if spec.truth else _detected_boxes(info, index, spec, detector)
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".partial-", dir=target.parent) as folder:
        work = Path(folder) / "clip"
        work.mkdir()
        try:
            wave = read_wave(video)
            mel = np.ascontiguousarray(mel_spectrogram(wave).T)
            if float(mel.max()) <= SILENCE:
                raise AudioError("silent", str(video), got="the audio is silent", do="Leave it out")
            write_wave(work / AUDIO, wave)
            boxes = _padded(boxes_by_frame, spec, make_recipe(info, index.sizes).canvas.shown_size)
            images = read_crops(info, index, boxes, spec.size_px or _own_size(boxes))
            frames, crops = _write_crops(images, work, kept=_JUDGED_FRAMES if judge else 0)
        except OSError as error:
            raise write_problem(target, error) from error
        if frames <= FRAMES:
            raise FaceError(
                "short_clip",
                str(video),
                got=f"shows a face in {frames} frames",
                must=f"more than {FRAMES} are needed",
                do="Leave it out, or give longer footage",
            )
        result: Json = {"frames": frames, "source": video.name, "asked": wanted_spec}
        if judge is not None:
            result["offset_frames"] = offset = judge.offset(crops, mel)
            if abs(offset) > _MOST_OFFSET_FRAMES:
                raise InputError(
                    "out_of_sync",
                    str(video),
                    got=f"the audio is {offset} frames off the lips",
                    must=f"at most {_MOST_OFFSET_FRAMES} is allowed",
                    do="Shift its audio, or leave it out",
                )
        (work / NOTE).write_text(json.dumps(result))
        if target.exists():
            shutil.rmtree(target)
        work.replace(target)
    return result


def _padded(boxes: dict[int, F32Array], spec: PrepareSpec, shown: Size) -> dict[int, F32Array]:
    top, bottom, left, right = spec.pads
    grow, limit = np.array([-left, -top, right, bottom]), np.array([shown.width, shown.height] * 2)
    return {number: np.clip(box + grow, 0, limit).astype(np.float32) for number, box in boxes.items()}


def _known(note: Path) -> Json | None:
    try:
        return json.loads(note.read_text())
    except (OSError, ValueError):
        return None


def _write_crops(crops: Iterator[tuple[int, U8Array]], folder: Path, *, kept: int) -> tuple[int, dict[int, U8Array]]:
    """Write crops as JPEG; return how many, and the first `kept` at the size that the expert takes."""
    small: dict[int, U8Array] = {}
    frames = 0
    for number, pixels in crops:
        frames += 1
        data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
        (folder / f"{number}.jpg").write_bytes(data.tobytes())
        if frames <= kept:
            small[number] = np.asarray(cv2.resize(pixels, (WAV2LIP_PX, WAV2LIP_PX)), np.uint8)
    return frames, small


def _own_size(boxes: dict[int, F32Array]) -> int:
    sides = [float(max(box[2] - box[0], box[3] - box[1])) for box in boxes.values()]
    return int(np.clip(round(float(np.median(sides))) if sides else 0, _SMALLEST_PX, _LARGEST_PX))


def _detected_boxes(
    info: VideoInfo, index: FrameIndex, spec: PrepareSpec, detector: FaceDetector | None
) -> dict[int, F32Array]:
    """Return the boxes of the face that is seen longest."""
    assert detector is not None  # the caller's choice of spec
    tracks = whole_tracks(info, index, detector, spec.settings)
    if not tracks.numbers:
        raise FaceError("no_face", str(info.path), got=f"no face in {len(index)} frames", do="Leave it out")
    longest = max(tracks.numbers, key=lambda number: tracks.rows(number).stop - tracks.rows(number).start)
    rows = tracks.rows(longest)
    return {int(n): box for n, box in zip(tracks.frame[rows], tracks.box[rows], strict=True)}


def _true_boxes(video: Path, index: FrameIndex) -> dict[int, F32Array]:
    truth = read_truth(video)
    if truth is None:
        raise MediaError(
            "no_truth",
            str(video),
            got=f"no truth beside it: {truth_beside(video).name} is missing",
            do="Leave --truth out to detect faces",
        )
    rng = np.random.default_rng(zlib.crc32(without_take(f"{video.parent.name}/{video.stem}").encode()))
    shift = rng.uniform(-_JITTER_SHIFT, _JITTER_SHIFT, 2)
    scale = 1 + rng.uniform(-_JITTER_SCALE, _JITTER_SCALE, 2)
    boxes: dict[int, F32Array] = {}
    for number, row in enumerate(truth["frames"][: len(index)]):
        if len(row["faces"]) == 1:
            x0, y0, x1, y1 = row["faces"][0]["box"]
            width, height = x1 - x0, y1 - y0
            centre = ((x0 + x1) / 2 + shift[0] * width, (y0 + y1) / 2 + shift[1] * height)
            half = (width * scale[0] / 2, height * scale[1] / 2)
            corners = [centre[0] - half[0], centre[1] - half[1], centre[0] + half[0], centre[1] + half[1]]
            boxes[number] = np.array(corners, np.float32)
    return boxes
