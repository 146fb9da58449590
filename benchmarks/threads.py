"""CPU and wall time of the default command by how its threads wait, beside busy processes, and by workers and threads.

    python -m benchmarks.threads [--seconds 4] [--busy 4] [--rounds 3] [--checkpoint FILE]

Everything runs in turns, so that what else the machine does falls on all alike; medians are printed. Without
--checkpoint the network runs with random weights, which take the same time.
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
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.command import Cost, cost_of_command
from benchmarks.fresh_process import in_child
from benchmarks.pipeline import checkpoint_in, make_inputs
from lipwise_ray.threads import WAIT_POLICY

_SPINNING = {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200", "OPENBLAS_THREAD_TIMEOUT": "26"}
"""What the libraries do where nobody says anything. Source: libgomp's manual, LLVM's of OpenMP, OpenBLAS' USAGE.md."""


@contextmanager
def busy(count: int) -> Generator[None]:
    """Keep so many processes busy beside what is measured."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def interleaved(
    kinds: dict[str, tuple[list[str], dict[str, str]]], manifest: Path, folder: Path, rounds: int
) -> dict[str, Cost]:
    """Return the median costs of commands that run in turns.

    Args:
        kinds: Settings and variables of the environment of each.
        manifest: What is dubbed.
        folder: Gets outputs and states.
        rounds: How often each runs.
    """
    costs: dict[str, list[Cost]] = defaultdict(list)
    for number in range(rounds):
        for name, (settings, variables) in kinds.items():
            out = folder / f"{name}-{number}".replace(" ", "")
            costs[name].append(in_child(cost_of_command, (manifest, out, settings, variables)))
    return {
        name: Cost(statistics.median(one.cpu_s for one in of), statistics.median(one.wall_s for one in of))
        for name, of in costs.items()
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="length of the 720p clip")
    parser.add_argument("--busy", type=int, default=4, help="busy processes beside it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--checkpoint", type=Path)
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, {options.seconds:g} s of 720p, medians of {options.rounds} in turns")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = checkpoint_in(folder, options.checkpoint)
        manifest = make_inputs(folder, "clip", options.seconds)
        common = ['preset="fast"', f"lipsync.checkpoint={json.dumps(str(checkpoint))}"]
        ways = {"spinning": (common, _SPINNING), "sleeping": (common, dict(WAIT_POLICY))}
        for loops in (0, options.busy):
            with busy(loops):
                found = interleaved(ways, manifest, folder / f"busy{loops}", options.rounds)
            spinning, sleeping = found["spinning"], found["sleeping"]
            print(
                f"beside {loops} busy processes: spinning {spinning}, sleeping {sleeping}; "
                f"CPU {spinning.cpu_s / sleeping.cpu_s:.2f}x, wall {spinning.wall_s / sleeping.wall_s:.2f}x",
                flush=True,
            )
        cut = [*common, "chunk.length_s=1", 'engine.kind="ray"']
        shapes = {
            f"{workers} x {threads}": ([*cut, f"engine.workers={workers}", f"engine.threads_per_worker={threads}"], {})
            for workers, threads in ((1, 2), (2, 1))
        }
        found = interleaved(shapes, manifest, folder / "shapes", options.rounds)
        wide, many = found["1 x 2"], found["2 x 1"]
        print(
            f"workers x threads: 1 x 2 {wide}, 2 x 1 {many}; "
            f"CPU {wide.cpu_s / many.cpu_s:.2f}x, wall {wide.wall_s / many.wall_s:.2f}x"
        )


if __name__ == "__main__":
    main()
