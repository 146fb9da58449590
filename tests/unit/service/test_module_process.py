"""Modules in processes of their own."""

from __future__ import annotations

import signal

import pytest

from lipwise_ray.service.module_process import ModuleProcess, signal_name


def test_lines_go_in_and_come_out() -> None:
    """Nobody waits for it to listen; the end of its input is heard after all that it was told."""
    process = ModuleProcess("json.tool")
    for line in (b"[\n", b'"a"\n', b"]\n"):
        process.send(line)
    process.end_input()
    assert b"".join(process.lines()) == b'[\n    "a"\n]\n'
    assert process.wait(60) == 0


def test_one_that_is_killed_tells_by_what() -> None:
    """Its output ends, and what it is told from then on gets lost."""
    process = ModuleProcess("json.tool")
    process.kill()
    assert list(process.lines()) == []
    process.send(b"[]\n")
    process.end_input()
    assert signal_name(-process.wait(60)) == "SIGKILL"


@pytest.mark.parametrize(("number", "name"), [(int(signal.SIGTERM), "SIGTERM"), (40, "signal 40")])
def test_a_signal_has_its_name_or_its_number(number: int, name: str) -> None:
    """Most real-time signals have no name."""
    assert signal_name(number) == name
