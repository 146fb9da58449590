"""All crops and mels of a file list as two mapped arrays: batches are then plain indexing."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from itertools import repeat
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np

from lipwise_ray.errors import AudioError, InputError
from lipwise_ray.lipsync.mel import MEL_BANDS, MEL_RATE_HZ, SILENCE, mel_spectrogram
from lipwise_ray.lipsync.windows import WINDOW_COLUMNS
from lipwise_ray.media.container import write_problem
from lipwise_ray.metrics.sync import RATE_HZ
from lipwise_ray.nets.expert import FRAMES
from lipwise_ray.pipeline.analysis.crops import read_wave
from lipwise_ray.synth.truth import without_take
from lipwise_ray.training.dataset import AUDIO, NOTE, PreparedClip, read_clip, read_list, runs
from lipwise_ray.training.files import in_turn, replace_text
from lipwise_ray.values import F32Array, I64Array, U8Array

_SCHEMA = "lipwise.pack/2"
_READERS = 4


@dataclass(frozen=True, slots=True)
class FrameRun:
    """Frames of a clip without a gap.

    Attributes:
        row: First row of the run in the pack's frames.
        frames: Its length.
        first: Frame number of its first frame, which fixes its place in the audio.
        mel_row: First row of the clip in the pack's mels.
        mel_columns: Columns of the clip's mel.
        clip: The clip's name.
    """

    row: int
    frames: int
    first: int
    mel_row: int
    mel_columns: int
    clip: str


class Pack:
    """Crops and mels of a file list.

    Attributes:
        frames: BGR, shape (N, size, size, 3), uint8, mapped from disk.
        mels: Shape (M, 80), float32.
        runs: The stretches that samples are drawn from.
        takes: For each run the runs of the other takes of its clip.
        skipped: Clips that gave none, with the reason.
    """

    def __init__(self, folder: Path) -> None:
        note = json.loads((folder / "pack.json").read_text())
        self.frames = cast("U8Array", np.load(folder / "frames.npy", mmap_mode="r"))
        self.mels = cast("F32Array", np.load(folder / "mels.npy", mmap_mode="r"))
        self.runs = [FrameRun(*row) for row in note["runs"]]
        self.takes = _takes(self.runs)
        self.skipped: dict[str, str] = note["skipped"]
        self._mel = np.array([[run.mel_row, run.mel_columns, run.first, run.row] for run in self.runs])
        self.windows = _windows(self.runs)
        """First rows of all windows of 5 frames, and the number of the run of each, shape (W, 2)."""

    @property
    def size_px(self) -> int:
        """Side of the crops."""
        return self.frames.shape[1]

    def mel_windows(self, rows: I64Array, run_numbers: I64Array, lead_frames: int = 0) -> F32Array:
        """Return the mel windows of frames.

        Args:
            rows: Rows of `frames`, any shape S.
            run_numbers: The run of each, shape S.
            lead_frames: Start the window this many frames before the frame.

        Returns:
            Shape (*S, 80, 16).
        """
        mel_row, columns, first, row = (self._mel[run_numbers, place] for place in range(4))
        number = first + rows - row - lead_frames
        start = np.trunc(number * (MEL_RATE_HZ / RATE_HZ)).astype(np.int64)
        at = start[..., None] + np.arange(WINDOW_COLUMNS)
        inside = (at >= 0) & (at < columns[..., None])
        values = self.mels[mel_row[..., None] + np.clip(at, 0, columns[..., None] - 1)]
        return np.ascontiguousarray(np.where(inside[..., None], values, np.float32(SILENCE)).swapaxes(-1, -2))


def _windows(all_runs: list[FrameRun]) -> I64Array:
    parts = [
        np.stack([np.arange(run.row, run.row + run.frames - FRAMES + 1), np.full(run.frames - FRAMES + 1, number)], 1)
        for number, run in enumerate(all_runs)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 2), np.int64)


def _takes(all_runs: list[FrameRun]) -> list[list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for number, run in enumerate(all_runs):
        groups[without_take(run.clip)].append(number)
    return [[n for n in groups[without_take(run.clip)] if all_runs[n].clip != run.clip] for run in all_runs]


def open_pack(root: Path, list_name: str, size_px: int) -> Pack:
    """Return the pack of a file list; made on first use, and again when clips change.

    Args:
        root: A prepared data set.
        list_name: ``train`` or ``val``.
        size_px: Side of the crops.

    Raises:
        InputError: The list is missing, or none of its clips has two windows of 5 frames.
        StorageError: The disk is full.
    """
    names = read_list(root / f"{list_name}.txt")
    clips = {name: read_clip(root, name) for name in names}
    digest = hashlib.sha256()
    for name, clip in clips.items():
        sound = clip.folder / AUDIO if clip else None
        note = clip.folder / NOTE if clip else None
        made = note.stat().st_mtime_ns if note and note.is_file() else None
        facts = (name, clip.numbers if clip else None, sound.stat().st_size if sound else None, made)
        digest.update(repr((_SCHEMA, size_px, facts)).encode())
    folder = root / f".pack-{list_name}-{size_px}"
    try:
        with in_turn(folder):
            if digest_of(folder / "pack.json") != digest.hexdigest() or not _is_whole(folder):
                _build(folder, clips, size_px, digest.hexdigest())
    except OSError as error:
        raise write_problem(folder, error) from error
    pack = Pack(folder)
    if not len(pack.windows):
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(pack.skipped.items())[:3])
        raise InputError(
            "small_corpus",
            str(root / f"{list_name}.txt"),
            got=f"no clip has two windows of {FRAMES} frames{f' ({reasons})' if reasons else ''}",
            do="Add footage, or run `lipwise-ray train prepare` again",
        )
    return pack


def digest_of(note: Path) -> str:
    """Return the digest of a pack's clips, empty where there is no whole pack."""
    try:
        return str(json.loads(note.read_text())["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _is_whole(folder: Path) -> bool:
    try:
        arrays = [np.load(folder / name, mmap_mode="r") for name in ("frames.npy", "mels.npy")]
    except (OSError, ValueError, EOFError):
        return False
    return all(len(array) for array in arrays)


def _build(folder: Path, clips: dict[str, PreparedClip | None], size_px: int, digest: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pack.json").unlink(missing_ok=True)
    skipped: dict[str, str] = {}
    usable: list[tuple[PreparedClip, list[tuple[int, int]], F32Array]] = []
    for name, clip in clips.items():
        reason, stretches, mel = _usable(clip)
        if clip is None or reason:
            skipped[name] = reason
        else:
            usable.append((clip, stretches, mel))
    total = sum(length for _, stretches, _ in usable for _, length in stretches)
    all_runs: list[FrameRun] = []
    row = mel_row = 0
    frames = np.lib.format.open_memmap(folder / "frames.npy", "w+", np.uint8, (total, size_px, size_px, 3))
    with (folder / "frames.npy").open("r+b") as file:  # a full disk tells now, not by a signal while it is filled
        os.posix_fallocate(file.fileno(), 0, max(1, os.fstat(file.fileno()).st_size))
    with ThreadPoolExecutor(_READERS) as pool:
        for clip, stretches, mel in usable:
            numbers = [n for first, length in stretches for n in range(first, first + length)]
            files = [clip.folder / f"{n}.jpg" for n in numbers]
            for place, image in enumerate(pool.map(_read_image, files, repeat(size_px))):
                frames[row + place] = image
            for first, length in stretches:
                all_runs.append(FrameRun(row, length, first, mel_row, len(mel), clip.name))
                row += length
            mel_row += len(mel)
    frames.flush()
    mels = [mel for _, _, mel in usable]
    np.save(folder / "mels.npy", np.concatenate(mels) if mels else np.zeros((0, MEL_BANDS), np.float32))
    note = {"schema": _SCHEMA, "digest": digest, "runs": [astuple(run) for run in all_runs], "skipped": skipped}
    replace_text(folder / "pack.json", json.dumps(note))


def _usable(clip: PreparedClip | None) -> tuple[str, list[tuple[int, int]], F32Array]:
    """Return the reason why a clip cannot be used (empty if it can), its stretches, and its mel (columns, 80)."""
    nothing = np.zeros((0, MEL_BANDS), np.float32)
    if clip is None:
        return "not prepared", [], nothing
    stretches = [(first, length) for first, length in runs(clip.numbers) if length > FRAMES]
    if not stretches:
        longest = max([length for _, length in runs(clip.numbers)], default=0)
        return f"{longest} frames in a row, needs {FRAMES + 1}", [], nothing
    try:
        wave = read_wave(clip.folder / AUDIO)
    except AudioError as error:
        return str(error), [], nothing
    mel = np.ascontiguousarray(mel_spectrogram(wave).T)
    if float(mel.max()) <= SILENCE:
        return "silent", [], nothing
    return "", stretches, mel


def _read_image(path: Path, size_px: int) -> U8Array:
    image = cv2.imread(str(path))
    if image is None:
        raise InputError(
            "bad_still", str(path), got="not a JPEG that can be read", do="Prepare the clip again: remove its folder"
        )
    if image.shape[:2] != (size_px, size_px):
        image = cv2.resize(image, (size_px, size_px))
    return cast("U8Array", image)


def write_wave(path: Path, wave_f32: F32Array) -> None:
    """Write mono samples at 16 kHz as 16-bit WAV."""
    samples = np.clip(np.rint(wave_f32 * 32767), -32768, 32767).astype(np.int16)
    with av.open(str(path), "w", format="wav") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for block in _blocks(samples):
            frame = av.AudioFrame.from_ndarray(block[None, :], format="s16", layout="mono")
            frame.sample_rate = 16_000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _blocks(
    samples: np.ndarray[tuple[int], np.dtype[np.int16]],
) -> Iterator[np.ndarray[tuple[int], np.dtype[np.int16]]]:
    step = 1 << 16
    for start in range(0, len(samples), step):
        yield np.ascontiguousarray(samples[start : start + step])
