"""Showing a run: bars on a terminal, plain lines elsewhere, or JSON lines."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from lipwise_ray.cli.terminal import raw_of
from lipwise_ray.printable import on_one_line, printable
from lipwise_ray.storage.redact import redact, scrub

if TYPE_CHECKING:
    from lipwise_ray.dubbing.flow import Flow
    from lipwise_ray.engine.driver import Report
    from lipwise_ray.engine.listener import RowOutcome
    from lipwise_ray.values import Json

_PLAIN_EVERY_S = 5.0
_WINDOW_S = 30.0
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
    """What all ways of showing a run share: rows so far, and plain lines on standard error.

    Args:
        rows: Rows in the manifest.
        as_json: Print a JSON object a row on standard output.
        done: What was done with frames.
    """

    def __init__(self, rows: int, *, as_json: bool, done: str = "rendered") -> None:
        self.rows = rows
        self._done_word = done
        self.as_json = as_json
        self.done = self.failed = self.checks = 0
        self._frames_ended = 0
        self._speed = _Speed()
        self._spoke_s = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line for people."""
        print(redact(text), file=sys.stderr, flush=True)

    def run_started(self, run_id: str, engine: str) -> None:
        """Say where the work runs."""
        self.say(f"run {run_id} on {engine}: {self.rows} rows")

    def note(self, text: str) -> None:
        """Print what is to be known of the run."""
        self.say(f"note: {text}")

    def problem(self, text: str) -> None:
        """Print what concerns the whole run."""
        self.say(f"error: {text}")

    def stopping(self, text: str) -> None:
        """Say that the run is to stop."""
        self.say(text)

    def row_started(self, row: int, row_id: str) -> None:
        """Nothing: a row shows once it moves."""

    def row_ended(self, outcome: RowOutcome) -> None:
        """Print how a row ended."""
        record = outcome.record
        self._frames_ended += record.get("tally", {}).get("frames_rendered", 0)
        if outcome.status == "done":
            self.done += 1
            how = "already done" if record.get("reused") else f"{record['frames']} frames in {record['seconds']:.1f} s"
            counts = record.get("counts", {})
            bare = counts.get("frames_without_face", 0)
            note = f", {bare} without a face" if bare else ""
            original = record.get("original_chunks")
            note += f", {len(original)} chunks in quarantine show their original lips" if original else ""
            note += _sync(record.get("sync")) + _fidelity(record.get("fidelity"))
            gate = record.get("gate") or {}
            word = "check  " if gate.get("verdict") == "check" else "done   "
            self.checks += word == "check  "
            note += "".join(f"; {reason}" for reason in gate.get("reasons") or [])
            self.say(f"{word}{outcome.id}: {on_one_line(record['output'])} ({how}{note})")
            for text in record.get("notes") or []:
                self.say(f"       note: {text}")
        else:
            self.failed += 1
            first, *more = record["message"].splitlines()
            self.say(f"FAILED {outcome.id}: {first}")
            for line in more:
                self.say(f"       {line}")
        if self.as_json:
            print(json.dumps(scrub({key: record[key] for key in _PRINTED if key in record})), flush=True)

    def tick(self, rows: list[tuple[str, Flow, int]], loading: int) -> None:
        """Print a plain line every few seconds."""
        speed = self.speed(rows)
        if time.monotonic() - self._spoke_s < _PLAIN_EVERY_S:
            return
        self._spoke_s = time.monotonic()
        parts = [
            f"{row_id} {flow.progress.stage}"
            + (
                f" {min(flow.progress.done + more, flow.progress.todo)}/{flow.progress.todo}"
                if flow.progress.todo
                else ""
            )
            for row_id, flow, more in rows
        ]
        workers = f", {loading} workers load their models" if loading else ""
        self.say(f"{self.done + self.failed}/{self.rows} rows, {speed:.1f} frames/s{workers}: {'; '.join(parts)}")

    def speed(self, rows: list[tuple[str, Flow, int]]) -> float:
        """Return rendered frames a second."""
        moving = sum(
            flow.tally.frames_rendered + (more if flow.progress.stage == "rendering" else 0) for _, flow, more in rows
        )
        return self._speed.add(self._frames_ended + moving)

    def summary(self, report: Report, out: str, state: str) -> None:
        """Print what the run came to."""
        rate = report.frames / report.seconds if report.seconds else 0.0
        checks = f" ({self.checks} to check)" if self.checks else ""
        self.say(
            f"{report.done} done{checks}, {report.failed} failed, {report.left} left; {report.frames} frames "
            f"{self._done_word} in {report.seconds:.1f} s ({rate:.1f} frames/s), {report.chunks_rendered} chunks "
            f"{self._done_word}, {report.chunks_reused} reused"
        )
        self.say(f"outputs: {out}\nstate:   {state}")
        if report.left:
            self.say("stopped before the end: run the same command again to go on")


_SYNC_FIGURES = {
    "lse_c": "LSE-C",
    "lse_d": "LSE-D",
    "sync_confidence": "sync confidence",
    "sync_distance": "sync distance",
}
"""The last two are of scorers that are not SyncNet."""


def _sync(scores: Json | None) -> str:
    """Return in words how lips and sound go together, nothing where that was not measured."""
    before, after = (scores.get("before"), scores.get("after")) if scores else (None, None)
    if not scores or not after:
        return ""
    values = [
        f"{name} {f'{before[key]:.2f} -> ' if before else ''}{after[key]:.2f}"
        for key, name in _SYNC_FIGURES.items()
        if key in after
    ]
    return f"; {', '.join(values)} by {scores['judge']}"


def _fidelity(found: Json | None) -> str:
    """Return in words how like a video is to its reference, nothing where it had none."""
    told = [
        f"{name} {found[key]:.{digits}f}"
        for name, key, digits in (
            ("PSNR", "psnr", 1),
            ("SSIM", "ssim", 3),
            ("FID", "fid", 1),
            ("identity distance", "identity_distance", 3),
        )
        if found and found[key] is not None
    ]
    missing = [f"no {name}: {why}" for name, why in (found or {}).get("why", {}).items()]
    return "".join(f"; {word}" for word in [", ".join(told), *missing] if word)


class BarDisplay(Display):
    """Bars on a terminal: one a running row, and a total."""

    def __init__(self, rows: int, *, as_json: bool, done: str, progress: Progress) -> None:
        super().__init__(rows, as_json=as_json, done=done)
        self._progress = progress
        self._bars: dict[str, TaskID] = {}
        self._total = progress.add_task("rows", total=rows, note="")

    def say(self, text: str) -> None:
        """Print above the bars."""
        self._progress.console.print(printable(redact(text)), markup=False, highlight=False, soft_wrap=True)

    def stopping(self, text: str) -> None:
        """Print it above the bars, and show it on them."""
        super().stopping(text)
        self._progress.update(self._total, description="rows (stopping)")

    def row_ended(self, outcome: RowOutcome) -> None:
        """Print how a row ended and take its bar away."""
        super().row_ended(outcome)
        bar = self._bars.pop(outcome.id, None)
        if bar is not None:
            self._progress.remove_task(bar)
        self._progress.update(self._total, completed=self.done + self.failed)

    def tick(self, rows: list[tuple[str, Flow, int]], loading: int) -> None:
        """Move the bars."""
        speed = self.speed(rows)
        for row_id, flow, more in rows:
            if row_id not in self._bars:
                self._bars[row_id] = self._progress.add_task(row_id, total=None, note="")
            state = flow.progress
            self._progress.update(
                self._bars[row_id],
                total=state.todo or None,
                completed=min(state.done + more, state.todo),
                note=state.stage,
            )
        workers = f", {loading} workers load their models" if loading else ""
        self._progress.update(self._total, note=f"{speed:.1f} frames/s{workers}")


@contextmanager
def show(rows: int, *, as_json: bool, done: str = "rendered") -> Generator[Display, None, None]:
    """Show a run in the way that fits where standard error goes."""
    if not sys.stderr.isatty():
        yield Display(rows, as_json=as_json, done=done)
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=Console(file=raw_of(sys.stderr)),
        transient=True,
    ) as progress:
        yield BarDisplay(rows, as_json=as_json, done=done, progress=progress)
