"""The driver as work grows: what a task costs it, its memory, its records, planning, resuming and reporting.

    python -m benchmarks.scale [--workers 1,100,1000] [--rows 1000] [--chunks 10] [--store-requests]
    python -m benchmarks.scale --resume-only --rows 1000,1000000
    python -m benchmarks.scale --night 10000 --frames-per-s 400 --gpu-hour 2.0 --put-million 5.0 --get-million 0.4

The real driver, dispatcher, ledger and row table over scripted workers (`benchmarks/scripted_workers.py`), each case in
a process of its own. Every run is stopped when half its rows are done, run again to its end, and reported. Seconds are
those of the driver's process: a task's are of all that is done for it between the first that is handed out and the end,
rows' records among it. `--resume-only` goes through rows that are all done, with the looks that a worker takes at
their files in the same process. `--store-requests` dubs tiny clips for real, on the S3 protocol server of the tests.
A night's figures follow from those measured in the same run and from the prices that are given.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import math
import os
import re
import resource
import tempfile
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.driver import PASSTHROUGH, submit
from benchmarks.fresh_process import in_child
from benchmarks.scripted_workers import CHUNK_FRAMES, Marks, ScriptedWorkers, now, published

_RATE = 25
UNJUDGED = 'score.judge="none"'
_STOP = "engine.stop_s=86400"


def _case(arguments: dict[str, Any]) -> dict[str, float]:
    """Run one manifest, from its beginning or what is left of it, and return what it took. Runs in a child."""
    chunks, workers = arguments["chunks"], arguments["workers"]
    folder = Path(arguments["folder"])
    done = {int(path.name.split("-")[0]) for path in folder.glob("out.state/runs/*/rows/*-done.json")}
    marks, begin = Marks(), now()

    def is_done(row_id: str) -> bool:
        return int(row_id.removeprefix("row")) + 2 in done  # line 1 names the columns

    half = arguments["rows"] // 2 if arguments["is_first"] else math.inf
    report = submit(
        folder,
        folder / "m.csv",
        "out",
        lambda config: ScriptedWorkers(config, workers, chunks, is_done, marks),
        PASSTHROUGH,
        UNJUDGED,
        _STOP,
        stop=lambda: marks.done_rows >= half,
    )
    end = now()
    assert marks.began is not None
    assert marks.leased is not None
    return {
        "plan_s": marks.began[1] - begin[1],
        "first_chunk_s": (marks.rendered or end)[1] - begin[1],
        "tasks": marks.tasks,
        "rows": report.done,
        "rendered": marks.rendered_chunks,
        "task_ms": 1000 * (end[1] - marks.leased[1]) / marks.tasks,
        "tasks_s": marks.tasks / (end[0] - marks.leased[0]),
        "resume_s": end[1] - begin[1],
        "resume_wall_s": end[0] - begin[0],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _reported(folder: str) -> dict[str, float]:
    """Write the report of the latest run. Runs in a child."""
    from lipwise_ray.reports.write import write_report
    from lipwise_ray.state.store import open_store

    begin = time.process_time()
    write_report(open_store(f"{folder}/out.state"))
    return {
        "report_s": time.process_time() - begin,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measured(workers: int, rows: int, chunks: int) -> dict[str, float]:
    """Return the figures of one case.

    Args:
        workers: Render workers.
        rows: Rows of the manifest.
        chunks: Chunks of each row.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_manifest(folder, rows)
        case = {"rows": rows, "chunks": chunks, "workers": workers, "folder": name}
        first = in_child(_case, case | {"is_first": True})
        second = in_child(_case, case | {"is_first": False})
        records = sum(len(files) for _, _, files in os.walk(folder / "out.state"))
        reported = in_child(_reported, name)
    return {
        "task_ms": first["task_ms"],
        "tasks_s": first["tasks_s"],
        "driver_mib": max(first["peak_mib"], second["peak_mib"]),
        "plan_s": first["plan_s"],
        "resume_s": second["first_chunk_s"],
        "resumed_rows_s": second["resume_s"],
        "records_a_row": records / rows,
        "report_s": reported["report_s"],
        "report_mib": reported["peak_mib"],
    }


def resumed(rows: int, chunks: int) -> dict[str, float]:
    """Return what a run of rows costs that are all done.

    Args:
        rows: Rows of the manifest.
        chunks: Chunks of each row.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_manifest(folder, rows)
        case = {"chunks": chunks, "workers": 1, "folder": name, "is_first": False}
        in_child(_leave_done, case)
        return in_child(_case, case) | {f"report_{key}": value for key, value in in_child(_reported, name).items()}


def _leave_done(arguments: dict[str, Any]) -> None:
    """Leave a state in which all rows of a manifest are done, by the product's own writers. Runs in a child."""
    import lipwise_ray
    from lipwise_ray.pipeline.dubbing.row_digest import RowDigests
    from lipwise_ray.pipeline.inputs.resolver import cache_of, media_of
    from lipwise_ray.pipeline.inputs.stamps import stamp
    from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
    from lipwise_ray.runs.model_requirements import ModelRequirements
    from lipwise_ray.runs.run_inputs import registry_of
    from lipwise_ray.runs.work import Dubbing, RunFacts
    from lipwise_ray.state.done_rows import DoneRow, note_reused
    from lipwise_ray.state.store import open_store

    folder = Path(arguments["folder"])
    source = lipwise_ray.load_settings(assignments=(PASSTHROUGH, UNJUDGED, _STOP))
    settings = source.for_run()
    work, digests = Dubbing(str(folder / "out"), str(folder / "out.state")), RowDigests()
    requirements = ModelRequirements(registry_of(settings, folder), gpu=False)
    store, media = open_store(f"{folder}/out.state"), media_of(settings, cache_of(settings.paths))
    inputs = tuple(stamp(media, str(folder / file)) for file in ("v.mp4", "a.wav"))
    rows = iter(read_manifest(folder / "m.csv", str(folder / "out"), ["quality"]).rows)
    while some := list(islice(rows, 1000)):
        told = [(row, source.for_row(row)) for row in some]
        parts = [work.part(row, own, requirements.of(own, row), RunFacts("cpu")) for row, own in told]
        done = [
            DoneRow(
                digest=digests.of(part),
                inputs=inputs,
                row=row.line,
                row_id=row.id,
                result=replace(published(row.id, part.job.output_address, arguments["chunks"]), reused=True),
            )
            for row, part in zip(some, parts, strict=True)
        ]
        note_reused(store, "20000101T000000-000000", done)


def _write_manifest(folder: Path, rows: int) -> None:
    for file in ("v.mp4", "a.wav"):
        (folder / file).touch()
    with (folder / "m.csv").open("w") as file:
        file.write("id,video,audio,output,tags,faces\n")
        file.writelines(f'row{n},v.mp4,a.wav,{n % 100}/{n}.mp4,show{n % 7},"box:0,9,0,9"\n' for n in range(rows))


def store_requests(_: object = None) -> dict[str, float]:
    """Return the requests to an S3 store that a chunk and a row cost, of tiny clips that are really dubbed.

    Runs in a child.
    """
    from lipwise_ray.storage import objects
    from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
    from lipwise_ray.values import Size
    from tests.support.s3 import BUCKET, Line, point_to, s3_server

    frames = 10
    sets = (PASSTHROUGH, f"chunk.frames={frames}", "engine.kind=inline", "engine.threads_per_worker=1")
    sets = (*sets, "faces.min_face_share=0", UNJUDGED, 'detect.detector="tiny"', "detect.size_px=160")
    with tempfile.TemporaryDirectory() as name, s3_server(os.environ.__setitem__) as port, Line(port) as line:
        folder = Path(name)
        tempfile.tempdir = name
        point_to(line.port, os.environ.__setitem__)
        objects.opened.cache_clear()

        def count(rows: int, chunks: int) -> list[str]:
            text = ["id,video,audio,output"]
            for row in range(rows):
                stem = f"{rows}x{chunks}-{row}"
                write_clip(
                    folder / f"{stem}.mp4", ClipSpec(size=Size(160, 120), frames=chunks * frames, gop=frames + row)
                )
                tone = ToneSpec(chunks * frames / _RATE, 16_000, channels=1, codec="pcm_s16le", tone_hz=330.0 + row)
                write_sound(folder / f"{stem}.wav", tone)
                text.append(f"r{row},{stem}.mp4,{stem}.wav,{stem}.mp4")
            manifest = folder / "m.csv"
            manifest.write_text("\n".join(text))
            line.asked.clear()
            submit(folder, manifest, "out", None, *sets, state=f"s3://{BUCKET}/{rows}x{chunks}")
            return [one for one in line.asked if not re.search("driver|control", one)]

        few, long, several = count(1, 2), count(1, 6), count(3, 2)
    tempfile.tempdir = None

    def puts(asked: list[str]) -> int:
        return sum(not one.startswith(("GET", "HEAD", "DELETE")) or "list-type" in one for one in asked)

    a_chunk, a_chunk_puts = (len(long) - len(few)) / 4, (puts(long) - puts(few)) / 4
    return {
        "chunk": a_chunk,
        "chunk_puts": a_chunk_puts,
        "row": (len(several) - len(few)) / 2 - 2 * a_chunk,
        "row_puts": (puts(several) - puts(few)) / 2 - 2 * a_chunk_puts,
    }


def night(options: argparse.Namespace, tasks_s: float, asked: dict[str, float]) -> list[tuple[str, str]]:
    """Return what a night takes: machines, drivers, requests, money.

    Args:
        options: The command's: hours of video, and prices.
        tasks_s: Tasks a second of one driver, as measured.
        asked: `store_requests`.
    """
    seconds = options.night_hours * 3600
    rows = options.night * 60 / options.row_minutes
    chunks = options.night * 3600 * _RATE / CHUNK_FRAMES
    frames = options.night * 3600 * _RATE
    gpus = math.ceil(frames / options.frames_per_s / seconds)
    tasks = 2 * chunks + 4 * rows  # scanned and rendered; probed, planned, its sound, assembled
    puts = chunks * asked["chunk_puts"] + rows * asked["row_puts"]
    gets = chunks * asked["chunk"] + rows * asked["row"] - puts
    money = gpus * options.night_hours * options.gpu_hour
    requests = puts / 1e6 * options.put_million + gets / 1e6 * options.get_million
    return [
        ("hours of video", f"{options.night:,.0f} in {options.night_hours:g} h, at {_RATE} frames/s"),
        ("rows, chunks", f"{rows:,.0f} of {options.row_minutes:g} min, {chunks:,.0f}"),
        ("GPUs", f"{gpus:,} at {options.frames_per_s:g} frames/s each"),
        ("tasks", f"{tasks:,.0f}: {tasks / seconds:,.0f} a second"),
        ("drivers", f"{math.ceil(tasks / seconds / tasks_s)} (one does {tasks_s:,.0f} tasks/s)"),
        ("requests to the store", f"{puts + gets:,.0f}: {(puts + gets) / seconds:,.0f} a second"),
        ("GPUs cost", f"{money:,.0f}"),
        ("requests cost", f"{requests:,.0f}"),
        ("an hour of video costs", f"{(money + requests) / options.night:.2f}"),
    ]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    numbers = {"type": lambda text: [int(part) for part in text.split(",")], "metavar": "N,N,..."}
    parser.add_argument("--workers", default=[1, 100, 1000], help="render workers", **numbers)
    parser.add_argument("--rows", default=[1000], help="rows of the manifest", **numbers)
    parser.add_argument("--chunks", type=int, default=10, help="chunks of each row")
    parser.add_argument("--resume-only", action="store_true", help="all rows are done: nothing but going through them")
    parser.add_argument("--store-requests", action="store_true", help="count requests to the S3 protocol server too")
    parser.add_argument("--night", type=float, help="hours of video of a night to be priced")
    parser.add_argument("--night-hours", type=float, default=8.0, help="how long it lasts")
    parser.add_argument("--row-minutes", type=float, default=10.0, help="length of its rows")
    parser.add_argument("--frames-per-s", type=float, default=400.0, help="of one GPU")
    parser.add_argument("--gpu-hour", type=float, default=0.0, help="price of a GPU's hour")
    parser.add_argument("--put-million", type=float, default=0.0, help="price of a million requests that write or list")
    parser.add_argument("--get-million", type=float, default=0.0, help="price of a million that read")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores; {options.chunks} chunks a row; seconds are of the driver's processor")
    found: dict[str, float] = {}
    for rows in options.rows if options.resume_only else ():
        found = resumed(rows, options.chunks)
        print(
            f"{rows:>8} rows, all done: gone through in {found['resume_s']:.1f} s, {found['resume_wall_s']:.1f} s by "
            f"the wall, {1000 * found['resume_s'] / rows:.3f} ms a row; plan {found['plan_s']:.1f} s; {found['tasks']} "
            f"tasks; driver {found['peak_mib']:.0f} MiB; report {found['report_report_s']:.1f} s, "
            f"{found['report_peak_mib']:.0f} MiB",
            flush=True,
        )
    for rows in () if options.resume_only else options.rows:
        for workers in options.workers:
            found = measured(workers, rows, options.chunks)
            print(
                f"{rows:>8} rows, {workers:>5} workers: {found['task_ms']:.2f} ms a task ({found['tasks_s']:.0f}/s); "
                f"driver {found['driver_mib']:.0f} MiB; plan {found['plan_s']:.1f} s; half done, the next chunk after "
                f"{found['resume_s']:.1f} s and all after {found['resumed_rows_s']:.1f} s; "
                f"{found['records_a_row']:.1f} records a row; report {found['report_s']:.1f} s, "
                f"{found['report_mib']:.0f} MiB",
                flush=True,
            )
    if options.store_requests or options.night:
        asked = in_child(store_requests, None)
        print(
            f"requests to the store: {asked['chunk']:.2f} a chunk ({asked['chunk_puts']:.2f} write or list), "
            f"{asked['row']:.2f} a row ({asked['row_puts']:.2f})"
        )
        if options.night:
            for name, value in night(options, found["tasks_s"], asked):
                print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
