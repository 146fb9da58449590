"""Preview of a row: a few seconds of its output, or one frame, made by the pipeline that makes the whole.

A preview has a state of its own, in the user's cache, so no run is disturbed by it. What is made is kept: asked for
again, it is there at once.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from lipwise_ray.errors import EngineError, LipwiseError, ManifestError, OutputError, SettingsError, os_reason
from lipwise_ray.media.image_sequence import is_series
from lipwise_ray.media.join import CONTAINERS
from lipwise_ray.media.picture import PICTURES, write_picture
from lipwise_ray.models.role import NOTHING
from lipwise_ray.pipeline.delivery.outputs import FileOutput
from lipwise_ray.pipeline.dubbing.window import OutputWindow
from lipwise_ray.pipeline.inputs import resolver
from lipwise_ray.pipeline.inputs.site_pieces import used_seconds
from lipwise_ray.pipeline.inputs.stamps import settled_stamps
from lipwise_ray.pipeline.manifest.background import KEEP
from lipwise_ray.pipeline.manifest.manifest import Manifest
from lipwise_ray.pipeline.manifest.row_table import AUTO, Row, RowTable
from lipwise_ray.pipeline.manifest.speakers import has_text
from lipwise_ray.runs.kept_previews import KeptPreviews, lend_faces
from lipwise_ray.runs.load_settings import LoadedSettings, loaded
from lipwise_ray.runs.model_requirements import ModelRequirements
from lipwise_ray.runs.progress_events import Event, ProgressCallback, RowEnded, RunEnded, ignore, logged
from lipwise_ray.runs.run_inputs import local_file, out_address, read_manifest, registry_of, state_address
from lipwise_ray.runs.run_rows import RowsRunner, error_of
from lipwise_ray.runs.single_row import single_row
from lipwise_ray.settings.layers import preset_names
from lipwise_ray.settings.model import GateSettings, Settings
from lipwise_ray.state.format import check_format
from lipwise_ray.state.ids import PIPELINE_VERSION, record_id
from lipwise_ray.state.job_result import DubResult
from lipwise_ray.state.row_outcome import RowOutcome
from lipwise_ray.state.store import LocalStore, open_store
from lipwise_ray.storage.address import is_local, whole_path
from lipwise_ray.storage.stream_choice import split_choice
from lipwise_ray.version import __version__

VIDEOS = tuple(CONTAINERS)
_MOST_S = {"--at": 1e6, "--seconds": 600.0}
_MOST_NAMED = 5
_NO_BACKGROUND = 'background = "keep" is left out: it is separated from the audio of a whole video only'
_FIRST_ATTEMPT = "gate.retry: this is the first attempt; which one is published shows once the whole is scored"
_ONE_TRACK = "further soundtracks are left out"


@dataclass(frozen=True, slots=True)
class Preview:
    """A preview that is there.

    Attributes:
        file: The video, or the picture.
        notes: What the whole output may show otherwise, and other notes on its row.
        reused: It had been made before.
    """

    file: Path
    notes: tuple[str, ...]
    reused: bool


def preview(
    row: Row | Mapping[str, object],
    at_s: float = 0.0,
    seconds: float = 5.0,
    *,
    out: str | Path | None = None,
    state: str | Path | None = None,
    settings: Settings | LoadedSettings | None = None,
    models: str | Path | None = None,
    cache: str | Path | None = None,
    progress: ProgressCallback = ignore,
    stop: Callable[[], bool] = lambda: False,
) -> Preview:
    """Make a preview of a row, with its settings and faces; frames are those that the whole output has there.

    Args:
        row: A row of a manifest (`row_of`), or its columns as JSON lines have them.
        at_s: Where it begins, in seconds of the finished output.
        seconds: Its length; 0 for one frame.
        out: The file: .mp4, .mov, .mkv or .webm, or .png or .jpg for the frame at that second, however many seconds
            are asked for. Without it a file of the cache: a picture for 0 seconds, else a video of the row's own kind.
        state: State of a run of this row, from which faces that were found there are taken; nothing is written to it.
        settings: As for `submit`.
        models: As for `submit`.
        cache: Folder of previews; without it ``~/.cache/lipwise-ray/previews``.
        progress: As for `submit`.
        stop: As for `submit`.

    Raises:
        InputError: An input cannot be used, or the output ends before `at_s`.
        SetupError: Settings or weights are wrong.
        SettingsError: `out` is an address.
        OutputError: `out` cannot be written.
        EngineError: It was stopped; the same call goes on.
        LipwiseError: It failed otherwise; ``code`` says why.
    """
    source = loaded(settings, None).with_assignments('engine.kind="inline"', 'engine.metrics_file=""')
    target = local_file(out) if out is not None else None
    suffix = _picture_suffix(target, seconds)
    window = OutputWindow(_number(at_s, "--at"), 0.0 if suffix else _number(seconds, "--seconds"))
    kept = KeptPreviews(whole_path(str(cache)) if cache else Path.home() / ".cache" / "lipwise-ray" / "previews")
    asked = row if isinstance(row, Row) else _row_of_columns(row, source)
    if target is not None:
        check_no_input(target, asked.inputs)
        _check_place(target)
    shown_row, notes = _as_shown(asked, source.for_row(asked), target if not suffix else None)
    making = _Making(kept, shown_row, source, window, models, suffix)
    found = kept.get(making.key, making.name)
    is_there = found is not None
    if found is None:
        found = making.made(notes, str(state) if state else None, progress, stop)
    file, texts = found
    return Preview(_delivered(file, target) if target else file, texts, reused=is_there)


def row_of(manifest: str, row_id: str, settings: LoadedSettings) -> Row:
    """Return a row of a manifest.

    Args:
        manifest: The file, or its address.
        row_id: The row's id.
        settings: Of the run.

    Raises:
        ManifestError: The manifest cannot be used as a whole, has no such row, or the row cannot be done.
        StorageError: The store refused.
    """
    run_settings = settings.for_run()
    rows = read_manifest(manifest, settings, run_settings, out_address(None, run_settings, manifest))
    for row in rows.rows:
        if row.id == row_id:
            return row
    for bad in rows.bad_rows:
        if bad.id == row_id:
            raise bad.problems[0]
    named = ", ".join(row.id for row in islice(rows.rows, _MOST_NAMED))
    do = f"It has {named}{' and more' if rows.good > _MOST_NAMED else ''}" if named else "Check the id"
    raise ManifestError("unknown_row", manifest, got=f"no row has the id {row_id!r}", do=do)


def check_no_input(target: Path, files: Iterable[str]) -> None:
    """Check that a preview takes the place of no file that a row reads.

    Args:
        target: Path of the preview.
        files: Addresses of what is read, or paths; of pictures in a row their folder or pattern.

    Raises:
        OutputError: It would overwrite one.
    """
    for address in files if target.exists() else ():
        path = Path(split_choice(address)[0])
        if not is_local(address):
            continue
        if is_series(path):
            is_input = target.parent.samefile(path if path.is_dir() else path.parent)
        else:
            is_input = path.exists() and target.samefile(path)
        if is_input:
            do = "Write it elsewhere"
            raise OutputError("overwrites_input", str(target), got=f"would overwrite an input ({address})", do=do)


def usual_state(manifest: str, settings: LoadedSettings) -> str:
    """Return the address of the state that a run of a manifest has where nothing else is asked for."""
    run_settings = settings.for_run()
    return state_address(None, run_settings, out_address(None, run_settings, manifest))


def _number(value: float, option: str) -> float:
    """Return a number of seconds.

    Raises:
        SettingsError: It is none, or too large.
    """
    if not 0 <= value <= _MOST_S[option]:  # not a number is neither
        do = f"Take 0 to {_MOST_S[option]:g} seconds"
        raise SettingsError("bad_value", option, got=f"{value:g} seconds cannot be previewed", do=do)
    return float(value)


def _picture_suffix(target: Path | None, seconds: float) -> str:
    """Return the ending of the picture that is wanted; empty for a video.

    Raises:
        OutputError: The file is to be neither.
    """
    if target is None:
        return PICTURES[0] if seconds == 0 else ""
    suffix = target.suffix.lower()
    if suffix not in (*PICTURES, *VIDEOS):
        do = f"Known: {', '.join((*VIDEOS, *PICTURES))}"
        raise OutputError(
            "output_format", str(target), got=f'unknown ending "{suffix}"' if suffix else "no ending", do=do
        )
    return suffix if suffix in PICTURES else ""


def _row_of_columns(columns: Mapping[str, object], source: LoadedSettings) -> Row:
    """Return the row of some columns; one without an output makes MP4."""
    named = {"output": "preview.mp4", **columns}
    policy = resolver.policy_of(source.for_run().paths)
    rows = single_row(named, str(Path.cwd()), preset_names(source.presets), policy)
    for problem in rows.problems:
        raise problem
    return next(rows.rows)


def _as_shown(row: Row, settings: Settings, target: Path | None) -> tuple[Row, list[str]]:
    """Return a row as it is previewed, and what its whole output has beyond that.

    What goes along from the source's container, scores and further soundtracks are left out.
    """
    notes: list[str] = []
    if row.background == KEEP:
        notes.append(_NO_BACKGROUND)
    if settings.gate.retry:
        notes.append(_FIRST_ATTEMPT)
    if row.beside:
        notes.append(_ONE_TRACK)
    told = row.overrides.get("encode", {})
    audio: dict[str, Any] = told.get("audio", {})
    is_copied = settings.encode.audio.codec == "copy"
    encode: dict[str, Any] = {**told, "keep": [], **({"audio": {**audio, "codec": "auto"}} if is_copied else {})}
    score = {**row.overrides.get("score", {}), "judge": NOTHING, "checkpoint": None}
    gate = GateSettings().model_dump(mode="json")
    is_text = has_text(row.script, row.speakers)
    return (
        replace(
            row,
            line=1,
            further=0,
            output=f"preview{(target or Path(row.output)).suffix.lower()}",
            language=None if row.language == AUTO and not is_text else row.language,
            background=None if row.background == KEEP else row.background,
            beside=(),
            overrides={**row.overrides, "encode": encode, "score": score, "gate": gate},
        ),
        notes,
    )


@dataclass(frozen=True)
class _Making:
    """Making of a preview: of a row as it is shown, by settings, of a window, as a picture where it has a `suffix`."""

    kept: KeptPreviews
    row: Row
    source: LoadedSettings
    window: OutputWindow
    models: str | Path | None
    suffix: str

    @property
    def name(self) -> str:
        """Name of the file that is made."""
        return f"preview{self.suffix}" if self.suffix else self.row.output

    @cached_property
    def key(self) -> str:
        """Name of all that decides the file.

        Raises:
            LipwiseError: An input or a checkpoint cannot be used.
        """
        settings = self.source.for_row(self.row)
        checkpoints = ModelRequirements(registry_of(settings, self.models), gpu=False).of(settings, self.row)
        files = self.row.inputs
        stamps = settled_stamps(self._media, files) or tuple(self._media.identity(file) for file in files)
        return record_id(
            {
                "version": __version__,
                "pipeline": PIPELINE_VERSION,
                "row": asdict(self.row),
                "settings": settings.model_dump(mode="json"),
                "inputs": stamps,
                "weights": checkpoints.record(),
                "window": asdict(self.window),
                "name": self.name,
            }
        )

    @cached_property
    def _media(self) -> resolver.Media:
        settings = self.source.for_run()
        return resolver.media_of(settings, resolver.cache_of(settings.paths))

    def made(
        self, notes: list[str], state: str | None, progress: ProgressCallback, stop: Callable[[], bool]
    ) -> tuple[Path, tuple[str, ...]]:
        """Make the file; return it and the notes on it.

        Args:
            notes: Those that are known.
            state: Of a run of the row, which lends the faces that it found, or None.
            progress: Takes what happens.
            stop: Asked often.

        Raises:
            LipwiseError: It cannot be made, or was stopped.
        """
        folder, own = self.kept.begin(self.key), str(self.kept.state(self.key))
        used = used_seconds(self.row, self.source.for_row(self.row))
        video_id, faces = self._media.identity(self.row.video, used), self.kept.faces()
        if state is not None and (not is_local(state) or Path(state).is_dir()):  # opening a folder would make it
            with suppress(LipwiseError):  # it would only have spared a search
                lender = open_store(state)
                check_format(lender)
                lend_faces(lender, faces, video_id)
        store = LocalStore(Path(own))
        lend_faces(faces, store, video_id)
        result = self._dubbed(str(folder), own, progress, stop)
        lend_faces(store, faces, video_id)
        file = Path(result.output)
        if self.suffix:
            write_picture(file, folder / f"frame{self.suffix}")
            file = folder / f"frame{self.suffix}"
        texts = (*notes, *(result.notes or ()))
        return self.kept.keep(self.key, file, self.name, texts), texts

    def _dubbed(self, out: str, state: str, progress: ProgressCallback, stop: Callable[[], bool]) -> DubResult:
        ended: list[RowOutcome] = []

        def tell(event: Event) -> None:
            if isinstance(event, RowEnded):
                ended.append(event.outcome)
            elif not isinstance(event, RunEnded):  # they tell of places that are nobody's business
                progress(event)

        runner = RowsRunner(self.source, self.models, logged(tell), stop)
        report = runner.end(runner.dub(_alone(self.row, out), out, state, window=self.window), writes_page=False)
        if not ended:
            happened = f"stopped before its end ({report.stopped or 'asked'})"
            raise EngineError("stopped", f"preview of {self.row.id}", got=happened, do="Call it again to go on")
        if not isinstance(ended[0].result, DubResult):
            raise error_of(ended[0])
        return ended[0].result


def _alone(row: Row, out: str) -> Manifest:
    """Return a manifest of one row."""
    table = RowTable()
    table.add(row.number, row.id, row.output, f"{out}/{row.output}", row, row.video)
    table.close_entry()
    return Manifest(row.id, "", table)


def _check_place(target: Path) -> None:
    """Find out before any work whether a preview can be put where it was asked for; no folder is made for it.

    Raises:
        OutputError: It cannot.
    """
    if not target.parent.is_dir():
        got = f"cannot be written: there is no folder {target.parent}"
        raise OutputError("not_writable", str(target), got=got, do="Check the path")
    FileOutput(target).check()


def _delivered(file: Path, target: Path) -> Path:
    """Copy a preview to where it was asked for.

    Raises:
        OutputError: The place cannot be written.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        shutil.copyfile(file, part)
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(
            "not_writable", str(target), got=f"cannot be written: {os_reason(error)}", do="Check the path"
        ) from error
    return target
