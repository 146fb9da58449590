"""Active speaker scores of faces, frame by frame while somebody is heard; and their agreement with what is heard."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.faces.people import People
from lipwise_ray.faces.select import rivals
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.lipsync.voice_activity import runs
from lipwise_ray.media.region import box_to_shown, read_region
from lipwise_ray.pipeline.analysis.active_speaker import DOUBT_WINDOWS, FaceFootage, OriginalAudio, columns_of
from lipwise_ray.pipeline.analysis.crops import resampled
from lipwise_ray.storage.arrays import ArraySpec, read_npz
from lipwise_ray.values import BoolArray, F32Array, F64Array, FloatArray, I64Array, Span, U8Array

if TYPE_CHECKING:
    from lipwise_ray.metrics.lip_activity import LipActivity

PART_FRAMES = 25
"""Agreement with the audio is added up by the second."""

_MOST_BLOCKS = 20
"""Blocks of a face that are scored at once: of so many seconds mouths are kept, and a tenth more is computed twice."""

_ARRAYS = {
    "track": ArraySpec("int64", ("R",)),
    "number": ArraySpec("int64", ("R",)),
    "score": ArraySpec("float32", ("R",)),
    "heard_track": ArraySpec("int64", ("V",)),
    "heard_part": ArraySpec("int64", ("V",)),
    "heard_total": ArraySpec("float64", ("V", "O")),
    "heard_windows": ArraySpec("int64", ("V",)),
}


@dataclass(frozen=True, slots=True)
class SpeakerActivity:
    """Active speaker scores of faces, on the grid of 25 frames a second; and their agreement with the audio.

    Attributes:
        track, number: The face and frame of each score, shape (R,): only where somebody is heard.
        score: Logits, above 0 where lips move as in speech, shape (R,), float32.
        heard_track, heard_part: The face and the `PART_FRAMES` of each sum below, shape (V,); none without an expert.
        heard_total: Sums of cosines at offsets around none, shape (V, offsets).
        heard_windows: How many were summed, shape (V,).
    """

    track: I64Array
    number: I64Array
    score: F32Array
    heard_track: I64Array
    heard_part: I64Array
    heard_total: F64Array
    heard_windows: I64Array

    def save(self, path: Path) -> None:
        """Write as .npz."""
        np.savez_compressed(path, **{one.name: getattr(self, one.name) for one in fields(self)})

    @staticmethod
    def load(path: Path) -> SpeakerActivity:
        """Read what `save` wrote.

        Raises:
            ValueError: It is damaged.
        """
        return SpeakerActivity(**read_npz(path, _ARRAYS))

    @staticmethod
    def joined(parts: Sequence[SpeakerActivity]) -> SpeakerActivity:
        """Return several chunks' activity as one."""
        names = [one.name for one in fields(SpeakerActivity)]
        return SpeakerActivity(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    @staticmethod
    def of_scores(
        scores: Iterable[tuple[int, int, float]],
        agreements: Iterable[tuple[int, int, F64Array, int]] = (),
        offsets: int = 1,
    ) -> SpeakerActivity:
        """Return the activity of scores (track, frame, logit) and agreements (part, track, sums, windows)."""
        seen, heard = list(scores), list(agreements)
        return SpeakerActivity(
            np.array([track for track, _, _ in seen], np.int64),
            np.array([number for _, number, _ in seen], np.int64),
            np.array([score for _, _, score in seen], np.float32),
            np.array([track for _, track, _, _ in heard], np.int64),
            np.array([part for part, _, _, _ in heard], np.int64),
            np.array([total for _, _, total, _ in heard], np.float64).reshape(-1, offsets),
            np.array([windows for _, _, _, windows in heard], np.int64),
        )

    def course(self, tracks: Collection[int], frames: int) -> F32Array:
        """Return the scores of a person's tracks by frame, shape (frames,); NaN where nobody is heard or he is away."""
        found = np.full(frames, np.nan, np.float32)
        rows = np.isin(self.track, list(tracks)) & (self.number < frames)
        np.fmax.at(found, self.number[rows], self.score[rows])
        return found

    def agreement(self, tracks: Collection[int], frames: Span) -> float | None:
        """Return the agreement of a person's lips with the audio in some frames; None where that was not looked at.

        It is the mean cosine at the offset that is best for the whole video, drawn towards 0 where few windows were
        heard.
        """
        parts = Span(frames.start // PART_FRAMES, -(-frames.stop // PART_FRAMES))
        rows = np.isin(self.heard_track, list(tracks))
        rows &= (self.heard_part >= parts.start) & (self.heard_part < parts.stop)
        heard = int(self.heard_windows[rows].sum())
        if not heard:
            return None
        offset = int(self.heard_total.sum(axis=0).argmax())
        return float(self.heard_total[rows, offset].sum() / (heard + DOUBT_WINDOWS))


def tracks_to_watch(people: People, *, everybody: bool) -> list[int]:
    """Return the tracks whose lips are to be compared with the audio.

    Args:
        people: Who is there, as those who are chosen among.
        everybody: Also of who is alone in a shot: somebody may be heard who is not seen.
    """
    if not everybody:
        return rivals(people)
    return sorted(number for shot in people.shots for person in shot for number in person.tracks)


def frames_voiced(audio: OriginalAudio, frames: int) -> BoolArray:
    """Return in which frames of 1/25 s somebody is heard, shape (frames,)."""
    columns = columns_of(frames, audio.lead_s)
    inside = columns < len(audio.voiced)
    found = np.zeros(frames, np.bool_)
    found[inside] = audio.voiced[columns[inside]]
    return found


def watch(
    footage: FaceFootage, audio: OriginalAudio, cepstra: FloatArray, network: LipActivity
) -> Iterator[tuple[int, int, float]]:
    """Yield active speaker scores of faces where somebody is heard: track, frame, logit.

    A score does not depend on where the stretch begins and ends: frames around it are read too.

    Args:
        footage: The faces.
        audio: What is heard.
        cepstra: Of the same audio, shape (columns, 13).
        network: Scores faces.
    """
    from lipwise_ray.metrics.lip_activity import cepstra_at, mouth_of
    from lipwise_ray.nets.lr_asd import SIDE_PX

    grid, span, recipe = resampled(footage.index), footage.span, footage.recipe
    is_wanted = frames_voiced(audio, len(grid)) & (grid >= span.start) & (grid < span.stop)
    pieces = sorted(
        _pieces(footage.tracks, footage.numbers, grid, np.flatnonzero(is_wanted)), key=lambda piece: piece.frames.start
    )
    is_read = np.zeros(len(grid), np.bool_)
    for piece in pieces:
        is_read[piece.frames.start : piece.frames.stop] = True
    order, waiting = np.flatnonzero(is_read).tolist(), deque(pieces)
    watched: list[tuple[_Piece, list[U8Array]]] = []
    for number, decoded in zip(order, footage.reader.read_order(int(grid[n]) for n in order), strict=True):
        while waiting and waiting[0].frames.start <= number:
            watched.append((waiting.popleft(), []))
        frame = recipe.apply(decoded)
        for piece, mouths in watched:
            to_shown = box_to_shown(piece.boxes[len(mouths)], SIDE_PX)
            mouths.append(mouth_of(read_region(frame, recipe.canvas, to_shown, SIDE_PX)))
        footage.on_frame()
        for piece, mouths in watched:
            if piece.frames.stop == number + 1:
                heard = cepstra_at(cepstra, piece.frames.start, len(piece.frames), float(audio.lead_s))
                scores = network.scores(np.stack(mouths), heard, piece.frames.start, piece.blocks, footage.on_frame)
                yield from ((piece.track, n, score) for n, score in scores.items() if is_wanted[n])
        watched = [one for one in watched if one[0].frames.stop > number + 1]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A face over consecutive frames of the grid: blocks, what their scores depend on, and where its mouth is."""

    track: int
    blocks: range
    frames: Span
    boxes: F64Array


def _pieces(tracks: Tracks, numbers: Sequence[int], grid: I64Array, wanted: I64Array) -> Iterator[_Piece]:
    """Yield the pieces in which scores of some frames are wanted; short ones that would share frames are one."""
    from lipwise_ray.metrics.lip_activity import BLOCK_FRAMES, MARGIN_FRAMES, mouth_boxes

    has_block = np.zeros(len(grid) // BLOCK_FRAMES + 1, np.bool_)
    has_block[wanted // BLOCK_FRAMES] = True
    near = -(-2 * MARGIN_FRAMES // BLOCK_FRAMES)
    for track in numbers:
        rows = tracks.rows(track)
        there = np.isin(grid, tracks.frame[rows])
        boxes = mouth_boxes(tracks.box[rows])
        for start, stop in runs(there):
            blocks = np.arange(start // BLOCK_FRAMES, (stop - 1) // BLOCK_FRAMES + 1)
            blocks = blocks[has_block[blocks]]
            is_apart = (np.diff(blocks) > near) | (np.diff(blocks // _MOST_BLOCKS) > 0)
            for group in np.split(blocks, np.flatnonzero(is_apart) + 1):
                if not len(group):
                    continue
                low = max(int(start), int(group[0]) * BLOCK_FRAMES - MARGIN_FRAMES)
                high = min(int(stop), (int(group[-1]) + 1) * BLOCK_FRAMES + MARGIN_FRAMES)
                at = np.searchsorted(tracks.frame[rows], grid[low:high])
                yield _Piece(track, range(int(group[0]), int(group[-1]) + 1), Span(low, high), boxes[at])
