"""Reading a manifest: CSV, JSON lines or Parquet; every problem of every row at once."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from lipwise_ray.dubbing.records import BROKEN, COLUMNS, READERS, REQUIRED
from lipwise_ray.dubbing.row_table import BadRow, Row, RowTable, Waiting
from lipwise_ray.dubbing.speakers import Speaker
from lipwise_ray.errors import LipwiseError, ManifestError
from lipwise_ray.faces.select import LIKE, parse_selection
from lipwise_ray.media.join import CONTAINERS
from lipwise_ray.storage.address import Policy, bucket_and_key, is_local, is_store, normal

_LENGTHS = ("audio", "video", "shortest")
_EXTENDS = ("pingpong", "loop", "hold")
ROW_ID = re.compile(r"^[\w][\w.@+-]{0,127}\Z")
_CLOCK = re.compile(r"^(?:(\d+):)?([0-5]?\d):([0-5]?\d(?:\.\d+)?)$")
MOST_BYTES = 1 << 30
_MOST_NAMED = 5
_LARGEST, _MOST_DIGITS = 1_000_000, 40
_MOST_KNOWN_FILES = 4096
_MOST_NAME_BYTES = 200  # a temporary name beside the output is longer than the output's
_LISTS = ("pads", "tags")
_MOST_SPEAKERS = 1000
_SPEAKERS_DO = 'In JSON lines: "speakers": [{"faces": "left", "audio": "a.wav", "start": 0, "end": 4.5}]'
_SOME_ROOT = "/bucket"  # names in a bucket are followed like paths, but nothing is there to be resolved


class Manifest:
    """What a manifest file holds. Its rows are on the disk and come one by one.

    Args:
        name: The file's path or address.
        sha256: Of its bytes.
        table: Its rows and their problems.
    """

    def __init__(self, name: str, sha256: str, table: RowTable) -> None:
        self.name = name
        self.sha256 = sha256
        self._table = table
        self.good, self.bad = table.counts()

    @property
    def rows(self) -> Iterator[Row]:
        """The rows that can be done, in the file's order."""
        return self._table.good()

    @property
    def bad_rows(self) -> Iterator[BadRow]:
        """The others."""
        return self._table.bad()

    @property
    def problems(self) -> Iterator[ManifestError]:
        """Every problem of every row, in the file's order."""
        return (problem for bad in self.bad_rows for problem in bad.problems)

    def waiting(self) -> Waiting:
        """Return the good rows in the order in which they are to be begun."""
        return Waiting(self._table)


def read_manifest(
    path: Path, out_root: str, presets: Iterable[str], policy: Policy | None = None, address: str | None = None
) -> Manifest:
    """Read and check a manifest.

    Args:
        path: The file; its ending says what it is (.csv, .jsonl, .parquet).
        out_root: Outputs must stay under this folder or prefix.
        presets: Known preset names.
        policy: What inputs may be; paths and objects anywhere without one.
        address: Where the file lies of which `path` is a copy.

    Raises:
        ManifestError: The file as a whole cannot be used: missing, not text, unknown columns.
    """
    name = address or str(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ManifestError("manifest_format", name, "must end in .csv, .jsonl or .parquet", path.suffix or "no ending")
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MOST_BYTES:
            raise ManifestError("manifest_size", name, f"must be under {MOST_BYTES >> 20} MiB", f"{size_bytes} B")
        base = str(path.resolve().parent) if address is None else address.rpartition("/")[0]
        parser = _Parser(base, normal(out_root), set(presets), policy or Policy())
        for line, record in reader(path):
            parser.add(line, record)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            "manifest_unreadable",
            name,
            "must be a readable UTF-8 file",
            str(getattr(error, "strerror", None) or error),
            "Check the path and the encoding",
        ) from error
    manifest = Manifest(name, sha256, parser.finish())
    if not manifest.good + manifest.bad:
        raise ManifestError("manifest_empty", name, "must have at least one row", "none")
    return manifest


class _Parser:
    """Collects rows and problems.

    Args:
        base: The folder or prefix that paths are relative to.
        out_root: Outputs go under it.
        presets: Known preset names.
        policy: What inputs may be.
    """

    def __init__(self, base: str, out_root: str, presets: set[str], policy: Policy) -> None:
        self._base = base
        self._out_root = out_root
        self._presets = presets
        self._policy = policy
        self._table = RowTable()
        self._id = ""
        self._within = ""
        self._is_file = lru_cache(_MOST_KNOWN_FILES)(_is_file)

    def add(self, line: int, record: dict[str, Any]) -> None:
        """Check one row."""
        broken = record.pop(BROKEN, None)
        name = record.get("id")
        self._id = "" if name is None else str(name).strip().encode(errors="replace").decode()
        output, row = "", None
        if broken is not None:
            self._wrong(line, None, "must be a whole row", str(broken))
        elif self._check_values(line, record):
            values = {name: record.get(name) for name in COLUMNS}
            text = {
                n: "" if v is None else str(v).strip() for n, v in values.items() if not isinstance(v, list | tuple)
            }
            output = self._output(line, text.get("output", ""))
            row = self._row(line, values, text, output)
        self._table.add(line, self._id, output, f"{self._out_root}/{output}", row)

    def _row(self, line: int, values: dict[str, Any], text: dict[str, str], output: str) -> Row:
        speakers = self._speakers(line, values["speakers"], text.get("faces", ""))
        for name in REQUIRED:
            if not text.get(name) and (name != "audio" or not values["speakers"]):
                self._wrong(line, name, "must not be empty", "nothing")
        if text.get("id") and not ROW_ID.match(text["id"]):
            self._wrong(
                line, "id", "must be letters, digits, or ._@+- (at most 128)", repr(text["id"][:140]), "Rename it"
            )
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
        return Row(
            line=line,
            id=text.get("id", ""),
            video=self._file(line, "video", text.get("video", "")),
            audio=self._file(line, "audio", text.get("audio", "")) or None,
            output=output,
            start_s=start_s,
            end_s=end_s,
            preset=preset,
            language=text.get("language") or None,
            priority=self._whole(line, "priority", text.get("priority", "")),
            tags=_tags(values["tags"]),
            tracks=tracks,
            speakers=speakers,
            overrides=overrides,
        )

    def _check_values(self, line: int, record: dict[str, Any]) -> bool:
        """Tell whether every cell is of a known column and holds one value, or note what is wrong."""
        wrong = 0
        for name, value in record.items():
            wrong += 1
            if name not in COLUMNS:
                near = difflib.get_close_matches(str(name), COLUMNS, n=1)
                hint = f'Did you mean "{near[0]}"?' if near else f"Known: {', '.join(COLUMNS)}"
                self._wrong(line, ascii(name)[1:-1][:80], "must be a known column", "", hint)
            elif name == "speakers":
                wrong -= 1  # `_speakers` looks at it
            elif isinstance(value, dict) or (isinstance(value, list | tuple) and name not in _LISTS):
                self._wrong(line, str(name), "must be one text or number", type(value).__name__)
            elif not _is_text(value):
                self._wrong(line, str(name), "must be text that UTF-8 can hold", ascii(value)[:80])
            else:
                wrong -= 1
        return not wrong

    def finish(self) -> RowTable:
        """Check the rows against each other."""
        table = self._table
        table.close_entry()
        for column in ("id", "output"):
            for value, twins in table.twins(column):
                for line, self._id in twins:
                    others = ", ".join(str(n) for n, _ in twins[: _MOST_NAMED + 1] if n != line)
                    others += " and more" if len(twins) > _MOST_NAMED + 1 else ""
                    self._wrong(line, column, "must be one row's alone", f"{value!r}, also in line {others}")
        for line, self._id, output in table.overwriting():
            self._wrong(line, "output", "must not overwrite an input", repr(output), "Change --out")
        return table

    def _wrong(self, line: int, column: str | None, must: str, got: str = "", do: str = "") -> None:
        where = f"line {line}" + (f" (id={self._id})" if self._id else "") + (f', column "{column}"' if column else "")
        where += self._within
        code = f"row_{column}" if column in COLUMNS else "row"
        self._table.add_problem(line, ManifestError(code, where, must, got, do))

    def _file(self, line: int, column: str, text: str) -> str:
        if not text:
            return ""
        address = text
        if is_local(text) and not is_local(self._base) and not Path(text).is_absolute():
            bucket, key = bucket_and_key(f"{self._base}/{text}")  # beside a manifest in a bucket
            address = f"{bucket}/{os.path.normpath(key)}"
        elif is_local(text):
            base = Path(self._base if is_local(self._base) else "/")
            try:
                path = (base / text).resolve() if "\0" not in text else base
            except OSError:
                path = base / text
            address = str(path)
            if not self._is_file(path):
                got = "a directory" if os.path.isdir(path) else f"no file at {path}"  # noqa: PTH112  # never raises
                self._wrong(line, column, "must name a file", got, "Paths are relative to the manifest")
                return address
        if is_store(address) and not bucket_and_key(address)[1]:
            self._wrong(line, column, "must name an object", "a bucket alone")
            return address
        try:
            self._policy.check(address)
        except LipwiseError as error:
            self._wrong(line, column, error.must, error.got or error.where, error.do)
        return address

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
        return str(target.relative_to(root))

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
        if text:
            into.setdefault("faces", {})["select"] = self._rule(line, "faces", text)

    def _rule(self, line: int, column: str, text: str) -> str:
        """Return a rule that chooses faces, its portrait as an address."""
        try:
            rule = parse_selection(text)
        except LipwiseError as error:
            self._wrong(line, column, error.must, error.got, error.do)
            return "largest"
        return f"{LIKE}:{self._file(line, column, rule.image)}" if rule.kind == LIKE else text

    def _speakers(self, line: int, value: object, faces: str) -> tuple[Speaker, ...]:
        if value is None or value in ("", []):
            return ()
        given = cast("list[object]", value) if isinstance(value, list) else []
        if not 1 <= len(given) <= _MOST_SPEAKERS:
            self._wrong(
                line,
                "speakers",
                f"must be a list of at most {_MOST_SPEAKERS} speakers",
                str(len(given)) if given else type(value).__name__,
                _SPEAKERS_DO,
            )
            return ()
        if faces:
            self._wrong(line, "faces", "must be empty beside speakers, who have their own", repr(faces))
        found: list[Speaker | None] = []
        for number, one in enumerate(given, 1):
            self._within = f", speaker {number}"
            found.append(self._speaker(line, one))
        self._within = ""
        return tuple(speaker for speaker in found if speaker is not None)

    def _speaker(self, line: int, value: object) -> Speaker | None:
        told = cast("dict[str, object]", value) if isinstance(value, dict) else {}
        told = {name: one for name, one in told.items() if one is not None}  # Parquet has every field in every row
        problem = ""
        if not {"faces", "audio"} <= told.keys():
            problem = "faces and audio"
        elif unknown := told.keys() - {"faces", "audio", "start", "end"}:
            problem = f"only faces, audio, start and end, not {min(unknown)!a}"
        elif not all(isinstance(one, str | int | float) and _is_text(one) for one in told.values()):
            problem = "one text or number for each"
        if problem:
            self._wrong(line, "speakers", f"must have {problem}", ascii(value)[:80], _SPEAKERS_DO)
            return None
        text = {name: str(one).strip() for name, one in told.items()}
        start_s = self._seconds(line, "speakers", text.get("start", "")) or 0.0
        end_s = self._seconds(line, "speakers", text.get("end", ""))
        if end_s is not None and end_s <= start_s:
            self._wrong(line, "speakers", "must end after the start", f"start {start_s:g} s, end {end_s:g} s")
        if not text["audio"]:
            self._wrong(line, "speakers", "must have audio", "nothing")
        audio = self._file(line, "speakers", text["audio"])
        return Speaker(self._rule(line, "speakers", text["faces"]), audio, start_s, end_s)

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
            number = int(text[:_MOST_DIGITS].removesuffix(".0"))  # a spreadsheet library's whole number
        except ValueError:
            number = _LARGEST + 1
        if not -_LARGEST <= number <= _LARGEST:
            self._wrong(line, column, f"must be a whole number of at most {_LARGEST}", repr(text[:_MOST_DIGITS]))
            return 0
        return number


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


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False
