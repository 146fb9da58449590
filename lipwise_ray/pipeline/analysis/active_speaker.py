"""Active speaker detection: the agreement of every track's lips with the original audio, chunk by chunk."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.faces.select import every_face, select_faces
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.lipsync.mel import MEL_RATE_HZ
from lipwise_ray.lipsync.windows import CROP_RATE_HZ
from lipwise_ray.media.frames import FrameRecipe
from lipwise_ray.media.index import FrameIndex
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.media.region import box_to_shown, read_region
from lipwise_ray.pipeline.analysis.crops import resampled
from lipwise_ray.storage.arrays import ArraySpec, read_npz
from lipwise_ray.values import BoolArray, F32Array, F64Array, FloatArray, I64Array, Span, U8Array

if TYPE_CHECKING:
    from lipwise_ray.metrics.sync import SpeakerExpert

_PADS, _PADS_SHARE = (0, 10, 0, 0), (0.0, 0.0, 0.0, 0.0)  # what experts have seen in training
_SIDE_PX = 96
_WINDOW_FRAMES = 5
_VOICED_SHARE = 0.5
_BLOCK_WINDOWS = 250

DOUBT_WINDOWS = 25
"""As many windows of no agreement are added: a few that agree may do so by chance."""

LISTENED_PAUSE_S = 0.3
"""Pauses of the original audio that are no speech."""

_WINDOW_COLUMNS = 16
_ARRAYS = {
    "track": ArraySpec("int64", ("T",)),
    "total": ArraySpec("float64", ("T", "O")),
    "windows": ArraySpec("int64", ("T",)),
}


@dataclass(frozen=True, slots=True)
class SpeakerScores:
    """Agreement of each track's lips with the sound, summed over windows, at offsets around zero.

    Attributes:
        track: Shape (T,).
        total: Sums of cosines, shape (T, offsets).
        windows: Number of windows that were summed, shape (T,).
    """

    track: I64Array
    total: F64Array
    windows: I64Array

    def save(self, path: Path) -> None:
        """Write as .npz."""
        np.savez_compressed(path, track=self.track, total=self.total, windows=self.windows)

    @staticmethod
    def load(path: Path) -> SpeakerScores:
        """Read the scores that `save` wrote.

        Raises:
            ValueError: The file is damaged.
        """
        return SpeakerScores(**read_npz(path, _ARRAYS))

    @staticmethod
    def joined(parts: Sequence[SpeakerScores]) -> SpeakerScores:
        """Return several chunks' voices as one; tracks may occur more than once."""
        return SpeakerScores(
            np.concatenate([part.track for part in parts]),
            np.concatenate([part.total for part in parts]),
            np.concatenate([part.windows for part in parts]),
        )

    def of(self, tracks: Iterable[int]) -> float:
        """Return the agreement of some tracks, of one person, with the audio.

        It is the mean cosine at the best offset, drawn towards 0 where few windows were heard.
        """
        rows = np.isin(self.track, list(tracks))
        heard = int(self.windows[rows].sum())
        return max(0.0, float((self.total[rows].sum(axis=0) / (heard + DOUBT_WINDOWS)).max())) if heard else 0.0


@dataclass(frozen=True, slots=True)
class FaceFootage:
    """Faces in a stretch of a video, to be read.

    Attributes:
        reader: Reads the frames.
        index: Of the video.
        recipe: What is done to frames first.
        span: The stretch, in source frames.
        tracks: The video's smoothed tracks.
        numbers: Those to look at.
        on_frame: Called for every decoded frame, and now and then while networks compute.
    """

    reader: VideoReader
    index: FrameIndex
    recipe: FrameRecipe
    span: Span
    tracks: Tracks
    numbers: Sequence[int]
    on_frame: Callable[[], None]


@dataclass(frozen=True, slots=True)
class OriginalAudio:
    """The audio of a video as it was recorded.

    Attributes:
        mel: Shape (columns, 80).
        voiced: Which of its columns hold speech, shape (columns,).
        lead_s: How much later than the audio the first frame is shown.
    """

    mel: FloatArray
    voiced: BoolArray
    lead_s: Fraction


def listen(footage: FaceFootage, audio: OriginalAudio, expert: SpeakerExpert) -> SpeakerScores:
    """Compare lips with the original audio.

    Looked at are windows of 5 frames at 25 a second that begin in the stretch and are mostly voiced.

    Args:
        footage: Whose lips.
        audio: The audio.
        expert: Tells how well lips and sound agree.
    """
    parts = [SpeakerScores(np.zeros(0, np.int64), np.zeros((0, expert.offsets)), np.zeros(0, np.int64))]
    for _, track, total, windows in agreements(footage, audio, expert):
        parts.append(SpeakerScores(np.array([track]), total[None], np.array([windows])))
    return SpeakerScores.joined(parts)


def columns_of(frames: int, lead_s: Fraction) -> I64Array:
    """Return the column of the mel at which each frame of 1/25 s begins, shape (frames,).

    Args:
        frames: How many.
        lead_s: How much later than the audio the first one is shown.
    """
    exact = np.arange(frames) * (MEL_RATE_HZ / CROP_RATE_HZ) + float(lead_s) * MEL_RATE_HZ
    return np.floor(exact + 1e-6).astype(np.int64)


def agreements(
    footage: FaceFootage, audio: OriginalAudio, expert: SpeakerExpert, part_frames: int | None = None
) -> Iterator[tuple[int, int, F64Array, int]]:
    """Yield the agreement of lips with audio, as `listen` adds it up: part, track, sums of cosines, windows.

    Args:
        footage: Whose lips.
        audio: The audio.
        expert: Tells how well lips and sound agree.
        part_frames: Windows are told apart by this part of the video's grid in which they begin; the same part may
            come twice. None adds up whatever was looked at together.
    """
    grid, span, mel, recipe = resampled(footage.index), footage.span, audio.mel, footage.recipe
    columns = columns_of(len(grid), audio.lead_s)
    begins = [
        int(n)
        for n in np.flatnonzero((grid >= span.start) & (grid < span.stop))
        if n + _WINDOW_FRAMES <= len(grid)
        and 0 <= columns[n] <= len(mel) - _WINDOW_COLUMNS
        and audio.voiced[columns[n] : columns[n] + _WINDOW_COLUMNS].mean() >= _VOICED_SHARE
    ]
    faces = _boxes(footage, grid, begins)
    for start in range(0, len(begins), _BLOCK_WINDOWS):
        block = begins[start : start + _BLOCK_WINDOWS]
        needed = [n for n in sorted({n + k for n in block for k in range(_WINDOW_FRAMES)}) if int(grid[n]) in faces]
        crops: dict[int, dict[int, U8Array]] = {}
        for n, decoded in zip(needed, footage.reader.read_order(int(grid[n]) for n in needed), strict=True):
            frame = recipe.apply(decoded)
            for track, box in faces[int(grid[n])]:
                crop = read_region(frame, recipe.canvas, box_to_shown(box, _SIDE_PX), _SIDE_PX)
                crops.setdefault(track, {})[n] = np.rint(crop * 255).astype(np.uint8)
            footage.on_frame()
        for part, begun in itertools.groupby(block, lambda n: n // part_frames if part_frames else 0):
            windows = list(begun)
            for track, lips in crops.items():
                yield part, track, *expert.agreement(lips, mel, [n for n in windows if n in lips], columns)
                footage.on_frame()


def _boxes(footage: FaceFootage, grid: I64Array, begins: list[int]) -> dict[int, list[tuple[int, F32Array]]]:
    """Return (track, box) of every face of a stretch to look at, by frame."""
    tracks, span = footage.tracks, footage.span
    stop = int(grid[min(begins[-1] + _WINDOW_FRAMES, len(grid) - 1)]) + 1 if begins else span.start
    here = np.isin(tracks.track, footage.numbers) & (tracks.frame >= span.start) & (tracks.frame < stop)
    near = tracks.only(here)
    chosen = select_faces(near, near.numbers, every_face(_PADS, _PADS_SHARE))
    faces: dict[int, list[tuple[int, F32Array]]] = {}
    for frame, track, box in zip(chosen.frame, chosen.track, chosen.crop_box, strict=True):
        faces.setdefault(int(frame), []).append((int(track), box))
    return faces
