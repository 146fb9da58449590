"""Rows of a run, worked through with the settings loaded for it: the part that all entry points share."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from lipwise_ray.backends.factory import engine_for, make_engine
from lipwise_ray.backends.ray.early_ray import early_ray
from lipwise_ray.backends.worker_config import WorkerConfig
from lipwise_ray.errors import InputError, LipwiseError, SetupError, SignerError, StorageError
from lipwise_ray.pipeline.dubbing.window import OutputWindow
from lipwise_ray.pipeline.manifest.manifest import Manifest
from lipwise_ray.pipeline.tasks.make_worker import make_worker
from lipwise_ray.runs.forked import check_not_forked
from lipwise_ray.runs.kept_engine import KeptEngine
from lipwise_ray.runs.progress_events import EventListener, ManifestRead, Problem, ProgressCallback, RunEnded
from lipwise_ray.runs.report import Report
from lipwise_ray.runs.row_supply import RowSupply
from lipwise_ray.runs.run_inputs import registry_of
from lipwise_ray.runs.run_request import kept
from lipwise_ray.runs.settings_source import SettingsSource
from lipwise_ray.runs.submit import evaluate, work_through
from lipwise_ray.runs.work import Dubbing
from lipwise_ray.scheduler.engine import Engine
from lipwise_ray.scheduler.metrics import NightFacts
from lipwise_ray.state.row_outcome import RowOutcome
from lipwise_ray.state.run_records import Request
from lipwise_ray.state.store import open_store

_KINDS = {"setup": SetupError, "storage": StorageError, "signer": SignerError, "input": InputError}


@dataclass(frozen=True, slots=True)
class RowsRunner:
    """Runs rows.

    Attributes:
        source: Their settings.
        models: Folder of pulled checkpoints, where `paths.models` names none; None for the user's cache.
        tell: Takes what happens.
        stop: Asked often; once it says yes, running tasks have `engine.stop_s` to end.
    """

    source: SettingsSource
    models: str | Path | None
    tell: ProgressCallback
    stop: Callable[[], bool]

    def dub_queue(self, queue: RowSupply, out: str, state: str, engine: KeptEngine) -> Report:
        """Dub rows that are added meanwhile, on an engine that stays.

        Args:
            queue: The rows.
            out: Outputs go under this folder or prefix.
            state: Where the state is.
            engine: The engine.

        Raises:
            SetupError: Nothing can start: settings, state or workers are wrong.
        """
        listener = EventListener(self.tell, 0)
        return work_through(
            queue,
            self.source,
            registry_of(self.source.for_run(), self.models),
            Dubbing(out, state, listener.problem),
            state=state,
            make_engine=engine.lend,
            listener=listener,
            stop=self.stop,
            release=engine.take_back,
        )

    def dub(
        self,
        manifest: Manifest,
        out: str,
        state: str,
        request: Request | None = None,
        *,
        verify: bool = False,
        is_over: Callable[[], bool] = lambda: False,
        night: NightFacts | None = None,
        window: OutputWindow | None = None,
    ) -> Report:
        """Dub rows; the arguments are those of `work_through`, where outputs go, and the part of them that is made."""
        listener = self._listener(manifest)
        with self._engine_maker(listener, manifest, is_attended=night is None) as make:
            return work_through(
                manifest,
                self.source,
                registry_of(self.source.for_run(), self.models),
                Dubbing(out, state, listener.problem, window),
                state=state,
                make_engine=make,
                listener=listener,
                stop=self.stop,
                is_over=is_over,
                request=kept(request, out),
                verify=verify,
                night=night,
            )

    def evaluate(self, manifest: Manifest, out: str, state: str, request: Request | None = None) -> Report:
        """Evaluate rows; the arguments are those of `submit.evaluate`."""
        listener = self._listener(manifest)
        with self._engine_maker(listener, manifest) as make:
            return evaluate(
                manifest,
                self.source,
                registry_of(self.source.for_run(), self.models),
                state=state,
                out=out,
                make_engine=make,
                listener=listener,
                stop=self.stop,
                request=kept(request, out),
            )

    def _listener(self, manifest: Manifest) -> EventListener:
        rows = manifest.good + manifest.bad
        self.tell(ManifestRead(rows))
        return EventListener(self.tell, rows)

    @contextmanager
    def _engine_maker(
        self, listener: EventListener, manifest: Manifest, *, is_attended: bool = True
    ) -> Generator[Callable[[WorkerConfig], Engine]]:
        """Yield the maker of the engine; an embedded Ray starts at once, and ends where no engine is made."""
        check_not_forked()
        settings = engine_for(self.source.for_run().engine, manifest.good, is_attended=is_attended)
        with early_ray(settings) as early:
            yield lambda config: make_engine(settings, config, make_worker, listener.problem, early)

    def end(self, report: Report, folder: Path | None = None, *, writes_page: bool = True) -> Report:
        """Write a run's page and tables, and tell of its end; that they cannot be written is told of too.

        Args:
            report: What the run came to.
            folder: Where to; None for the run's own place in the state.
            writes_page: They are wanted.
        """
        if writes_page:
            from lipwise_ray.reports.write import write_report  # nothing waits for it but the end

            try:
                report = replace(report, page=write_report(open_store(report.state), report.run_id, folder))
            except LipwiseError as error:  # what was done stays done
                self.tell(Problem(f"the report was not written: {error}"))
            except Exception:  # a fault of the program ends the command, which says what is done first
                self.tell(RunEnded(report))
                raise
        self.tell(RunEnded(report))
        return report


def error_of(outcome: RowOutcome) -> LipwiseError:
    """Return the error that ended a row, of the kind that says who is to blame."""
    record = outcome.record
    kind = _KINDS.get(str(record.get("blame")), LipwiseError)
    return kind(str(record["code"]), "", got=str(record["message"]))
