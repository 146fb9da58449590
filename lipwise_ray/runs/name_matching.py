"""Videos and new audio that belong together by their names: ``ep1.mp4`` with ``ep1.wav`` and ``ep1_pt-BR.m4a``."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from langcodes import standardize_tag, tag_is_valid

from lipwise_ray.errors import SettingsError
from lipwise_ray.media.image_sequence import IMAGE_SUFFIXES
from lipwise_ray.pipeline.manifest.row_validation import is_text

_VIDEOS = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mxf", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv"}
) | {".gif", *IMAGE_SUFFIXES}
_SOUNDS = frozenset(
    {".wav", ".m4a", ".mp3", ".flac", ".aac", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".wma", ".mka", ".ac3", ".eac3"}
)
_SEPARATOR = re.compile(r"[._ -]")
_TAG = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")
_TWO_LETTERS = 2
_OF_THREE_LETTERS = frozenset({"ceb", "fil", "gsw", "haw", "yue"})
"""Languages without a code of two letters that names may end in. Nearly every word of three letters is some language's
code: ``new`` is Newari's, ``raw`` Rawang's."""


@dataclass(frozen=True, slots=True)
class NamedPair:
    """A video and new audio for it.

    Attributes:
        video: The one.
        audio: The other.
        language: Of the audio, a tag of BCP 47; empty where its name has none.
    """

    video: Path
    audio: Path
    language: str


@dataclass(frozen=True, slots=True)
class NameMatch:
    """Pairs of two folders.

    Attributes:
        pairs: In the order of the videos' names, then the languages'.
        alone: Files that are in no pair, each with the reason.
    """

    pairs: tuple[NamedPair, ...]
    alone: tuple[tuple[Path, str], ...]


def match_names(videos: Path, sounds: Path) -> NameMatch:
    """Return the pairs of a folder of videos and one of audio, which may be the same.

    Args:
        videos: Videos and still images are looked for in it.
        sounds: Audio; where it is another folder, also files with video, whose audio is meant.

    Raises:
        SettingsError: One of them is not a folder that can be read.
    """
    # Not by Path.resolve: before Python 3.13 that takes a link in a circle for a fault of the program.
    suffixes = _SOUNDS if os.path.realpath(videos) == os.path.realpath(sounds) else _SOUNDS | _VIDEOS
    by_name: dict[str, Path] = {}
    alone: list[tuple[Path, str]] = []
    for video in _files(videos, _VIDEOS, "--videos", alone):
        first = by_name.setdefault(_key(video.stem), video)
        if first is not video:
            alone.append((video, f"has the name of {first.name}"))
    pairs: dict[tuple[Path, str], Path] = {}
    for audio in _files(sounds, suffixes, "--audio", alone):
        found = _partner(audio.stem, by_name)
        if found is None:
            alone.append((audio, "no video has its name"))
        elif (first := pairs.setdefault(found, audio)) is not audio:
            alone.append((audio, f"is for the same video and language as {first.name}"))
    paired = {video for video, _ in pairs}
    alone += [(video, "no audio has its name") for video in by_name.values() if video not in paired]
    ordered = sorted(pairs.items(), key=lambda pair: (pair[0][0].name, pair[0][1]))
    return NameMatch(tuple(NamedPair(video, audio, tag) for (video, tag), audio in ordered), tuple(alone))


def language_in(text: str) -> str | None:
    """Return the language that the end of a file's name says, as a tag of BCP 47; None where it says none."""
    if not _TAG.fullmatch(text) or not tag_is_valid(text):
        return None
    tag = standardize_tag(text)
    first = tag.partition("-")[0]
    is_sure = len(first) == _TWO_LETTERS or tag != first or first in _OF_THREE_LETTERS
    return tag if is_sure else None


def _partner(stem: str, by_name: dict[str, Path]) -> tuple[Path, str] | None:
    """Return the video of a sound's name, and its language; the longest name of a video wins."""
    if video := by_name.get(_key(stem)):
        return video, ""
    for separator in reversed([*_SEPARATOR.finditer(stem)]):
        video = by_name.get(_key(stem[: separator.start()]))
        language = language_in(stem[separator.end() :])
        if video and language:
            return video, language
    return None


def _key(stem: str) -> str:
    return unicodedata.normalize("NFC", stem).casefold()


def _files(folder: Path, suffixes: Iterable[str], option: str, alone: list[tuple[Path, str]]) -> list[Path]:
    """Return the files of a folder by name; those whose names no manifest can hold are left alone."""
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes and path.is_file())
    except OSError as error:
        got = f"{folder} is not a folder that can be read: {(error.strerror or '').lower()}"
        raise SettingsError("no_place", option, got=got, do="Name a folder of this machine") from error
    alone += [(path, "its name cannot be written in UTF-8") for path in found if not is_text(path.name)]
    return [path for path in found if not path.name.startswith(".") and is_text(path.name)]
