"""A manifest that somebody pastes or types: its rows as drafts, and its faults by line and column."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from lipwise_ray.errors import LipwiseError, ManifestError
from lipwise_ray.pipeline.manifest.dub_rows import DUBBED
from lipwise_ray.pipeline.manifest.formats import BROKEN, RawRow, read_csv, read_jsonl, with_new_columns
from lipwise_ray.service.job_record import MOST_PRIORITY, JobDraft, JsonObject
from lipwise_ray.service.studio.new_check import NewChecker
from lipwise_ray.service.studio.new_form import DOOR, plain_name

_COLUMNS = replace(
    DUBBED,
    required=("video", "audio"),
    optional=(*DUBBED.optional, "id", "output"),
)
"""Rows of a service need neither id nor output: it makes them; where they are there, they name the video."""

_COLUMN = re.compile(r'column "([^"]*)"')
_LINE = re.compile(r"line (\d+)")
_WHOLE_NUMBER = re.compile(r"-?\d{1,7}")


@dataclass(frozen=True, slots=True)
class LineProblem:
    """A fault: its line, its column (empty for the line as a whole), and what it is."""

    line: int
    column: str
    message: str


@dataclass(slots=True)
class PastedManifest:
    """Contents of a manifest.

    Attributes:
        drafts: Rows that can be done, each with its name.
        lines: The lines of those.
        problems: Faults, in the order of their lines.
    """

    drafts: list[tuple[str, JobDraft]] = field(default_factory=list[tuple[str, JobDraft]])
    lines: list[int] = field(default_factory=list[int])
    problems: list[LineProblem] = field(default_factory=list[LineProblem])


def read_pasted(text: str, checker: NewChecker, most_rows: int) -> PastedManifest:
    """Return the rows and faults of a manifest: CSV, or JSON lines where its first character is a brace.

    Args:
        text: The manifest.
        checker: Checks its rows.
        most_rows: Rows that are read; a longer one has that as a fault.
    """
    found = PastedManifest()
    names: dict[str, int] = {}
    try:
        for number, (line, record) in enumerate(_records(text)):
            if number >= most_rows:
                found.problems.append(LineProblem(line, "", f"Only {most_rows} rows are taken at once."))
                break
            if BROKEN in record:
                found.problems.append(LineProblem(line, "", str(ManifestError("row", "", got=str(record[BROKEN])))))
                continue
            name, draft, problems = _draft(line, record)
            if (other := names.setdefault(name, line)) != line:
                got = f"{name!r} is the name of line {other} too"
                problems.append(ManifestError("row_id", 'column "id"', got=got, do="Give each row another"))
            problems += checker.problems(draft)
            order = {column: number for number, column in enumerate(record)}
            told = [_problem(line, one) for one in problems]
            found.problems += sorted(told, key=lambda one: order.get(one.column, -1))
            if not problems:
                found.drafts.append((name, draft))
                found.lines.append(line)
    except ManifestError as error:  # of the file as a whole
        line = _LINE.search(error.where)
        found.problems.append(LineProblem(int(line[1]) if line else 1, "", _plain(error, "")))
    return found


def _records(text: str) -> Iterator[tuple[int, RawRow]]:
    is_json = text.lstrip().startswith("{")
    with tempfile.TemporaryDirectory(prefix="lipwise-") as folder:
        path = Path(folder) / ("manifest.jsonl" if is_json else "manifest.csv")
        path.write_text(text, "utf-8")
        yield from with_new_columns((read_jsonl if is_json else read_csv)(path, _COLUMNS), _COLUMNS)


def _draft(line: int, record: RawRow) -> tuple[str, JobDraft, list[LipwiseError]]:
    """Return the name and the draft of a row, and what is wrong with the cells that become no column of it."""
    problems: list[LipwiseError] = []
    given = {name: value for name, value in record.items() if value not in (None, "")}
    row_id, output = str(given.pop("id", "")), str(given.pop("output", ""))
    priority = str(given.pop("priority", 0))
    if not _WHOLE_NUMBER.fullmatch(priority) or abs(int(priority)) > MOST_PRIORITY:
        got = f"{priority[:40]!r} is not a whole number from -{MOST_PRIORITY} to {MOST_PRIORITY}"
        problems.append(ManifestError("row_priority", 'column "priority"', got=got, do="Write one, such as 0 or 5"))
        priority = "0"
    name = row_id or f"line-{line}"
    columns = cast("JsonObject", given)  # a JSON line's, or texts
    stem = plain_name(output.rpartition("/")[2].rpartition(".")[0] or row_id or f"line-{line}")
    return name, JobDraft(columns=columns, door=DOOR, name=stem, priority=int(priority)), problems


def _problem(line: int, error: LipwiseError) -> LineProblem:
    column = _COLUMN.search(error.where)
    return LineProblem(line, column[1] if column else "", _plain(error, error.where if not column else ""))


def _plain(error: LipwiseError, where: str) -> str:
    return str(type(error)(error.code, "" if "/manifest." in where else where, error.must, error.got, error.do))
