"""Rows of a run in the order in which they are begun; those that an earlier run had done go in batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from lipwise_ray.errors import EngineError, LipwiseError, StorageError
from lipwise_ray.models.checkpoints import Checkpoints
from lipwise_ray.pipeline.dubbing.capabilities import RenderCapabilities
from lipwise_ray.pipeline.dubbing.row_digest import RowDigests
from lipwise_ray.pipeline.dubbing.task_parts import RowPart
from lipwise_ray.pipeline.flows.known_rows import KnownRows, RecheckedRow
from lipwise_ray.pipeline.flows.task_kinds import KnownRow
from lipwise_ray.pipeline.manifest.row_table import Row, Variant
from lipwise_ray.runs.model_requirements import ModelRequirements
from lipwise_ray.runs.row_supply import WaitingRows
from lipwise_ray.runs.settings_source import SettingsSource
from lipwise_ray.runs.work import RunFacts, Work, Workers
from lipwise_ray.scheduler.engine import failure_of
from lipwise_ray.scheduler.row_job import Job, RowJob
from lipwise_ray.scheduler.run import Run
from lipwise_ray.settings.model import PathsSettings, Settings
from lipwise_ray.state.done_rows import DoneRows

FEWEST_ROWS = 100
"""Of a manifest whose done rows go in batches: what earlier runs left is not read for fewer."""

_ROWS_A_BATCH = 200
_MOST_VARIANTS = 256
_MOST_BATCHES = 8
"""At a time, so that memory does not follow the workers."""


@dataclass(slots=True)
class RowSource:
    """Source of a run's rows.

    Attributes:
        waiting: The rows.
        source: Settings.
        requirements: Finds checkpoints.
        work: What is done with each row.
        facts: What its tasks are told of the run.
        run: Takes the rows that cannot start.
        known: What earlier runs had done; None where nobody looks.
    """

    waiting: WaitingRows
    source: SettingsSource
    requirements: ModelRequirements
    work: Work
    facts: RunFacts
    run: Run
    known: DoneRows | None
    _digests: RowDigests = field(default_factory=RowDigests)
    _again: deque[Row] = field(default_factory=deque[Row])
    """Rows of which something has changed."""
    _alike: dict[Variant, tuple[Settings, Checkpoints]] = field(
        default_factory=dict[Variant, tuple[Settings, Checkpoints]]
    )
    """Settings and checkpoints of the latest variants."""
    _paths: PathsSettings | None = None
    """The run's; None before they are asked for."""
    _batches: int = 0
    _round: int = 0
    _started: int = 0

    def jobs(self) -> Iterator[Job]:
        """Yield rows and batches ready to be worked on, in the order of the rows' admission rounds.

        None stands for those that are to come: once a batch has ended, or somebody adds some. Rows that cannot start
        are refused.
        """
        batch: KnownRows | None = None
        while True:
            while self._again:
                yield from self._job(self._again.popleft())
            if self._batches >= _MOST_BATCHES:
                yield None
                continue
            row = self.waiting.take(self.run.tenants_at_work)
            known = self._known_row(row) if row and self.known else None
            if known is not None:
                batch = batch or self._batch(known[0], known[1].row)
                batch.rows.append(known[1])
            elif row is not None:
                yield from self._job(row)
            if batch is not None and (row is None or len(batch.rows) == _ROWS_A_BATCH):
                self._batches += 1
                yield batch
                batch = None
            elif row is None and not (self._batches or self._again or self.waiting.is_open):
                return
            elif row is None:
                yield None

    def _batch(self, base: RowPart, row: Row) -> KnownRows:
        return KnownRows(base, row.priority, row.tenant, self._take_back)

    def _take_back(self, rows: list[Row]) -> None:
        """Take the rows of a batch that have to be begun one by one."""
        self._batches -= 1
        self._again.extend(rows)

    def _known_row(self, row: Row) -> tuple[RowPart, RecheckedRow] | None:
        """Return a row as an earlier run left it; None where none had done it, or it has to be begun all the same."""
        assert self.known is not None  # nobody asks otherwise
        try:
            part = self._part(row)
            done = self.known.get(self._digests.of(part)) if part else None
        except Exception:  # noqa: BLE001  # whatever it is, the row meets it when it is begun, and fails alone
            return None
        if part is None or done is None:
            return None
        job, seen = part.job, done.result.seen
        addresses = job.inputs
        if self._paths is None:
            self._paths = self.source.for_run().paths
        may_read_the_same = job.settings.paths == self._paths
        signed = done.result.c2pa
        if signed is not None and signed.side_car is not None:
            return None  # there is a second file to look for
        if seen is None or len(addresses) != len(done.inputs) or not may_read_the_same:
            return None
        known = KnownRow(job.output_address, seen, tuple(zip(addresses, done.inputs, strict=True)))
        return part, RecheckedRow(row, known, done)

    def _part(self, row: Row) -> RowPart | None:
        variant = row.variant
        alike = self._alike.get(variant)
        if alike is None:
            settings = self.source.for_row(row)
            alike = settings, self.work.checkpoints(self.requirements, settings, row)
            if len(self._alike) >= _MOST_VARIANTS:
                self._alike.clear()
            self._alike[variant] = alike
        return self.work.part(row, *alike, self.facts)

    def _job(self, row: Row) -> Iterator[RowJob]:
        """Yield a row ready to be worked on; one that cannot start is refused."""
        run = self.run
        self._started += 1
        if self._started > run.most_rows:
            self._round, self._started = self._round + 1, 1
        try:
            settings = self.source.for_row(row)
            engine = run.dispatcher.engine
            capabilities = [one for one in engine.capabilities if isinstance(one, RenderCapabilities)]
            workers = Workers(capabilities, are_all=not engine.unreported)
            flow = self.work.flow(row, settings, self.requirements, self.facts, self._round, workers)
            part = self._part(row)
            digest = self._digests.of(part) if part else ""
        except (StorageError, EngineError):
            raise  # the run's
        except LipwiseError as error:
            run.refuse(row.number, row.id, [error], row.extra)
        except Exception as error:  # noqa: BLE001  # a row that cannot be begun is refused, the others go on
            run.refuse(row.number, row.id, [_broken(row, error)], row.extra)
        else:
            yield RowJob(row.number, row.id, flow, row.extra, digest)


def _broken(row: Row, error: Exception) -> LipwiseError:
    failure = failure_of(error)
    return LipwiseError(failure.code, row.where, got=failure.message)
