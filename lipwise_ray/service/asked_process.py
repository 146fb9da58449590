"""A process that answers questions for the web process, which must outlive whatever a file does to its reader."""

from __future__ import annotations

import logging
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from lipwise_ray.errors import TransientError
from lipwise_ray.service.module_process import ModuleProcess, signal_name

_LOG = logging.getLogger("lipwise_ray")
_IDLE_S = 300.0
"""A process that nobody asks anything for so long ends: it holds the memory of its libraries."""

_ENDING_S, _LOOKED_S, _WANTED_S = 5.0, 0.1, 0.5
_UNWANTED = "nobody waits for it any more"
_OWN_FAULTS = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP})


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """End of a process before its answer.

    Attributes:
        how: The end in words that can follow "it".
        is_crash: What it was asked brought it down: nobody killed it, and it did not run out of time.
    """

    how: str
    is_crash: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedProgram:
    """A program that answers lines by lines, each after any number of reports.

    Attributes:
        module: Its module.
        begin: Its first line; it answers none to that.
        about: What it is asked for, in words for clients.
        most_waiting: Questions that may wait for each other.
        patience_s: Longest wait for one's turn, in seconds.
    """

    module: str
    begin: bytes
    about: str
    most_waiting: int
    patience_s: float


class AskedProcess:
    """A process that begins with the first question, and anew after each end; one question at a time.

    Safe to call from several threads: questions wait for each other, a bounded number of them.

    Args:
        program: The program.
    """

    def __init__(self, program: AskedProgram) -> None:
        self._program = program
        self._room = threading.BoundedSemaphore(program.most_waiting)
        self._alone = threading.Lock()
        self._process: _LiveProcess | None = None
        self._rest: threading.Timer | None = None
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """Number of the process; None while there is none."""
        process = self._process
        return process.pid if process else None

    def ask(
        self,
        question: bytes,
        limit_s: float,
        is_answer: Callable[[bytes], bool] = lambda _: True,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> bytes | NoAnswer:
        """Return the answer to a question, or the end that came before it.

        Args:
            question: A line.
            limit_s: Bound on the time of the answer, in seconds; past it the process is ended.
            is_answer: Takes every line, in this thread, and tells the answer from reports before it.
            is_wanted: Tells whether anybody waits for the answer; one that nobody does gives up its turn.

        Raises:
            TransientError: Too much is asked at once, nobody waits any more, the server is about to stop, or no process
                can be begun.
        """
        with self._turn(is_wanted):
            try:
                if self._process is None:
                    self._process = _LiveProcess(self._program)
                answer = self._process.answer(question, limit_s, is_answer)
            except OSError as error:  # neither processes nor memory are left
                got = f"its process cannot be started: {error.strerror}"
                raise TransientError("side_ended", self._program.about, got=got, do="Try again later") from error
            except BaseException:
                self._end()
                raise
            if isinstance(answer, NoAnswer):
                self._end()
        return answer

    def close(self) -> None:
        """End the process; what it is at work on is given up."""
        self._is_closed = True
        while not self._alone.acquire(timeout=_LOOKED_S):
            if (process := self._process) is not None:
                process.kill()  # whoever waits for its answer hears of its end
        try:
            self._end()
        finally:
            self._alone.release()

    @contextmanager
    def _turn(self, is_wanted: Callable[[], bool]) -> Generator[None]:
        """Wait for one's turn.

        Raises:
            TransientError: Too many wait, it takes too long, nobody waits any more, or the server is about to stop.
        """
        about = self._program.about
        if not self._room.acquire(blocking=False):
            got = f"{self._program.most_waiting} others are already waiting for it"
            raise TransientError("side_busy", about, got=got, do="Try again in a moment")
        try:
            until_s = time.monotonic() + self._program.patience_s
            while not self._alone.acquire(timeout=min(_WANTED_S, self._program.patience_s)):
                if not is_wanted():
                    raise TransientError("side_ended", about, got=_UNWANTED)  # its place is another's at once
                if time.monotonic() >= until_s:
                    got = f"others before it took more than {self._program.patience_s:g} s"
                    raise TransientError("side_busy", about, got=got, do="Try again in a moment")
            try:
                if not is_wanted():
                    raise TransientError("side_ended", about, got=_UNWANTED)
                if self._is_closed:
                    raise TransientError("side_ended", about, got="the server is about to stop")
                if self._rest is not None:
                    self._rest.cancel()
                yield
                self._rest = threading.Timer(_IDLE_S, self._idle)
                self._rest.daemon = True
                self._rest.start()
            finally:
                self._alone.release()
        finally:
            self._room.release()

    def _idle(self) -> None:
        if self._alone.acquire(blocking=False):
            try:
                self._end()
            finally:
                self._alone.release()

    def _end(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
        process, self._process = self._process, None
        if process is not None:
            process.end()


class _LiveProcess:
    """A process, started at once.

    Args:
        program: What it runs.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(self, program: AskedProgram) -> None:
        self._process = ModuleProcess(program.module)
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="side-work", daemon=True).start()
        self._process.send(program.begin)

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    def answer(self, question: bytes, limit_s: float, is_answer: Callable[[bytes], bool]) -> bytes | NoAnswer:
        """Return the answer to a question, or the end that came before it."""
        self._process.send(question)
        until_s = time.monotonic() + limit_s
        try:
            while True:
                line = self._lines.get(timeout=max(0.0, until_s - time.monotonic()))
                if not line.endswith(b"\n"):
                    return self._ended()  # the end of its output, or half a line
                if is_answer(line):
                    return line
        except queue.Empty:
            return NoAnswer(f"took more than {limit_s:g} s, and was ended", is_crash=False)

    def _ended(self) -> NoAnswer:
        try:
            code = self._process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:  # it closed its output, and goes on with something
            return NoAnswer("said nothing more, and was ended", is_crash=False)
        if code >= 0:
            return NoAnswer(f"ended with exit code {code}", is_crash=False)
        return NoAnswer(f"was ended by {signal_name(-code)}", is_crash=-code in _OWN_FAULTS)

    def kill(self) -> None:
        """End it at once; whoever waits for its answer hears of it, even where it cannot be ended."""
        self._process.kill()
        self._lines.put(b"")

    def end(self) -> None:
        """End it, and wait until it has ended, or for as long as an end takes: one may hang in the kernel."""
        self.kill()
        self._process.end_input()
        try:
            self._process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            _LOG.warning("process %d cannot be ended, and is left behind", self.pid)
            threading.Thread(target=self._process.wait, name="side-end", daemon=True).start()

    def _read(self) -> None:
        for line in self._process.lines():
            self._lines.put(line)
        self._lines.put(b"")
