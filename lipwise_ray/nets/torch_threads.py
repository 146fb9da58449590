"""Threads of torch for a small network's calls."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch


@contextmanager
def on_one_thread() -> Generator[None]:
    """Let torch compute on this thread alone: sharing out a small network's layers costs more than it saves.

    The number of threads is the calling thread's, so networks that run beside it keep theirs.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
