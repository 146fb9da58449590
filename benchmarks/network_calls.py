"""Seconds of each call of large networks, printed as they go: a window of LatentSync at 512 pixels takes minutes."""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from torch.nn.modules import module as hooks


@contextmanager
def told_calls(names: Mapping[str, str], tell: Callable[[str], None]) -> Generator[None]:
    """Tell how long each call of some networks takes, and how many images it takes, while this lasts.

    Args:
        names: What the networks are called in print, by the names of their classes.
        tell: Takes a line.
    """
    begun_s: dict[str, float] = {}
    calls: Counter[str] = Counter()

    def begin(network: Any, _: Any) -> None:
        if name := names.get(type(network).__name__):
            begun_s[name] = time.perf_counter()

    def end(network: Any, given: Any, _: Any) -> None:
        if name := names.get(type(network).__name__):
            calls[name] += 1
            took_s = time.perf_counter() - begun_s[name]
            tell(f"  {name}, call {calls[name]}, {len(given[0])} images: {took_s:.1f} s")

    handles = [hooks.register_module_forward_pre_hook(begin), hooks.register_module_forward_hook(end)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
