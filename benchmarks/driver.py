"""Costs of the driver: tasks a second, memory by rows, the way from the last chunk to the file, a second worker.

    python -m benchmarks.driver [--rows 100000] [--tasks 2000] [--seconds 60]

All figures are of one run on this machine. Rows of the memory run are answered at once, as rows are that were done
before; everything else of the driver is real.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.fresh_process import in_child
from benchmarks.pipeline import make_inputs
from lipwise_ray.backends.worker_config import WorkerConfig
from lipwise_ray.pipeline.dubbing.capabilities import RenderCapabilities
from lipwise_ray.pipeline.flows.task_kinds import ProbeResult
from lipwise_ray.runs.report import Report
from lipwise_ray.scheduler.engine import Engine, Outcome, WorkerSlot
from lipwise_ray.scheduler.task import Lane, Task, TaskResult
from lipwise_ray.state.job_result import DubResult
from lipwise_ray.state.shapes import WorkerMemory
from lipwise_ray.values import Json

PASSTHROUGH = 'lipsync.model="passthrough"'


class Instant:
    """An engine whose rows are done already."""

    device, description, render_slots = "cpu", "instant", 1
    loading, unreported, gpu_bytes = 0, 0, 0

    def __init__(self, config: WorkerConfig) -> None:
        self._task: Task | None = None
        self.capabilities: list[RenderCapabilities] = []
        self.fallbacks: list[str] = []
        self.memory: list[WorkerMemory] = []

    def start(self, prepare: list[Json], stop: Callable[[], bool] = lambda: False) -> None: ...
    def want(self, backlog: Mapping[Lane, int]) -> None: ...
    def kill(self, worker: str) -> None: ...
    def close(self) -> None: ...

    def idle(self, lane: Lane) -> list[WorkerSlot]:
        return [] if self._task else [WorkerSlot("w", lane, "n")]

    def submit(self, worker: str, task: Task) -> None:
        self._task = task

    def poll(self, timeout_s: float) -> list[Outcome]:
        task, self._task = self._task, None
        assert task is not None
        job = task.payload.row.job
        job_id, sha256 = f"j-{job.row_id}", "0" * 64
        done = DubResult(job_id=job_id, output=job.output_address, frames=1, chunks=1, bytes_total=1, sha256=sha256)
        result = ProbeResult(job_id=job_id, published=done)
        return [Outcome(WorkerSlot("w", task.lane, "n"), task, result, None)]

    def frames_done(self) -> dict[str, int]:
        return {}

    def renew(self, worker: str) -> bool:
        return False


def submit(
    folder: Path,
    manifest: Path,
    name: str,
    make: Callable[[WorkerConfig], Engine] | None,
    *sets: str,
    state: str = "",
    stop: Callable[[], bool] = lambda: False,
) -> Report:
    """Run a manifest quietly and return how it ended.

    Args:
        folder: Folder for outputs and state.
        manifest: The manifest.
        name: Name of the folder of outputs; the state is beside it.
        make: Makes the engine; None for the product's own.
        sets: Settings, as ``--set`` takes them.
        state: Address of the state; empty for a folder beside the outputs.
        stop: Once it says yes, nothing more is begun.
    """
    import lipwise_ray
    from lipwise_ray.backends.factory import make_engine
    from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
    from lipwise_ray.pipeline.tasks.worker import Worker
    from lipwise_ray.runs.progress_events import Event, EventListener, Problem, RowEnded
    from lipwise_ray.runs.run_inputs import registry_of
    from lipwise_ray.runs.submit import work_through
    from lipwise_ray.runs.work import Dubbing

    def show(event: Event) -> None:
        if isinstance(event, Problem) or (isinstance(event, RowEnded) and event.outcome.status == "failed"):
            print(event)

    source = lipwise_ray.load_settings(assignments=sets)
    settings = source.for_run()
    loaded = read_manifest(manifest, str(folder / name), ["quality"])
    listener, state = EventListener(show, loaded.good), state or str(folder / f"{name}.state")
    report = work_through(
        loaded,
        source,
        registry_of(settings, folder),
        Dubbing(str(folder / name), state, listener.problem),
        state=state,
        make_engine=make or (lambda config: make_engine(settings.engine, config, Worker)),
        listener=listener,
        stop=stop,
    )
    if report.failed or (report.left and not stop()):
        raise RuntimeError(f"the run failed: {report}")
    return report


def memory(rows: int) -> dict[str, float]:
    """Run many rows; return seconds and this process's peak memory. Runs in a child."""
    import resource

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("v.mp4", "a.wav"):
            (folder / file).touch()
        manifest = folder / "m.csv"
        with manifest.open("w") as file:
            file.write("id,video,audio,output,tags,faces\n")
            file.writelines(f'row{n},v.mp4,a.wav,{n % 100}/{n}.mp4,show{n % 7},"box:0,9,0,9"\n' for n in range(rows))
        begin = time.perf_counter()
        submit(folder, manifest, "out", Instant, PASSTHROUGH)
        return {
            "seconds": time.perf_counter() - begin,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def throughput(arguments: dict[str, Any]) -> float:
    """Return tasks a second with nothing to do: chunks that were scanned before. Runs in a child."""
    from lipwise_ray.backends.factory import make_engine
    from lipwise_ray.models.checkpoints import Checkpoints
    from lipwise_ray.pipeline.dubbing.job import JobSpec
    from lipwise_ray.pipeline.dubbing.task_parts import NumberedSpan, Probed, RowPart
    from lipwise_ray.pipeline.flows.task_kinds import SCAN, ScanPayload
    from lipwise_ray.pipeline.tasks.worker import Worker
    from lipwise_ray.scheduler.dispatcher import Dispatcher
    from lipwise_ray.settings.model import EngineSettings, Settings
    from lipwise_ray.state import layout
    from lipwise_ray.state.ledger import Ledger
    from lipwise_ray.state.store import LocalStore

    class Count:
        done = 0

        def finished(self, task: Task, result: TaskResult) -> None:
            self.done += 1

        def failed(self, task: Task, failure: Any) -> None:
            raise RuntimeError(failure)

    tasks: int = arguments["tasks"]
    with tempfile.TemporaryDirectory() as name:
        store, count = LocalStore(Path(name)), Count()
        store.write(layout.scan_chunk("v", "d", 0), b"done")
        settings = EngineSettings(kind=arguments["kind"], workers=2, threads_per_worker=1)
        engine = make_engine(settings, WorkerConfig(name, f"{name}/scratch", "cpu", 1), Worker)
        try:
            engine.start([])
            spec = JobSpec("r", "v", "a", "o.mp4", f"{name}/o.mp4", None, 0.0, None, None, (), Settings())
            row, probed = RowPart(spec, Checkpoints(), "cpu"), Probed("j", {}, "v", "d")
            payload = ScanPayload(row, probed, NumberedSpan(0, 0, 1))
            dispatcher = Dispatcher(engine, store, Ledger(store, "run"))
            for number in range(tasks):
                dispatcher.add(Task(f"scan:{number}", SCAN, payload, 0, (0, number)), count)
            while len(engine.idle("gpu")) < (2 if arguments["kind"] == "ray" else 1):
                time.sleep(0.1)
            begin = time.perf_counter()
            while dispatcher.left:
                dispatcher.step(0.5)
            seconds = time.perf_counter() - begin
        finally:
            engine.close()
    assert count.done == tasks
    return tasks / seconds


def run_of_a_clip(arguments: dict[str, Any]) -> dict[str, float]:
    """Dub a clip on Ray; return the rendering time and the time from its last chunk to the file. Runs in a child."""
    folder, name = Path(arguments["folder"]), arguments["name"]
    submit(folder, Path(arguments["manifest"]), name, None, *arguments["set"])
    (log,) = folder.glob(f"{name}.state/runs/*/events.jsonl")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    renders = [event for event in events if event.get("task", "").startswith("render:")]
    begun = min(event["time"] for event in renders if event["event"] == "leased")
    ended = max(event["time"] for event in renders if event["event"] == "done")
    published = max(event["time"] for event in events if event.get("task", "").startswith("assemble:"))
    return {"render_s": ended - begun, "publish_s": published - ended}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the 720p clip")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores")
    for kind in ("inline", "ray"):
        speed = in_child(throughput, {"kind": kind, "tasks": options.tasks})
        print(f"dispatcher on {kind}: {speed:.0f} tasks/s with nothing to do", flush=True)
    few, many = (in_child(memory, rows) for rows in (1000, options.rows))
    print(
        f"driver memory: {few['peak_mib']:.0f} MiB at 1000 rows, {many['peak_mib']:.0f} MiB at {options.rows} rows "
        f"({many['peak_mib'] - few['peak_mib']:+.0f} MiB; {options.rows / many['seconds']:.0f} rows/s)",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = make_inputs(folder, "clip", options.seconds)
        common = [PASSTHROUGH, "chunk.length_s=2", "engine.threads_per_worker=1"]
        found = {
            workers: in_child(
                run_of_a_clip,
                {
                    "folder": folder,
                    "manifest": manifest,
                    "name": f"out{workers}",
                    "set": [*common, f"engine.workers={workers}"],
                },
            )
            for workers in (1, 2)
        }
        print(
            f"two workers against one, a thread each: {found[1]['render_s'] / found[2]['render_s']:.2f}x "
            f"({found[1]['render_s']:.1f} s, {found[2]['render_s']:.1f} s)"
        )
        print(f"from the last chunk of {options.seconds:g} s of 720p to its file: {found[2]['publish_s']:.2f} s")


if __name__ == "__main__":
    main()
