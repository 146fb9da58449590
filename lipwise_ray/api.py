"""Python API of the package: dubbing, evaluating, inspecting. The command line runs by these functions too.

Everything here takes and gives values, prints nothing, and reads no option from the environment. Progress goes to one
function, and to the log `lipwise_ray`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from lipwise_ray.errors import EngineError, OutputError, SettingsError
from lipwise_ray.pipeline.inputs import resolver
from lipwise_ray.pipeline.manifest.manifest import Manifest
from lipwise_ray.runs.compared_models import files_columns, listed_models, model_columns
from lipwise_ray.runs.costs import read_prices
from lipwise_ray.runs.load_settings import EngineKind, LoadedSettings, loaded
from lipwise_ray.runs.night_record import NightRecord, not_started
from lipwise_ray.runs.nightly import Nightly, window_end
from lipwise_ray.runs.progress_events import Event, Message, ProgressCallback, RowEnded, ignore, logged
from lipwise_ray.runs.report import Report
from lipwise_ray.runs.run_inputs import local_folder, out_address, read_evaluation, read_manifest, state_address
from lipwise_ray.runs.run_request import check_fraction, request_for
from lipwise_ray.runs.run_rows import RowsRunner, error_of
from lipwise_ray.runs.single_row import single_row
from lipwise_ray.runs.sweep import Sweep, SweepReport
from lipwise_ray.runs.sweep_report import write_sweep
from lipwise_ray.settings.layers import preset_names
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.row_outcome import RowOutcome
from lipwise_ray.state.run_records import Request
from lipwise_ray.state.shards import Shard
from lipwise_ray.storage.address import is_local, whole_path

StrPath = str | Path
"""A path, or an address: s3://, gs:// or az://."""


def never() -> bool:
    """Ask for no stop."""
    return False


def submit(
    manifest: StrPath,
    *,
    out: StrPath | None = None,
    state: StrPath | None = None,
    settings: Settings | LoadedSettings | None = None,
    engine: EngineKind | None = None,
    models: StrPath | None = None,
    shard: str | None = None,
    verify: bool = False,
    fail_above: float = 0.0,
    progress: ProgressCallback = ignore,
    stop: Callable[[], bool] = never,
    copy_of: str | None = None,
    request: Request | None = None,
) -> Report:
    """Dub every row of a manifest. Called again, it goes on after a stop, a crash or a failure.

    Rows that fail raise nothing: the report counts them, and its `rows` say why.

    Args:
        manifest: A .csv, .xlsx, .jsonl or .parquet file.
        out: Folder or prefix for outputs; without it `paths.out`, or ``out`` beside the manifest.
        state: Where progress is kept; without it `paths.state`, or ``OUT.state``.
        settings: What `load_settings` returned, or settings made in code; None for the defaults.
        engine: ``ray`` for workers on this machine or a cluster (`engine.address`), ``inline`` for this process;
            without it what the settings say.
        models: Folder of pulled checkpoints, where `paths.models` names none; without it
            ``~/.cache/lipwise-ray/models``.
        shard: The part of the rows to do, such as ``3/8``: other drivers do the others, on the same state.
        verify: Read finished outputs again, and make those again that are not what was published.
        fail_above: Fraction of the rows that may fail, in [0, 1], for `lipwise-ray retry`.
        progress: Takes what happens, in this thread; what it raises ends the run.
        stop: Asked about twice a second. Once it is true running tasks have `engine.stop_s` seconds to end, and the run
            stops; nothing catches signals here.
        copy_of: The file that the manifest is a copy of: relative paths go by where that one is.
        request: What asked for it, for `lipwise-ray retry`; without it these arguments.

    Returns:
        What the run came to, with its rows' results.

    Raises:
        ManifestError: The manifest cannot be used as a whole.
        SetupError: Nothing can start: settings, weights, state or workers are wrong.
        StorageError: A disk or store refused.
    """
    part = Shard.parse(shard) if shard is not None else None
    source, name = loaded(settings, engine), str(manifest)
    run_settings = source.for_run()
    out_root = out_address(_text(out), run_settings, name)
    state_root = state_address(_text(state), run_settings, out_root)
    rows = read_manifest(name, source, run_settings, out_root, copy_of)
    if part is not None:
        rows.keep(part)
    recorded_request = request or request_for("submit", [copy_of or name], source, fail_above=fail_above, shard=shard)
    runner = RowsRunner(source, models, logged(progress), stop)
    return runner.end(runner.dub(rows, out_root, state_root, recorded_request, verify=verify))


def dub(
    video: StrPath,
    audio: StrPath | None,
    output: StrPath,
    *,
    text: str | None = None,
    voice: str | None = None,
    start_s: float = 0.0,
    end_s: float | None = None,
    language: str | None = None,
    state: StrPath | None = None,
    settings: Settings | LoadedSettings | None = None,
    engine: EngineKind | None = None,
    models: StrPath | None = None,
    verify: bool = False,
    progress: ProgressCallback = ignore,
    stop: Callable[[], bool] = never,
) -> RowOutcome:
    """Dub one video. Called again, it goes on where it was stopped; what is done is not done again.

    Args:
        video: A video, a still image, or a folder of numbered images.
        audio: Whatever holds the new audio; None beside a text.
        output: The finished video: .mp4, .mov, .mkv or .webm.
        text: Is spoken in place of audio: a sentence, or ``@film.srt``.
        voice: Speaks the text.
        start_s: Where the part of the video begins that is used, in seconds.
        end_s: Where it ends; None for the video's end.
        language: Of the new audio, such as ``de``; kept in the output.
        state: Where progress is kept; without it ``OUTPUT.state``.
        settings: As for `submit`.
        engine: As for `submit`.
        models: As for `submit`.
        verify: As for `submit`.
        progress: As for `submit`.
        stop: As for `submit`.

    Returns:
        The finished row; ``record`` says what was made and how.

    Raises:
        InputError: The video, the audio or the output cannot be used.
        SetupError: Nothing can start: settings, weights, state or workers are wrong.
        EngineError: It was stopped, or what runs the workers ended; the same call goes on.
        LipwiseError: The row failed otherwise; ``code`` says why.
    """
    source = loaded(settings, engine)
    run_settings = source.for_run()
    target = str(whole_path(output)) if is_local(str(output)) else str(output)
    out_root, _, name = target.rpartition("/")
    columns = {"video": str(video), "audio": _text(audio), "output": name, "start": start_s, "end": end_s}
    columns |= {"language": language, "text": text, "voice": voice}
    rows = single_row(columns, out_root, preset_names(source.presets), resolver.policy_of(run_settings.paths))
    for problem in rows.problems:
        raise problem
    ended: list[RowOutcome] = []

    def tell(event: Event) -> None:
        if isinstance(event, RowEnded):
            ended.append(event.outcome)
        progress(event)

    runner = RowsRunner(source, models, logged(tell), stop)
    state_root = state_address(_text(state), run_settings, target)
    request = request_for("dub", [str(video), *([] if audio is None else [str(audio)]), target], source)
    if request is not None:
        request = replace(request, text=text, voice=voice, language=language, start_s=start_s, end_s=end_s)
    report = runner.end(runner.dub(rows, out_root, state_root, request, verify=verify), writes_page=False)
    if not ended:
        happened = f"stopped before its end ({report.stopped or 'asked'})"
        raise EngineError("stopped", target, got=happened, do="Call it again to go on")
    if ended[0].status == "failed":
        raise error_of(ended[0])
    return ended[0]


def evaluate(
    videos: StrPath | Sequence[StrPath],
    *,
    references: StrPath | Sequence[StrPath] = (),
    out: StrPath = "evaluation",
    state: StrPath | None = None,
    settings: Settings | LoadedSettings | None = None,
    engine: EngineKind | None = None,
    models: StrPath | None = None,
    fail_above: float = 0.0,
    progress: ProgressCallback = ignore,
    stop: Callable[[], bool] = never,
    request: Request | None = None,
) -> Report:
    """Score finished videos, whoever made them; with a reference also PSNR, SSIM, FID and more.

    Args:
        videos: A video, several, or a manifest of videos (.csv, .xlsx, .jsonl, .parquet).
        references: A video to compare all with, or one for each; a manifest has a column for them instead.
        out: Folder for report.html and results.*.
        state: Where progress is kept; without it `paths.state`, or ``OUT.state``.
        settings: As for `submit`.
        engine: As for `submit`.
        models: As for `submit`.
        fail_above: As for `submit`.
        progress: As for `submit`.
        stop: As for `submit`.
        request: As for `submit`.

    Returns:
        What the run came to; the ``record`` of each of its rows has the figures.

    Raises:
        ManifestError: The manifest cannot be used as a whole.
        OutputError: The folder cannot be written.
        SetupError: Nothing can start: settings, weights, state or workers are wrong.
        StorageError: A disk or store refused.
    """
    source, folder = loaded(settings, engine), local_folder(str(out))
    files, beside = _texts(videos), _texts(references)
    run_settings = source.for_run()
    rows = read_evaluation(files, beside, run_settings)
    state_root = state_address(_text(state), run_settings, str(out))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        happened = f"cannot be written: {(error.strerror or '').lower()}"
        raise OutputError("not_writable", str(out), got=happened, do="Check the folder") from error
    recorded_request = request or request_for("evaluate", files, source, references=beside, fail_above=fail_above)
    runner = RowsRunner(source, models, logged(progress), stop)
    return runner.end(runner.evaluate(rows, str(out), state_root, recorded_request), folder)


def sweep(
    manifest: StrPath,
    lip_models: str | Sequence[str] | None = None,
    *,
    files: Sequence[str] = (),
    out: StrPath = "sweep",
    state: StrPath | None = None,
    settings: Settings | LoadedSettings | None = None,
    engine: EngineKind | None = None,
    models: StrPath | None = None,
    progress: ProgressCallback = ignore,
    stop: Callable[[], bool] = never,
) -> SweepReport:
    """Dub a manifest with several lip models in one state, and put their videos side by side. Goes on as `submit` does.

    Args:
        manifest: As for `submit`.
        lip_models: ``[LABEL=]NAME`` of the registry, ``[LABEL=]FILE`` of weights, or ``[LABEL=]NAME@FILE`` each; or one
            text of them between commas. Without them, what ``lipsync.model`` lists, and else `files` alone. Others are
            compared with the first.
        files: Further columns, ``LABEL=FOLDER`` each: other tools' videos of the rows, named as the outputs or after
            the rows' ids.
        out: Folder for comparison.html, rows.csv and summary.csv, and for the outputs where `paths.out` names none.
        state: As for `evaluate`.
        settings: As for `submit`; of all models.
        engine: As for `submit`.
        models: As for `submit`.
        progress: As for `submit`; runs follow one another.
        stop: As for `submit`.

    Returns:
        The runs, and the page.

    Raises:
        ManifestError: The manifest cannot be used as a whole.
        OutputError: The folder cannot be written.
        SetupError: Nothing can start: settings, weights, state or workers are wrong.
        StorageError: A disk or store refused.
    """
    folder = local_folder(str(out))
    source, listed = listed_models(loaded(settings, engine))
    named = listed if lip_models is None else lip_models
    columns = [*(model_columns(named) if named or not files else []), *files_columns(files)]
    out_root = out_address(None if source.for_run().paths.out else str(out), source.for_run(), str(manifest))
    state_root = state_address(_text(state), source.for_run(), out_root)
    found = Sweep(str(manifest), source, out_root, state_root, models, logged(progress), stop).run(columns)
    page, *_ = write_sweep(found, Path(str(manifest)).name, folder)
    return replace(found, page=str(page))


def nightly(
    backlog: StrPath,
    *,
    until: str | None = None,
    opens: str | None = None,
    out: StrPath | None = None,
    state: StrPath | None = None,
    settings: Settings | LoadedSettings | None = None,
    engine: EngineKind | None = None,
    models: StrPath | None = None,
    prices: StrPath | None = None,
    keep: int = 30,
    fail_above: float = 0.0,
    on_failure: Callable[[NightRecord], object] = lambda _: None,
    progress: ProgressCallback = ignore,
    stop: Callable[[], bool] = never,
) -> NightRecord:
    """Dub what is new in a backlog: the highest priority first, then the oldest; the rest is for the next night.

    Args:
        backlog: The folder or prefix into which manifests are dropped.
        until: When the window closes, as ``HH:MM`` by this machine's clock; None for never.
        opens: When the window that closes `until` opens: a night that comes before is refused.
        out: Folder or prefix, under which each manifest has a folder of its name; without it ``BACKLOG.out``.
        state: Where progress is kept; without it `paths.state`, or ``OUT.state``.
        settings: As for `submit`.
        engine: As for `submit`.
        models: As for `submit`.
        prices: What machines cost, such as ``cluster/prices.toml``.
        keep: How many nights' reports stay.
        fail_above: Fraction of the rows that may fail, in [0, 1].
        on_failure: Takes the record of a night that ends with an error, before the error is raised.
        progress: As for `submit`; runs follow one another.
        stop: As for `submit`.

    Returns:
        What the night came to.

    Raises:
        StateError: There is no backlog, another night is at it, or it is outside of its window.
        SetupError: Nothing could start.
        StorageError: The state cannot be written.
    """
    night: Nightly | None = None
    tell = logged(progress)
    try:
        source, root = loaded(settings, engine), str(backlog).rstrip("/")
        run_settings = source.for_run()
        end = _closing(until, opens)
        _check_bounds(keep, fail_above)
        out_root = out_address(_text(out) or f"{root}.out", run_settings, str(backlog))
        state_root = state_address(_text(state), run_settings, out_root)
        listed = read_prices(Path(prices)) if prices else None
        runner = RowsRunner(source, models, tell, stop)

        def place_of(name: str) -> str:
            return f"{out_root}/{name.rpartition('.')[0]}"

        def read(name: str, manifest: str) -> Manifest:
            return read_manifest(manifest, source, run_settings, place_of(name))

        def dub_rows(name: str, manifest: Manifest, is_over: Callable[[], bool]) -> Report:
            request = request_for("submit", [f"{root}/{name}"], source, fail_above=fail_above)
            facts = night.facts if night else None
            report = runner.dub(manifest, place_of(name), state_root, request, is_over=is_over, night=facts)
            return runner.end(report, writes_page=False)

        night = Nightly(
            backlog=str(backlog),
            state=state_root,
            read=read,
            submit=dub_rows,
            say=lambda text: tell(Message(text)),
            stop=stop,
            end=end,
            keep=keep,
            fail_above=fail_above,
            costs=listed.lines if listed else None,
            metrics_file=run_settings.engine.metrics_file,
        )
        return night.run()
    except BaseException as error:
        on_failure(night.failed(error) if night else not_started(str(backlog), error))
        raise


def _closing(until: str | None, opens: str | None) -> datetime | None:
    if until is not None:
        return window_end(until, time.time(), opens)
    if opens is not None:
        raise SettingsError("bad_usage", "--from", got="no --until beside it", do="Say when the window closes")
    return None


def _check_bounds(keep: int, fail_above: float) -> None:
    check_fraction(fail_above)
    if keep < 1:
        raise SettingsError("bad_value", "keep", got=f"{keep} reports cannot be kept", do="Keep 1 or more")


def _text(place: StrPath | None) -> str | None:
    return None if place is None else str(place)


def _texts(places: StrPath | Sequence[StrPath]) -> list[str]:
    return [str(places)] if isinstance(places, str | Path) else [str(place) for place in places]
