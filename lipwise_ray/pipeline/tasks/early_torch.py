"""torch, loaded in a thread while another runtime makes a network ready, which takes as long and needs no Python."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager


class EarlyTorch:
    """The loading of torch in a thread; whoever imports it meanwhile waits for that.

    The thread imports nothing of this package, so neither waits for a module that the other is loading.
    """

    def __init__(self) -> None:
        self._loading: Future[object] | None = None

    @property
    def is_loaded(self) -> bool:
        """Torch is loaded, by whomever, and not only being so."""
        return "torch" in sys.modules and (self._loading is None or self._loading.done())

    @contextmanager
    def loading(self, *, is_needed: bool) -> Generator[None]:
        """Load torch beside what is done in this context, and be done at its end.

        Args:
            is_needed: It will be imported in any case; nothing happens else.

        Raises:
            Exception: What importing torch raised, in place of what that led to.
        """
        if not is_needed or "torch" in sys.modules:
            yield
            return
        with ThreadPoolExecutor(1, thread_name_prefix="lipwise-torch") as pool:
            self._loading = pool.submit(importlib.import_module, "torch")
            try:
                yield
            finally:
                self._loading.result()
