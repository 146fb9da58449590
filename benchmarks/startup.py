"""Time from the command to the first rendered frame of one clip, and where it goes: in one process, and on a local Ray.

    python -m benchmarks.startup [--seconds 3] [--rounds 3] [--checkpoint FILE] [--engine both]
    python -m benchmarks.startup --command

Each round is a fresh process with one worker, the engines in turn; medians are printed, by the clock and in CPU seconds
of the process and all that it started, which other work on the machine does not lengthen. Without --checkpoint the
network runs with random weights.

With --command it is `lipwise-ray dub` on the demo's presenter, with the bundled networks: cold, the program's files
taken out of the system's cache of pages as far as nobody uses them, and warm.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.pipeline import checkpoint_in, make_inputs

_STAGES = ("import", "settings", "engine", "workers", "probe", "plan", "first frame", "last frame", "done", "end")
_FRAMES = ("first frame", "last frame")
_FRAME_TIMES = "LIPWISE_BENCH_FRAME_TIMES"
"""Variable with the path of the file in which rendering workers leave the times of their frames."""


def timed_worker(config: Any) -> Any:
    """Return the product's worker; the times of day of its first and latest written frame go to a file."""
    from lipwise_ray.media.segment_writer import SegmentWriter
    from lipwise_ray.pipeline.tasks.worker import Worker

    write, path = SegmentWriter.write, Path(os.environ[_FRAME_TIMES])

    def timed_write(self: SegmentWriter, frame: Any, pts: int) -> None:
        write(self, frame, pts)
        now = time.time()
        path.write_text(f"{path.read_text().split()[0] if path.exists() else now} {now}")

    SegmentWriter.write = timed_write
    return Worker(config)


def _cpu_s() -> float:
    """Return the CPU seconds of this process and of those under it."""
    found = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with suppress(psutil.Error):  # it ended meanwhile
            found += sum(process.cpu_times()[:2])
    return found


def run_once(engine: str, manifest: str, out: str, begun_s: float, assignments: list[str]) -> None:
    """Dub a manifest and print when each stage had ended: seconds by the clock, and of the CPU.

    Args:
        engine: ``inline`` or ``ray``.
        manifest: Its rows.
        out: Folder for outputs.
        begun_s: Time of day at which the process was asked for.
        assignments: Settings.
    """
    marks: dict[str, tuple[float, float | None]] = {}

    def mark(name: str) -> None:
        marks.setdefault(name, (time.time() - begun_s, _cpu_s()))

    import lipwise_ray

    submit = lipwise_ray.submit
    mark("import")
    settings = lipwise_ray.load_settings("fast", assignments=assignments)
    settings.for_run()
    mark("settings")
    from lipwise_ray.runs import run_rows

    make_engine = run_rows.make_engine

    def timed_engine(settings: Any, config: Any, make_runner: Any, *others: Any) -> Any:
        del make_runner
        made: Any = make_engine(settings, config, timed_worker, *others)
        mark("engine")
        start, poll, close = made.start, made.poll, made.close

        def timed_start(*arguments: Any) -> None:
            start(*arguments)
            mark("workers")

        def timed_poll(timeout_s: float) -> list[Any]:
            outcomes = poll(timeout_s)
            for outcome in outcomes:
                mark(outcome.task.kind.name)
            return outcomes

        def timed_close() -> None:
            mark("done")
            close()

        made.start, made.poll, made.close = timed_start, timed_poll, timed_close
        return made

    run_rows.make_engine = timed_engine
    report = submit(manifest, out=out, settings=settings, engine=engine)  # type: ignore[arg-type]  # one of the two
    marks["end"] = (time.time() - begun_s, None)  # the CPU time of processes that have ended is not known
    if report.done != 1:
        raise RuntimeError(report)
    written = [float(one) - begun_s for one in Path(os.environ[_FRAME_TIMES]).read_text().split()]
    print(json.dumps(marks | {name: (at_s, None) for name, at_s in zip(_FRAMES, written, strict=True)}))


def run_command(words: list[str]) -> None:
    """Run the command, the time of its first and latest written frame left in a file.

    Args:
        words: Of the command line.
    """
    from lipwise_ray.__main__ import main as command
    from lipwise_ray.pipeline.tasks import make_worker as maker

    maker.make_worker = timed_worker  # type: ignore[assignment]  # of the same shape
    sys.argv = ["lipwise-ray", *words]
    command()


def _forget_files() -> None:
    """Take the program and its libraries out of the system's cache of pages; what a process has mapped stays."""
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("stdlib"), str(Path(__file__).parents[1])}:
        for path in Path(folder).rglob("*"):
            with suppress(OSError):
                if path.is_file() and not path.is_symlink():
                    descriptor = os.open(path, os.O_RDONLY)
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                    os.close(descriptor)


def _first_frame_s(folder: Path, *, is_cold: bool) -> tuple[float, float]:
    """Return the seconds from the command to its first written frame and to its end."""
    demo = Path(__file__).parents[1] / "manifests" / "demo"
    job = Path(__file__).parents[1] / "jobs" / "demo.toml"
    words = [
        "dub",
        str(demo / "presenter.mp4"),
        str(demo / "presenter.m4a"),
        str(folder / "out.mp4"),
        "--job",
        str(job),
    ]
    code = "import json, sys; from benchmarks.startup import run_command; run_command(json.loads(sys.argv[1]))"
    told = {_FRAME_TIMES: str(folder / "frames"), "PYTHONPATH": str(Path(__file__).parents[1])}
    told["XDG_CACHE_HOME"] = str(folder / "cache")
    if is_cold:
        _forget_files()
    begun_s = time.time()
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(words)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **told},
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return float((folder / "frames").read_text().split()[0]) - begun_s, time.time() - begun_s


def time_command(rounds: int) -> None:
    """Print how long `dub` takes to its first frame, cold and warm in turn."""
    found: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for _ in range(rounds):
        for is_cold in (True, False):
            with tempfile.TemporaryDirectory() as name:
                found[is_cold].append(_first_frame_s(Path(name), is_cold=is_cold))
    print(f"{os.cpu_count()} cores, lipwise-ray dub on the demo's presenter, medians of {rounds}")
    for is_cold, measured in found.items():
        first_s, end_s = (statistics.median(one[place] for one in measured) for place in (0, 1))
        print(f"  {'cold' if is_cold else 'warm'}  first frame {first_s:6.2f} s  end {end_s:6.2f} s")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="length of the 720p clip")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--engine", choices=("inline", "ray", "both"), default="both")
    parser.add_argument("--command", action="store_true", help="time `lipwise-ray dub` instead")
    options = parser.parse_args()
    if options.command:
        time_command(options.rounds)
        return
    engines = ("inline", "ray") if options.engine == "both" else (options.engine,)
    rounds: dict[str, list[Any]] = {engine: [] for engine in engines}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = checkpoint_in(folder, options.checkpoint)
        manifest = make_inputs(folder, "clip", options.seconds)
        assignments = ["engine.workers=1", f"lipsync.checkpoint={json.dumps(str(checkpoint))}"]
        for number, engine in ((number, engine) for number in range(options.rounds) for engine in engines):
            code = "import json, sys; from benchmarks.startup import run_once; run_once(*json.loads(sys.argv[1]))"
            given = json.dumps([engine, str(manifest), str(folder / f"{engine}{number}"), time.time(), assignments])
            told = {
                _FRAME_TIMES: str(folder / f"{engine}{number}.frames"),
                "PYTHONPATH": str(Path(__file__).parents[1]),
            }
            environment = {**os.environ, **told}
            words = [sys.executable, "-c", code, given]
            done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
            if done.returncode:
                raise RuntimeError(done.stderr)
            rounds[engine].append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{os.cpu_count()} cores, {options.seconds:g} s of 720p, medians of {options.rounds}: time until the end of")
    for engine, measured in rounds.items():
        for stage in _STAGES:
            wall_s = statistics.median(one[stage][0] for one in measured)
            cpu_s = [one[stage][1] for one in measured]
            cpu = "" if None in cpu_s else f"{statistics.median(cpu_s):6.2f} CPU-s"
            print(f"  {engine:<7} {stage:<12} {wall_s:6.2f} s {cpu}".rstrip())


if __name__ == "__main__":
    main()
