"""Rows that runs found or left done, as later runs know them again without making their outcome anew.

A run has two logs of them: of the rows whose outcomes have records of their own, and of those that a batch found
unchanged, whose outcome stands here alone. One line is one row.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Annotated, ClassVar, cast

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from lipwise_ray.state import layout
from lipwise_ray.state.job_result import DubResult
from lipwise_ray.state.packed_lines import PackedLines
from lipwise_ray.state.row_outcome import RowOutcome, Tally
from lipwise_ray.state.shapes import STRICT, Count, Id, Maybe, NonNegative, adapter_of
from lipwise_ray.state.store import Store
from lipwise_ray.storage.redact import redact, scrub

_BEFORE_DIGEST, _BEFORE_CRC = b'{"digest":"', b',"crc":'
_ROW = re.compile(rb'\],"row":(\d{1,16}),"row_id":')
"""The row's number behind its inputs: within a text quotes would have a backslash before them."""
_MOST_RUNS = 64
_LINES_A_ROW = 4
Stamp = Annotated[str, Field(max_length=200)]


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneRow:
    """A row that ended with a video.

    Attributes:
        digest: Hash of all that the row's tasks were told: the row, its settings and checkpoints.
        inputs: Stamps of its inputs, in their order.
        row, row_id, seconds, ended, tally, extra: As in its outcome.
        result: Its result, as a later run tells of it: reused.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    digest: Id  # lines begin with it
    inputs: tuple[Stamp, ...]
    row: Count
    row_id: str
    seconds: Maybe[NonNegative] = None
    ended: Maybe[NonNegative] = None
    tally: Maybe[Tally] = None
    extra: Maybe[dict[str, str]] = None
    result: DubResult

    @property
    def outcome(self) -> RowOutcome:
        """Outcome of the row."""
        return RowOutcome(
            row=self.row,
            row_id=self.row_id,
            job_id=self.result.job_id,
            seconds=self.seconds,
            ended=self.ended,
            tally=self.tally,
            extra=self.extra,
            result=self.result,
        )


_SHAPE: TypeAdapter[DoneRow] = adapter_of(DoneRow)


def note_done(store: Store, run_id: str, digest: str, inputs: Sequence[str], outcome: RowOutcome) -> None:
    """Add a row whose outcome has a record of its own, where it has a video.

    One with original chunks stays out: a later run makes them again, once `retry` has let them. What is added lasts
    within a minute, or with the run's end.

    Args:
        store: The state.
        run_id: Id of the run.
        digest: The row's.
        inputs: Stamps of its inputs.
        outcome: Its outcome.

    Raises:
        StorageError: The state cannot be written.
    """
    if not isinstance(outcome.result, DubResult) or outcome.result.original_chunks:
        return
    row = DoneRow(
        digest=digest,
        inputs=tuple(inputs),
        row=outcome.row,
        row_id=outcome.row_id,
        seconds=outcome.seconds,
        ended=outcome.ended,
        tally=outcome.tally,
        extra=outcome.extra,
        result=replace(outcome.result, reused=True),
    )
    record = scrub(_SHAPE.dump_python(row, mode="json"))
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")
    store.append(layout.done(run_id), _sealed(text), may_wait=True)


def note_reused(store: Store, run_id: str, rows: Sequence[DoneRow]) -> None:
    """Add rows that were found unchanged, in one piece; their results are what `note_done` wrote, without secrets.

    Raises:
        StorageError: The state cannot be written.
    """
    if rows:
        lines = [_sealed(_SHAPE.dump_json(_without_secrets(row))) for row in rows]
        store.append(layout.reused(run_id), b"\n".join(lines), may_wait=True)


def _without_secrets(row: DoneRow) -> DoneRow:
    """Return a row without the secrets that its manifest may have."""
    if not row.extra and redact(row.row_id) == row.row_id:
        return row
    return replace(row, row_id=redact(row.row_id), extra=cast("dict[str, str] | None", scrub(row.extra)))


def reused_outcomes(store: Store, run_id: str) -> Iterator[RowOutcome]:
    """Yield the outcomes of the rows that a run found unchanged, in the manifest's order."""
    lines = PackedLines(latest_counts=True)
    for line in store.log(layout.reused(run_id)):
        number = _ROW.search(line)
        if number and _unsealed(line) is not None:
            lines.add(int(number[1]), line)
    for line in lines.in_order():
        if (row := _read(line)) is not None:
            yield row.outcome
    lines.close()


def count_reused(store: Store, run_id: str) -> int:
    """Return the number of rows that a run found unchanged."""
    return sum(text.startswith(_BEFORE_DIGEST) and text.endswith(b"}") for text in store.log(layout.reused(run_id)))


class DoneRows:
    """Rows that earlier runs of a state had done, by their digests, in a file of the disk.

    The latest runs are read, and of them at most some lines for each row of the manifest: what is older goes the long
    way.

    Args:
        store: The state.
        rows: Rows of the manifest, in all shards.

    Raises:
        StorageError: The state cannot be read.
        sqlite3.Error: The disk is full.
    """

    def __init__(self, store: Store, rows: int) -> None:
        self._packed = PackedLines(latest_counts=False)
        for line in islice(_lines(store), rows * _LINES_A_ROW):
            if line.startswith(_BEFORE_DIGEST):
                digest = line[len(_BEFORE_DIGEST) : line.find(b'"', len(_BEFORE_DIGEST))]
                self._packed.add(_number_of(digest), line)

    def get(self, digest: str) -> DoneRow | None:
        """Return the latest row of a digest; None where there is none, or its line is damaged."""
        line = self._packed.get(_number_of(digest.encode()))
        row = _read(line) if line else None
        return row if row is not None and row.digest == digest else None


def _number_of(digest: bytes) -> int:
    """Return a number of 64 bits for a digest; of two digests with the same one row goes the long way."""
    return int.from_bytes(hashlib.blake2b(digest, digest_size=8).digest(), signed=True)


def _lines(store: Store) -> Iterator[bytes]:
    """Yield the lines of the latest runs, the latest first."""
    for run_id in store.folders(layout.RUNS)[: -_MOST_RUNS - 1 : -1]:
        yield from store.log(layout.reused(run_id))
        yield from store.log(layout.done(run_id))


def _sealed(text: bytes) -> bytes:
    """Return a line with a checksum as its last key."""
    return b"%s%s%d}" % (text[:-1], _BEFORE_CRC, zlib.crc32(text))


def _unsealed(line: bytes) -> bytes | None:
    """Return a line without its checksum; None where it is damaged."""
    text, _, crc = line.rpartition(_BEFORE_CRC)
    text += b"}"
    return text if crc == b"%d}" % zlib.crc32(text) else None


def _read(line: bytes) -> DoneRow | None:
    """Return the row of a line; None where the line is damaged."""
    text = _unsealed(line)
    if text is None:
        return None
    try:
        return _SHAPE.validate_json(text)
    except ValidationError:
        return None
