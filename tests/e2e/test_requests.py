"""How often a run asks its store, counted on the line to a real S3 protocol server."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

import pytest

from lipwise_ray.pipeline.dubbing.task_parts import RowPayload
from lipwise_ray.pipeline.tasks.worker import Worker
from lipwise_ray.scheduler.task import AnyKind, Hints, TaskResult
from lipwise_ray.storage import objects
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import PASSTHROUGH, QUICK, UNJUDGED, dub
from tests.support.s3 import BUCKET, Line, point_to, s3_server

CHUNK = 10
SETS = (PASSTHROUGH, QUICK, f"chunk.frames={CHUNK}", "engine.threads_per_worker=1", "faces.min_face_share=0")
SCANNED = (*SETS, UNJUDGED, 'detect.detector="tiny"', "detect.size_px=160")
JUDGED = (*SETS, 'score.judge="tiny_judge"')
Count = Callable[[int, int], int]


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[Line]:
    """The line to a server with a bucket; temporary files are this test's alone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("lipwise_ray.state.remote._MAY_WAIT_S", 3600.0)  # however slow this machine is
    with s3_server(monkeypatch.setenv) as port, Line(port) as found:
        point_to(found.port, monkeypatch.setenv)
        objects.opened.cache_clear()
        yield found


def _counter(line: Line, folder: Path, faces: str | None, *sets: str) -> Count:
    """Return what counts the requests of a run of so many rows, each of so many chunks.

    What a driver asks for as time passes, whatever it works on, is left out.
    """

    def count(rows: int, chunks: int) -> int:
        name = f"{rows}x{chunks}"
        manifest: list[dict[str, object]] = []
        for row in range(rows):
            video, sound = folder / f"{name}-{row}.mp4", folder / f"{name}-{row}.wav"
            write_clip(video, ClipSpec(size=Size(160, 120), frames=chunks * CHUNK, gop=CHUNK + row))
            seconds, tone_hz = chunks * CHUNK / 25, 330.0 + row
            write_sound(sound, ToneSpec(seconds, 16_000, channels=1, codec="pcm_s16le", tone_hz=tone_hz))
            manifest.append({"id": f"r{row}", "video": video, "audio": sound, "output": f"{name}-{row}.mp4"})
            manifest[-1] |= {"faces": faces} if faces else {}
        line.asked.clear()
        report = dub(folder, manifest, *sets, state=f"s3://{BUCKET}/{name}")
        assert (report.done, report.failed, report.chunks_rendered) == (rows, 0, rows * chunks)
        return sum("driver" not in one and "control" not in one for one in line.asked)

    return count


@pytest.mark.parametrize(
    ("faces", "sets", "most"),
    [
        pytest.param(None, SCANNED, 6, id="scanned and rendered"),
        pytest.param("box:20,80,20,80", JUDGED, 8, id="rendered and scored", marks=pytest.mark.slow),
    ],
)
def test_chunks_and_rows_ask_little(
    faces: str | None, sets: tuple[str, ...], most: int, line: Line, tmp_path: Path
) -> None:
    """A chunk more costs at most 6 requests, 2 for its scan, and 10 with its score; a row at most 25 besides."""
    count = _counter(line, tmp_path, faces, *sets)
    few, long, several = count(1, 2), count(1, 6), count(3, 2)
    a_chunk = (long - few) / 4
    a_row = (several - few) / 2 - 2 * a_chunk
    assert a_chunk <= most, sorted(line.asked)
    assert a_row <= 25, sorted(line.asked)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("faces", "sets", "most"),
    [(None, SCANNED, 7), ("box:20,80,20,80", JUDGED, 10)],
    ids=["scanned and rendered", "rendered and scored"],
)
def test_many_machines_ask_for_what_others_made(
    faces: str | None, sets: tuple[str, ...], most: int, line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two machines in turn: a chunk more costs 7 requests, 2 of them for its scan, 12 with its score; a row 33, of
    which 2 keep where there is speech in its sound.
    """
    crew: list[Worker] = []
    run = Worker.run

    def in_turn(self: Worker, kind: AnyKind, payload: RowPayload, hints: Hints) -> TaskResult:
        for number in range(2 - len(crew)):
            scratch = str(tmp_path / f"machine{number}")
            paths = self._config.paths.model_copy(update={"scratch": scratch})
            crew.append(Worker(replace(self._config, paths=paths)))
        crew.reverse()
        return run(crew[0], kind, payload, hints)

    monkeypatch.setattr(Worker, "run", in_turn)
    count = _counter(line, tmp_path, faces, *sets)

    def fresh(rows: int, chunks: int) -> int:
        crew.clear()
        return count(rows, chunks)

    few, long, several = fresh(1, 2), fresh(1, 6), fresh(3, 2)
    a_chunk = (long - few) / 4
    a_row = (several - few) / 2 - 2 * a_chunk
    assert a_chunk <= most, sorted(line.asked)
    assert a_row <= 33, sorted(line.asked)
