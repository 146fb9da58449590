"""Running the product in a test: in this process without Ray, or as a user runs it."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import av

from lipwise_ray.backends.factory import make_engine
from lipwise_ray.cli.progress import Display
from lipwise_ray.models.registry import Registry
from lipwise_ray.pipeline.inputs.resolver import policy_of
from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.pipeline.manifest.evaluation_rows import read_evaluation
from lipwise_ray.pipeline.tasks.worker import Worker
from lipwise_ray.resources import jobs_folder, models_folder
from lipwise_ray.runs.progress_events import EventListener
from lipwise_ray.runs.report import Report
from lipwise_ray.runs.settings_source import SettingsSource
from lipwise_ray.runs.submit import evaluate, work_through
from lipwise_ray.runs.work import Dubbing
from lipwise_ray.settings.layers import parse_assignment, preset_names
from lipwise_ray.state.row_outcome import RowOutcome
from tests.support.forked import run_forked

INLINE = 'engine.kind="inline"'
EMBEDDED = 'engine.kind="ray"'
PASSTHROUGH = 'lipsync.model="passthrough"'
UNJUDGED = 'score.judge="none"'
UNSIGNED = 'marking.c2pa="off"'
"""For runs whose signature nobody looks at: it takes a process a row."""
BARE = (UNJUDGED, UNSIGNED)
LOSSLESS = 'encode.codec="ffv1"'
BY_LEVEL = 'lipsync.vad="none"'
"""For made-up sounds, which are no speech to a network that knows voices."""
NOTHING_IN_FRONT = "composite.occlusion=false"
"""For drawn faces, before which nothing is: frames are not compared with those around."""
QUICK = 'encode.preset="ultrafast"'


def write_manifest(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as CSV, whose columns are all keys that a row has; those that hold more than text as JSON lines."""
    if any("speakers" in row or isinstance(row.get("audio"), dict) for row in rows):
        path = path.with_suffix(".jsonl")
        path.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows))
        return path
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


class _Kept(Display):
    """Keeps the lines that it would print, and the outcomes of rows."""

    def __init__(self) -> None:
        super().__init__(as_json=False)
        self.lines: list[str] = []
        self.outcomes: list[RowOutcome] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def row_ended(self, outcome: RowOutcome) -> None:
        super().row_ended(outcome)
        self.outcomes.append(outcome)


class Quiet(EventListener):
    """Keeps the lines that the terminal would show of a run, and the outcomes of rows."""

    def __init__(self) -> None:
        kept = _Kept()
        super().__init__(kept, 0)
        self.lines, self.outcomes = kept.lines, kept.outcomes


@dataclass(frozen=True)
class Dubbed(Report):
    """A report, how each row ended, and what was said."""

    outcomes: list[RowOutcome]
    lines: list[str] = field(default_factory=list[str])


def dub(
    folder: Path,
    rows: list[dict[str, Any]],
    *sets: str,
    out: str = "out",
    state: str = "",
    models: Path | None = None,
    verify: bool = False,
) -> Dubbed:
    """Dub rows in this process; settings as --set takes them. The state lies beside the outputs, or at `state`."""
    manifest_path = write_manifest(folder / f"{out}.csv", rows)
    layers = [(f"--set {text}", parse_assignment(text)) for text in (INLINE, UNJUDGED, UNSIGNED, *sets)]
    source = SettingsSource(jobs_folder(), "quality", list(layers))
    settings = source.for_run()
    listener, state = Quiet(), state or str(folder / f"{out}.state")
    report = work_through(
        read_manifest(
            manifest_path,
            str(folder / out),
            preset_names(jobs_folder()),
            policy_of(settings.paths),
            tracks_of=lambda _: settings.encode.tracks,
        ),
        source,
        Registry(models_folder() / "registry.toml", models or folder / "no-models"),
        Dubbing(str(folder / out), state, listener.problem),
        state=state,
        make_engine=lambda config: make_engine(settings.engine, config, Worker),
        listener=listener,
        verify=verify,
    )
    return Dubbed(**asdict(report), outcomes=listener.outcomes, lines=listener.lines)


def evaluated(folder: Path, rows: list[dict[str, Any]], *sets: str, out: str = "evaluation") -> Dubbed:
    """Evaluate videos in this process; settings as --set takes them."""
    manifest_path = write_manifest(folder / f"{out}.csv", rows)
    layers = [(f"--set {text}", parse_assignment(text)) for text in (INLINE, *sets)]
    source = SettingsSource(jobs_folder(), "quality", list(layers))
    settings = source.for_run()
    listener = Quiet()
    report = evaluate(
        read_evaluation(manifest_path, policy_of(settings.paths)),
        source,
        Registry(models_folder() / "registry.toml", folder / "no-models"),
        state=str(folder / f"{out}.state"),
        out=str(folder / out),
        make_engine=lambda config: make_engine(settings.engine, config, Worker),
        listener=listener,
    )
    return Dubbed(**asdict(report), outcomes=listener.outcomes)


def packets(video: Path | bytes) -> list[tuple[int, int | None, bytes]]:
    """Return the packets of a file: all it shows and plays, without its metadata."""
    source: Any = io.BytesIO(video) if isinstance(video, bytes) else str(video)
    with av.open(source) as container:
        return [(packet.stream.index, packet.pts, bytes(packet)) for packet in container.demux() if packet.size]


def command(*arguments: str | Path) -> list[str]:
    """Return the command line of the installed program."""
    return [sys.executable, "-c", "from lipwise_ray.cli.app import main; main()", *map(str, arguments)]


def run(
    *arguments: str | Path, cwd: Path | None = None, timeout_s: float = 240, afresh: bool = False, **environment: str
) -> Any:
    """Run the program and return the finished process.

    Args:
        arguments: The command line.
        cwd: Where it runs.
        timeout_s: It is killed when it takes longer.
        afresh: Start an interpreter for it, as a user does, instead of forking one that has everything imported.
        environment: Is added to this process's.
    """
    told = {**os.environ, **environment}
    if not afresh:
        return run_forked([*map(str, arguments)], cwd, told, timeout_s)
    return subprocess.run(
        command(*arguments), cwd=cwd, env=told, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def settings_arguments(*sets: str) -> Iterator[str]:
    """Return --set options."""
    for text in sets:
        yield "--set"
        yield text
