"""Speech and the mouths that say it, as mapped arrays: what a mouth reader learns from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np

from lipwise_ray.errors import InputError
from lipwise_ray.lipsync.mel import MEL_BANDS, MEL_RATE_HZ, SILENCE
from lipwise_ray.lipsync.windows import WINDOW_COLUMNS
from lipwise_ray.media.container import write_problem
from lipwise_ray.nets.mouth_reader import NUMBERS
from lipwise_ray.pipeline.analysis.crops import read_mel
from lipwise_ray.synth.truth import read_truth
from lipwise_ray.training.dataset import read_list
from lipwise_ray.training.files import in_turn, replace_text
from lipwise_ray.training.pack import digest_of
from lipwise_ray.values import F32Array, I64Array

_SCHEMA = "lipwise.spoken/1"
_ENDINGS = (".wav", ".mp4")
_READERS = 4
_FILES = ("mels.f32", "mouths.f32", "starts.i64")


class Spoken:
    """The clips of a file list.

    Attributes:
        mouths: Shape (N, 6), float32, one a frame.
        starts: First mel column of each frame's window, shape (N,).
    """

    def __init__(self, folder: Path) -> None:
        mels, mouths, starts = (folder / name for name in _FILES)
        self._mels: F32Array = np.memmap(mels, np.float32, "r").reshape(-1, MEL_BANDS)
        self.mouths: F32Array = np.memmap(mouths, np.float32, "r").reshape(-1, NUMBERS)
        self.starts: I64Array = np.memmap(starts, np.int64, "r")

    def windows(self, frames: I64Array) -> F32Array:
        """Return the mel windows of frames, shape (B, 80, 16)."""
        at = self.starts[frames][:, None] + np.arange(WINDOW_COLUMNS)
        return np.ascontiguousarray(self._mels[at].swapaxes(1, 2))


def open_spoken(root: Path, list_name: str) -> Spoken:
    """Return a list's speech; made ready on first use, and again when clips change.

    Args:
        root: A corpus of synthetic clips, with the truth beside each.
        list_name: ``train`` or ``val``.

    Raises:
        InputError: The list is missing or too short, or a clip is not there.
        StorageError: The disk is full.
    """
    clips = [_file_of(root, name) for name in read_list(root / f"{list_name}.txt")]
    facts = [(str(clip.relative_to(root)), clip.stat().st_size, clip.stat().st_mtime_ns) for clip in clips]
    digest = hashlib.sha256(repr((_SCHEMA, facts)).encode()).hexdigest()
    folder = root / f".spoken-{list_name}"
    try:
        with in_turn(folder):
            if digest_of(folder / "pack.json") != digest or not _is_whole(folder):
                _build(folder, clips, digest)
        return Spoken(folder)
    except OSError as error:
        raise write_problem(folder, error) from error


def _file_of(root: Path, name: str) -> Path:
    for ending in _ENDINGS:
        if (root / f"{name}{ending}").is_file():
            return root / f"{name}{ending}"
    raise InputError("no_clip", str(root / name), got="the clip is not there", do="Make it again")


def _build(folder: Path, clips: list[Path], digest: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pack.json").unlink(missing_ok=True)
    column = frames = 0
    pause = np.full((2 * WINDOW_COLUMNS, MEL_BANDS), SILENCE, np.float32)
    with (
        ThreadPoolExecutor(_READERS) as pool,
        (folder / _FILES[0]).open("wb") as mels,
        (folder / _FILES[1]).open("wb") as mouths,
        (folder / _FILES[2]).open("wb") as starts,
    ):
        for mel, mouth, first in _read_all(pool, clips):
            (column + first).tofile(starts)
            mouth.tofile(mouths)
            np.concatenate([mel, pause]).tofile(mels)  # the last windows reach beyond the audio
            column, frames = column + len(mel) + len(pause), frames + len(mouth)
    if not frames:
        raise InputError("small_corpus", str(folder.parent), got="holds no frame of speech", do="Make longer clips")
    sizes = [(folder / name).stat().st_size for name in _FILES]
    replace_text(folder / "pack.json", json.dumps({"schema": _SCHEMA, "digest": digest, "sizes": sizes}))


def _is_whole(folder: Path) -> bool:
    note: dict[str, object] = json.loads((folder / "pack.json").read_text())
    files = [folder / name for name in _FILES]
    return [file.stat().st_size if file.is_file() else 0 for file in files] == note.get("sizes")


def _read_all(pool: ThreadPoolExecutor, clips: list[Path]) -> Iterator[tuple[F32Array, F32Array, I64Array]]:
    for begin in range(0, len(clips), 64):  # few in memory, however many there are
        yield from pool.map(_read, clips[begin : begin + 64])


def _read(clip: Path) -> tuple[F32Array, F32Array, I64Array]:
    """Return a clip's mel (C, 80), its mouths (N, 6) and the first mel column of each (N,)."""
    truth = read_truth(clip)
    rows = [_mouth_of(row) for row in truth["frames"]] if truth else [None]
    if truth is None or None in rows:
        raise InputError(
            "no_mouths",
            str(clip),
            got="the truth beside it has no mouth of one speaker",
            do="Use a corpus of `synth corpus --kind speech` or `talking`",
        )
    mel = read_mel(clip)
    columns_a_frame = MEL_RATE_HZ / float(Fraction(truth["rate"]))
    first = np.trunc(np.arange(len(rows)) * columns_a_frame).astype(np.int64)
    inside = first < len(mel)
    return mel, np.array(rows, np.float32).reshape(-1, NUMBERS)[inside], first[inside]


def _mouth_of(row: dict[str, object]) -> object:
    faces = row.get("faces")
    if isinstance(faces, list):
        return cast("dict[str, object]", faces[0])["mouth"] if len(cast("list[object]", faces)) == 1 else None
    return row.get("mouth")
