"""Making the engine that the settings ask for."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from lipwise_ray.errors import SettingsError, SetupError
from lipwise_ray.storage.address import whole_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from lipwise_ray.dubbing.worker import WorkerConfig
    from lipwise_ray.engine.contract import Engine
    from lipwise_ray.engine.metrics import Meter, NightFacts, Sink
    from lipwise_ray.settings import Engine as EngineSettings


def make_engine(settings: EngineSettings, config: WorkerConfig, say: Callable[[str], None] = lambda _: None) -> Engine:
    """Return an engine, its workers not started yet; `say` tells people of workers that do not begin.

    Raises:
        SetupError: Ray cannot be started or reached.
    """
    if settings.kind == "inline":
        from lipwise_ray.engine.inline import inline_engine  # noqa: PLC0415  # only the engine that is used

        return inline_engine(config, settings)
    if settings.address == "local":
        guard_local_ray()
    else:
        check_token_file()
        keep_past_lost_heads()
    from lipwise_ray.engine.ray_engine import RayEngine  # noqa: PLC0415  # after the guard

    return RayEngine(config, settings, say)


def meter_for(settings: EngineSettings, state_address: str, rows: int, night: NightFacts | None = None) -> Meter:
    """Return what takes a run's metrics to where the settings want them, and to the Ray of the cluster it runs on.

    Args:
        settings: Where they go.
        state_address: Where the run's lease is: its state, or its shard of it.
        rows: How many rows the run has.
        night: The night that the run is part of; None for none.

    Raises:
        SettingsError: The file cannot be written to.
    """
    from lipwise_ray.engine.metrics import FileSink, Meter, RaySink  # noqa: PLC0415  # after the guard

    sinks: list[Sink] = []
    # From outside (ray://) nothing of this process reaches the agents of the nodes.
    if settings.kind == "ray" and settings.address != "local" and not settings.address.startswith("ray://"):
        sinks.append(RaySink())
    if settings.metrics_file:
        sinks.append(FileSink(whole_path(settings.metrics_file)))
    return Meter(sinks, state_address=state_address, rows=rows, night=night)


def no_gpu_here() -> SettingsError:
    """Return what is wrong with waiting for a GPU on a machine that has none: no other node will come."""
    return SettingsError(
        "no_gpu",
        'engine.place = "gpu"',
        "needs a GPU on this machine, or the --address of a cluster",
        "no GPU",
        'Set engine.place to "auto" to render on what is there; `nvidia-smi` shows what the driver sees',
    )


def check_token_file() -> None:
    """Refuse a token that is not there; Ray would end the process, or call it refused.

    Raises:
        SetupError: The environment names a file that is none (a secret that was not mounted, say), or it is empty.
    """
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if os.environ.get("RAY_AUTH_TOKEN") or not (named or os.environ.get("RAY_AUTH_MODE") == "token"):
        return
    path = Path(named) if named else default_token_file()
    try:
        got = "" if path.read_text("utf-8").strip() else "an empty file"
    except (OSError, ValueError) as error:
        got = ((error.strerror or "") if isinstance(error, OSError) else "").lower() or "no text"
    if got:
        where = f"RAY_AUTH_TOKEN_PATH={named}" if named else str(path)
        do = "Mount it, or write into it what `ray get-auth-token` shows on the head"
        raise SetupError("no_token", where, "must be the file of the cluster's token", got, do)


def default_token_file() -> Path:
    """Return where Ray looks for a token that the environment says nothing of."""
    return Path.home() / ".ray" / "auth_token"


def keep_past_lost_heads() -> None:
    """Keep Ray from ending this process a minute after the head of its cluster went away: the driver ends in order.

    Ray reads the variable when it is imported, so this has to come first.
    """
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "600")


def guard_local_ray() -> None:
    """Keep an embedded Ray to this machine: loopback only, behind a token of this process alone.

    Ray reads these variables when it is imported, so this has to come first. Left alone, it would
    listen on all interfaces, and write a token file into the home directory (2.59 and later) or ask
    for no token (before).
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Ray turns every loopback address into the machine's own, unless it may not form clusters; the
    # switch is named after the systems where that is the default.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    if os.environ["RAY_AUTH_MODE"] == "token":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
