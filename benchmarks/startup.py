"""Time from the command to the first rendered frame of one clip, and where it goes.

    python -m benchmarks.startup [--seconds 3] [--rounds 3] [--checkpoint FILE]

Each round is a fresh process with the default engine; medians are printed, by the clock and in CPU seconds of the
process, which other work on the machine does not lengthen. Without --checkpoint the network runs with random weights.
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
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.pipeline import in_child, make_inputs, random_checkpoint

_STAGES = ("import", "settings", "engine", "models", "probe", "plan", "first frame", "last frame", "end")


def run_once(manifest: str, out: str, begun_s: float, assignments: list[str]) -> None:
    """Dub a manifest in this process and print when each stage had ended: seconds by the clock, and of the CPU.

    Args:
        manifest: Its rows.
        out: Folder for outputs.
        begun_s: Time of day at which the process was asked for.
        assignments: Settings.
    """
    marks: dict[str, tuple[float, float]] = {}

    def mark(name: str, *, again: bool = False) -> None:
        if again or name not in marks:
            marks[name] = (time.time() - begun_s, time.process_time())

    import lipwise_ray

    submit = lipwise_ray.submit
    mark("import")
    settings = lipwise_ray.load_settings("fast", assignments=assignments)
    settings.for_run()
    mark("settings")
    from lipwise_ray.backends.inline import InlineEngine
    from lipwise_ray.media.encode import SegmentWriter

    class Timed(InlineEngine):
        def start(self, prepare: list[Any], stop: Any = lambda: False) -> None:
            mark("engine")
            super().start(prepare, stop)
            mark("models")

        def poll(self, timeout_s: float) -> list[Any]:
            outcomes = super().poll(timeout_s)
            for outcome in outcomes:
                mark(outcome.task.kind.name)
            return outcomes

    import lipwise_ray.backends.inline as engines

    engines.InlineEngine = Timed
    write = SegmentWriter.write

    def timed_write(self: SegmentWriter, frame: Any, pts: int) -> None:
        write(self, frame, pts)
        mark("first frame")
        mark("last frame", again=True)

    SegmentWriter.write = timed_write
    report = submit(manifest, out=out, settings=settings)
    mark("end")
    if report.done != 1:
        raise RuntimeError(report)
    print(json.dumps(marks))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="length of the 720p clip")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--checkpoint", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = options.checkpoint or folder / "random.pth"
        if options.checkpoint is None:
            in_child(random_checkpoint, checkpoint)
        manifest = make_inputs(folder, "clip", options.seconds)
        assignments = ["engine.workers=1", f"lipsync.checkpoint={json.dumps(str(checkpoint))}"]
        rounds = []
        for number in range(options.rounds):
            code = "import json, sys; from benchmarks.startup import run_once; run_once(*json.loads(sys.argv[1]))"
            given = json.dumps([str(manifest), str(folder / f"out{number}"), time.time(), assignments])
            done = subprocess.run([sys.executable, "-c", code, given], capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(done.stderr)
            rounds.append(json.loads(done.stdout.splitlines()[-1]))
    print(
        f"{os.cpu_count()} cores, {options.seconds:g} s of 720p, medians of {options.rounds}: seconds until the end of"
    )
    for stage in _STAGES:
        wall_s, cpu_s = (statistics.median(one[stage][place] for one in rounds) for place in (0, 1))
        print(f"  {stage:<12} {wall_s:6.2f} s {cpu_s:6.2f} CPU-s")


if __name__ == "__main__":
    main()
