"""Making the engine that the settings ask for."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from lipwise_ray.backends.local_workers import local_workers
from lipwise_ray.backends.ray.environment import check_token_file, guard_local_ray, keep_past_lost_heads
from lipwise_ray.cpu_quota import usable_cores
from lipwise_ray.malloc_arenas import keep_few_arenas
from lipwise_ray.nets.visible_gpus import visible_gpus
from lipwise_ray.storage.address import whole_path
from lipwise_ray.threads import let_threads_sleep, own_network_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from lipwise_ray.backends.ray.early_ray import EarlyRay
    from lipwise_ray.backends.worker_config import RunnerMaker, WorkerConfig
    from lipwise_ray.scheduler.engine import Engine
    from lipwise_ray.scheduler.metrics import Meter, NightFacts, Sink
    from lipwise_ray.settings.model import EngineSettings


def engine_for(settings: EngineSettings, rows: int, *, is_attended: bool) -> EngineSettings:
    """Return the settings of a run's engine, whose kind is chosen where it is left to itself.

    Processes of its own for a single worker take seconds to start. They keep a run alive that has other rows to do, or
    nobody who would start it again: so what is one row, and no night's, is done in this process.

    Args:
        settings: As they were given.
        rows: Rows that the run has.
        is_attended: Somebody waits for its end.
    """
    if settings.kind != "auto":
        return settings
    is_alone = rows <= 1 and is_attended and settings.address == "local" and settings.cpu_workers == 1
    gpus = len(visible_gpus(os.environ).devices) if settings.place != "cpu" else 0
    kind = "inline" if is_alone and local_workers(settings, usable_cores(), gpus) == 1 else "ray"
    return settings.model_copy(update={"kind": kind})


def make_engine(
    settings: EngineSettings,
    config: WorkerConfig,
    make_runner: RunnerMaker,
    say: Callable[[str], None] = lambda _: None,
    early: EarlyRay | None = None,
) -> Engine:
    """Return an engine, its workers not started yet.

    Args:
        settings: Where workers live, and how many.
        config: What they are told.
        make_runner: Makes what does the tasks, in the process of each worker.
        say: Tells people of workers that do not begin.
        early: The embedded Ray, where its start is under way.

    Raises:
        SetupError: Ray cannot be started or reached.
    """
    let_threads_sleep(os.environ)  # of a program that has loaded torch already it changes nothing
    keep_few_arenas(os.environ)
    is_here = settings.kind == "inline" or settings.address == "local"
    if is_here and not settings.threads_per_worker:
        config = replace(config, network_threads=own_network_threads(os.environ))
    if settings.kind == "inline":
        from lipwise_ray.backends.inline import inline_engine

        return inline_engine(config, settings, make_runner)
    if settings.address == "local":
        guard_local_ray()
    else:
        check_token_file()
        keep_past_lost_heads()
    from lipwise_ray.backends.ray.engine import RayEngine  # after the guard

    return RayEngine(config, settings, make_runner, say, early)


def meter_for(settings: EngineSettings, state_address: str, rows: int, night: NightFacts | None = None) -> Meter:
    """Return the meter of a run: metrics go where the settings want them, and to the Ray of the cluster it runs on.

    Args:
        settings: Where they go.
        state_address: Where the run's lease is: its state, or its shard of it.
        rows: How many rows the run has.
        night: The night that the run is part of, or None.

    Raises:
        SettingsError: The file cannot be written to.
    """
    from lipwise_ray.scheduler.metrics import FileSink, Meter

    sinks: list[Sink] = []
    # From outside (ray://) nothing of this process reaches the agents of the nodes.
    if settings.kind != "inline" and settings.address != "local" and not settings.address.startswith("ray://"):
        from lipwise_ray.backends.ray.metrics import RaySink  # after the guard

        sinks.append(RaySink())
    if settings.metrics_file:
        sinks.append(FileSink(whole_path(settings.metrics_file)))
    return Meter(sinks, state_address=state_address, rows=rows, night=night)
