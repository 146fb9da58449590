"""The engine on Ray Core actors."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import ray
import ray.exceptions
from pydantic import ValidationError

from lipwise_ray.backends.devices import no_gpu_here
from lipwise_ray.backends.ray.early_ray import EarlyRay
from lipwise_ray.backends.ray.outcomes import failure_of_process, failure_of_task
from lipwise_ray.backends.ray.reported import ReportedCapabilities
from lipwise_ray.backends.ray.session import (
    ROUNDING,
    Nodes,
    connect,
    ended_processes,
    free_resources,
    is_leaving,
    leave,
    must_live,
    ray_logs,
)
from lipwise_ray.backends.ray.sizing import node_with_room, part_of_gpu, workers_and_threads
from lipwise_ray.backends.ray.slots import AGENT_TIMEOUT_S, ActorSlot, Agents, make_actor
from lipwise_ray.backends.ray.starts import Starts, late, no_environment, words_of_start
from lipwise_ray.backends.worker_config import RunnerMaker, WorkerConfig
from lipwise_ray.errors import LipwiseError, SetupError
from lipwise_ray.scheduler.engine import Outcome, WorkerSlot, failure_of
from lipwise_ray.scheduler.task import ALL_LANES, Lane, Task
from lipwise_ray.scheduler.worker_protocol import Capabilities
from lipwise_ray.settings.model import EngineSettings
from lipwise_ray.state.shapes import WorkerMemory

_CPU_SHARE = 0.01
"""CPUs of a light worker where no node is there for it yet: Ray must not put it on a head that is not to work."""


class RayEngine:
    """Workers as Ray actors, one task in flight each.

    They are made while there is a backlog; on a cluster those without work are sent away, so that
    nodes become free and the cluster can shrink.

    Args:
        config: State and scratch of the workers; device and threads are decided here.
        settings: How many workers of which kind, and where.
        make_runner: Makes what does the tasks, in its actor.
        say: Tells people of workers that did not begin.
        early: The embedded Ray, where its start is under way.

    Raises:
        SetupError: Ray cannot be started or reached.
    """

    def __init__(
        self,
        config: WorkerConfig,
        settings: EngineSettings,
        make_runner: RunnerMaker,
        say: Callable[[str], None] = lambda _: None,
        early: EarlyRay | None = None,
    ) -> None:
        self._make_runner = make_runner
        self._say = say
        self._config = config
        self._settings = settings
        self._slots: dict[str, ActorSlot] = {}
        self._made = self._attempt = 0
        self.gpu_bytes = 0
        """The most GPU memory that one worker has reserved."""
        self._prepare: list[Any] = []
        self._reported = ReportedCapabilities()
        self._left: set[str] = set()
        self._starts = Starts()
        self._local = settings.address == "local"
        self._folder = early.take() if early else connect(settings.address)
        self._nodes = Nodes()
        self._agents = Agents(self._nodes)
        with ExitStack() as stack:
            stack.callback(self._leave)
            self._size_up()
            stack.pop_all()

    def _size_up(self) -> None:
        """Choose the device and the number of workers, by the cluster's resources."""
        settings, nodes = self._settings, self._nodes.alive().values()
        self._part, gpus = part_of_gpu(settings, nodes, self._config.gpu_need_bytes), sum(node.gpus for node in nodes)
        if self._local and settings.place == "gpu" and gpus < self._part:
            raise no_gpu_here()
        self._gpu = settings.place == "gpu" or (settings.place == "auto" and gpus >= self._part)
        gpu_slots = self._nodes.gpu_slots(self._part)
        self._workers, self._threads = workers_and_threads(settings, nodes, gpu_slots, gpu=self._gpu)

    @property
    def device(self) -> str:
        """Device that render workers compute on."""
        found = "cuda" if self._gpu else "cpu"
        return found if self._settings.device == "auto" else self._settings.device

    @property
    def description(self) -> str:
        """One line for people."""
        where = "local Ray" if self._local else f"Ray at {self._settings.address}"
        return f"{where}: {self._most('gpu')} {'GPU' if self._gpu else 'CPU'} workers of {self._threads} threads"

    @property
    def render_slots(self) -> int:
        """Render workers that the settings or the cluster's GPUs allow."""
        return self._most("gpu")

    @property
    def loading(self) -> int:
        """Workers that were made and load their models."""
        return sum(not slot.is_ready for slot in self._slots.values())

    @property
    def unreported(self) -> int:
        """Render workers that were made and have not reported their capabilities yet."""
        return sum(slot.beginning is not None for slot in self._of("gpu"))

    @property
    def capabilities(self) -> list[Capabilities]:
        """Capabilities that render workers reported on living nodes, also where they were sent away since."""
        return self._reported.on(self._nodes.alive())

    @property
    def fallbacks(self) -> list[str]:
        """Those that workers reported, each once a node."""
        return self._reported.fallbacks

    @property
    def memory(self) -> list[WorkerMemory]:
        """Memory of the workers, as each last told it."""
        return [slot.memory for slot in self._slots.values() if slot.memory]

    def start(self, prepare: list[Any], stop: Callable[[], bool] = lambda: False) -> None:
        """Make the first actors; where there are nodes for them, wait until one of each lane has begun.

        Raises:
            SetupError: No worker starts.
        """
        self._prepare = prepare
        while True:
            self.want({"gpu": self._most("gpu"), "cpu": self._most("cpu")})
            has_begun = all(any(slot.about for slot in self._of(lane)) for lane in ALL_LANES)
            if has_begun or stop() or not self._could_begin():
                return
            ray.wait([slot.awaited for slot in self._slots.values() if not slot.is_ready], timeout=1.0)
            must_live()

    def _could_begin(self) -> bool:
        """Tell whether there is a node on which render workers fit, so that one is worth waiting for."""
        return self._local or any(node.gpus if self._gpu else node.cpus for node in self._nodes.alive().values())

    def want(self, backlog: Mapping[Lane, int]) -> None:
        """Make the workers that the backlog needs; on a cluster send those away that were idle for long.

        Raises:
            SetupError: Workers fail to start wherever they are tried.
        """
        self._take_in_beginners()
        self._leave_nodes()
        if self._nodes.head_is_silent:  # Ray would not come back from being asked for a worker
            return
        for lane in ALL_LANES:
            if self._starts.is_of_a_node:
                self._must_have_a_way(lane)
            mine = [slot for slot in self._of(lane) if slot.node not in self._left]
            wanted = min(self._most(lane), backlog.get(lane, 0))
            for _ in range(wanted - len(mine)):
                self._make(lane)
            if self._local:
                continue
            now = time.monotonic()
            spare = [s for s in mine if s.is_ready and s.task is None and now - s.free_since_s > self._settings.idle_s]
            for slot in spare[: max(0, len(mine) - wanted)]:
                self._remove(slot)

    def _leave_nodes(self) -> None:
        """Send workers away that have nothing to do on a node that is gone or about to go."""
        alive = self._nodes.alive()
        self._left = {s.node for s in self._slots.values() if s.node and is_leaving(alive.get(s.node))}
        for slot in [s for s in self._slots.values() if s.node in self._left and s.task is None]:
            self._remove(slot)

    def _of(self, lane: Lane) -> list[ActorSlot]:
        return [slot for slot in self._slots.values() if slot.lane == lane]

    def _most(self, lane: Lane) -> int:
        render_slots = self._workers or max(1, self._nodes.gpu_slots(self._part))
        most = self._settings.cpu_workers if lane == "cpu" else render_slots
        if self._local and self._starts.is_broken(lane, next(iter(self._nodes.alive()), "")):
            return min(most, max(1, sum(slot.is_ready for slot in self._of(lane))))  # nobody is to wait for more
        return most

    def _make(self, lane: Lane, instead_of: ActorSlot | None = None) -> None:
        name = f"{lane}-{self._made}"
        self._made += 1
        node = self._place(lane, instead_of.node if instead_of else "")
        slot = ActorSlot(name, lane, self._actor(name, lane, node), node, again=instead_of is not None)
        slot.beginning = slot.actor.begin.remote(self._prepare if lane == "gpu" else None)
        slot.loading = slot.actor.load.remote(self._prepare) if lane == "gpu" else None
        self._slots[name] = slot

    def _place(self, lane: Lane, other_than: str = "") -> str:
        """Return the node for a new worker; none leaves the choice to Ray, which may ask for another node."""
        if self._local:
            return next(iter(self._nodes.alive()))
        used = Counter(slot.node for slot in self._of(lane))
        nodes = [n for n in self._nodes.alive().values() if not n.draining and not self._starts.is_broken(lane, n.id)]
        gpus = self._part if self._gpu else 0
        return node_with_room(nodes, used, lane, gpus=gpus, threads=self._threads, other_than=other_than)

    def _actor(self, name: str, lane: Lane, node: str) -> Any:  # noqa: ANN401  # Ray's handles have no static type
        threads = self._threads if lane == "gpu" else 1
        device = self.device if lane == "gpu" else "cpu"
        # Embedded, the workers were counted to fit the cores, and nothing else runs. On a cluster the
        # render workers reserve what they compute with; the others cost little.
        takes_cores = lane == "gpu" and not self._gpu and not self._local
        cpus: float = self._threads if takes_cores else 0 if node else _CPU_SHARE
        gpus = self._part if lane == "gpu" and self._gpu else 0
        config = replace(self._config, device=device, threads=threads, gpu_part=self._part)
        start_s, broken = self._settings.start_s, self._starts.broken(lane)
        return make_actor(config, self._make_runner, name, node, not_on=broken, cpus=cpus, gpus=gpus, start_s=start_s)

    def _take_in_beginners(self) -> None:
        awaited = {slot.awaited: slot for slot in self._slots.values() if not slot.is_ready}
        for ref in ray.wait(list(awaited), num_returns=len(awaited), timeout=0)[0] if awaited else ():
            slot = awaited[ref]
            try:
                slot.get_on(ray.get(ref))
            except ray.exceptions.RayError as error:
                self._failed_to_begin(slot, error)
                continue
            if slot.about and slot.about.capabilities:
                self._reported.add(slot.node, slot.about.capabilities)
            if slot.is_ready:
                self._starts.begun(slot.lane, slot.node)
        for slot in [slot for slot in self._slots.values() if not slot.is_ready and self._is_late(slot)]:
            self._try_elsewhere(slot)

    def _is_late(self, slot: ActorSlot) -> bool:
        """Tell whether a worker had its time to begin; what it waits for by no fault of its own does not count."""
        if time.monotonic() - slot.made_s < self._settings.start_s:
            return False
        waits = not slot.node and not self._place(slot.lane)  # for a node that is not there yet
        if not waits and slot.node:
            waits = self._fetches(slot) or (not self._local and self._waits_for_room(slot))
        if waits:
            slot.made_s = time.monotonic()
        return not waits

    def _fetches(self, slot: ActorSlot) -> bool:
        """Tell whether the counter of a worker that has not begun moved: it fetches checkpoints."""
        if self._local and not words_of_start(self._config.scratch, slot.name, ray_logs())[0]:
            return False  # its process has not come so far as to answer
        before = slot.frames_now
        with suppress(ray.exceptions.RayError):
            slot.ask(AGENT_TIMEOUT_S)
        return slot.frames_now > before

    def _waits_for_room(self, slot: ActorSlot) -> bool:
        """Tell whether a node that does start processes gave a worker none, because others have reserved it."""
        answer = self._agents.ask(slot.node, "words_of_start", self._config, slot.name)
        if not isinstance(answer, tuple) or answer[0]:
            return False
        free = free_resources(slot.node)
        kind, needed = ("GPU", self._part) if self._gpu else ("CPU", self._threads)
        return slot.lane == "gpu" and free.get(kind, 0.0) < needed - ROUNDING

    def _try_elsewhere(self, slot: ActorSlot) -> None:
        """End a worker that did not begin in time; one more is made instead, and after that its node is left out."""
        if self._local:
            answer: object = words_of_start(self._config.scratch, slot.name, ray_logs())
        else:
            answer = self._agents.ask(slot.node, "words_of_start", self._config, slot.name)
        error = late(slot.name, slot.node, self._settings.start_s, answer[1] if isinstance(answer, tuple) else "")
        self._remove(slot)
        self._starts.failed(slot.lane, slot.node, error, for_good=slot.again)
        if not slot.again:
            self._say(f"{error} It is tried once more.")
            self._make(slot.lane, instead_of=slot)
        elif not self._of(slot.lane):
            raise self._starts.error()

    def _failed_to_begin(self, slot: ActorSlot, error: ray.exceptions.RayError) -> None:
        """Count against the node."""
        self._remove(slot)
        if slot.node and self._nodes.is_gone(slot.node):
            return
        cause = getattr(error, "cause", None)
        why = cause if isinstance(cause, LipwiseError) else error
        if isinstance(error, ray.exceptions.RuntimeEnvSetupError):
            why = no_environment(slot.node, error)
            self._say(str(why))
        self._starts.failed(slot.lane, slot.node, why, for_good=isinstance(cause, SetupError))
        self._must_have_a_way(slot.lane)

    def _must_have_a_way(self, lane: Lane) -> None:
        """Raise where nobody works and every node failed often enough; others that may do better get time to come."""
        nodes = [node.id for node in self._nodes.alive().values() if node.cpus or node.gpus]
        patience_s = self._settings.start_s if self._starts.is_of_a_node and not self._local else 0.0
        if self._starts.has_no_way(lane, nodes, patience_s) and not any(slot.is_ready for slot in self._of(lane)):
            raise self._starts.error()

    def _remove(self, slot: ActorSlot) -> None:
        self._slots.pop(slot.name, None)
        ray.kill(slot.actor, no_restart=True)

    def idle(self, lane: Lane) -> list[WorkerSlot]:
        """Return the workers of a lane that may take a task."""
        self._take_in_beginners()
        nodes = self._nodes.alive()
        return [
            slot.worker_slot
            for slot in self._of(lane)
            if slot.is_ready and slot.task is None and not is_leaving(nodes.get(slot.node))
        ]

    def submit(self, worker: str, task: Task) -> None:
        """Send a task to a worker."""
        slot = self._slots[worker]
        self._attempt += 1
        slot.task, slot.mark = task, f"attempt {self._attempt} of {task.id}"
        slot.frames_before, slot.stalled = slot.frames_now, False
        slot.call = slot.actor.run.remote(task.kind.name, task.kind.write_payload(task.payload), task.hints, slot.mark)

    def poll(self, timeout_s: float) -> list[Outcome]:
        """Return the attempts that ended."""
        busy = {slot.call: slot for slot in self._slots.values() if slot.task is not None}
        if not busy:
            return []
        ready, _ = ray.wait(list(busy), num_returns=1, timeout=timeout_s)
        must_live()
        if ready:
            ready, _ = ray.wait(list(busy), num_returns=len(busy), timeout=0)
        return [self._outcome(busy[call]) for call in ready]

    def _outcome(self, slot: ActorSlot) -> Outcome:
        task, call = slot.task, slot.call
        assert task is not None  # only busy slots are asked
        worker_slot = slot.worker_slot
        slot.task = slot.call = None
        slot.free_since_s = time.monotonic()
        try:
            data, gpu_bytes = ray.get(call)
            self.gpu_bytes = max(self.gpu_bytes, gpu_bytes)
            return Outcome(worker_slot, task, task.kind.read_result(data), None)
        except ValidationError as error:  # what it gave is not a result of its kind
            return Outcome(worker_slot, task, None, failure_of(error))
        except ray.exceptions.RayTaskError as error:
            return Outcome(worker_slot, task, None, replace(failure_of_task(error), log=self._agents.tail(slot)))
        except ray.exceptions.RayError as error:  # the process is gone, or cannot be reached any more
            failure = failure_of_process(slot, error, is_gone=self._nodes.is_gone)
            if failure.blame != "node":  # whose agent is gone with it
                failure = replace(failure, log=self._agents.tail(slot))
            self._remove(slot)
            return Outcome(worker_slot, task, None, failure)

    def frames_done(self) -> dict[str, int]:
        """Return the frames of the present tasks; asks the actors now and then, without waiting for them."""
        now = time.monotonic()
        for slot in list(self._slots.values()):
            if not slot.count(now) and slot.task is None:  # else the task's own outcome tells what happened
                self._remove(slot)
        return {slot.name: slot.frames_now - slot.frames_before for slot in self._slots.values() if slot.task}

    def kill(self, worker: str) -> None:
        """End a worker that makes no progress."""
        slot = self._slots[worker]
        slot.stalled = True
        # A process that was stopped does not hear Ray's own request.
        self._agents.ask(slot.node, "kill", slot.pid)
        ray.kill(slot.actor, no_restart=True)

    def renew(self, worker: str) -> bool:
        """End an idle worker's process; `want` makes another in its place."""
        if slot := self._slots.get(worker):
            self._remove(slot)
        return True

    def close(self) -> None:
        """Kill the actors; an embedded Ray ends with them."""
        with ExitStack() as stack:
            stack.callback(self._leave)
            if not self._nodes.head_is_lost and not ended_processes():  # else nobody would answer
                for slot in list(self._slots.values()):
                    self._remove(slot)
                self._agents.close()

    def _leave(self) -> None:
        leave(self._folder, is_lost=self._nodes.head_is_lost)
