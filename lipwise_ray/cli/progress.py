"""Showing a run: bars on a terminal, plain lines elsewhere, or JSON lines."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from lipwise_ray.cli.stopping import StopFlag
from lipwise_ray.cli.terminal import raw_of, shows_bars
from lipwise_ray.cli.time_left import in_words
from lipwise_ray.printable import on_one_line, printable
from lipwise_ray.reports.pairing_words import pairing_words
from lipwise_ray.runs.progress_events import (
    Event,
    ManifestRead,
    Message,
    Note,
    Problem,
    RowEnded,
    RowsProgress,
    RunEnded,
    RunStarted,
)
from lipwise_ray.runs.remaining_time import RemainingTime
from lipwise_ray.state.attempts import CHECK
from lipwise_ray.state.job_result import DubResult, EvaluationResult, RowFailure, SyncScore, SyncScores
from lipwise_ray.storage.redact import redact, scrub

if TYPE_CHECKING:
    from lipwise_ray.runs.report import Report
    from lipwise_ray.state.row_outcome import RowOutcome

_PLAIN_EVERY_S = 5.0
_WINDOW_S = 30.0
_STYLES = {"done ": "green", "check ": "yellow", "FAILED ": "red", "error: ": "red", "note: ": "dim"}
"""Colours of lines by their beginnings, on a terminal."""

_PRINTED = (
    *("row", "row_id", "job_id", "status", "code", "message", "output"),
    *("frames", "seconds", "counts", "sync", "fidelity", "gate"),
)


class _Speed:
    """Rendered frames a second over the last half minute."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def add(self, frames: int) -> float:
        """Note the frames so far and return the speed."""
        now = time.monotonic()
        self._points.append((now, frames))
        while len(self._points) > 2 and now - self._points[0][0] > _WINDOW_S:  # noqa: PLR2004  # two points make a slope
            self._points.popleft()
        then, before = self._points[0]
        return (frames - before) / (now - then) if now - then > 0.2 else 0.0  # noqa: PLR2004  # too short to tell


class Display:
    """Shows the events of runs as plain lines on standard error, and rows as JSON on standard output where asked for.

    Args:
        as_json: Print a JSON object per row on standard output.
        done: The verb for frames, such as ``rendered``, in lines for people.
    """

    def __init__(self, *, as_json: bool, done: str = "rendered") -> None:
        self._done_word = done
        self.as_json = as_json
        self._begin(0)

    def _begin(self, rows: int) -> None:
        self.rows = rows
        self.done = self.failed = self.checks = 0
        self._frames_ended = 0
        self._remaining = RemainingTime(rows)
        self._speed = _Speed()
        self._spoke_s = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        match event:
            case ManifestRead(rows):
                self._begin(rows)
            case RunStarted(run_id, engine, rows):
                self.say(f"run {run_id} on {engine}: {rows} rows")
            case RowsProgress():
                self.moved(event)
            case RowEnded(outcome):
                self.row_ended(outcome)
            case RunEnded(report):
                self.summary(report)
            case Note(text):
                self.say(f"note: {text}")
            case Problem(text):
                self.say(f"error: {text}")
            case Message(text):
                self.say(text)
            case _:  # a row shows once it moves
                pass

    def say(self, text: str) -> None:
        """Print a line for people."""
        print(redact(text), file=sys.stderr, flush=True)

    def stopping(self, text: str) -> None:
        """Say that the run is to stop."""
        self.say(text)

    def close(self) -> None:
        """Leave the terminal as it was."""

    def row_ended(self, outcome: RowOutcome) -> None:
        """Print the outcome of a row."""
        self._frames_ended += outcome.tally.frames_rendered if outcome.tally else 0
        self._remaining.row_ended(outcome)
        result = outcome.result
        if isinstance(result, RowFailure):
            self.failed += 1
            first, *more = result.message.splitlines()
            self.say(f"FAILED {outcome.row_id}: {first}")
            for line in more:
                self.say(f"       {line}")
        else:
            self.done += 1
            how = "already done" if result.reused else f"{result.frames} frames in {outcome.seconds or 0.0:.1f} s"
            bare = result.counts.frames_without_face if result.counts else None
            note = f", {bare} without a face" if bare else ""
            original, notes = (result.original_chunks, result.notes) if isinstance(result, DubResult) else (None, None)
            note += f", {len(original)} chunks in quarantine show their original lips" if original else ""
            note += _sync(result.sync) + (_fidelity(result) if isinstance(result, EvaluationResult) else "")
            is_to_check = result.gate is not None and result.gate.verdict == CHECK
            self.checks += is_to_check
            note += "".join(f"; {reason}" for reason in (result.gate.reasons if result.gate else ()))
            word = "check  " if is_to_check else "done   "
            self.say(f"{word}{outcome.row_id}: {on_one_line(result.output)} ({how}{note})")
            for text in notes or ():
                self.say(f"       note: {text}")
        if self.as_json:
            print(json.dumps(row_record(outcome)), flush=True)

    def moved(self, progress: RowsProgress) -> None:
        """Print a plain line every few seconds."""
        speed = self.speed(progress)
        ended = self.done + self.failed
        if time.monotonic() - self._spoke_s < _PLAIN_EVERY_S or 0 < self.rows == ended:
            return
        self._spoke_s = time.monotonic()
        parts = [
            f"{row.id} {row.stage}" + (f" {row.frames_done}/{row.frames_total}" if row.frames_total else "")
            for row in progress.rows
        ]
        self.say(
            f"{ended}/{self.rows} rows, {speed:.1f} frames/s{_loading(progress)}"
            f"{': ' if parts else ''}{'; '.join(parts)}{self.left(progress, speed)}"
        )

    def speed(self, progress: RowsProgress) -> float:
        """Return rendered frames a second."""
        return self._speed.add(self._frames_ended + sum(row.frames_rendered for row in progress.rows))

    def left(self, progress: RowsProgress, speed: float) -> str:
        """Return the end of a line, with the time that rendering still takes; nothing where nobody can tell."""
        seconds = self._remaining.seconds(progress, speed)
        return f", {in_words(seconds)}" if seconds is not None else ""

    def summary(self, report: Report) -> None:
        """Print the summary of a run."""
        rate = report.frames / report.seconds if report.seconds else 0.0
        checks = f" ({self.checks} to check)" if self.checks else ""
        self.say(
            f"{report.done} done{checks}, {report.failed} failed, {report.left} left; {report.frames} frames "
            f"{self._done_word} in {report.seconds:.1f} s ({rate:.1f} frames/s), {report.chunks_rendered} chunks "
            f"{self._done_word}, {report.chunks_reused} reused"
        )
        self.say(f"outputs: {on_one_line(report.out)}")
        self.say(f"state:   {on_one_line(report.state)}")
        if report.left:
            self.say("stopped before the end: run the same command again to go on")
        if report.page:
            self.say(f"report:  {on_one_line(report.page)}")


def row_record(outcome: RowOutcome) -> dict[str, object]:
    """Return the fields of a row's record that are printed as JSON, without secrets."""
    record = outcome.record
    return cast("dict[str, object]", scrub({key: record[key] for key in _PRINTED if key in record}))


def _loading(progress: RowsProgress) -> str:
    return f", {progress.loading} workers load their models" if progress.loading else ""


def _sync(scores: SyncScores | None) -> str:
    """Return the sync of lips and audio in words, nothing where it was not measured."""
    if scores is None or scores.after is None:
        return ""
    before, after = scores.before or SyncScore(), scores.after
    figures = (
        ("LSE-C", before.lse_c, after.lse_c),
        ("LSE-D", before.lse_d, after.lse_d),
        # Of scorers that are not SyncNet.
        ("sync confidence", before.sync_confidence, after.sync_confidence),
        ("sync distance", before.sync_distance, after.sync_distance),
    )
    values = [
        f"{name} {'' if earlier is None else f'{earlier:.2f} -> '}{now:.2f}"
        for name, earlier, now in figures
        if now is not None
    ]
    return f"; {', '.join(values)} by {scores.judge}"


def _fidelity(result: EvaluationResult) -> str:
    """Return the likeness of a video to its reference in words, nothing where it had none."""
    found = result.fidelity
    if found is None:
        return ""
    figures = (
        ("PSNR", found.psnr, 1),
        ("SSIM", found.ssim, 3),
        ("FID", found.fid, 1),
        ("identity distance", found.identity_distance, 3),
        ("mouth distance", found.mouth_distance, 2),
    )
    values = [f"{name} {value:.{digits}f}" for name, value, digits in figures if value is not None]
    paired = pairing_words(found.lag_s, found.compared_s, result.video_s, found.fitted)
    reasons: dict[str, list[str]] = {}
    for name, why in found.why.items():
        reasons.setdefault(why, []).append(name)
    missing = [f"no {', '.join(names)}: {why}" for why, names in reasons.items()]
    return "".join(f"; {word}" for word in [", ".join(values), *paired, *missing] if word)


class BarDisplay(Display):
    """Bars on a terminal: one a running row, and a total."""

    def __init__(self, *, as_json: bool, done: str) -> None:
        super().__init__(as_json=as_json, done=done)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=Console(file=raw_of(sys.stderr)),
            transient=True,
        )
        self._bars: dict[str, TaskID] = {}
        self._total = self._progress.add_task("rows", total=0, note="")

    def __call__(self, event: Event) -> None:
        """Show an event; bars are there from the reading of the manifest to the end of the run."""
        if isinstance(event, RunEnded):
            self.close()
        super().__call__(event)
        if isinstance(event, ManifestRead):
            self._progress.update(self._total, total=event.rows, completed=0, note="")
            self._progress.start()

    def say(self, text: str) -> None:
        """Print above the bars, in the colour of its first word; NO_COLOR takes colours away."""
        style = next((style for word, style in _STYLES.items() if text.startswith(word)), "")
        self._progress.console.print(Text(printable(redact(text)), style), soft_wrap=True)

    def stopping(self, text: str) -> None:
        """Print it above the bars, and show it on them."""
        super().stopping(text)
        self._progress.update(self._total, description="rows (stopping)")

    def close(self) -> None:
        """Take the bars away."""
        for bar in self._bars.values():
            self._progress.remove_task(bar)
        self._bars.clear()
        self._progress.stop()

    def row_ended(self, outcome: RowOutcome) -> None:
        """Print the outcome of a row and take its bar away."""
        super().row_ended(outcome)
        bar = self._bars.pop(outcome.row_id, None)
        if bar is not None:
            self._progress.remove_task(bar)
        self._progress.update(self._total, completed=self.done + self.failed)

    def moved(self, progress: RowsProgress) -> None:
        """Move the bars."""
        speed = self.speed(progress)
        for row in progress.rows:
            if row.id not in self._bars:
                self._bars[row.id] = self._progress.add_task(row.id, total=None, note="")
            self._progress.update(
                self._bars[row.id], total=row.frames_total or None, completed=row.frames_done, note=row.stage
            )
        self._progress.update(self._total, note=f"{speed:.1f} frames/s{_loading(progress)}{self.left(progress, speed)}")


@contextmanager
def show(stop: StopFlag, *, as_json: bool = False, done: str = "rendered") -> Generator[Display, None, None]:
    """Show runs in the way that fits where standard error goes, and a stop that is asked for meanwhile.

    Args:
        stop: Tells the display of a stop that is asked for.
        as_json: As for `Display`.
        done: As for `Display`.
    """
    kind = BarDisplay if shows_bars() else Display
    display = kind(as_json=as_json, done=done)
    stop.tell_by(display.stopping)
    try:
        yield display
    finally:
        display.close()
