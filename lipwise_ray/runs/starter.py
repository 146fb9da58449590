"""A manifest and a job file to begin with."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from lipwise_ray.errors import OutputError, SettingsError
from lipwise_ray.media.container import write_problem
from lipwise_ray.pipeline.manifest.evaluation_rows import row_name
from lipwise_ray.runs.name_matching import NamedPair, match_names
from lipwise_ray.settings.starter_job import starter_job

_COLUMNS = ("id", "video", "audio", "output", "language")
_Columns: TypeAlias = tuple[str, str, str, str, str]
_EXAMPLE: _Columns = ("example-de", "footage/example.mp4", "dubs/example.de.wav", "example-de.mp4", "de")


@dataclass(frozen=True, slots=True)
class Starter:
    """Files that were written.

    Attributes:
        manifest: The one; its only row is an example where no folders were named.
        job: The other.
        rows: Number of rows; 0 where there is the example alone.
        alone: Files that are in no row, each with the reason.
    """

    manifest: Path
    job: Path
    rows: int
    alone: tuple[tuple[Path, str], ...] = ()


def write_starter(
    folder: Path, videos: Path | None = None, sounds: Path | None = None, *, overwrites: bool = False
) -> Starter:
    """Write ``manifest.csv`` and ``job.toml`` into a folder, which is made.

    Args:
        folder: Paths in the manifest are relative to it.
        videos: Folder of videos; None for that of the sounds, and where both are None the manifest has an example.
        sounds: Folder of new audio; None for that of the videos.
        overwrites: Take the place of files that are there.

    Raises:
        OutputError: There is such a file already, or it cannot be written.
        SettingsError: Videos or sounds are no folders, or nothing in them belongs together.
        StorageError: The disk is full or refuses.
    """
    manifest, job = folder / "manifest.csv", folder / "job.toml"
    for path in () if overwrites else (manifest, job):
        if os.path.lexists(path):
            raise OutputError(
                "starter_is_there", str(path), got="exists already", do="Add --force to overwrite it, or name another"
            )
    rows, alone = [_EXAMPLE], ()
    first, second = videos or sounds, sounds or videos
    if first and second:
        found = match_names(first, second)
        if not found.pairs:
            do = "Name them alike: ep1.mp4 with ep1.wav, ep1.de.wav or ep1_pt-BR.m4a"
            got = f"no audio in {second} has the name of a video in {first}"
            raise SettingsError("no_pairs", "init", got=got, do=do)
        rows, alone = _rows(found.pairs, folder), found.alone
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(manifest, _table(rows), overwrites=overwrites)
        _write(job, starter_job(), overwrites=overwrites)
    except OSError as error:
        raise write_problem(folder, error) from error
    return Starter(manifest, job, len(rows) if first else 0, alone)


def _rows(pairs: tuple[NamedPair, ...], folder: Path) -> list[_Columns]:
    rows: list[_Columns] = []
    taken: set[str] = set()
    for pair in pairs:
        stem = f"{pair.video.stem}-{pair.language}" if pair.language else pair.video.stem
        name = row_name(f"{stem}.mp4", taken)
        taken.add(name)
        rows.append((name, _relative(pair.video, folder), _relative(pair.audio, folder), f"{name}.mp4", pair.language))
    return rows


def _relative(path: Path, folder: Path) -> str:
    """Return a path as the manifest's reader follows it, from where the folder's links lead."""
    whole = Path(os.path.realpath(path.parent), path.name)
    return Path(os.path.relpath(whole, os.path.realpath(folder))).as_posix()


def _table(rows: list[_Columns]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_COLUMNS, *rows])
    return text.getvalue()


def _write(path: Path, text: str, *, overwrites: bool) -> None:
    with path.open("w" if overwrites else "x", encoding="utf-8", newline="") as file:
        file.write(text)
