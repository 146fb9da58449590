"""Rows of a manifest that are to be dubbed: their columns, and every problem of every row at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from lipwise_ray.errors import InputError
from lipwise_ray.media.join import CONTAINERS
from lipwise_ray.pipeline.manifest.background_cells import BACKGROUND_COLUMNS, read_background
from lipwise_ray.pipeline.manifest.cast import diarisation_of, read_cast
from lipwise_ray.pipeline.manifest.formats import Columns, RawRow
from lipwise_ray.pipeline.manifest.languages import RowsByLanguage, TracksOf
from lipwise_ray.pipeline.manifest.manifest import Manifest, RowParser, check_twins, read_rows
from lipwise_ray.pipeline.manifest.row_table import Row, RowTable, line_of
from lipwise_ray.pipeline.manifest.row_validation import Cells, RowCells, is_text, language_in, tags_of
from lipwise_ray.pipeline.manifest.script import read_script, read_text, read_voice
from lipwise_ray.pipeline.manifest.setting_cells import SETTING_COLUMNS, read_settings
from lipwise_ray.pipeline.manifest.speakers import FurtherSound, Speaker
from lipwise_ray.settings.renamed import RENAMED, Renames
from lipwise_ray.storage.address import Policy, is_local, normal, shown, whole_path

DUBBED = Columns(
    required=("id", "video", "audio", "output"),
    optional=(
        "start",
        "end",
        "length",
        "extend",
        "faces",
        "pads",
        "preset",
        "language",
        "priority",
        "tags",
        "tracks",
        "speakers",
        "text",
        "voice",
        *BACKGROUND_COLUMNS,
    ),
    instead={"audio": "speakers"},
    or_instead={"audio": "text"},
    settings=SETTING_COLUMNS,
)
"""Columns of rows that are to be dubbed."""

_LENGTHS = ("audio", "video", "shortest", "longest", "fit")
_EXTENDS = ("pingpong", "loop", "hold")
_MOST_KNOWN_FOLDERS = 4096
_MOST_NAME_BYTES = 255  # the bound of usual file systems; an output's own may have another, which it checks
_MOST_SPEAKERS = 1000
_MOST_PAD_PX = 100_000
_SPEAKERS_DO = 'In JSON lines: "speakers": [{"faces": "left", "audio": "a.wav", "start": 0, "end": 4.5}]'
_SOME_ROOT = "/bucket"  # names in a bucket are followed like paths, but nothing is there to be resolved


def read_manifest(
    path: Path,
    out_root: str,
    presets: Iterable[str],
    policy: Policy | None = None,
    address: str | None = None,
    *,
    keeps_extra: bool = False,
    tracks_of: TracksOf = lambda _: "one",
    is_alone: bool = False,
    renames: Renames = RENAMED,
) -> Manifest:
    """Read and check a manifest of rows that are to be dubbed.

    Args:
        path: The file; its ending says what it is (.csv, .xlsx, .jsonl, .parquet).
        out_root: Outputs must stay under this folder or prefix.
        presets: Known preset names.
        policy: Rules for the addresses of inputs; without one, paths and objects anywhere.
        address: Address of the file of which `path` is a copy.
        keeps_extra: Rows may have further columns, which are kept.
        tracks_of: Tells how many soundtracks the file of a row gets that has audio by language.
        is_alone: It is one row that no manifest holds, whose relative paths go by the working directory.
        renames: Names that columns had.

    Raises:
        ManifestError: The file as a whole cannot be used: missing, not text, unknown columns.
    """
    columns = replace(DUBBED, keeps_extra=keeps_extra, renames=renames)

    def parser(base: str) -> RowParser:
        hint = f"Paths are relative to the {'working directory' if is_alone else 'manifest'}"
        cells = Cells(columns, base, policy or Policy(), hint, is_alone=is_alone)
        rows = _DubRows(cells, normal(out_root), set(presets))
        return RowsByLanguage(rows, tracks_of)

    return read_rows(path, columns, parser, address)


class _DubRows:
    """Collects rows that are to be dubbed.

    Args:
        cells: Reads their cells.
        out_root: Outputs go under it.
        presets: Known preset names.
    """

    def __init__(self, cells: Cells, out_root: str, presets: set[str]) -> None:
        self._cells = cells
        self._out_root = out_root
        self._is_out_local = is_local(out_root)
        self._presets = presets
        self._folder = lru_cache(_MOST_KNOWN_FOLDERS)(whole_path)

    def add_numbered(self, line: int, record: RawRow, further: int, beside: Mapping[str, str]) -> None:
        """Check one row, with further audio of its file."""
        cells = self._cells
        found = cells.begin(line, record, further)
        output = self._output(found.text["output"]) if found else ""
        row = self._row(found, output) if found else None
        if row and (further or beside):
            sounds = tuple(FurtherSound(tag, cells.file("audio", file.strip())) for tag, file in beside.items())
            row = replace(row, further=further, beside=sounds)
        cells.table.add(cells.number, cells.id, output, f"{self._out_root}/{output}", row, cells.video)

    def _row(self, found: RowCells, output: str) -> Row:
        values, text = found.values, found.text
        turns = str(values["speakers"]).strip() if isinstance(values["speakers"], str) else ""
        for name in DUBBED.required:
            instead = name == "audio" and (text.get("text") or (values["speakers"] and not turns))
            if not text.get(name) and not instead:
                self._cells.wrong(name, "empty, but every row needs it")
        audio = self._cells.file("audio", text.get("audio", ""))
        if turns:
            speakers = read_cast(self._cells, text.get("faces", ""), audio)
        else:
            speakers = self._speakers(values["speakers"], text.get("faces", ""))
        script = read_script(self._cells, text, speakers)
        overrides: dict[str, dict[str, Any]] = {}
        self._cells.choice(text, "length", _LENGTHS, overrides)
        self._cells.choice(text, "extend", _EXTENDS, overrides)
        if not turns:
            self._cells.faces(text.get("faces", ""), overrides)
        self._pads(values["pads"], overrides)
        read_settings(self._cells, values, overrides)
        preset = text.get("preset") or None
        if preset and preset not in self._presets:
            self._cells.wrong("preset", f"unknown preset {preset!r}", f"Known: {', '.join(sorted(self._presets))}")
        start_s = self._cells.seconds("start", text.get("start", "")) or 0.0
        end_s = self._cells.seconds("end", text.get("end", ""))
        if end_s is not None and end_s <= start_s:
            self._cells.wrong("end", f"the end, {end_s:g} s, is not after the start, {start_s:g} s")
        tracks = self._cells.file("tracks", text["tracks"]) if text.get("tracks") else None
        return Row(
            line=self._cells.line,
            id=text.get("id", ""),
            video=self._cells.file("video", text.get("video", "")),
            audio=audio or None,
            output=output,
            start_s=start_s,
            end_s=end_s,
            preset=preset,
            language=language_in(text.get("language", "")),
            priority=self._cells.whole("priority", text.get("priority", "")),
            tags=tags_of(values["tags"]),
            tracks=tracks,
            speakers=speakers,
            diarisation=diarisation_of(self._cells, turns) if turns else None,
            script=script,
            background=read_background(self._cells, text, overrides),
            overrides=overrides,
            extra=found.extra,
        )

    def finish(self) -> RowTable:
        """Check the rows against each other."""
        cells = self._cells
        cells.table.close_entry()
        check_twins(cells, ("id", "output"))
        for number, row_id, output in cells.table.overwriting():
            cells.back_to(number, row_id)
            cells.wrong("output", f"{output!r} would overwrite an input", "Write it elsewhere")
        for number, row_id, output, other in cells.table.nested():
            cells.back_to(number, row_id)
            cells.wrong("output", f"{output!r} would lie under the output of line {line_of(other)}")
        return cells.table

    def _output(self, text: str) -> str:
        if not text:
            return ""
        if problem := _no_path(text):
            self._cells.wrong("output", *problem)
            return ""
        root = self._out_root if self._is_out_local else _SOME_ROOT
        place = os.path.join(root, text)  # noqa: PTH118  # a row's cost, as below
        try:
            target = self._whole(place) if self._is_out_local else os.path.normpath(place)
        except InputError as error:
            self._cells.wrong("output", error.happened, error.do)
            return ""
        under = f"{root.rstrip('/')}/"
        if not target.startswith(under) or target == under:
            self._cells.wrong("output", f"{text!r} leaves the output root {self._out_root}")
            return ""
        if os.path.splitext(target)[1].lower() not in CONTAINERS:  # noqa: PTH122  # it may be an address
            self._cells.wrong("output", f"unknown ending of {text!r}", f"Known: {', '.join(CONTAINERS)}")
        return target.removeprefix(under)

    def _whole(self, place: str) -> str:
        """Return `whole_path` of an output: rows share folders, each of which is looked at once.

        Raises:
            InputError: It leads nowhere.
        """
        folder, _, name = place.rpartition("/")
        if name in ("", ".", "..") or not name.isascii() or os.path.islink(place):  # noqa: PTH114  # never raises
            return str(whole_path(place))
        return f"{str(self._folder(folder)).rstrip('/')}/{name}"

    def _speakers(self, value: object, faces: str) -> tuple[Speaker, ...]:
        if value is None or value in ("", []):
            return ()
        given = cast("list[object]", value) if isinstance(value, list) else []
        if not 1 <= len(given) <= _MOST_SPEAKERS:
            happened = f"{len(given)} speakers" if given else f"a {type(value).__name__}"
            self._cells.wrong("speakers", f"{happened} instead of a list of at most {_MOST_SPEAKERS}", _SPEAKERS_DO)
            return ()
        if faces:
            self._cells.wrong("faces", f"{faces!r} beside speakers, who have faces of their own", "Leave it empty")
        found: list[Speaker | None] = []
        for number, one in enumerate(given, 1):
            self._cells.within = f", speaker {number}"
            found.append(self._speaker(one))
        self._cells.within = ""
        return tuple(speaker for speaker in found if speaker is not None)

    def _speaker(self, value: object) -> Speaker | None:
        cells = cast("dict[str, object]", value) if isinstance(value, dict) else {}
        cells = {name: one for name, one in cells.items() if one is not None}  # Parquet has every field in every row
        problem = ""
        if not {"faces"} <= cells.keys() or not {"audio", "text"} & cells.keys():
            problem = "faces or audio is missing"
        elif {"audio", "text"} <= cells.keys() or {"audio", "voice"} <= cells.keys():
            problem = "audio beside a text or voice"
        elif unknown := cells.keys() - {"faces", "audio", "start", "end", "text", "voice"}:
            problem = f"unknown key {min(unknown)!a}"
        elif not all(isinstance(one, str | int | float) and is_text(one) for one in cells.values()):
            problem = "a value that is not one text or number"
        if problem:
            self._cells.wrong("speakers", f"{problem} in {ascii(value)[:80]}", _SPEAKERS_DO)
            return None
        text = {name: str(one).strip() for name, one in cells.items()}
        start_s = self._cells.seconds("speakers", text.get("start", "")) or 0.0
        end_s = self._cells.seconds("speakers", text.get("end", ""))
        if end_s is not None and end_s <= start_s:
            self._cells.wrong("speakers", f"the end, {end_s:g} s, is not after the start, {start_s:g} s")
        if text.get("audio") == "":
            self._cells.wrong("speakers", "audio is empty")
        audio = self._cells.file("speakers", text.get("audio", ""))
        said = read_text(self._cells, "speakers", text["text"]) if "text" in text else ""
        voice = read_voice(self._cells, "speakers", text.get("voice", ""))
        return Speaker(self._cells.rule("speakers", text["faces"]), audio, start_s, end_s, "", said, voice)

    def _pads(self, value: object, into: dict[str, dict[str, Any]]) -> None:
        if value is None or value == "":
            return
        items: list[object] = list(cast("list[object]", value)) if isinstance(value, list | tuple) else []
        parts = [str(v) for v in items] if items else re.split(r"[,\s]+", str(value).strip())
        try:
            numbers = [int(part) for part in parts]
        except ValueError:
            numbers = []
        if len(numbers) != 4 or any(abs(number) > _MOST_PAD_PX for number in numbers):  # noqa: PLR2004  # four sides
            do = "Write four whole numbers: top,bottom,left,right"
            self._cells.wrong("pads", f"{repr(value)[:80]} are not pads", do)
            return
        into.setdefault("faces", {}).update(pads=numbers, pads_share=[0.0] * 4)


def _no_path(text: str) -> tuple[str, str] | None:
    """Return the fault of a cell that is no path of an output, and what to do; None for one that may be a path."""
    if "\0" in text:
        return "a NUL byte in the path", ""
    if "://" in text:
        return f"{shown(text)!r} is an address", "Write a path under the output root, which --out names: also a bucket"
    if len(text.encode()) > _MOST_NAME_BYTES < max(len(part.encode()) for part in text.split("/")):
        return f"a name of more than {_MOST_NAME_BYTES} bytes", ""
    return None
