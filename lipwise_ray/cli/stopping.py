"""Stopping a run from the terminal."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

import typer

from lipwise_ray.backends.ray import last_exit

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_MESSAGE = "stopping: running chunks end first; press Ctrl-C again to stop at once"


class StopFlag:
    """First SIGINT or SIGTERM lets running work end, the second one ends the program (exit code 130).

    SIGHUP, which a terminal that closes sends, and a machine that goes down beside SIGTERM, only asks: it counts as
    none of the two, before them or after.

    Args:
        message: Words for people when the first is heard.
    """

    def __init__(self, message: str = _MESSAGE) -> None:
        self._message = message
        self._say: Callable[[str], None] = lambda text: typer.echo(text, err=True)
        self._asked = False
        self._is_interrupted = False
        self._is_told = False
        # A handler runs in the middle of anything, of printing too; all it may do safely is to wake somebody.
        self._heard: queue.SimpleQueue[None] = queue.SimpleQueue()
        threading.Thread(target=self._tell, daemon=True).start()
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` has it
            signal.signal(signal.SIGHUP, self._on_signal)

    def tell_by(self, say: Callable[[str], None]) -> None:
        """Show people by this from now on that the first one was heard; what was said before it is said again."""
        self._say = say
        if self._is_told:
            say(self._message)

    def __call__(self) -> bool:
        """Tell whether the run is to stop."""
        return self._asked

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._is_interrupted and number != signal.SIGHUP:
            signal.signal(number, signal.SIG_DFL)
            last_exit.must_be_at_once("threads that still compute may crash as the interpreter ends")
            raise KeyboardInterrupt
        self._is_interrupted = self._is_interrupted or number != signal.SIGHUP
        if not self._asked:
            self._asked = True
            self._heard.put(None)

    def _tell(self) -> None:
        self._heard.get()
        self._is_told = True
        self._say(self._message)


@contextmanager
def interruptible() -> Generator[None]:
    """Let SIGTERM, as SIGINT does, raise KeyboardInterrupt meanwhile; what is ignored stays so."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, interrupt)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
