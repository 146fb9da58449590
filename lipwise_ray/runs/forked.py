"""Refusal of copies of a process that ran networks: their threads are not copied, and whoever waits for one hangs."""

from __future__ import annotations

import os

from lipwise_ray.errors import SetupError

_RAN_IN: list[int] = []
"""Number of the process that ran first; a copy of it has the list, too."""


def check_not_forked() -> None:
    """Note that this process runs networks.

    Raises:
        SetupError: It is a copy of one that did.
    """
    if not _RAN_IN:
        _RAN_IN.append(os.getpid())
    elif _RAN_IN[0] != os.getpid():
        got = f"was forked from process {_RAN_IN[0]}, which has run here before; its threads are missing in this one"
        do = 'Start it by "spawn": multiprocessing.get_context("spawn")'
        raise SetupError("forked", f"process {os.getpid()}", got=got, do=do)
