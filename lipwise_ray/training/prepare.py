"""From footage to a prepared clip: face crops at 25 frames a second, and the sound."""

from __future__ import annotations

import json
import shutil
import zlib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lipwise_ray.dubbing.scanning import scan
from lipwise_ray.errors import FaceError, InputError, MediaError
from lipwise_ray.faces.shots import shots
from lipwise_ray.faces.tracks import link, smooth
from lipwise_ray.media.audio import extract_network_sound
from lipwise_ray.media.container import write_problem
from lipwise_ray.media.frames import make_recipe
from lipwise_ray.media.index import FrameIndex, build_index
from lipwise_ray.media.probe import VideoInfo, probe_audio, probe_video
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.media.region import box_to_shown, read_region
from lipwise_ray.nets.expert import FRAMES
from lipwise_ray.settings import Detect
from lipwise_ray.training.dataset import AUDIO, RATE_HZ
from lipwise_ray.training.pack import write_wave
from lipwise_ray.values import F32Array, Json, Span

if TYPE_CHECKING:
    from lipwise_ray.faces.detections import FaceDetector
    from lipwise_ray.training.offset import OffsetMeter

NOTE = "clip.json"
_QUALITY = 95
_SMALLEST_PX, _LARGEST_PX = 96, 384
_JITTER_SHIFT, _JITTER_SCALE = 0.025, 0.04
_MOST_OFFSET_FRAMES = 1
_TRUTH_SUFFIX = ".truth.json"


@dataclass(frozen=True, slots=True)
class PrepareSpec:
    """How clips are prepared.

    Attributes:
        size_px: Side of the square crops; 0 keeps the face's own size, 96 to 384.
        pads: Pixels added to the box at top, bottom, left, right.
        detect: How faces are looked for.
        smooth_s: Over which boxes are smoothed.
        truth: Take boxes from the truth beside a synthetic clip, moved a little as a detector would.
    """

    size_px: int = 0
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    detect: Detect = field(default_factory=Detect)
    smooth_s: float = 0.2
    truth: bool = False


def prepare_clip(
    video: Path,
    target: Path,
    spec: PrepareSpec,
    detector: FaceDetector | None,
    meter: OffsetMeter | None = None,
) -> Json:
    """Prepare a clip; one that is there already stays.

    Args:
        video: Footage with sound and one face.
        target: The folder of crops and sound; appears whole or not at all.
        spec: How.
        detector: Finds faces, unless the spec takes them from the truth.
        meter: Measures the offset of sound and lips; clips out of sync are refused.

    Returns:
        The clip's note: frames, offset.

    Raises:
        InputError: The clip cannot be used: no face, no sound, too short, out of sync.
        StorageError: The disk is full.
    """
    note = target / NOTE
    if note.is_file():
        return json.loads(note.read_text())
    info, sound = probe_video(video), probe_audio(video)
    index = build_index(info)
    found = _true_boxes(video, index) if spec.truth else _detected_boxes(info, index, spec, detector)
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".partial-", dir=target.parent) as folder:
        work = Path(folder) / "clip"
        work.mkdir()
        try:
            raw = Path(folder) / "sound.f32"
            extract_network_sound(sound, raw)
            write_wave(work / AUDIO, np.fromfile(raw, np.float32))
            written = _write_crops(info, index, found, work, spec)
        except OSError as error:
            raise write_problem(target, error) from error
        if len(written) <= FRAMES:
            raise FaceError(
                "short_clip",
                str(video),
                f"needs more than {FRAMES} frames with a face",
                str(len(written)),
                "Leave it out, or give longer footage",
            )
        result: Json = {"frames": len(written), "source": video.name}
        if meter is not None:
            result["offset_frames"] = offset = meter.measure(work, tuple(written))
            if abs(offset) > _MOST_OFFSET_FRAMES:
                raise InputError(
                    "out_of_sync",
                    str(video),
                    f"needs sound within {_MOST_OFFSET_FRAMES} frame of the lips",
                    f"{offset} frames",
                    "Shift its sound, or leave it out",
                )
        (work / NOTE).write_text(json.dumps(result))
        if target.exists():
            shutil.rmtree(target)
        work.replace(target)
    return result


def _frame_numbers(index: FrameIndex) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the source frame of each 25th of a second: the last one that is due by then."""
    times = [Fraction(int(p - index.pts[0])) * index.time_base for p in index.pts]
    end = Fraction(int(index.end_pts - index.pts[0])) * index.time_base
    grid = [Fraction(k, RATE_HZ) for k in range(max(1, int(end * RATE_HZ)))]
    return np.searchsorted(np.array([float(t) for t in times]), [float(g) + 1e-6 for g in grid], side="right") - 1


def _write_crops(
    info: VideoInfo, index: FrameIndex, boxes: dict[int, F32Array], folder: Path, spec: PrepareSpec
) -> list[int]:
    recipe = make_recipe(info)
    numbers = _frame_numbers(index)
    wanted = [(k, int(n)) for k, n in enumerate(numbers) if int(n) in boxes]
    size = spec.size_px or _own_size(boxes)
    top, bottom, left, right = spec.pads
    shown = recipe.canvas.shown_size
    written: list[int] = []
    with VideoReader(info.path, info.stream_index, index) as reader:
        for (k, n), frame in zip(wanted, reader.read_order(n for _, n in wanted), strict=True):
            x0, y0, x1, y1 = boxes[n]
            box = np.array(
                [max(0, x0 - left), max(0, y0 - top), min(shown.width, x1 + right), min(shown.height, y1 + bottom)]
            )
            crop = read_region(recipe.apply(frame), recipe.canvas, box_to_shown(box, size), size)
            pixels = np.rint(crop * 255).astype(np.uint8)
            data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
            (folder / f"{k}.jpg").write_bytes(data.tobytes())
            written.append(k)
    return written


def _own_size(boxes: dict[int, F32Array]) -> int:
    sides = [float(max(box[2] - box[0], box[3] - box[1])) for box in boxes.values()]
    return int(np.clip(round(float(np.median(sides))) if sides else 0, _SMALLEST_PX, _LARGEST_PX))


def _detected_boxes(
    info: VideoInfo, index: FrameIndex, spec: PrepareSpec, detector: FaceDetector | None
) -> dict[int, F32Array]:
    """Return the boxes of the face that is seen longest."""
    assert detector is not None  # the caller's choice of spec
    recipe = make_recipe(info)
    found = scan(
        info, index, recipe, Span(0, len(index)), detector, spec.detect, threads=1, salvage=False, on_frame=lambda: None
    )
    rate = float(index.mean_rate)
    tracks = link(
        found,
        shots(found.change, spec.detect.cut_threshold),
        recipe.canvas.shown_size,
        max_gap_frames=round(0.5 * rate),
        stride=spec.detect.stride,
    )
    tracks = smooth(tracks, round(spec.smooth_s * rate / 2))
    if not tracks.numbers:
        raise FaceError("no_face", str(info.path), "needs a face", f"none in {len(index)} frames", "Leave it out")
    longest = max(tracks.numbers, key=lambda number: tracks.rows(number).stop - tracks.rows(number).start)
    rows = tracks.rows(longest)
    return {int(n): box for n, box in zip(tracks.frame[rows], tracks.box[rows], strict=True)}


def _true_boxes(video: Path, index: FrameIndex) -> dict[int, F32Array]:
    beside = video.with_name(video.name + _TRUTH_SUFFIX)
    if not beside.is_file():
        raise MediaError(
            "no_truth",
            str(video),
            "needs its truth beside it",
            f"no {beside.name}",
            "Leave --truth out to detect faces",
        )
    frames = json.loads(beside.read_text("utf-8"))["frames"]
    rng = np.random.default_rng(zlib.crc32(f"{video.parent.name}/{video.name}".encode()))
    shift = rng.uniform(-_JITTER_SHIFT, _JITTER_SHIFT, 2)
    scale = 1 + rng.uniform(-_JITTER_SCALE, _JITTER_SCALE, 2)
    boxes: dict[int, F32Array] = {}
    for number, row in enumerate(frames[: len(index)]):
        if len(row["faces"]) == 1:
            x0, y0, x1, y1 = row["faces"][0]["box"]
            width, height = x1 - x0, y1 - y0
            centre = ((x0 + x1) / 2 + shift[0] * width, (y0 + y1) / 2 + shift[1] * height)
            half = (width * scale[0] / 2, height * scale[1] / 2)
            corners = [centre[0] - half[0], centre[1] - half[1], centre[0] + half[0], centre[1] + half[1]]
            boxes[number] = np.array(corners, np.float32)
    return boxes
