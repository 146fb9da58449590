"""Variables of the environment that Ray reads when it is imported: they are set before."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from lipwise_ray.errors import SetupError


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
        got = ((error.strerror or "") if isinstance(error, OSError) else "").lower() or "not a text file"
    if got:
        where = f"RAY_AUTH_TOKEN_PATH={named}" if named else str(path)
        do = "Mount it, or write into it what `ray get-auth-token` shows on the head"
        raise SetupError("no_token", where, got=got, must="the cluster's token is expected there", do=do)


def default_token_file() -> Path:
    """Return the file in which Ray looks for a token that the environment says nothing of."""
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
