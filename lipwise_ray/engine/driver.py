"""Submitting a manifest: settings, weights, lock, engine, run. The library call behind `submit`."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lipwise_ray.dubbing.context import JobSpec
from lipwise_ray.dubbing.flow import RowFlow
from lipwise_ray.dubbing.manifest import Manifest
from lipwise_ray.dubbing.models import EMBEDDER, EXPERT, PARSER, PASSTHROUGH, SPANDREL, SYNCNET, TINY_RESTORER
from lipwise_ray.dubbing.row_table import Row, Waiting
from lipwise_ray.dubbing.speakers import listens, needs_detector, portraits, rules_of
from lipwise_ray.dubbing.worker import WorkerConfig
from lipwise_ray.engine.contract import Engine
from lipwise_ray.engine.dispatcher import Deadlines, Dispatcher
from lipwise_ray.engine.run import Listener, RowJob, Run
from lipwise_ray.engine.verdicts import Budgets
from lipwise_ray.errors import InputError, LipwiseError, OutputError, SettingsError, StorageError
from lipwise_ray.faces.select import LIKE, parse_selection
from lipwise_ray.layers import read_preset, resolve
from lipwise_ray.media.join import codec_for, container_for
from lipwise_ray.nets.registry import Registry, Weights
from lipwise_ray.settings import Settings
from lipwise_ray.state import layout
from lipwise_ray.state.lease import DriverLease
from lipwise_ray.state.ledger import Ledger
from lipwise_ray.state.store import LocalStore, Store, open_store, to_json
from lipwise_ray.storage.address import is_local, normal
from lipwise_ray.storage.cache import machine_folder
from lipwise_ray.values import Json

_MOST_KNOWN = 256
_SYNCNET, _TINY_JUDGE = "syncnet_v2", "tiny_judge"
_SCRATCH = ".lipwise-scratch"
NOTHING = "none"
_AUTO_RESTORER = "gfpgan_1_4"
Layer = tuple[str, Mapping[str, Any]]


@dataclass(slots=True)
class SettingsSource:
    """Settings of a run and of each of its rows: preset, job file, command line, row columns.

    Attributes:
        presets: Folder of preset files.
        preset: The run's preset.
        layers: Job file and command line, in rising precedence.
    """

    presets: Path
    preset: str
    layers: list[Layer]
    _known: OrderedDict[str, Settings] = field(default_factory=OrderedDict[str, Settings])

    def for_run(self) -> Settings:
        """Return the settings without any row's columns.

        Raises:
            SettingsError: A setting is unknown or impossible.
        """
        return self._resolve(self.preset, {})

    def for_row(self, row: Row) -> Settings:
        """Return a row's settings."""
        return self._resolve(row.preset or self.preset, row.overrides)

    def _resolve(self, preset: str, overrides: Mapping[str, Any]) -> Settings:
        key = f"{preset} {sorted((s, sorted(v.items())) for s, v in overrides.items())}"
        if key not in self._known:
            base: Layer = (f"preset {preset}", read_preset(self.presets, preset))
            settings = resolve([base, *self.layers, ("the row", overrides)])
            try:
                rule = parse_selection(settings.faces.select)
            except InputError as error:
                raise SettingsError("faces", "faces.select", error.must, error.got) from error
            if rule.kind == LIKE and is_local(rule.image):  # of a job file or --set; rows name absolute paths
                faces = settings.faces.model_copy(update={"select": f"{LIKE}:{Path(rule.image).resolve()}"})
                settings = settings.model_copy(update={"faces": faces})
            self._known[key] = settings
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return self._known[key]


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to."""

    run_id: str
    done: int
    failed: int
    left: int
    seconds: float
    frames: int
    chunks_rendered: int
    chunks_reused: int

    @property
    def exit_code(self) -> int:
        """0 all done, 1 some rows failed, 3 stopped before the end and resumable."""
        if self.left:
            return 3
        return 1 if self.failed else 0


EngineMaker = Callable[[WorkerConfig], Engine]


def submit(
    manifest: Manifest,
    source: SettingsSource,
    registry: Registry,
    *,
    state: str,
    out: str,
    make_engine: EngineMaker,
    listener: Listener,
    stop: Callable[[], bool] = lambda: False,
    command: list[str] | None = None,
) -> Report:
    """Dub every row of a manifest.

    Rows that are done already are left alone; rows that got stuck go on where they stopped.

    Args:
        manifest: What to do; its bad rows are recorded as failed.
        source: Settings.
        registry: Where weights come from.
        state: Where the state is: a folder, or a prefix of a bucket.
        out: Outputs go under this folder or prefix.
        make_engine: Makes the engine once the state is locked.
        listener: Is told what happens.
        stop: Asked often; once it says yes, running tasks end and the run stops.
        command: The command line that asked for it, for `retry`.

    Raises:
        SetupError: Nothing can start: settings, weights, state or workers are wrong.
    """
    begun = time.monotonic()
    run_settings = source.for_run()
    store = open_store(state)
    out = normal(out)
    scratch = Path(run_settings.paths.scratch) if run_settings.paths.scratch else _scratch(store)
    run_id = time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + "-" + uuid.uuid4().hex[:6]
    with DriverLease(store, run_id, wait=listener.problem) as lease:
        if not run_settings.paths.scratch:
            shutil.rmtree(scratch, ignore_errors=True)  # left over from a driver that was killed
        for request in store.names(layout.CONTROL):
            store.remove(request)  # it was meant for a driver before this one
        weights = WeightsTable(registry, gpu=False)
        prepare = weights.all_of(source, manifest.rows)  # before any worker starts: mistakes show at once
        threads = run_settings.engine.threads_per_worker
        engine = make_engine(WorkerConfig(store.address, str(scratch), "cpu", threads, run_settings.paths))
        try:
            if engine.device != "cpu":
                weights = WeightsTable(registry, gpu=True)
                prepare = weights.all_of(source, manifest.rows)
            listener.run_started(run_id, engine.description)
            for name, licence in weights.non_commercial:
                listener.terms(name, licence)
            if manifest.good:
                engine.start(prepare)
            ledger = Ledger(store, run_id)
            dispatcher = Dispatcher(engine, store, ledger, *_limits(run_settings))
            told = run_settings.engine
            run = Run(run_id, store, dispatcher, ledger, lease, listener, told.active_rows, told.active_chunks)
            _record_run(store, run_id, manifest, run_settings, out, command or [])
            for bad in manifest.bad_rows:
                run.refuse(bad.line, bad.id, list(bad.problems))
            run.work(_jobs(manifest.waiting(), source, weights, out, scratch, engine.device, run), stop)
        finally:
            engine.close()
    return _report(run, manifest, time.monotonic() - begun)


def _scratch(store: Store) -> Path:
    """Return the folder for temporary files: in a local state, else one of this machine named after the state."""
    if isinstance(store, LocalStore):
        return store.root / _SCRATCH
    return machine_folder() / hashlib.sha256(store.address.encode()).hexdigest()[:16]


def _limits(settings: Settings) -> tuple[Budgets, Deadlines]:
    told = settings.engine
    budgets = Budgets(told.application_attempts, told.memory_attempts, told.infrastructure_attempts, told.backoff_s)
    return budgets, Deadlines(told.stall_s, told.quiet_s)


def _record_run(
    store: Store, run_id: str, manifest: Manifest, settings: Settings, out: str, command: list[str]
) -> None:
    record: Json = {
        "run_id": run_id,
        "manifest": manifest.name,
        "manifest_sha256": manifest.sha256,
        "rows": manifest.good + manifest.bad,
        "out": out,
        "settings": settings.model_dump(mode="json"),
        "begun": time.time(),
        "command": command,
        "folder": str(Path.cwd()),
    }
    store.write(f"{layout.run(run_id)}/run.json", to_json(record))


def _report(run: Run, manifest: Manifest, seconds: float) -> Report:
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
    )
    record: Json = {
        "done": report.done,
        "failed": report.failed,
        "left": report.left,
        "seconds": round(seconds, 3),
        "frames_rendered": report.frames,
        "chunks_rendered": report.chunks_rendered,
        "chunks_reused": report.chunks_reused,
    }
    try:
        run.store.write(f"{layout.run(run.id)}/report.json", to_json(record))
    except StorageError as error:  # what was done stays done
        run.listener.problem(str(error))
    return report


class WeightsTable:
    """Finds the checkpoints that settings ask for; each file is hashed once.

    Args:
        registry: Where named ones are.
        gpu: Workers have a GPU, so that ``auto`` may take the heavier detector.
    """

    def __init__(self, registry: Registry, *, gpu: bool) -> None:
        self._registry = registry
        self._gpu = gpu
        self._known: dict[tuple[str, str | None, str], Weights] = {}
        self._unusable: dict[tuple[str, str | None, str], LipwiseError] = {}

    def all_of(self, source: SettingsSource, rows: Iterable[Row]) -> list[Json]:
        """Return what the workers have to load for these rows, each combination once.

        Rows whose checkpoints cannot be used are left out, for they are refused when their turn comes.

        Raises:
            WeightsError: No row is left: the first one's checkpoint is missing or damaged.
        """
        found: dict[str, Json] = {}
        problem: LipwiseError | None = None
        for row in rows:
            settings = source.for_row(row)
            try:
                weights = self.of(settings, row)
            except LipwiseError as error:
                problem = problem or error
                continue
            key = f"{weights} {settings.lipsync} {settings.restore} {settings.detect} {settings.composite}"
            if key not in found:
                found[key] = {"settings": settings.model_dump_json(), "weights": weights}
        if problem and not found:
            raise problem
        return list(found.values())

    @property
    def non_commercial(self) -> list[tuple[str, str]]:
        """Names and terms of the checkpoints found so far that may not be used commercially."""
        found = {one.name: one.licence for one in self._known.values() if not one.commercial}
        return sorted(found.items())

    def of(self, settings: Settings, row: Row) -> Json:
        """Return a row's weights as records."""
        record: Json = {}
        if settings.lipsync.model != PASSTHROUGH:
            weights = self._get(settings.lipsync.model, settings.lipsync.checkpoint, "wav2lip")
            record["lipsync"] = weights.record()
        restorer = self._restorer(settings)
        if restorer is not None:
            record["restorer"] = restorer.record()
        upscale = settings.restore.upscale
        if upscale.model != NOTHING or upscale.checkpoint is not None:
            record["upscaler"] = self._get(upscale.model, upscale.checkpoint, SPANDREL).record()
        composite = settings.composite
        if composite.mask != "box" and (composite.parser != NOTHING or composite.parser_checkpoint is not None):
            record["parser"] = self._get(composite.parser, composite.parser_checkpoint, PARSER).record()
        judge = self.judge(settings)
        if judge is not None:
            record["judge"] = judge.record()
        rules = rules_of(row.speakers, settings)
        if portraits(rules):
            told = settings.faces
            record["embedder"] = self._get(told.embedder, told.embedder_checkpoint, EMBEDDER).record()
        if listens(rules):
            record["expert"] = self._get(settings.faces.expert, settings.faces.expert_checkpoint, EXPERT).record()
        if needs_detector(rules, row.tracks):
            record["detector"] = [one.record() for one in self.detector(settings)]
        return record

    def _restorer(self, settings: Settings) -> Weights | None:
        told = settings.restore
        if told.checkpoint is not None:
            return self._get(told.model, told.checkpoint, SPANDREL)
        if told.model == "auto":
            is_there = self._gpu and self._registry.installed(_AUTO_RESTORER)
            return self._get(_AUTO_RESTORER, None, SPANDREL) if is_there else None
        if told.model == NOTHING:
            return None
        return self._get(told.model, None, SPANDREL if told.model != TINY_RESTORER else TINY_RESTORER)

    def judge(self, settings: Settings) -> Weights | None:
        """Return what scores finished videos, None where nothing is to.

        Raises:
            WeightsError: It is not installed, or damaged.
        """
        told = settings.score
        if told.checkpoint is not None:
            return self._get(told.judge, told.checkpoint, SYNCNET)
        if told.judge == NOTHING:
            return None
        is_there = self._registry.installed(_SYNCNET)
        name = (_SYNCNET if is_there else _TINY_JUDGE) if told.judge == "auto" else told.judge
        network = self._registry.entry(name).network
        return self._get(name, None, network if network in (SYNCNET, EXPERT) else SYNCNET)

    def detector(self, settings: Settings) -> list[Weights]:
        """Return the checkpoints of the face detector.

        Raises:
            WeightsError: One is not installed, or damaged.
        """
        if settings.detect.detector == "tiny":
            return [self._get("tiny_detector", settings.detect.checkpoint, "tiny_detector")]
        heavy = settings.detect.detector == "s3fd"
        if settings.detect.detector == "auto" and settings.detect.checkpoint is None and self._gpu:
            installed = self._registry.installed("s3fd") and self._registry.installed("fan_2d")
            heavy = installed and importlib.util.find_spec("face_alignment") is not None
        if heavy:
            return [self._get("s3fd", None, "s3fd"), self._get("fan_2d", None, "fan_2d")]
        return [self._get("yunet", settings.detect.checkpoint, "yunet")]

    def _get(self, name: str, checkpoint: str | None, network: str) -> Weights:
        key = (name, checkpoint, network)
        if key in self._unusable:
            raise self._unusable[key]
        if key not in self._known:
            try:
                if checkpoint is not None:
                    self._known[key] = self._registry.own_file(Path(checkpoint).resolve(), network)
                else:
                    self._known[key] = self._registry.resolve(name, network)
            except LipwiseError as error:
                self._unusable[key] = error
                raise
        return self._known[key]


def _jobs(
    waiting: Waiting,
    source: SettingsSource,
    weights: WeightsTable,
    out: str,
    scratch: Path,
    device: str,
    run: Run,
) -> Iterator[RowJob]:
    """Yield rows ready to be worked on, in the order of their turns; refuse those that cannot begin."""
    turn, begun = 0, 0
    while (row := waiting.take(run.shares_at_work)) is not None:
        begun += 1
        if begun > run.most_rows:
            turn, begun = turn + 1, 1
        settings = source.for_row(row)
        try:
            codec_for(settings.encode.codec, container_for(Path(row.output)))
            output = normal(f"{out}/{row.output}")
            if not output.startswith(f"{out}/"):  # by way of a link
                raise OutputError("output_escapes", row.where, f"must stay under {out}", output)
            record: Json = {"weights": weights.of(settings, row), "scratch": str(scratch), "device": device}
        except LipwiseError as error:
            run.refuse(row.line, row.id, [error])
            continue
        spec = JobSpec(
            row_id=row.id,
            video=row.video,
            audio=row.audio,
            output=row.output,
            output_address=output,
            tracks=row.tracks,
            start_s=row.start_s,
            end_s=row.end_s,
            language=row.language,
            tags=row.tags,
            settings=settings,
            speakers=row.speakers,
        )
        flow = RowFlow(
            row=row.line,
            priority=row.priority,
            turn=turn,
            share=row.share,
            base={"job": spec.record(), **record},
        )
        yield RowJob(row.line, row.id, flow, settings.engine.on_quarantine == "passthrough")
