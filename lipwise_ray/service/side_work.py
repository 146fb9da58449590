"""Short media work of the web process, done in a process of its own: one question at a time, each with a bound."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

import lipwise_ray
from lipwise_ray.errors import RequestError, TransientError
from lipwise_ray.service.side_messages import (
    BeginSideWork,
    FacesWanted,
    FrameFaces,
    MadePreview,
    PreviewProgress,
    PreviewWanted,
    SideAnswer,
    SideFailure,
    SideQuestion,
    report_in,
    side_line,
)
from lipwise_ray.storage.address import is_local

_MOST_WAITING = 8
_FACES_S, _PREVIEW_S = 60.0, 600.0
_IDLE_S = 300.0
"""A process that nobody asks anything for so long ends: it holds the memory of its networks."""

_ENDING_S, _LOOKED_S = 5.0, 0.1


class SideWork:
    """Finds faces and makes previews in a process of its own, which begins with the first question.

    Safe to call from several threads: questions wait for each other, a bounded number of them.

    Attributes:
        folder: Folder of what is made.

    Args:
        begin: Settings and places.
        faces_s: Bound on the time of looking for faces in a file that is here.
        preview_s: Bound on the time of making a preview, or of fetching a video and looking for faces in it.
    """

    def __init__(self, begin: BeginSideWork, faces_s: float = _FACES_S, preview_s: float = _PREVIEW_S) -> None:
        self.folder = Path(begin.folder)
        self._begin = begin
        self._faces_s, self._preview_s = faces_s, preview_s
        self._room = threading.BoundedSemaphore(_MOST_WAITING)
        self._alone = threading.Lock()
        self._process: _SideProcess | None = None
        self._rest: threading.Timer | None = None
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """Number of the process; None while there is none."""
        process = self._process
        return process.pid if process else None

    def faces(self, video: str, at_s: float | None, preset: str = "") -> FrameFaces:
        """Return the faces of a frame.

        Args:
            video: Path or address of the video.
            at_s: Moment of the frame, in seconds from the first one; None for an early one that has a face.
            preset: Name of the preset by which they are found; empty for the service's.

        Raises:
            RequestError: They cannot be found.
            TransientError: Too much is asked at once, or it took too long.
        """
        limit_s = self._faces_s if is_local(video) else self._preview_s
        answer = self._asked(FacesWanted(video, at_s, preset), limit_s)
        assert isinstance(answer, FrameFaces)
        return answer

    def preview(self, wanted: PreviewWanted, tell: Callable[[PreviewProgress], object] = lambda _: None) -> MadePreview:
        """Return a preview of a row.

        Args:
            wanted: The row, and which seconds of it.
            tell: Takes the progress, in this thread.

        Raises:
            RequestError: It cannot be made.
            TransientError: Too much is asked at once, or it took too long.
        """
        answer = self._asked(wanted, self._preview_s, tell)
        assert isinstance(answer, MadePreview)
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

    def _asked(
        self,
        question: SideQuestion,
        limit_s: float,
        tell: Callable[[PreviewProgress], object] = lambda _: None,
    ) -> SideAnswer:
        with self._turn():
            if self._process is None:
                self._process = _SideProcess(self._begin)
            try:
                answer = self._process.answer(question, limit_s, tell)
            except BaseException:
                self._end()
                raise
        if isinstance(answer, SideFailure):
            raise RequestError(answer.code, answer.where, must=answer.must, got=answer.got, do=answer.do)
        return answer

    @contextmanager
    def _turn(self) -> Generator[None]:
        """Wait for one's turn.

        Raises:
            TransientError: Too many wait, or the server is about to stop.
        """
        if not self._room.acquire(blocking=False):
            got = f"{_MOST_WAITING} others wait for it already"
            raise TransientError("side_busy", "looking at the video", got=got, do="Try again in a moment")
        try:
            with self._alone:
                if self._is_closed:
                    raise TransientError("side_ended", "looking at the video", got="the server is about to stop")
                if self._rest is not None:
                    self._rest.cancel()
                yield
                self._rest = threading.Timer(_IDLE_S, self._idle)
                self._rest.daemon = True
                self._rest.start()
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


class _SideProcess:
    """A process of `lipwise_ray.service.side_worker`, started at once.

    Args:
        begin: Settings and places.
    """

    def __init__(self, begin: BeginSideWork) -> None:
        package = str(Path(lipwise_ray.__file__).parents[1])
        paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "lipwise_ray.service.side_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},  # the same code as here
            start_new_session=True,  # Ctrl-C in the terminal is the service's to hear
        )
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="side-work", daemon=True).start()
        self._send(side_line(begin))

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    def answer(self, question: SideQuestion, limit_s: float, tell: Callable[[PreviewProgress], object]) -> SideAnswer:
        """Return the answer to a question.

        Args:
            question: The question.
            limit_s: Bound on its time.
            tell: Takes the progress.

        Raises:
            TransientError: It takes too long, or the process ended.
        """
        self._send(side_line(question))
        until_s = time.monotonic() + limit_s
        try:
            while True:
                told = report_in(self._lines.get(timeout=max(0.0, until_s - time.monotonic())))
                if not isinstance(told, PreviewProgress):
                    return told
                tell(told)
        except queue.Empty:
            got = f"took more than {limit_s:g} s, and was ended"
        except ValidationError:  # the end of its output, or half a line
            got = f"its process ended with {self._process.wait(_ENDING_S)}"
        raise TransientError("side_ended", "looking at the video", got=got, do="Try again, or submit it as it is")

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def end(self) -> None:
        """End it, and wait until it has ended."""
        self.kill()
        self._process.wait()
        assert self._process.stdin is not None  # a pipe was asked for
        with suppress(OSError):  # it no longer reads
            self._process.stdin.close()

    def _send(self, line: bytes) -> None:
        assert self._process.stdin is not None  # a pipe was asked for
        with suppress(OSError):  # it is gone, which its output tells
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None  # a pipe was asked for
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put(b"")
