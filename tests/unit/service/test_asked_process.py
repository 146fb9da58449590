"""Processes that answer questions, where they do not read, do not end, or end in a strange way."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lipwise_ray.errors import TransientError
from lipwise_ray.service import asked_process
from lipwise_ray.service.asked_process import AskedProcess, AskedProgram, NoAnswer

_ECHOES = "import sys\nfor line in sys.stdin:\n    print(line, end='', flush=True)\n"
_STANDS = "import signal\nsignal.pause()\n"
_ENDS = "import os\nos.kill(os.getpid(), {number})\n"

Begin = Callable[[str], AskedProcess]


def _unheard(_: object) -> None:
    """A signal that a process in the kernel does not hear."""


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Begin]:
    """Return what makes the asked process of a program's text."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made: list[AskedProcess] = []

    def of(text: str) -> AskedProcess:
        (tmp_path / "asked_program.py").write_text(text)
        program = AskedProgram(module="asked_program", begin=b"", about="it", most_waiting=2, patience_s=9)
        made.append(AskedProcess(program))
        return made[-1]

    yield of
    for one in made:
        one.close()


@pytest.mark.parametrize("length", [10, 1 << 20])
def test_a_process_that_does_not_read_holds_its_asker_no_longer_than_agreed(begin: Begin, length: int) -> None:
    """A question that fits no pipe is bounded as a short one is, and the next question has its turn."""
    process = begin(_STANDS)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(process.ask, b"x" * length + b"\n", 0.2)
        try:
            found = asking.result(30)
        finally:
            process.close()
    assert found == NoAnswer("took more than 0.2 s, and was ended", is_crash=False)


def test_a_long_question_arrives_whole(begin: Begin) -> None:
    """One that fits no pipe is answered, and so is the one after it."""
    process, question = begin(_ECHOES), b"x" * (1 << 20) + b"\n"
    assert process.ask(question, 30) == question
    assert process.ask(b"y\n", 30) == b"y\n"


def test_a_process_that_cannot_be_ended_is_left_behind(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hangs in the kernel, as on a lost file server, hears no signal; the next question has another."""
    monkeypatch.setattr(asked_process, "_ENDING_S", 0.1)
    process = begin(_STANDS)
    with monkeypatch.context() as kernel, ThreadPoolExecutor(1) as pool:
        kernel.setattr(subprocess.Popen, "kill", _unheard)
        asking = pool.submit(process.ask, b"x\n", 3.0)
        while (hanging := process.pid) is None:
            time.sleep(0.01)
        try:
            assert isinstance(asking.result(20), NoAnswer)
            assert process.pid is None
        finally:
            os.kill(hanging, signal.SIGKILL)
    again = begin(_ECHOES)
    assert again.ask(b"y\n", 30) == b"y\n"


def test_closing_waits_for_no_process_that_cannot_be_ended(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server stops though a question's bound is far away and its process hears no signal."""
    monkeypatch.setattr(asked_process, "_ENDING_S", 0.1)
    process = begin(_STANDS)
    with monkeypatch.context() as kernel, ThreadPoolExecutor(2) as pool:
        kernel.setattr(subprocess.Popen, "kill", _unheard)
        asking = pool.submit(process.ask, b"x\n", 600.0)
        while (hanging := process.pid) is None:
            time.sleep(0.01)
        try:
            pool.submit(process.close).result(20)
            assert isinstance(asking.result(20), NoAnswer)
        finally:
            os.kill(hanging, signal.SIGKILL)
    with pytest.raises(TransientError, match="about to stop"):
        process.ask(b"x\n", 1.0)


def test_questions_that_nobody_waits_for_leave_the_queue(begin: Begin) -> None:
    """They leave their places to others while the process is still at work on an earlier one."""
    process = begin(_STANDS)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(process.ask, b"x\n", 600.0)
        while process.pid is None:
            time.sleep(0.01)
        try:
            for _ in range(3):  # there is room for two
                with pytest.raises(TransientError, match="nobody waits for it any more"):
                    process.ask(b"y\n", 600.0, is_wanted=lambda: False)
        finally:
            process.close()


@pytest.mark.parametrize(("number", "name"), [(signal.SIGRTMIN + 6, f"signal {signal.SIGRTMIN + 6}"), (15, "SIGTERM")])
def test_an_end_by_any_signal_is_told(begin: Begin, number: int, name: str) -> None:
    """Real-time signals have no name in Python, and are told by their number."""
    assert begin(_ENDS.format(number=int(number))).ask(b"x\n", 30) == NoAnswer(f"was ended by {name}", is_crash=False)
