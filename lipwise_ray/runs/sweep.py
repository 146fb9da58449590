"""A manifest dubbed by several lip models in one state, and all of their videos measured in one way."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from lipwise_ray.backends.factory import engine_for, make_engine
from lipwise_ray.backends.ray.early_ray import early_ray
from lipwise_ray.errors import SettingsError, SetupError, StateError
from lipwise_ray.exit_codes import ExitCode, of_rows
from lipwise_ray.faces.select import AT, LIKE, SPEAKING, parse_selection_rule
from lipwise_ray.metrics.fidelity import check_fidelity
from lipwise_ray.pipeline.inputs import resolver
from lipwise_ray.pipeline.manifest.evaluation_rows import read_evaluation
from lipwise_ray.pipeline.manifest.manifest import Manifest
from lipwise_ray.pipeline.manifest.row_table import AUTO, Row
from lipwise_ray.pipeline.tasks.make_worker import make_worker
from lipwise_ray.runs.compared_models import FilesColumn, ModelColumn, check_columns
from lipwise_ray.runs.kept_engine import KeptEngine
from lipwise_ray.runs.load_settings import LoadedSettings
from lipwise_ray.runs.model_requirements import ModelRequirements
from lipwise_ray.runs.progress_events import EventListener, ManifestRead, Message, Problem, ProgressCallback, RunEnded
from lipwise_ray.runs.report import Report
from lipwise_ray.runs.run_inputs import read_manifest, registry_of
from lipwise_ray.runs.submit import evaluate, work_through
from lipwise_ray.runs.work import Dubbing
from lipwise_ray.state.job_result import DubResult
from lipwise_ray.state.sweep_records import ColumnKind

_PREPARED = {"source": {"crop": None, "rotate": 0, "resize_factor": 1}}
"""Steps that made the frames, left out where finished videos are measured: they were done."""
_IN_TIME = {"compare": {"max_lag_s": 0.0}}
"""A video that was made here shows its source's times: there is no lag to be found, but one could be mistaken."""
_ASKED = "evaluate sweep"


@dataclass(frozen=True, slots=True)
class SweptColumn:
    """A column of a comparison, once its videos were made and measured.

    Attributes:
        label: Its name.
        kind: ``model`` or ``files``.
        dubbing_run: The run that made its videos; empty for files.
        evaluation_run: The run that measured them; empty where there was none.
        absent: Rows of which there is no video.
        fault: Why its videos could not be made or measured; empty where they could.
    """

    label: str
    kind: ColumnKind
    dubbing_run: str = ""
    evaluation_run: str = ""
    absent: tuple[str, ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class SweepReport:
    """Outcome of a comparison of lip models.

    Attributes:
        columns: The columns, in order: others are compared with the first.
        reports: Of the runs that dubbed and that measured.
        state: Address of the state.
        stopped: Reason for which it ended early; empty where it did not. The same call goes on.
    """

    columns: tuple[SweptColumn, ...]
    reports: tuple[Report, ...]
    state: str
    stopped: str = ""
    page: str = ""
    """The page that puts them side by side; empty where none was written."""

    def code_above(self, fail_above: float) -> ExitCode:
        """Return the exit code of a command of whose rows, of all columns, a fraction may fail.

        A column whose videos cannot be made is a failure, which the same command would find again; where no column's
        can, nothing could start.
        """
        faults = [bool(column.fault) for column in self.columns]
        if faults and all(faults) and not self.reports:
            return ExitCode.CANNOT_START
        done, failed, left = (sum(getattr(one, name) for one in self.reports) for name in ("done", "failed", "left"))
        code = of_rows(failed=failed, done=done, left=left + bool(self.stopped), fail_above=fail_above)
        return ExitCode.ROWS_FAILED if code is ExitCode.DONE and any(faults) else code


@dataclass(slots=True)
class Sweep:
    """Dubs a manifest with each model, on one engine and in one state, and evaluates what was made.

    What the models share is in the state: scans of faces, audio, and embeddings of the original lips are made once.

    Attributes:
        manifest: The manifest of rows to be dubbed.
        source: Settings of all columns.
        out: Outputs of a model go under ``OUT/LABEL``.
        state: Address of the state.
        models: Folder of pulled checkpoints, as for `api.submit`.
        tell: Takes what happens.
        stop: Asked often; once it says yes, running tasks have `engine.stop_s` to end.
    """

    manifest: str
    source: LoadedSettings
    out: str
    state: str
    models: str | Path | None
    tell: ProgressCallback
    stop: Callable[[], bool]
    _engine: KeptEngine | None = field(default=None, init=False)

    def run(self, columns: Sequence[ModelColumn | FilesColumn]) -> SweepReport:
        """Make and measure the videos of all columns.

        Raises:
            ManifestError: The manifest cannot be used as a whole.
            SetupError: Nothing can start: settings, weights, state or workers are wrong.
            SettingsError: The columns cannot be compared.
        """
        check_columns(columns)
        check_fidelity("evaluate sweep")
        settings = self.source.for_run()
        if settings.lipsync.checkpoint is not None:
            do = "Name it in --models, as LABEL=NAME@FILE"
            raise SettingsError("bad_usage", "lipsync.checkpoint", got="set beside --models", do=do)
        self._allow_videos(columns)
        sources = {
            one: self.source.with_assignments(*one.assignments) for one in columns if isinstance(one, ModelColumn)
        }
        for source in sources.values():
            source.for_run()  # to find mistakes before any work
        rows = {row.id: row for row in self._read(self.source, self.out).rows}
        self._check_rows(rows)
        self._check_files(columns, rows)
        self._check_models(sources)
        swept: list[SweptColumn] = []
        reports: list[Report] = []
        with self._kept_engine(len(rows)):
            for column in columns:
                self.tell(Message(f"{column.label}:"))
                before = len(reports)
                swept.append(self._swept(column, sources, rows, reports))
                if any(report.stopped for report in reports[before:]):
                    break
        stopped = reports[-1].stopped if reports else ""
        return SweepReport(tuple(swept), tuple(reports), self.state, stopped)

    def _swept(
        self,
        column: ModelColumn | FilesColumn,
        sources: Mapping[ModelColumn, LoadedSettings],
        rows: dict[str, Row],
        reports: list[Report],
    ) -> SweptColumn:
        """Make and measure a column's videos; what keeps it from that is told, and the others go on without it.

        Args:
            column: The column.
            sources: Settings of the models.
            rows: The manifest's rows.
            reports: Those of runs, which get this column's.

        Raises:
            StateError: Somebody else is at work on the state.
        """
        kind: ColumnKind = "model" if isinstance(column, ModelColumn) else "files"
        swept = SweptColumn(column.label, kind)
        try:
            if isinstance(column, ModelColumn):
                made = self._dub(column, sources[column])
                reports.append(made)
                swept = replace(swept, dubbing_run=made.run_id)
                if made.stopped:
                    return swept
                videos = _videos_of(made, rows, sources[column])
            else:
                videos = _files_of(column, rows)
                swept = replace(swept, absent=tuple(row_id for row_id in rows if row_id not in videos))
            if videos:
                measured = self._evaluate(rows, videos, is_ours=kind == "model")
                reports.append(measured)
                swept = replace(swept, evaluation_run=measured.run_id)
        except StateError:
            raise
        except SetupError as error:
            self.tell(Problem(f"{column.label}: {error}"))
            is_made = kind == "files" or swept.dubbing_run
            swept = replace(swept, absent=swept.absent if is_made else tuple(rows), fault=str(error))
        return swept

    def _check_rows(self, rows: dict[str, Row]) -> None:
        """Refuse rows that name a model of their own: all columns would show that one."""
        own = next((row for row in rows.values() if "model" in row.overrides.get("lipsync", {})), None)
        if own is not None:
            do = "Leave the column lipsync.model out of the manifest"
            raise SettingsError("bad_usage", own.where, got="names a lip model, as --models does", do=do)

    def _check_models(self, sources: Mapping[ModelColumn, LoadedSettings]) -> None:
        """Find out before any work whether every model is here: hours may be spent before its turn comes."""
        for column, source in sources.items():
            requirements = ModelRequirements(registry_of(source.for_run(), self.models), gpu=False)
            try:
                requirements.all_of(source, self._read(source, self.out).variants)
            except SetupError as error:
                where = f"--models {column.label}" + (f": {error.where}" if error.where else "")
                raise type(error)(error.code, where, error.must, error.got, error.do) from error

    def _read(self, source: LoadedSettings, out: str) -> Manifest:
        return read_manifest(self.manifest, source, source.for_run(), out)

    def _check_files(self, columns: Sequence[ModelColumn | FilesColumn], rows: dict[str, Row]) -> None:
        for column in columns:
            if isinstance(column, FilesColumn) and not _files_of(column, rows):
                example = next(iter(rows.values()), None)
                do = f"Name them as the outputs, such as {example.output}" if example else "Check the manifest"
                happened = "no video of any row"
                raise SettingsError("bad_usage", f"--files {column.label}={column.folder}", got=happened, do=do)

    @contextmanager
    def _kept_engine(self, rows: int) -> Generator[None]:
        settings = engine_for(self.source.for_run().engine, rows, is_attended=True)
        problem = EventListener(self.tell, rows).problem
        with early_ray(settings) as early:
            self._engine = KeptEngine(lambda config: make_engine(settings, config, make_worker, problem, early))
            try:
                yield
            finally:
                self._engine.close()
                self._engine = None

    @property
    def _lent(self) -> KeptEngine:
        assert self._engine is not None  # it is there while columns are worked through
        return self._engine

    def _dub(self, column: ModelColumn, source: LoadedSettings) -> Report:
        out = f"{self.out}/{column.label}"
        manifest = self._read(source, out)
        listener = self._listener(manifest)
        report = work_through(
            manifest,
            source,
            registry_of(source.for_run(), self.models),
            Dubbing(out, self.state, listener.problem),
            state=self.state,
            make_engine=self._lent.lend,
            listener=listener,
            stop=self.stop,
            release=self._lent.take_back,
        )
        self.tell(RunEnded(report))
        return report

    def _allow_videos(self, columns: Sequence[ModelColumn | FilesColumn]) -> None:
        """Let what is measured be read, where inputs must lie under certain places: whoever runs this names it."""
        paths = self.source.for_run().paths
        if paths.roots:
            folders = [str(one.folder.absolute()) for one in columns if isinstance(one, FilesColumn)]
            roots = (_ASKED, {"paths": {"roots": [*paths.roots, self.out, *folders]}})
            self.source = replace(self.source, layers=[*self.source.layers, roots])

    def _evaluate(self, rows: dict[str, Row], videos: dict[str, SweptVideo], *, is_ours: bool) -> Report:
        layers = [*self.source.layers, (_ASKED, _PREPARED | _IN_TIME if is_ours else _PREPARED)]
        source = replace(self.source, layers=layers)
        settings = source.for_run()
        policy, faces = resolver.policy_of(settings.paths), settings.faces.select
        with TemporaryDirectory(prefix="lipwise-") as folder:
            path = Path(folder) / "videos.jsonl"
            with path.open("w", encoding="utf-8") as file:
                for row_id, video in videos.items():
                    file.write(json.dumps(evaluated_row(rows[row_id], video, faces)) + "\n")
            manifest = read_evaluation(path, policy)
        listener = self._listener(manifest)
        report = evaluate(
            manifest,
            source,
            registry_of(settings, self.models),
            state=self.state,
            out=self.out,
            make_engine=self._lent.lend,
            listener=listener,
            stop=self.stop,
            release=self._lent.take_back,
        )
        self.tell(RunEnded(report))
        return report

    def _listener(self, manifest: Manifest) -> EventListener:
        rows = manifest.good + manifest.bad
        self.tell(ManifestRead(rows))
        return EventListener(self.tell, rows)


@dataclass(frozen=True, slots=True)
class SweptVideo:
    """A column's video of a row.

    Attributes:
        place: Its path or address.
        language: Of the row, as far as it is known.
        is_alike: Its frames show what the row's own video shows at their times.
    """

    place: str
    language: str | None
    is_alike: bool


def _videos_of(report: Report, rows: Mapping[str, Row], source: LoadedSettings) -> dict[str, SweptVideo]:
    """Return the videos of a run by row.

    Whoever stretches a video or leaves frames out moves the others, and what was turned or cut shows other pixels.
    """
    videos: dict[str, SweptVideo] = {}
    for outcome in report.rows:
        result = outcome.result
        if isinstance(result, DubResult):
            prepared = source.for_row(rows[outcome.row_id]).source
            is_changed = prepared.rotate or prepared.crop or prepared.static
            skipped = result.counts.source_frames_skipped if result.counts else None
            is_alike = result.fitted is None and not skipped and not is_changed
            videos[outcome.row_id] = SweptVideo(result.output, result.language, is_alike)
    return videos


def _files_of(column: FilesColumn, rows: Mapping[str, Row]) -> dict[str, SweptVideo]:
    paths = {row.id: column.file_of(row.id, row.output) for row in rows.values()}
    return {
        row_id: SweptVideo(
            str(path.absolute()), None if rows[row_id].language == AUTO else rows[row_id].language, is_alike=True
        )
        for row_id, path in paths.items()
        if path
    }


def evaluated_row(row: Row, video: SweptVideo, faces: str) -> dict[str, object]:
    """Return the row of an evaluation: a video beside the part of the original that it was made of.

    Args:
        row: The row of the manifest.
        video: The column's video of it.
        faces: The rule that chooses the faces of rows without one of their own.
    """
    rule = str(row.overrides.get("faces", {}).get("select", faces))
    record: dict[str, object] = {"id": row.id, "video": video.place, "tags": ",".join(row.tags)}
    record["faces"] = _judged(rule, is_trimmed=bool(row.start_s))
    if video.language:
        record["language"] = video.language
    if video.is_alike:
        record |= {"reference": row.video, "reference_start": row.start_s}
    return record


def _judged(rule: str, *, is_trimmed: bool) -> str:
    """Return the rule by which a finished video's face is found; the largest where only a dubbing can tell which."""
    kind = parse_selection_rule(rule).kind
    is_lost = kind in (SPEAKING, LIKE) or (kind == AT and is_trimmed)
    return "largest" if is_lost else rule
