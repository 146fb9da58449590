"""Working through a manifest: settings, weights, lock, engine, run."""

from __future__ import annotations

import hashlib
import platform
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from lipwise_ray.backends.factory import meter_for
from lipwise_ray.backends.worker_config import WorkerConfig
from lipwise_ray.errors import EngineError, SettingsError, SetupError, StorageError
from lipwise_ray.media.encode import is_hardware
from lipwise_ray.models.checkpoints import Checkpoints
from lipwise_ray.models.loading import ModelRequest
from lipwise_ray.models.registry import Registry
from lipwise_ray.models.role import NOTHING
from lipwise_ray.pipeline.manifest.row_table import Row
from lipwise_ray.pipeline.quality.evaluation_sums import overall_distance
from lipwise_ray.runs.model_requirements import ModelRequirements
from lipwise_ray.runs.report import Report
from lipwise_ray.runs.row_source import FEWEST_ROWS, RowSource
from lipwise_ray.runs.row_supply import RowSupply
from lipwise_ray.runs.settings_source import SettingsSource
from lipwise_ray.runs.work import Evaluation, RunFacts, Work
from lipwise_ray.scheduler.deadlines import Deadlines
from lipwise_ray.scheduler.dispatcher import Dispatcher
from lipwise_ray.scheduler.ending import Ending
from lipwise_ray.scheduler.engine import Engine
from lipwise_ray.scheduler.listener import Listener
from lipwise_ray.scheduler.metrics import NightFacts
from lipwise_ray.scheduler.retry_policy import Budgets
from lipwise_ray.scheduler.run import Run
from lipwise_ray.settings.model import Settings
from lipwise_ray.state import layout
from lipwise_ray.state.done_rows import DoneRows
from lipwise_ray.state.ids import timed_id
from lipwise_ray.state.job_result import EvaluationResult
from lipwise_ray.state.ledger import Ledger
from lipwise_ray.state.run_records import EvaluationEnd, PlannedRow, Request, RunEnd, RunRecord
from lipwise_ray.state.shapes import adapter_of, record_of, typed
from lipwise_ray.state.shards import Shard, held, place_of
from lipwise_ray.state.speeds import write_speeds
from lipwise_ray.state.store import LocalStore, Store, as_json, open_store, read_json, to_json
from lipwise_ray.storage.address import is_within
from lipwise_ray.storage.cache import machine_folder, named_scratch, own_folder
from lipwise_ray.storage.scratch import scratch_file

_SCRATCH = ".lipwise-scratch"
_DIGITS = 4
_ALL_BEGIN_S, _POLL_S = 120.0, 0.2
_RENDERING_BYTES, _RESTORING_BYTES = 4 << 30, 12 << 30
"""GPU memory of a worker: a context, the networks, a batch of each, and graphs, which keep one more of their own."""


EngineMaker = Callable[[WorkerConfig], Engine]
EngineRelease = Callable[[Engine, bool], None]
"""Takes the engine once its run is over, and whether it has nothing left to do."""


def close(engine: Engine, is_idle: bool) -> None:  # noqa: FBT001  # the role has no names
    """Release an engine that was made for one run."""
    del is_idle
    engine.close()


def work_through(
    manifest: RowSupply,
    source: SettingsSource,
    registry: Registry,
    work: Work,
    *,
    state: str,
    make_engine: EngineMaker,
    listener: Listener,
    stop: Callable[[], bool] = lambda: False,
    is_over: Callable[[], bool] = lambda: False,
    request: Request | None = None,
    verify: bool = False,
    night: NightFacts | None = None,
    release: EngineRelease = close,
) -> Report:
    """Do the same with every row of a manifest, of the shard that is left of it (`Manifest.keep`), or of a queue.

    Rows that are done already are left alone; rows that got stuck go on where they stopped. Bad rows are recorded as
    failed.

    Args:
        manifest: The rows.
        source: Settings.
        registry: Where weights come from.
        work: What is done with each row.
        state: Where the state is: a folder, or a prefix of a bucket.
        make_engine: Makes the engine once the state is locked.
        listener: Is told what happens.
        stop: Asked often; once it says yes, running tasks have `engine.stop_s` to end, and the run stops.
        is_over: Asked too; once it says yes nothing more is begun, and the run stops when running tasks have ended.
        request: What asked for it, for `retry`.
        verify: Read finished outputs, and make those again that are not what was published.
        night: The night that this is part of, or None.
        release: Takes the engine when the run is over; by default it is closed.

    Raises:
        SetupError: Nothing can start: settings, weights, state or workers are wrong.
    """
    begun, shard = time.monotonic(), manifest.shard
    run_settings = source.for_run()
    engine_settings = run_settings.engine
    if is_within(work.out, state):
        do = "Name another folder or prefix"
        raise SettingsError("out_in_state", "--out", got=f"{work.out} is the state {state}, or lies in it", do=do)
    store = open_store(state)
    scratch, own = _scratch(store, run_settings.paths.scratch, shard)
    place = place_of(store, shard)
    run_id = timed_id()

    def of(settings: Settings, row: Row) -> Checkpoints:
        return work.checkpoints(requirements, settings, row)

    with held(store, shard, run_id, wait=listener.note) as lease:
        _clear(scratch, is_private=bool(own or run_settings.paths.scratch))
        for request_key in place.names(layout.CONTROL):
            place.remove(request_key)  # it was meant for a driver before this one
        requirements = ModelRequirements(registry, gpu=False)
        # Before any worker starts: mistakes show at once.
        prepare = requirements.all_of(source, manifest.variants, of, may_be_none=manifest.is_open)
        config = WorkerConfig(
            state=store.address,
            scratch=str(scratch),
            device="cpu",
            threads=engine_settings.threads_per_worker,
            paths=run_settings.paths,
            models_gb=engine_settings.models_gb,
            gpu_need_bytes=_gpu_need_bytes(run_settings),
            machine_folder=own,
        )
        engine, is_idle = make_engine(config), False
        try:
            if engine.device != "cpu":
                requirements = ModelRequirements(registry, gpu=True)
                prepare = requirements.all_of(source, manifest.variants, of, may_be_none=manifest.is_open)
            listener.run_started(run_id, engine.description)
            for note in requirements.notes:
                listener.note(note)
            meter = meter_for(engine_settings, place.address, manifest.good + manifest.bad, night)
            if manifest.good:
                lease.about = {"loading": engine.render_slots}
                _start(engine, prepare, stop, is_open=manifest.is_open)
                if any(map(is_hardware, run_settings.encode.codecs)):
                    _wait_for_all(engine, stop)
            ledger = Ledger(store, run_id)
            dispatcher = Dispatcher(engine, store, ledger, *_limits(run_settings), meter=meter)
            run = Run(
                id=run_id,
                store=store,
                place=place,
                dispatcher=dispatcher,
                ledger=ledger,
                lease=lease,
                listener=listener,
                active_rows=engine_settings.active_rows,
                active_chunks=engine_settings.active_chunks,
                is_open=manifest.is_open,
            )
            _record_run(store, run_id, manifest, run_settings, work.out, request, requirements.notes)
            _record_rows(store, run_id, manifest, work.out, scratch)
            for bad in manifest.bad_rows:
                run.refuse(bad.line, bad.id, list(bad.problems))
            try:
                known = None if verify else _known_rows(store, manifest, listener)
                waiting = manifest.waiting(partial(_record_growth, store, run_id, manifest, work.out, scratch))
                rows = RowSource(waiting, source, requirements, work, RunFacts(engine.device, verify), run, known)
                run.work(rows.jobs(), Ending(engine_settings.stop_s, stop, is_over))
                is_idle = not (run.stopped or dispatcher.running)
            finally:
                with suppress(StorageError):  # it was told of
                    meter.close()
        finally:
            release(engine, is_idle)
    return _report(run, manifest, time.monotonic() - begun, work.out)


def _known_rows(store: Store, manifest: RowSupply, listener: Listener) -> DoneRows | None:
    """Return rows that earlier runs had done; None where they are not worth a look, or not to be had."""
    if manifest.good < FEWEST_ROWS or manifest.is_open:
        return None
    try:
        return DoneRows(store, manifest.rows_total)
    except (StorageError, sqlite3.Error) as error:
        listener.problem(f"rows that are done are looked at one by one: {error}")
        return None


def _start(engine: Engine, prepare: list[ModelRequest], stop: Callable[[], bool], *, is_open: bool) -> None:
    try:
        engine.start(prepare, stop)
    except EngineError:
        if not stop():  # whoever asked this process to end may have asked Ray's too
            raise
    except SetupError:
        # A worker that has told what it can do is there: models cannot be loaded, and the row that needs them fails so.
        if not (is_open and engine.capabilities):
            raise


def _wait_for_all(engine: Engine, stop: Callable[[], bool]) -> None:
    """Let every render worker report its capabilities: which encoder is used must not go by who is first."""
    deadline_s = time.monotonic() + _ALL_BEGIN_S
    while engine.unreported and time.monotonic() < deadline_s and not stop():
        time.sleep(_POLL_S)
        engine.idle("gpu")


def _gpu_need_bytes(settings: Settings) -> int:
    """Return the GPU memory that a worker may need: for a batch of restored faces most, if there is a restorer."""
    restore = settings.restore
    is_restored = restore.model != NOTHING or restore.checkpoint is not None or restore.upscale.model != NOTHING
    return _RESTORING_BYTES if is_restored else _RENDERING_BYTES


def _scratch(store: Store, given: str | None, shard: Shard | None) -> tuple[Path, str]:
    """Return the folder for temporary files, and that of this machine which it is in; no such where it is everybody's.

    It is in a local state, or else in a folder of the machine's or in the given one, which machines may share. There it
    is named after the state and the shard, which has one driver at a time, so what lies there is nobody's when a driver
    starts.
    """
    if given is None and isinstance(store, LocalStore) and named_scratch() is None:
        folder, own = store.root / _SCRATCH, ""
    else:
        place = Path(given) if given else machine_folder()
        is_of_one_machine = given and isinstance(store, LocalStore)
        state = f"{platform.node()}:{store.address}" if is_of_one_machine else store.address
        folder = own_folder(place / hashlib.sha256(state.encode()).hexdigest()[:16])
        own = "" if given else str(place)
    return folder / shard.name if shard else folder, own


def _clear(scratch: Path, *, is_private: bool) -> None:
    """Remove the temporary files of a driver that was killed."""
    shutil.rmtree(scratch, ignore_errors=True)
    if is_private:
        own_folder(scratch)


def _limits(settings: Settings) -> tuple[Budgets, Deadlines]:
    told = settings.engine
    budgets = Budgets(
        application=told.application_attempts,
        memory=told.memory_attempts,
        infrastructure=told.infrastructure_attempts,
        backoff_s=told.backoff_s,
    )
    return budgets, Deadlines(frames_s=told.stall_s, quiet_s=told.quiet_s)


def _record_run(
    store: Store,
    run_id: str,
    manifest: RowSupply,
    settings: Settings,
    out: str,
    request: Request | None,
    notes: list[str],
) -> None:
    record = RunRecord(
        run_id=run_id,
        manifest=manifest.name,
        manifest_sha256=manifest.sha256,
        rows=manifest.good + manifest.bad,
        out=out,
        settings=settings.model_dump(mode="json"),
        begun=time.time(),
        request=request,
        shard=str(manifest.shard) if manifest.shard else None,
        rows_total=manifest.rows_total if manifest.shard else None,
        notes=tuple(notes),
        folder=str(Path.cwd()),
    )
    store.write(layout.run_record(run_id), to_json(record_of(record)))


def _record_growth(store: Store, run_id: str, manifest: RowSupply, out: str, scratch: Path) -> None:
    """Write down that there are more rows."""
    key = layout.run_record(run_id)
    store.write(key, to_json({**(read_json(store, key) or {}), "rows": manifest.good + manifest.bad}))
    _record_rows(store, run_id, manifest, out, scratch)


def _record_rows(store: Store, run_id: str, manifest: RowSupply, out: str, scratch: Path) -> None:
    """Write down the rows that are to be done, so that whoever looks at a stopped run knows which are not."""
    with scratch_file(scratch, "planned.jsonl") as temporary:
        with temporary.open("wb") as file:
            for line, row_id, output in manifest.outputs:
                planned = PlannedRow(line, row_id, f"{out}/{output}" if output else None)
                file.write(adapter_of(PlannedRow).dump_json(planned) + b"\n")
        store.put_file(layout.planned(run_id), temporary)


def _report(run: Run, manifest: RowSupply, seconds: float, out: str) -> Report:
    run.count_unfinished()
    totals = run.totals
    report = Report(
        run_id=run.id,
        done=totals["done"],
        failed=totals["failed"],
        left=manifest.good + manifest.bad - totals["done"] - totals["failed"],
        seconds=seconds,
        frames=totals["frames_rendered"],
        chunks_rendered=totals["chunks_rendered"],
        chunks_reused=totals["chunks_reused"],
        stopped=run.stopped,
        out=out,
        state=run.store.address,
        fallbacks=run.notices.fallbacks,
    )
    try:
        run.store.write(f"{layout.run(run.id)}/report.json", to_json(record_of(_end_of(report))))
        write_speeds(run.store, run.id, list(run.speeds))
    except StorageError as error:  # what was done stays done
        run.listener.problem(str(error))
    return report


def _end_of(report: Report) -> RunEnd:
    return RunEnd(
        done=report.done,
        failed=report.failed,
        left=report.left,
        seconds=round(report.seconds, 3),
        frames_rendered=report.frames,
        chunks_rendered=report.chunks_rendered,
        chunks_reused=report.chunks_reused,
        fallbacks=report.fallbacks or None,
    )


def evaluate(
    manifest: RowSupply,
    source: SettingsSource,
    registry: Registry,
    *,
    state: str,
    out: str,
    make_engine: EngineMaker,
    listener: Listener,
    stop: Callable[[], bool] = lambda: False,
    request: Request | None = None,
    release: EngineRelease = close,
) -> Report:
    """Evaluate every row of a manifest; the arguments are `work_through`'s, only that figures go to `out`.

    The record of the run's end gets the distance over the faces of all rows that have a reference.

    Raises:
        SetupError: Nothing can start.
    """
    report = work_through(
        manifest,
        source,
        registry,
        Evaluation(out),
        state=state,
        make_engine=make_engine,
        listener=listener,
        stop=stop,
        request=request,
        release=release,
    )
    store = open_store(state)
    rows = (typed(as_json(data), EvaluationResult) for data in store.read_all(store.names(layout.rows(report.run_id))))
    chunks = {row.job_id: row.chunks or 1 for row in rows if row and row.fidelity}
    if chunks:
        distance, pictures = overall_distance(store, chunks)
        key = f"{layout.run(report.run_id)}/report.json"
        fid = None if distance is None else round(distance, _DIGITS)
        store.write(key, to_json(record_of(EvaluationEnd.of(_end_of(report), fid, pictures))))
    return report
