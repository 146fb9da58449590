"""Lips of chosen faces as a judge sees them: five frames of 1/25 s at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.media.frames import FrameRecipe
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.media.region import box_to_shown, read_region
from lipwise_ray.metrics.lse import MOST_SHIFT, distances
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.quality.sync_scores import FRAMES, RATE_HZ
from lipwise_ray.state import layout
from lipwise_ray.state.store import Store
from lipwise_ray.values import F32Array, F64Array, FloatArray, I64Array, Size, U8Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from lipwise_ray.metrics.sync_scorers import LipCrops, SyncScorer

BLOCK = 100
"""Windows that are looked at together."""


class AudioFeatures:
    """A sound as a judge hears it.

    Args:
        scorer: The sync scorer.
        values: The cepstra or the mel that it hears.
        frames: Number of frames of 1/25 s that the sound has.
    """

    def __init__(self, scorer: SyncScorer, values: FloatArray, frames: int) -> None:
        self.frames = frames
        self._scorer = scorer
        self._values = values

    @staticmethod
    def of(scorer: SyncScorer, store: Store, sound_id: str, *, salvage: bool) -> AudioFeatures:
        """Return a sound of the state.

        Args:
            scorer: The sync scorer.
            store: The state.
            sound_id: Names the sound.
            salvage: It was opened as one that may be damaged.

        Raises:
            StorageError: What is heard of it is gone.
        """
        known = records.sound_of(store, sound_id, salvage=salvage)
        key_of = layout.cepstra if scorer.hears == "mfcc" else layout.mel
        values = records.open_columns(store, key_of(sound_id, salvage=salvage))
        return AudioFeatures(scorer, values, int(known.duration_s * RATE_HZ) if known else 0)

    def windows(self, frames: int) -> int:
        """Return the number of windows beside so many frames of 1/25 s."""
        return min(frames, self.frames) - FRAMES

    def distances(self, lips: F32Array, seconds: F64Array, frames: int) -> F32Array:
        """Return distances at all shifts, shape (W, 31).

        Args:
            lips: Embeddings, shape (W, D).
            seconds: Times in this sound at which the windows begin, shape (W,).
            frames: Of 1/25 s that the video has.
        """
        shifted = seconds[:, None] + np.arange(-MOST_SHIFT, MOST_SHIFT + 1) / RATE_HZ
        place = np.rint(shifted * RATE_HZ)
        inside = (place >= 0) & (place < self.windows(frames))
        columns = self._scorer.column(shifted)
        wanted, found = np.unique(columns[inside], return_inverse=True)
        heard = np.full(columns.shape, -1, np.int64)
        heard[inside] = found
        sound = self._scorer.sound(self._values, wanted) if len(wanted) else np.zeros((0, lips.shape[1]), np.float32)
        return distances(lips, sound, heard)


@dataclass(frozen=True, slots=True)
class Window:
    """A face in five frames of 1/25 s; ``part`` is what it says."""

    first: int
    track: int
    part: int = 0


def numbers_in(windows: Sequence[Window]) -> list[int]:
    """Return the frames of 1/25 s that windows have, in rising order."""
    return sorted({window.first + step for window in windows for step in range(FRAMES)})


@dataclass(frozen=True, slots=True)
class Faces:
    """Positions of the judged faces: rows in the order of their source frames.

    Attributes:
        frame: Source frames, shape (N,).
        track: Tracks whose faces they are, shape (N,).
        box: As they were detected, in the shown frame, shape (N, 4).
    """

    frame: I64Array
    track: I64Array
    box: F32Array

    def at(self, source: int) -> dict[int, int]:
        """Return the rows of a source frame by track."""
        start, stop = np.searchsorted(self.frame, [source, source + 1])
        return {int(self.track[row]): row for row in range(int(start), int(stop))}


def frames_shown(
    video: records.Video,
    recipe: FrameRecipe,
    shown: I64Array,
    *,
    threads: int = 0,
    salvage: bool = False,
    on_frame: Callable[[], None] = lambda: None,
) -> Read:
    """Return a reader of a video's frames by their numbers of 1/25 s, in rising order.

    Args:
        video: The video.
        recipe: Steps that prepare its frames.
        shown: The frame that is shown at each 25th of a second, shape (G,).
        threads: Of the decoder.
        salvage: Work with what decodes.
        on_frame: Called for every frame.
    """

    def read(numbers: list[int]) -> Iterator[tuple[VideoFrame, FrameRecipe]]:
        info = video.info
        with VideoReader(
            info.path, info.stream_index, video.index, threads=threads, salvage=salvage, deinterlace=recipe.deinterlace
        ) as reader:
            for frame in reader.read_order(int(shown[number]) for number in numbers):
                on_frame()
                yield recipe.apply(frame), recipe

    return read


Read = Callable[[list[int]], Iterator[tuple["VideoFrame", FrameRecipe]]]
"""Reader of frames of 1/25 s by their numbers, in rising order."""

NumberedCrops = Iterator[tuple[int, Mapping[int, U8Array]]]
"""Frames of 1/25 s: their numbers, and the crops of the faces in them by track."""


class LipWindows:
    """Windows of lips and their crops.

    Args:
        faces: The faces.
        shown: The source frame that is shown at each 25th of a second, shape (G,).
        crops: Crops that the scorer takes.
    """

    def __init__(self, faces: Faces, shown: I64Array, crops: LipCrops) -> None:
        self._faces = faces
        self._shown = shown
        self._crops = crops

    def __len__(self) -> int:
        return len(self._shown)

    def throughout(self, first: int) -> list[int]:
        """Return the tracks whose faces are there in all five frames of a window."""
        if first + FRAMES > len(self._shown):
            return []
        rows = [self._at(first + step) for step in range(FRAMES)]
        return sorted(set(rows[0]).intersection(*rows[1:]))

    def _at(self, number: int) -> dict[int, int]:
        return self._faces.at(int(self._shown[number]))

    def seen(self, windows: list[Window]) -> tuple[I64Array, F32Array]:
        """Return the source frames in windows, shape (W, 5), and the boxes of their faces in them, shape (W, 5, 4)."""
        numbers = np.array([window.first for window in windows], np.int64)[:, None] + np.arange(FRAMES)
        rows = [self._at(window.first + step)[window.track] for window in windows for step in range(FRAMES)]
        return self._shown[numbers], self._faces.box[np.array(rows, np.int64)].reshape(-1, FRAMES, 4)

    def within(self, numbers: I64Array, stride: int) -> list[tuple[int, int]]:
        """Return the frames of 1/25 s that windows see, and the tracks of the faces in them, in order.

        Args:
            numbers: Those that are asked for, one after another.
            stride: Windows begin at its multiples.
        """
        wanted = range(int(numbers[0]), int(numbers[-1]) + 1) if len(numbers) else range(0)
        first = max(0, wanted.start - FRAMES + 1)
        begins = range(first + -first % stride, wanted.stop, stride)
        seen = {(begin + step, track) for begin in begins for track in self.throughout(begin) for step in range(FRAMES)}
        return sorted(pair for pair in seen if pair[0] in wanted)

    def crop(self, number: int, track: int, frame: VideoFrame, recipe: FrameRecipe, shown: Size) -> U8Array:
        """Return the crop of a face in a frame of 1/25 s, shape (side, side, 3).

        Args:
            number: The frame's.
            track: Track whose face it is.
            frame: The frame, prepared.
            recipe: Steps that prepared it.
            shown: Size of the frames that boxes are in; larger frames are those enlarged.
        """
        larger = recipe.canvas.shown_size.width // shown.width or 1
        return self._crop(frame, recipe, self._crops.region(self._faces.box[self._at(number)[track]]) * larger)

    def cropped(
        self,
        windows: Sequence[Window],
        numbers: list[int],
        frames: Iterator[tuple[VideoFrame, FrameRecipe]],
        shown: Size,
    ) -> NumberedCrops:
        """Yield frames of 1/25 s and the crops of the faces in them that windows have.

        Args:
            windows: Windows; other faces are left out.
            numbers: Numbers of the frames, in rising order.
            frames: The frames, and the steps that prepared each.
            shown: Size of the frames that boxes are in; larger frames are those enlarged.
        """
        tracks = {window.track for window in windows}
        for number, (frame, recipe) in zip(numbers, frames, strict=True):
            seen = tracks.intersection(self._at(number))
            yield number, {track: self.crop(number, track, frame, recipe, shown) for track in seen}

    @staticmethod
    def blocks(windows: list[Window], frames: NumberedCrops) -> Iterator[tuple[list[Window], U8Array]]:
        """Yield windows and their crops, shape (W, 5, side, side, 3); every frame is taken once.

        Args:
            windows: In the order of their first frames.
            frames: The crops of the frames in them, in order.
        """
        crops: dict[tuple[int, int], U8Array] = {}
        latest = -1
        for start in range(0, len(windows), BLOCK):
            block = windows[start : start + BLOCK]
            while latest < block[-1].first + FRAMES - 1:
                latest, faces = next(frames)
                crops.update({(latest, track): crop for track, crop in faces.items()})
            steps = [[crops[window.first + step, window.track] for step in range(FRAMES)] for window in block]
            yield block, np.array(steps, np.uint8)
            crops = {key: crop for key, crop in crops.items() if key[0] >= block[-1].first}

    def _crop(self, frame: VideoFrame, recipe: FrameRecipe, box: F64Array) -> U8Array:
        side, size = self._crops.side_px, recipe.canvas.shown_size
        crop = np.rint(read_region(frame, recipe.canvas, box_to_shown(box, side), side) * 255).astype(np.uint8)
        if self._crops.outside is not None:
            share = (np.arange(side) + 0.5) / side
            across, down = box[0] + share * (box[2] - box[0]), box[1] + share * (box[3] - box[1])
            crop[:, (across < 0) | (across > size.width)] = self._crops.outside
            crop[(down < 0) | (down > size.height)] = self._crops.outside
        return crop


def compare_lips(
    lips: LipWindows,
    begins: I64Array,
    read: Read,
    shown: Size,
    scorer: SyncScorer,
    features: AudioFeatures,
    lead_s: float,
) -> tuple[I64Array, F32Array]:
    """Compare the faces of a finished video with its audio.

    Args:
        lips: The faces.
        begins: First frames of the windows that are looked at, of 1/25 s.
        read: Gives frames of 1/25 s by number.
        shown: Size of the frames that the faces' boxes are in.
        scorer: Compares.
        features: Of the audio.
        lead_s: Seconds by which the first frame is shown later than the audio.

    Returns:
        The windows' first frames, shape (W,), and their distances at all shifts, shape (W, 31).
    """
    frames = len(lips) + round(lead_s * RATE_HZ)
    windows = [
        Window(int(first), track)
        for first in begins
        if np.rint((first / RATE_HZ + lead_s) * RATE_HZ) < features.windows(frames)
        for track in lips.throughout(int(first))
    ]
    per_block = [np.zeros((0, 2 * MOST_SHIFT + 1), np.float32)]
    numbers = numbers_in(windows)
    for block, crops in lips.blocks(windows, lips.cropped(windows, numbers, read(numbers), shown)):
        seconds = np.array([window.first for window in block]) / RATE_HZ + lead_s
        per_block.append(features.distances(scorer.lips(crops), seconds, frames))
    return np.array([window.first for window in windows], np.int64), np.concatenate(per_block)
