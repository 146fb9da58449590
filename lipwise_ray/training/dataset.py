"""A prepared data set on disk: face crops and audio a clip, file lists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lipwise_ray.errors import InputError, os_reason

AUDIO = "audio.wav"
"""Mono 16 kHz audio beside a clip's crops. Source: Wav2Lip preprocess.py."""

NOTE = "clip.json"
"""Note of `train prepare` on a clip; data prepared by the original has none."""

CURATION = ".curation"
"""Folder of a data set in which `train prepare` keeps what it found and measured in each video."""

LONGEST_NAME = 200
"""Bytes of a clip's name: it is a path of folders below the data set's, on systems that allow 255 for each."""


@dataclass(frozen=True, slots=True)
class PreparedClip:
    """A clip: ``<number>.jpg`` for each frame with a face, and its audio.

    Attributes:
        name: ``<folder>/<id>``, as file lists have it.
        folder: Folder of the files.
        numbers: Frame numbers, ascending; gaps are frames without a face.
    """

    name: str
    folder: Path
    numbers: tuple[int, ...]


def face_ending(number: int) -> str:
    """Return the end of the name of a video's further clips; `number` counts its faces from 1."""
    return f"+face{number}"


def read_list(path: Path) -> list[str]:
    """Return the names in a file list: one a line; what follows a space is not part of it.

    Raises:
        InputError: There is no such list, it is empty, or a name leaves the folder.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else "not a text in UTF-8"
        raise InputError(
            "no_list", str(path), got=f"not a file list of clips: {reason}", do="Run `lipwise-ray train prepare`"
        ) from error
    names = [line.split()[0] for line in lines if line.strip()]
    if not names:
        raise InputError("empty_list", str(path), got="lists no clips", do="Add clips; a split needs two speakers")
    for name in names:
        if name.startswith("/") or ".." in name.split("/") or len(name.encode()) > LONGEST_NAME:
            raise InputError(
                "bad_name", str(path), got=f"{name[:80]!r} is not a clip below this folder", do="Correct the list"
            )
    return names


def read_clip(root: Path, name: str) -> PreparedClip | None:
    """Return a prepared clip, None where it was not prepared."""
    folder = root / name
    if not (folder / AUDIO).is_file():
        return None
    numbers = sorted(int(file.stem) for file in folder.glob("*.jpg") if file.stem.isdigit())
    return PreparedClip(name, folder, tuple(numbers))


def runs(numbers: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the gapless stretches of frame numbers as (first number, length)."""
    stretches: list[tuple[int, int]] = []
    for number in numbers:
        if stretches and number == sum(stretches[-1]):
            stretches[-1] = (stretches[-1][0], stretches[-1][1] + 1)
        else:
            stretches.append((number, 1))
    return stretches
