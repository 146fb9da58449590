"""Footage before preparation: which files there are, and how they are split."""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from lipwise_ray.errors import InputError
from lipwise_ray.storage.digest import ID_CHARACTERS
from lipwise_ray.synth.truth import without_take
from lipwise_ray.training.dataset import LONGEST_NAME, face_ending, read_list

_ENDINGS = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mts", ".ts"})
_LISTS = ("train", "val", "test")
_FURTHER_FACE = re.compile(re.escape(face_ending(0)).replace("0", r"\d+$"))
"""Names that the further clips of another video may have."""

_MOST_ADDED = len(face_ending(64)) + 9
"""Bytes that a name grows by: for a further face, and for a hash."""

_FEWEST_CLIPS = 2  # to train on, and to validate with


@dataclass(frozen=True, slots=True)
class Clip:
    """A file of footage.

    Attributes:
        name: Its name in the lists, ``<folder>/<id>``.
        path: The file.
        list_name: The list that it belongs to: ``train``, ``val`` or ``test``.
    """

    name: str
    path: Path
    list_name: str = ""


@dataclass(frozen=True, slots=True)
class Footage:
    """Files by list."""

    lists: dict[str, list[Clip]]

    @property
    def clips(self) -> list[Clip]:
        """All clips; one that several lists name is there once, as the first of them has it."""
        found: dict[str, Clip] = {}
        for clip in (clip for clips in self.lists.values() for clip in clips):
            found.setdefault(clip.name, clip)
        return [*found.values()]


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
            {name: [Clip(clip, _file_of(root, clip), name) for clip in names] for name, names in lists.items()}
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
        side = "val" if _group(clip, by_folder=len(folders) > 1) in kept else "train"
        lists[side].append(replace(clip, list_name=side))
    return Footage(lists)


def _group(clip: Clip, *, by_folder: bool) -> str:
    return clip.name.rpartition("/")[0] if by_folder else without_take(clip.name)


def _named(root: Path, files: list[Path]) -> list[Clip]:
    """Return files with names of their own: those that would share one are told apart by their paths' hashes.

    A clip is a folder, so a name that is the folder of another's is shared too.
    """
    names = [_name(root, file) for file in files]
    shared = {name for name, count in Counter(names).items() if count > 1}
    shared |= {name for name in names if _FURTHER_FACE.search(name)}
    shared |= {str(folder) for name in names for folder in PurePosixPath(name).parents} & {*names}
    return [
        Clip(f"{name}-{_path_hash(root, file)}" if name in shared else name, file)
        for name, file in zip(names, files, strict=True)
    ]


def _path_hash(root: Path, file: Path) -> str:
    return hashlib.sha256(os.fsencode(file.relative_to(root))).hexdigest()[:8]


def _short_hash(name: bytes) -> str:
    return hashlib.sha256(name).hexdigest()[:ID_CHARACTERS]


def _name(root: Path, file: Path) -> str:
    """Return a file's name in the lists: without spaces, which end a name there; another ending than .mp4 stays."""
    ending = file.suffix.lower()
    relative = file.relative_to(root).with_suffix("").as_posix().encode("utf-8", "backslashreplace").decode()
    name = "_".join(relative.split()) + ("" if ending == ".mp4" else f"-{ending[1:]}")
    name = name if "/" in name else f"clips/{name}"
    if len(name.encode()) <= LONGEST_NAME - _MOST_ADDED:
        return name
    folder, _, own = name.rpartition("/")  # clips of a folder stay together in the split
    return f"{_short_hash(os.fsencode(folder))}/{_short_hash(os.fsencode(own))}"


def _file_of(root: Path, name: str) -> Path:
    files = [root / f"{name}{ending}" for ending in sorted(_ENDINGS) if (root / f"{name}{ending}").is_file()]
    return files[0] if files else root / f"{name}.mp4"
