"""Manifests of any kind: their rows on the disk, and how a file becomes one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from lipwise_ray.errors import ManifestError
from lipwise_ray.pipeline.manifest.formats import READERS, Columns, RawRow, undecoded_line, with_new_columns
from lipwise_ray.pipeline.manifest.row_table import BadRow, Row, RowTable, Waiting, line_of, rows_have_room
from lipwise_ray.pipeline.manifest.row_validation import Cells
from lipwise_ray.state.shards import Shard
from lipwise_ray.storage.address import whole_path
from lipwise_ray.storage.digest import sha256_of

MOST_BYTES = 1 << 30
_MOST_NAMED = 5


class Manifest:
    """Rows of a manifest file, which are on the disk and come one by one.

    Args:
        name: The file's path or address.
        sha256: Of its bytes.
        table: Its rows and their problems.

    Attributes:
        good, bad: Numbers of rows that can be done and that cannot; of a shard's only.
        rows_total: Number of rows in all shards.
        shard: The part that is left of it; None for the whole.
    """

    def __init__(self, name: str, sha256: str, table: RowTable) -> None:
        self.name = name
        self.sha256 = sha256
        self._table = table
        self.good, self.bad = table.counts()
        self.rows_total = self.good + self.bad
        self.shard: Shard | None = None

    @property
    def rows(self) -> Iterator[Row]:
        """The rows that can be done, in the file's order."""
        return self._table.good()

    @property
    def variants(self) -> Iterator[Row]:
        """Rows among them that differ in what decides settings and checkpoints (`Row.variant`), in the file's order."""
        return self._table.variants()

    @property
    def outputs(self) -> Iterator[tuple[int, str, str]]:
        """Line, id and output of the rows that can be done, in the file's order."""
        return self._table.outputs()

    @property
    def bad_rows(self) -> Iterator[BadRow]:
        """The others."""
        return self._table.bad()

    @property
    def problems(self) -> Iterator[ManifestError]:
        """Every problem of every row, in the file's order."""
        return (problem for bad in self.bad_rows for problem in bad.problems)

    @property
    def priority(self) -> int:
        """The highest priority of its good rows."""
        found = self._table.tenants(None)
        return found[0] if found else 0

    def keep(self, shard: Shard) -> None:
        """Leave the rows of other shards to other drivers (`RowTable.keep`); all of them are checked by now."""
        self.shard = shard
        with rows_have_room():
            self._table.keep(shard.has)
            self.good, self.bad = self._table.counts()

    @property
    def is_open(self) -> bool:
        """False: no row is added to a file."""
        return False

    def waiting(self, grown: Callable[[], None] = lambda: None) -> Waiting:
        """Return the good rows in the order in which they are to be begun.

        Args:
            grown: Would be told of rows that are added.
        """
        del grown
        return Waiting(self._table)


class RowParser(Protocol):
    """Makes rows of records and checks them against each other."""

    def add(self, line: int, record: RawRow) -> None:
        """Take in one row."""
        ...

    def finish(self) -> RowTable:
        """Return the rows once all are in."""
        ...


def read_rows(path: Path, columns: Columns, make: Callable[[str], RowParser], address: str | None = None) -> Manifest:
    """Read a manifest of any kind.

    Args:
        path: The file.
        columns: Columns that its rows may have.
        make: Makes the parser of its rows, from the folder or prefix that paths are relative to.
        address: Address of the file of which `path` is a copy.

    Raises:
        ManifestError: The file as a whole cannot be used.
    """
    name = address or str(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        happened = f'unknown ending "{path.suffix}"' if path.suffix else "no ending"
        raise ManifestError("manifest_format", name, got=happened, do=f"Known: {', '.join(READERS)}")
    base = str(whole_path(path).parent) if address is None else address.rpartition("/")[0]
    if path.exists() and not path.is_file():  # a pipe would be waited for, a device has no end
        raise ManifestError("manifest_unreadable", name, got="a folder or a device, not a file", do="Check the path")
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MOST_BYTES:
            happened = f"{size_bytes >> 20} MiB are too large"
            raise ManifestError("manifest_size", name, got=happened, do=f"The most are {MOST_BYTES >> 20} MiB")
        parser = make(base)
        with rows_have_room():
            for line, record in with_new_columns(reader(path, columns), columns):
                parser.add(line, record)
            table = parser.finish()
        sha256 = sha256_of(path)
    except FileNotFoundError as error:
        raise ManifestError("manifest_unreadable", name, got="file not found", do="Check the path") from error
    except OSError as error:
        happened = (error.strerror or str(error)).lower()
        raise ManifestError("manifest_unreadable", name, got=happened, do="Check the path") from error
    except UnicodeDecodeError as error:
        line, do = undecoded_line(path), "Save it as UTF-8, or as UTF-16 with its byte order mark"
        where = f"{name}, line {line}" if line else name
        got = f"not a text in {error.encoding.upper()}: {error.reason}"
        raise ManifestError("manifest_unreadable", where, got=got, do=do) from error
    manifest = Manifest(name, sha256, table)
    if not manifest.good + manifest.bad:
        raise ManifestError("manifest_empty", name, got="no rows", do="It needs at least one row under its header")
    return manifest


def check_twins(cells: Cells, columns: Iterable[str]) -> None:
    """Note where several rows have the same id, or the same output; the table is ready to be asked.

    Args:
        cells: Reads the rows; its table holds all of them.
        columns: Columns whose values must differ: ``id``, and ``output`` where there are outputs.
    """
    for column in columns:
        for value, twins in cells.table.twins(column):
            lines = _listed(sorted({line_of(number) for number, _ in twins}))
            for number, row_id in twins:
                cells.back_to(number, row_id)
                cells.wrong(column, f'duplicate {column} "{value}" (lines {lines})')


def _listed(lines: list[int]) -> str:
    if len(lines) == 1:  # one that gave several rows
        return str(lines[0])
    *most, last = [str(line) for line in lines[:_MOST_NAMED]]
    return f"{', '.join(most)} and {last}" if len(lines) <= _MOST_NAMED else f"{', '.join([*most, last])} and more"
