"""Rows of videos that are to be evaluated: from a manifest, or named one by one."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from lipwise_ray.errors import ManifestError
from lipwise_ray.faces.select import LIKE, SPEAKING, parse_selection_rule
from lipwise_ray.pipeline.manifest.formats import Columns, RawRow
from lipwise_ray.pipeline.manifest.manifest import Manifest, RowParser, check_twins, read_rows
from lipwise_ray.pipeline.manifest.row_table import AUTO, Row, RowTable
from lipwise_ray.pipeline.manifest.row_validation import Cells, RowCells, language_in, tags_of
from lipwise_ray.storage.address import Policy, file_name

EVALUATED = Columns(
    required=("id", "video"),
    optional=("reference", "reference_start", "audio", "faces", "language", "priority", "tags", "tracks"),
)
"""Columns of rows that are to be evaluated."""

_NOT_IN_AN_ID = re.compile(r"[^\w.@+-]+")
_MOST_ID_CHARACTERS = 100


def read_evaluation(
    path: Path, policy: Policy | None = None, address: str | None = None, *, keeps_extra: bool = False
) -> Manifest:
    """Read and check a manifest of videos.

    Args:
        path: The file; its ending says what it is (.csv, .xlsx, .jsonl, .parquet).
        policy: Rules for the addresses of inputs; without one, paths and objects anywhere.
        address: Address of the file of which `path` is a copy.
        keeps_extra: Rows may have further columns, which are kept.

    Raises:
        ManifestError: The file as a whole cannot be used: missing, not text, unknown columns.
    """
    columns = replace(EVALUATED, keeps_extra=keeps_extra)

    def parser(base: str) -> RowParser:
        return _EvaluationRowParser(Cells(columns, base, policy or Policy()))

    return read_rows(path, columns, parser, address)


def rows_of(videos: Sequence[str], references: Sequence[str], policy: Policy | None = None) -> Manifest:
    """Return rows of videos that were named one by one; a row is named after its file.

    Args:
        videos: Paths or addresses, at least one.
        references: One for all of them, one for each, or none.
        policy: Rules for the addresses of inputs.

    Raises:
        ManifestError: There is none.
    """
    if not videos:
        raise ManifestError("manifest_empty", "evaluate", got="no videos", do="Name one at least")
    beside = list(references) * len(videos) if len(references) == 1 else references
    names: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="lipwise-") as folder:
        path = Path(folder) / "videos.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for number, video in enumerate(videos):
                names.add(name := row_name(video, names))
                record = {"id": name, "video": video, **({"reference": beside[number]} if beside else {})}
                file.write(json.dumps(record) + "\n")

        def parser(base: str) -> RowParser:
            del base
            return _EvaluationRowParser(Cells(EVALUATED, str(Path.cwd()), policy or Policy(), "Check the path"))

        found = read_rows(path, EVALUATED, parser)
    found.name = ", ".join(videos[:3]) + (" and more" if len(videos) > 3 else "")  # noqa: PLR2004  # enough to know it by
    return found


def row_name(address: str, taken: Collection[str] = ()) -> str:
    """Return a row's id after a file's name, one that no other row has."""
    stem = _NOT_IN_AN_ID.sub("_", Path(file_name(address)).stem).lstrip(".@+-")[:_MOST_ID_CHARACTERS] or "video"
    return next(name for number in count(1) if (name := stem if number == 1 else f"{stem}-{number}") not in taken)


class _EvaluationRowParser:
    """Collects rows of videos.

    Args:
        cells: Reads their cells.
    """

    def __init__(self, cells: Cells) -> None:
        self._cells = cells

    def add(self, line: int, record: RawRow) -> None:
        """Check one row."""
        found = self._cells.begin(line, record)
        row = self._row(found) if found else None
        self._cells.table.add(line, self._cells.id, "", "", row)

    def _row(self, found: RowCells) -> Row:
        cells, text = self._cells, found.text
        for name in EVALUATED.required:
            if not text[name]:
                cells.wrong(name, "empty, but every row needs it")
        overrides: dict[str, dict[str, Any]] = {}
        cells.faces(text["faces"], overrides)
        if overrides and parse_selection_rule(overrides["faces"]["select"]).kind in (LIKE, SPEAKING):
            happened = f"{text['faces']!r} cannot be evaluated"
            cells.wrong("faces", happened, "Choose by size, place or number, for example largest")
        language = language_in(text["language"])
        if language == AUTO:
            cells.wrong("language", f"{AUTO!r}, but no language is heard here", "Name it, or leave it empty")
        return Row(
            line=cells.line,
            id=text["id"],
            video=cells.file("video", text["video"]),
            audio=cells.file("audio", text["audio"]) or None,
            output="",
            language=language,
            priority=cells.whole("priority", text["priority"]),
            tags=tags_of(found.values["tags"]),
            tracks=cells.file("tracks", text["tracks"]) or None,
            overrides=overrides,
            reference=cells.file("reference", text["reference"]) or None,
            reference_start_s=cells.seconds("reference_start", text["reference_start"]) or 0.0,
            extra=found.extra,
        )

    def finish(self) -> RowTable:
        """Check the rows against each other."""
        self._cells.table.close_entry()
        check_twins(self._cells, ("id",))
        return self._cells.table
