"""`lipwise-ray dub`: one video.

With ``--json`` standard output gets a JSON object a line, each with an ``event``: ``started``, ``progress``, ``note``,
``problem``; the last one is ``done``, ``failed`` or ``stopped``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

import lipwise_ray
from lipwise_ray.cli import setup
from lipwise_ray.cli.stopping import StopFlag
from lipwise_ray.errors import InputError, LipwiseError, SettingsError
from lipwise_ray.exit_codes import ExitCode, of_error
from lipwise_ray.storage.redact import redact, scrub

if TYPE_CHECKING:
    from lipwise_ray.cli.progress import Display
    from lipwise_ray.state.row_outcome import RowOutcome

_USAGE = "dub VIDEO AUDIO OUT, or dub VIDEO OUT --text TEXT"


class DubCommand(TyperCommand):
    """The command, whose usage line names each of its places: they are two or three by one argument."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401  # click's context, or typer's copy of it
        """Return the words of the usage line behind the command's name."""
        options, *_ = super().collect_usage_pieces(ctx)
        return [options, "VIDEO", "AUDIO", "OUT"]


def dub(
    video: Annotated[
        str, typer.Argument(help="A video, a still image or a folder of numbered images, or its address.")
    ],
    places: Annotated[
        list[str],
        typer.Argument(
            help="The new audio (none with --text), and the finished video: .mp4, .mov, .mkv or .webm.",
            metavar="AUDIO OUT",
        ),
    ],
    *,
    text: Annotated[
        str | None, typer.Option("--text", help="Spoken in place of AUDIO: a sentence, or @film.srt.")
    ] = None,
    voice: Annotated[str | None, typer.Option("--voice", help="Speaks the text.")] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="Of the new audio, such as de; kept in the output.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--start", help="Where the used part of the video begins: seconds or h:mm:ss.")
    ] = None,
    end: Annotated[str | None, typer.Option("--end", help="Where it ends.")] = None,
    job: setup.Job = None,
    assignments: setup.Set = None,
    preset: setup.Preset = None,
    state: Annotated[
        str | None,
        typer.Option(
            "--state",
            help="Where progress is kept: a folder, s3://, gs:// or az://. Default: in the user's cache.",
            metavar="ADDRESS",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object per event; the last is done, failed or stopped.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Read a finished output again: one that is not what was published is made again."
        ),
    ] = False,
) -> None:
    """Dub one video: VIDEO AUDIO OUT, or VIDEO OUT --text TEXT. Run it again to go on after a stop or a failure."""
    stop = StopFlag()  # loading takes seconds
    told = _Told(as_json=as_json)
    try:
        audio, output = _places(places, text)
        settings = lipwise_ray.load_settings(preset, job=job, assignments=assignments or ())
        told.output = output
        named = state or settings.for_run().paths.state
        told.state, told.is_kept = named or _kept(output), not named
        start_s, end_s = _seconds(start, "--start"), _seconds(end, "--end")
        from lipwise_ray.cli.progress import show

        with show(stop) as told.display:
            lipwise_ray.dub(
                video,
                audio,
                output,
                text=text,
                voice=voice,
                start_s=start_s or 0.0,
                end_s=end_s,
                language=language,
                state=told.state,
                settings=settings,
                models=setup.models_folder(),
                verify=verify,
                progress=told,
                stop=stop,
            )
    except LipwiseError as error:
        raise typer.Exit(told.ended(error)) from error
    told.ended(None)


def _places(places: list[str], text: str | None) -> tuple[str | None, str]:
    """Return audio and output; with a text there is no audio.

    Raises:
        SettingsError: There are more, or fewer.
    """
    match places, text:
        case [audio, output], None:
            return audio, output
        case [output], str():
            return None, output
        case _:
            got = f"{len(places) + 1} places {'without' if text is None else 'beside'} --text"
            raise SettingsError("bad_usage", "dub", got=got, do=f"Write {_USAGE}")


def _kept(output: str) -> str:
    from lipwise_ray.runs.kept_state import kept_state

    return kept_state(output, setup.cache_folder())


def _seconds(text: str | None, option: str) -> float | None:
    if text is None:
        return None
    from lipwise_ray.pipeline.manifest.row_validation import seconds_in

    seconds = seconds_in(text)
    if seconds is None:
        do = "Write seconds or h:mm:ss, at least 0"
        raise SettingsError("bad_value", option, got=f"{text!r} is not a time", do=do)
    return seconds


@dataclass(slots=True)
class _Told:
    """Shows the events of the run of one video, and its end.

    Attributes:
        as_json: Print them on standard output as JSON lines, too.
        output: The finished video, as it was asked for.
        state: Where progress is kept; empty as long as that is not known.
        is_kept: It is in the user's cache, where nobody asked for a folder.
        display: Shows people what happens; None before a run.
    """

    as_json: bool
    output: str = ""
    state: str = ""
    is_kept: bool = False
    display: Display | None = None
    _report: lipwise_ray.Report | None = None
    _outcome: RowOutcome | None = None
    _moved: lipwise_ray.RowProgress | None = None

    def __call__(self, event: lipwise_ray.Event) -> None:
        """Show an event."""
        if isinstance(event, lipwise_ray.RunEnded):  # its summary is of many rows
            self._report = event.report
            return
        assert self.display is not None  # nothing happens before it is there
        self.display(event)
        match event:
            case lipwise_ray.RunStarted(run_id, engine):
                self._print("started", run_id=run_id, engine=engine, output=self.output, state=self.state)
            case lipwise_ray.RowsProgress((row, *_)):
                if row != self._moved:
                    self._moved = row
                    self._print(
                        "progress",
                        stage=row.stage,
                        frames_done=row.frames_done,
                        frames_total=row.frames_total,
                        frames_rendered=row.frames_rendered,
                    )
            case lipwise_ray.Note(text):
                self._print("note", text=text)
            case lipwise_ray.Problem(text):
                self._print("problem", text=text)
            case lipwise_ray.RowEnded(outcome):
                self._outcome = outcome
            case _:
                pass

    def ended(self, error: LipwiseError | None) -> ExitCode:
        """Show the end; return the exit code, which is `submit`'s of a manifest with this row alone.

        Args:
            error: It ended with this; None for a video that is done.
        """
        code = ExitCode.DONE
        if self._report is not None:  # its row was shown, or it was stopped before that
            code = self._report.code_above(0.0)
        elif error is not None:
            from lipwise_ray.runs.kept_state import leave_if_empty

            if self.is_kept:
                leave_if_empty(self.state)
            code = ExitCode.ROWS_FAILED if isinstance(error, InputError) else of_error(error)
            _say(f"error: {error}")
        if code is ExitCode.STOPPED:
            _say("stopped before the end: run the same command again to go on")
        if code is not ExitCode.DONE and self._report is not None:
            _say(f"progress is kept in {self.state}")
        if self._outcome is not None:
            from lipwise_ray.cli.progress import row_record

            record = row_record(self._outcome)
            self._print(str(record.pop("status")), **record, state=self.state, exit_code=code)
        elif error is not None:
            event = "stopped" if code is ExitCode.STOPPED else "failed"
            self._print(event, code=error.code, message=str(error), state=self.state, exit_code=code)
        return code

    def _print(self, event: str, **facts: object) -> None:
        if self.as_json:
            typer.echo(json.dumps(scrub({"event": event, **facts})))


def _say(text: str) -> None:
    typer.echo(redact(text), err=True)
