"""Footage before preparation: which files there are, and how they are split."""

from __future__ import annotations

import csv
import hashlib
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lipwise_ray.backends.ray.map import ItemHandler, spread
from lipwise_ray.errors import InputError
from lipwise_ray.media.container import write_problem
from lipwise_ray.synth.truth import without_take
from lipwise_ray.training.dataset import read_list
from lipwise_ray.training.prepare import PrepareSpec, prepare_clip

if TYPE_CHECKING:
    from lipwise_ray.faces.detections import FaceDetector
    from lipwise_ray.metrics.sync import SpeakerExpert

_ENDINGS = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mts", ".ts"})
_LISTS = ("train", "val", "test")
_SKIPPED = "skipped.csv"
_FEWEST_CLIPS = 2  # to train on, and to validate with


@dataclass(frozen=True, slots=True)
class Clip:
    """A file of footage and its name in the lists, ``<folder>/<id>``."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Footage:
    """Files by list."""

    lists: dict[str, list[Clip]]

    @property
    def clips(self) -> list[Clip]:
        """Return all clips."""
        return [clip for clips in self.lists.values() for clip in clips]


def find_footage(root: Path, val_share: float) -> Footage:
    """Return the footage under a folder.

    A folder with file lists (``train.txt``, ``val.txt``, ``test.txt``) is read by them, as LRS2 is
    laid out. Any other is searched, and split by folder, or by file where there is one folder, in
    the order of the names' checksums: clips added to folders that are there move nothing.

    Args:
        root: The folder.
        val_share: Share for validation where there are no lists.

    Raises:
        InputError: There is no footage, or too little for a split.
    """
    if not root.is_dir():
        got = "not a folder of footage, but a file" if root.exists() else "nothing is there"
        raise InputError("no_footage", str(root), got=got, do="Check the path")
    if (root / "train.txt").is_file():
        lists = {name: read_list(root / f"{name}.txt") for name in _LISTS if (root / f"{name}.txt").is_file()}
        return Footage(
            {name: [Clip(clip_name, _file_of(root, clip_name)) for clip_name in names] for name, names in lists.items()}
        )
    files = sorted(f for f in root.rglob("*") if f.suffix.lower() in _ENDINGS and f.is_file())
    clips = _named(root, files)
    if len(clips) < _FEWEST_CLIPS:
        raise InputError(
            "small_corpus",
            str(root),
            got=f"holds too few clips: {len(clips)}",
            must="at least two are needed, to train on and to validate with",
            do="Add footage",
        )
    folders = {clip.name.rpartition("/")[0] for clip in clips}
    groups = sorted({_group(clip, by_folder=len(folders) > 1) for clip in clips}, key=lambda g: zlib.crc32(g.encode()))
    kept = set(groups[: max(1, round(val_share * len(groups)))])
    lists = {"train": list[Clip](), "val": list[Clip]()}
    for clip in clips:
        lists["val" if _group(clip, by_folder=len(folders) > 1) in kept else "train"].append(clip)
    return Footage(lists)


def _group(clip: Clip, *, by_folder: bool) -> str:
    return clip.name.rpartition("/")[0] if by_folder else without_take(clip.name)


def _named(root: Path, files: list[Path]) -> list[Clip]:
    """Return files with names of their own: those that would share one are told apart by their paths' hashes."""
    names = [_name(root, file) for file in files]
    shared = {name for name, count in Counter(names).items() if count > 1}
    return [
        Clip(f"{name}-{_path_hash(root, file)}" if name in shared else name, file)
        for name, file in zip(names, files, strict=True)
    ]


def _path_hash(root: Path, file: Path) -> str:
    return hashlib.sha256(os.fsencode(file.relative_to(root))).hexdigest()[:8]


def _name(root: Path, file: Path) -> str:
    """Return a file's name in the lists: without spaces, which end a name there; another ending than .mp4 stays."""
    ending = file.suffix.lower()
    relative = file.relative_to(root).with_suffix("").as_posix().encode("utf-8", "backslashreplace").decode()
    name = "_".join(relative.split()) + ("" if ending == ".mp4" else f"-{ending[1:]}")
    return name if "/" in name else f"clips/{name}"


def _file_of(root: Path, name: str) -> Path:
    files = [root / f"{name}{ending}" for ending in sorted(_ENDINGS) if (root / f"{name}{ending}").is_file()]
    return files[0] if files else root / f"{name}.mp4"


@dataclass(frozen=True, slots=True)
class Preparer:
    """Makes the handler that prepares clips, in a worker.

    Attributes:
        out: The prepared data set.
        spec: Rules by which clips are prepared.
        detector: Makes the face detector for a device; None takes the boxes from the truth.
        expert: Weights that measure the offset; None for no check.
    """

    out: Path
    spec: PrepareSpec
    detector: Callable[[str], FaceDetector] | None
    expert: Path | None

    def __call__(self) -> ItemHandler:
        """Return the handler, its models loaded on the worker's GPU where it has one."""
        import torch

        from lipwise_ray.metrics.sync import SpeakerExpert

        device = "cuda" if torch.cuda.is_available() else "cpu"
        detector = self.detector(device) if self.detector else None
        return _Handler(self.out, self.spec, detector, SpeakerExpert(self.expert, device) if self.expert else None)


@dataclass(frozen=True, slots=True)
class _Handler:
    out: Path
    spec: PrepareSpec
    detector: FaceDetector | None
    judge: SpeakerExpert | None

    def __call__(self, clip: Clip) -> int:
        return int(prepare_clip(clip.path, self.out / clip.name, self.spec, self.detector, self.judge)["frames"])


def prepare_footage(
    footage: Footage, out: Path, preparer: Preparer, *, address: str, workers: int
) -> Iterator[tuple[Clip, int | InputError]]:
    """Prepare clips on Ray's workers and write the lists of those that could be.

    Run again, it goes on: what is prepared stays. ``skipped.csv`` says why clips are missing.

    Args:
        footage: Files by list.
        out: Folder of the prepared data set.
        preparer: Makes the handler of each worker.
        address: Ray cluster; ``local`` for one on this machine.
        workers: Number of workers; 0 for one a core, or one a GPU where there are any.

    Yields:
        Each clip with its number of frames, or with what is wrong with it.

    Raises:
        InputError: A list is left without a clip.
        OutputError: The folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_problem(out, error) from error
    done: set[str] = set()
    skipped: list[tuple[str, str, str]] = []
    empty: list[str] = []
    for clip, result in spread(preparer, footage.clips, address=address, workers=workers):
        if isinstance(result, InputError):
            reason = str(result).encode("utf-8", "backslashreplace").decode()
            skipped.append((clip.name, result.code, reason))
        else:
            done.add(clip.name)
        yield clip, result
    for name, clips in footage.lists.items():
        if not done.intersection(clip.name for clip in clips):
            empty.append(name)
        (out / f"{name}.txt").write_text("".join(f"{clip.name}\n" for clip in clips if clip.name in done), "utf-8")
    with (out / _SKIPPED).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("clip", "code", "reason"), *sorted(skipped)])
    if empty:
        raise InputError(
            "small_corpus",
            str(out / f"{empty[0]}.txt"),
            got="no clip could be prepared",
            do=f"See {out / _SKIPPED}, and add footage",
        )
