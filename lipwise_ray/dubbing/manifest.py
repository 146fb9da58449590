"""Reading a manifest: CSV, JSON lines or Parquet; every problem of every row at once."""

from __future__ import annotations

import difflib
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from lipwise_ray.dubbing.records import BROKEN, COLUMNS, READERS, REQUIRED
from lipwise_ray.errors import LipwiseError, ManifestError
from lipwise_ray.faces.select import parse_selection
from lipwise_ray.media.join import CONTAINERS
from lipwise_ray.storage.address import Policy, bucket_and_key, is_local, is_store, normal

_LENGTHS = ("audio", "video", "shortest")
_EXTENDS = ("pingpong", "loop", "hold")
_ID = re.compile(r"^[\w][\w.@+-]{0,127}$")
_CLOCK = re.compile(r"^(?:(\d+):)?([0-5]?\d):([0-5]?\d(?:\.\d+)?)$")
_MAX_BYTES = 1 << 30
_MOST_NAMED = 5
_MOST_NAME_BYTES = 200  # a temporary name beside the output is longer than the output's
_LISTS = ("pads", "tags")
_SOME_ROOT = "/bucket"  # names in a bucket are followed like paths, but nothing is there to be resolved


@dataclass(frozen=True, slots=True)
class Row:
    """One job: a video and the sound that its speaker shall say.

    ``line`` is where the row stands in the file. ``video``, ``audio`` and ``tracks`` are absolute paths or addresses of
    objects. ``output`` is relative to the output root.
    ``overrides`` holds settings that the row's columns replace.
    """

    line: int
    id: str
    video: str
    audio: str
    output: str
    start_s: float = 0.0
    end_s: float | None = None
    preset: str | None = None
    language: str | None = None
    priority: int = 0
    tags: tuple[str, ...] = ()
    tracks: str | None = None
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    @property
    def where(self) -> str:
        """How messages name the row."""
        return f"line {self.line} (id={self.id})"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be done, with all that is wrong with it."""

    line: int
    id: str
    problems: tuple[ManifestError, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest file holds."""

    path: Path
    rows: list[Row]
    bad: list[BadRow]

    @property
    def problems(self) -> list[ManifestError]:
        """Every problem of every row, in the file's order."""
        return [p for bad in sorted(self.bad, key=lambda b: b.line) for p in bad.problems]


def read_manifest(path: Path, out_root: str, presets: Iterable[str], policy: Policy | None = None) -> Manifest:
    """Read and check a manifest.

    Args:
        path: The file; its ending says what it is (.csv, .jsonl, .parquet).
        out_root: Outputs must stay under this folder or prefix.
        presets: Known preset names.
        policy: What inputs may be; paths and objects anywhere without one.

    Raises:
        ManifestError: The file as a whole cannot be used: missing, not text, unknown columns.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ManifestError(
            "manifest_format", str(path), "must end in .csv, .jsonl or .parquet", path.suffix or "no ending"
        )
    try:
        size_bytes = path.stat().st_size
        if size_bytes > _MAX_BYTES:
            raise ManifestError("manifest_size", str(path), f"must be under {_MAX_BYTES >> 20} MiB", f"{size_bytes} B")
        records = reader(path)
        parser = _Parser(path, normal(out_root), set(presets), policy or Policy())
        for line, record in records:
            parser.add(line, record)
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            "manifest_unreadable",
            str(path),
            "must be a readable UTF-8 file",
            str(getattr(error, "strerror", None) or error),
            "Check the path and the encoding",
        ) from error
    return parser.finish()


class _Parser:
    """Collects rows and problems."""

    def __init__(self, path: Path, out_root: str, presets: set[str], policy: Policy) -> None:
        self._path = path
        self._base = path.resolve().parent
        self._out_root = out_root
        self._presets = presets
        self._policy = policy
        self._rows: list[Row] = []
        self._problems: dict[int, list[ManifestError]] = defaultdict(list)
        self._ids: dict[int, str] = {}
        self._outputs: dict[int, str] = {}
        self._files: dict[Path, bool] = {}

    def add(self, line: int, record: dict[str, Any]) -> None:
        """Check one row."""
        broken = record.pop(BROKEN, None)
        name = record.get("id")
        self._ids[line] = "" if name is None else str(name).strip().encode(errors="replace").decode()
        if broken is not None:
            self._wrong(line, None, "must be a whole row", str(broken))
            return
        self._check_values(line, record)
        if line in self._problems:
            return
        values = {name: record.get(name) for name in COLUMNS}
        text = {n: "" if v is None else str(v).strip() for n, v in values.items() if not isinstance(v, list | tuple)}
        for name in REQUIRED:
            if not text.get(name):
                self._wrong(line, name, "must not be empty", "nothing")
        if text.get("id") and not _ID.match(text["id"]):
            self._wrong(
                line, "id", "must be letters, digits, or ._@+- (at most 128)", repr(text["id"][:140]), "Rename it"
            )
        output = self._output(line, text.get("output", ""))
        overrides: dict[str, dict[str, Any]] = {}
        self._choice(line, text, "length", _LENGTHS, overrides)
        self._choice(line, text, "extend", _EXTENDS, overrides)
        self._faces(line, text.get("faces", ""), overrides)
        self._pads(line, values["pads"], overrides)
        preset = text.get("preset") or None
        if preset and preset not in self._presets:
            self._wrong(line, "preset", f"must be one of {', '.join(sorted(self._presets))}", repr(preset))
        start_s = self._seconds(line, "start", text.get("start", "")) or 0.0
        end_s = self._seconds(line, "end", text.get("end", ""))
        if end_s is not None and end_s <= start_s:
            self._wrong(line, "end", "must come after start", f"start {start_s:g} s, end {end_s:g} s")
        tracks = self._file(line, "tracks", text["tracks"]) if text.get("tracks") else None
        self._rows.append(
            Row(
                line=line,
                id=text.get("id", ""),
                video=self._file(line, "video", text.get("video", "")),
                audio=self._file(line, "audio", text.get("audio", "")),
                output=output,
                start_s=start_s,
                end_s=end_s,
                preset=preset,
                language=text.get("language") or None,
                priority=self._whole(line, "priority", text.get("priority", "")),
                tags=_tags(values["tags"]),
                tracks=tracks,
                overrides=overrides,
            )
        )

    def _check_values(self, line: int, record: dict[str, Any]) -> None:
        for name, value in record.items():
            if name not in COLUMNS:
                near = difflib.get_close_matches(str(name), COLUMNS, n=1)
                hint = f'Did you mean "{near[0]}"?' if near else f"Known: {', '.join(COLUMNS)}"
                self._wrong(line, str(name), "must be a known column", "", hint)
            elif isinstance(value, dict) or (isinstance(value, list | tuple) and name not in _LISTS):
                self._wrong(line, str(name), "must be one text or number", type(value).__name__)
            elif not _is_text(value):
                self._wrong(line, str(name), "must be text that UTF-8 can hold", ascii(value)[:80])

    def finish(self) -> Manifest:
        """Check the rows against each other."""
        if not self._rows and not self._problems:
            raise ManifestError("manifest_empty", str(self._path), "must have at least one row", "none")
        self._unique("id", self._ids)
        self._unique("output", self._outputs)
        inputs = {path for row in self._rows for path in (row.video, row.audio)}
        for row in self._rows:
            if row.output and f"{self._out_root}/{row.output}" in inputs:
                self._wrong(row.line, "output", "must not overwrite an input", repr(row.output), "Change --out")
        bad = [BadRow(line, self._ids[line], tuple(problems)) for line, problems in self._problems.items()]
        return Manifest(self._path, [row for row in self._rows if row.line not in self._problems], bad)

    def _unique(self, column: str, values: dict[int, str]) -> None:
        lines: dict[str, list[int]] = defaultdict(list)
        for line, value in values.items():
            if value:
                lines[value].append(line)
        for value, where in lines.items():
            for line in where if len(where) > 1 else ():
                others = ", ".join(str(n) for n in where[: _MOST_NAMED + 1] if n != line)
                others += " and more" if len(where) > _MOST_NAMED + 1 else ""
                self._wrong(line, column, "must be one row's alone", f"{value!r}, also in line {others}")

    def _wrong(self, line: int, column: str | None, must: str, got: str = "", do: str = "") -> None:
        name = self._ids.get(line)
        where = f"line {line}" + (f" (id={name})" if name else "") + (f', column "{column}"' if column else "")
        code = f"row_{column}" if column in COLUMNS else "row"
        self._problems[line].append(ManifestError(code, where, must, got, do))

    def _file(self, line: int, column: str, text: str) -> str:
        if not text:
            return ""
        address = text
        if is_local(text):
            try:
                path = (self._base / text).resolve() if "\0" not in text else self._base
            except OSError:
                path = self._base / text
            address = str(path)
            if not self._is_file(path):
                got = "a directory" if os.path.isdir(path) else f"no file at {path}"  # noqa: PTH112  # never raises
                self._wrong(line, column, "must name a file", got, "Paths are relative to the manifest")
                return address
        elif is_store(text) and not bucket_and_key(text)[1]:
            self._wrong(line, column, "must name an object", "a bucket alone")
            return address
        try:
            self._policy.check(address)
        except LipwiseError as error:
            self._wrong(line, column, error.must, error.got or error.where, error.do)
        return address

    def _is_file(self, path: Path) -> bool:
        if path not in self._files:
            try:
                self._files[path] = path.is_file()
            except OSError:  # a name that is too long, a folder that may not be entered
                self._files[path] = False
        return self._files[path]

    def _output(self, line: int, text: str) -> str:
        if not text:
            return ""
        if "\0" in text:
            self._wrong(line, "output", "must be a path", "a NUL byte")
            return ""
        if any(len(part.encode()) > _MOST_NAME_BYTES for part in Path(text).parts):
            self._wrong(
                line, "output", f"must have names of at most {_MOST_NAME_BYTES} bytes", f"{len(text)} characters"
            )
            return ""
        root = Path(self._out_root if is_local(self._out_root) else _SOME_ROOT)
        target = (root / text).resolve() if is_local(self._out_root) else Path(os.path.normpath(root / text))
        if not target.is_relative_to(root) or target == root:
            self._wrong(line, "output", f"must stay under the output root {self._out_root}", repr(text))
            return ""
        if target.suffix.lower() not in CONTAINERS:
            self._wrong(line, "output", f"must end in one of {', '.join(CONTAINERS)}", repr(text))
        relative = str(target.relative_to(root))
        self._outputs[line] = relative
        return relative

    def _choice(
        self, line: int, text: dict[str, str], column: str, known: tuple[str, ...], into: dict[str, dict[str, Any]]
    ) -> None:
        value = text.get(column, "").lower()
        if not value:
            return
        if value not in known:
            near = difflib.get_close_matches(value, known, n=1)
            hint = f'Did you mean "{near[0]}"?' if near else ""
            self._wrong(line, column, f"must be one of {', '.join(known)}", repr(value), hint)
            return
        into.setdefault("timing", {})[column] = value

    def _faces(self, line: int, text: str, into: dict[str, dict[str, Any]]) -> None:
        if not text:
            return
        try:
            parse_selection(text)
        except LipwiseError as error:
            self._wrong(line, "faces", error.must, error.got, error.do)
        else:
            into.setdefault("faces", {})["select"] = text

    def _pads(self, line: int, value: object, into: dict[str, dict[str, Any]]) -> None:
        if value is None or value == "":
            return
        items: list[object] = list(cast("list[object]", value)) if isinstance(value, list | tuple) else []
        parts = [str(v) for v in items] if items else re.split(r"[,\s]+", str(value).strip())
        try:
            numbers = [int(part) for part in parts]
        except ValueError:
            numbers = []
        if len(numbers) != 4:  # noqa: PLR2004  # four sides
            self._wrong(line, "pads", "must be four whole numbers: top,bottom,left,right", repr(value))
            return
        into.setdefault("faces", {})["pads"] = numbers

    def _seconds(self, line: int, column: str, text: str) -> float | None:
        if not text:
            return None
        clock = _CLOCK.match(text)
        try:
            if clock:
                hours, minutes, seconds = clock.groups()
                value = int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)
            else:
                value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            self._wrong(line, column, "must be seconds or h:mm:ss, at least 0", repr(text))
            return None
        return value

    def _whole(self, line: int, column: str, text: str) -> int:
        if not text:
            return 0
        try:
            return int(text.removesuffix(".0"))  # a spreadsheet library's whole number
        except ValueError:
            self._wrong(line, column, "must be a whole number", repr(text))
            return 0


def _is_text(value: object) -> bool:
    """Tell whether a value, or each item of a list, can be written as UTF-8; JSON allows what cannot."""
    if isinstance(value, list | tuple):
        items = cast("list[object]", value)
        return all(not isinstance(item, dict | list) and _is_text(item) for item in items)
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def _tags(value: object) -> tuple[str, ...]:
    if isinstance(value, list | tuple):
        return tuple(str(v) for v in cast("list[object]", value))
    return tuple(part.strip() for part in re.split(r"[|,;]", str(value or "")) if part.strip())
