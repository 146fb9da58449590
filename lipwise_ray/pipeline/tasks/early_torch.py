"""torch, loaded in a thread while another runtime makes a network ready, which takes as long and needs no Python."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager


class EarlyTorch:
    """The loading of torch in a thread; whoever imports it meanwhile waits for that.

    The thread imports nothing of this package, so neither waits for a module that the other is loading.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    @property
    def is_loaded(self) -> bool:
        """Torch is loaded, by whomever, and not only being so."""
        return "torch" in sys.modules and (self._thread is None or not self._thread.is_alive())

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
        self._error = None  # of an attempt before this one
        self._thread = threading.Thread(target=self._load, name="lipwise-torch", daemon=True)
        self._thread.start()
        try:
            yield
        finally:
            self._thread.join()
            if self._error is not None:
                raise self._error

    def _load(self) -> None:
        try:
            importlib.import_module("torch")
        except Exception as error:  # noqa: BLE001  # raised where it would have been without the thread
            self._error = error
