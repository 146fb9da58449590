"""Functions in processes of their own."""

from __future__ import annotations

import multiprocessing
from typing import Any


def in_child(function: Any, arguments: Any) -> Any:
    """Run a function in a fresh process, so that its peak memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, (arguments,))
