"""Put on the path of a run under test: breaks the real product at chosen points. The product knows nothing of it.

The folder that ``LIPWISE_TEST_FAULTS`` names holds ``rules.json``, a list of ``{"task": regex, "at": point,
"do": action, "times": n, "node": name or null}``. Points: ``begin``, ``frame:N``, ``after_segment``, ``after_marker``,
``stitch``, ``publish`` in a worker; ``before_lease``, ``advance`` in the driver. Actions: ``segv``, ``raise``,
``memory``, ``gpu_memory``, ``hang``, ``kill``, ``kill_driver``, ``illegal``, after which every task of the process
fails as after an illegal memory access, and ``clock:S``, which sets the clock of all processes by S seconds. Every
injection leaves a file ``hit-<rule>-<n>``, made by exactly one process, and every publication one
``published-<output>-<id>``. ``LIPWISE_TEST_STATE`` is the state's address.
"""

from __future__ import annotations

import ctypes
import importlib.abc
import importlib.util
import json
import os
import re
import signal
import sys
import time
import uuid
from pathlib import Path

FOLDER = os.environ.get("LIPWISE_TEST_FAULTS")
STATE = os.environ.get("LIPWISE_TEST_STATE", "")
_ERRORS = {
    "raise": "injected",
    "memory": "injected",
    "gpu_memory": "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "illegal": "CUDA error: an illegal memory access was encountered",
}
_broken: list[str] = []
"""What every task of this process says from now on."""


def _claim(rule: int, times: int) -> bool:
    for number in range(times):
        try:
            os.close(os.open(f"{FOLDER}/hit-{rule}-{number}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        return True
    return False


def strike(task: str, point: str) -> None:
    """Do what the rules say for a task at a point."""
    for number, rule in enumerate(json.loads((Path(FOLDER) / "rules.json").read_text())):
        if rule["at"] != point or not re.search(rule["task"], task):
            continue
        node = rule.get("node")
        if node and os.environ.get("LIPWISE_TEST_NODE") != node:
            continue
        if not _claim(number, rule.get("times", 1)):
            continue
        act(rule["do"])


def act(what: str) -> None:
    if what in _ERRORS:
        if what == "illegal":
            _broken.append(_ERRORS[what])
        raise (MemoryError if what == "memory" else RuntimeError)(_ERRORS[what])
    if what == "segv":
        ctypes.string_at(0)
    elif what == "hang":
        (Path(FOLDER) / f"stopped-{os.getpid()}").touch()  # its node may die without it
        while True:  # the kernel lets a stopped process go on when its parent dies
            os.kill(os.getpid(), signal.SIGSTOP)
    elif what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "kill_driver":
        os.kill(_driver(), signal.SIGKILL)
        time.sleep(30)  # what belongs to a dead driver ends soon
    elif what.startswith("clock:"):
        new = Path(FOLDER) / "clock.new"
        new.write_text(what.removeprefix("clock:"))
        new.replace(Path(FOLDER) / "clock")


def _driver() -> int:
    from lipwise_ray.state.store import open_store

    store = open_store(STATE)
    newest = max(key for key in store.names("driver") if "/epoch-" in key)
    return json.loads(store.read(newest))["pid"]


def _shift_s() -> float:
    try:
        return float((Path(FOLDER) / "clock").read_text())
    except FileNotFoundError:
        return 0.0


def _clock() -> None:
    plain, plain_ns = time.time, time.time_ns
    time.time = lambda: plain() + _shift_s()
    time.time_ns = lambda: plain_ns() + round(_shift_s() * 1e9)


def _kernel(module) -> None:
    plain = module.boot_time  # the kernel derives it from the clock, so that it moves too
    module.boot_time = lambda: plain() + _shift_s()


def _worker(module) -> None:
    now = {"task": "", "frames": 0}
    plain_init, plain_run, plain_tick = module.Worker.__init__, module.Worker.run, module.Worker._tick

    def init(self, config):
        strike("init", "begin")
        plain_init(self, config)
        put = self._store.put_file

        def put_file(key, path):
            put(key, path)
            if "/segments/" in key:
                strike(now["task"], "after_segment")

        self._store.put_file = put_file

    def run(self, kind, payload, hints):
        piece = getattr(payload, "piece", None)
        number = getattr(payload, "chunk", piece.chunk if piece else "")
        now.update(task=f"{kind.name}:{payload.row.job.row_id}/{number}", frames=0)
        if _broken:
            raise RuntimeError(_broken[0])
        strike(now["task"], "begin")
        result = plain_run(self, kind, payload, hints)
        if kind.name == "render":
            strike(now["task"], "after_marker")
        return result

    def tick(self):
        plain_tick(self)
        now["frames"] += 1
        strike(now["task"], f"frame:{now['frames']}")

    module.Worker.__init__, module.Worker.run, module.Worker._tick = init, run, tick

    from lipwise_ray.pipeline.delivery import assemble, outputs

    join, move = assemble.join, outputs.move_into_place

    def joining(segments, timeline, target, **more):
        join(segments, timeline, target, **more)
        strike(now["task"], "stitch")

    def moving(path, target):
        strike(now["task"], "publish")
        move(path, target)
        (Path(FOLDER) / f"published-{Path(target).name}-{uuid.uuid4().hex}").touch()

    assemble.join, outputs.move_into_place = joining, moving


def _ledger(module) -> None:
    plain = module.Ledger.note

    def note(self, task_id, job_id, event):
        if event.event == "leased":
            strike(task_id, "before_lease")
        plain(self, task_id, job_id, event)

    module.Ledger.note = note


def _flow(module):
    plain = module.RowFlow.advance

    def advance(self, task, result):
        strike(f"{task.kind.name}:{task.row_id}", "advance")
        return plain(self, task, result)

    module.RowFlow.advance = advance


class _Patch(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Lets a module load as it is, and then changes it."""

    def __init__(self, name: str, change) -> None:
        self._name, self._change = name, change

    def find_spec(self, name, path=None, target=None):
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        self._loader = spec.loader
        spec.loader = self
        return spec

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        self._change(module)


if FOLDER:
    _clock()
    for name, change in (
        ("psutil._pslinux", _kernel),
        ("lipwise_ray.pipeline.flows.dub", _flow),
        ("lipwise_ray.pipeline.tasks.worker", _worker),
        ("lipwise_ray.state.ledger", _ledger),
    ):
        if name in sys.modules:  # in a process that was forked
            change(sys.modules[name])
        else:
            sys.meta_path.insert(0, _Patch(name, change))
