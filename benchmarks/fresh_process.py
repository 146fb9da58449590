"""Functions in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
from typing import Any

from lipwise_ray.malloc_arenas import few_arenas


def in_child(function: Any, arguments: Any) -> Any:
    """Run a function in a fresh process, so that its peak memory is its own; it has few arenas, as a command has."""
    os.environ.update(few_arenas(os.environ))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, (arguments,))
