"""Smoke test of a deployment: a bundled clip goes through workers, state and bucket, and its output is read again."""

from __future__ import annotations

import csv
import shutil
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lipwise_ray.errors import LipwiseError
from lipwise_ray.media.index import build_index
from lipwise_ray.media.probe import probe_video
from lipwise_ray.pipeline.delivery.outputs import output_at
from lipwise_ray.pipeline.inputs.resolver import cache_of, media_of
from lipwise_ray.resources import manifests_folder
from lipwise_ray.runs.report import Report
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.job_result import DubResult
from lipwise_ray.state.row_outcome import RowOutcome
from lipwise_ray.storage.address import is_local, whole_path
from lipwise_ray.storage.cache import machine_folder

CLIP = "presenter"
"""The demo's row that is dubbed: one face, a few seconds."""
_INPUTS = ("video", "audio")


@dataclass(frozen=True, slots=True)
class SmokeFinding:
    """Finding of a smoke test.

    Attributes:
        good: It is as it should be.
        name: What was looked at: ``inputs``, ``row``, ``output``, ``video``.
        text: Sentence for people.
    """

    good: bool
    name: str
    text: str


@contextmanager
def smoke_manifest(out: str, settings: Settings) -> Generator[Path]:
    """Put the clip's inputs where outputs go, and give a manifest of its row for as long as the block lasts.

    The output has a name of its own each time: nothing that an earlier test made is taken for this one's.

    Args:
        out: Folder or prefix of the outputs.
        settings: Of the run.

    Raises:
        OutputError: Nothing can be put there.
        StorageError: The disk or store refused.
    """
    source = manifests_folder()
    with (source / "demo.csv").open(newline="", encoding="utf-8") as file:
        (row,) = [one for one in csv.DictReader(file) if one["id"] == CLIP]
    root = str(whole_path(out)) if is_local(out) else out.rstrip("/")
    for column in _INPUTS:
        address = f"{root}/inputs/{Path(row[column]).name}"
        with output_at(address, _scratch(settings)).written("smoke") as path:
            shutil.copyfile(source / row[column], path)
        row[column] = address
    row["output"] = time.strftime("smoke-%Y%m%dT%H%M%S.mp4", time.gmtime())
    with tempfile.TemporaryDirectory(prefix="lipwise-") as folder:
        manifest = Path(folder) / "smoke.csv"
        with manifest.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row))
            writer.writeheader()
            writer.writerow(row)
        yield manifest


def smoke_findings(report: Report, settings: Settings) -> Iterator[SmokeFinding]:
    """Yield the findings of a run of the clip: its row, and whether the finished file is what its record says.

    Args:
        report: Of the run of `smoke_manifest`.
        settings: Of the run.

    Raises:
        StorageError: The state cannot be read.
    """
    outcomes = list(report.rows)
    if not outcomes:
        yield SmokeFinding(False, "row", report.stopped or "did not end")
    for outcome in outcomes:
        if isinstance(outcome.result, DubResult):
            speed = f"{outcome.result.frames} frames in {report.seconds:.1f} s, starting included"
            yield SmokeFinding(True, "row", f"dubbed: {speed}")
            try:
                yield from _of_output(outcome.result, settings)
            except LipwiseError as error:
                yield SmokeFinding(False, "output", str(error))
        else:
            yield SmokeFinding(False, "row", _failure(outcome))
    yield from (SmokeFinding(True, "note", text) for text in report.fallbacks)


def _failure(outcome: RowOutcome) -> str:
    record = outcome.record
    return f"{record.get('code')}: {record.get('message')}"


def _of_output(result: DubResult, settings: Settings) -> Iterator[SmokeFinding]:
    """Yield findings of the file that lies there now: it is the published one, and can be played."""
    address = result.output
    found = output_at(address, _scratch(settings)).sha256(lambda: None)
    is_same = found == result.sha256
    what = "is not there" if found is None else "is not the file that was published"
    yield SmokeFinding(is_same, "output", f"{address}: {f'{result.bytes_total} bytes' if is_same else what}")
    if not is_same:
        return
    media = media_of(settings, cache_of(settings.paths))
    info = probe_video(media.local(address, media.identity(address)))
    frames = len(build_index(info))
    text = f"{frames} frames, {info.size.width} x {info.size.height}"
    yield SmokeFinding(
        frames == result.frames and info.sound_start_s is not None,
        "video",
        f"{text}, {'with' if info.sound_start_s is not None else 'without'} audio; {result.frames} were rendered",
    )


def _scratch(settings: Settings) -> Path:
    return Path(settings.paths.scratch or machine_folder())
