"""Thread budgets, and libraries whose threads sleep while they wait."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lipwise_ray.threads import WAIT_POLICY, ThreadBudget, let_threads_sleep, own_network_threads


def test_what_the_environment_says_stays() -> None:
    """A user who wants threads to spin has them spin; the rest is set."""
    environment = {"OMP_WAIT_POLICY": "ACTIVE"}
    let_threads_sleep(environment)
    assert environment == {**WAIT_POLICY, "OMP_WAIT_POLICY": "ACTIVE"}


@pytest.mark.parametrize(("value", "expected"), [("3", 3), ("4,2", 4), ("", 0), ("many", 0), ("0", 0), (None, 0)])
def test_the_users_own_number_of_threads_is_read(value: str | None, expected: int) -> None:
    """As OpenMP has it: one for each level of nesting, of which the first counts; what is no number is none."""
    assert own_network_threads({} if value is None else {"OMP_NUM_THREADS": value}) == expected


def test_a_budget_divides_no_threads() -> None:
    """Parts of the work run in turns, so each has all; networks may differ, and decoders have a most."""
    assert ThreadBudget.of(2) == ThreadBudget(networks=2, own_code=2, encoder=2, decoder=2)
    assert ThreadBudget.of(64, networks=1) == ThreadBudget(networks=1, own_code=64, encoder=64, decoder=16)
    assert ThreadBudget.of(0) == ThreadBudget(networks=0, own_code=0, encoder=0, decoder=0)


def test_torch_reads_the_policy_that_is_set_before_it_is_loaded() -> None:
    """The OpenMP library that torch brings says which policy it took."""
    code = """
import os
from lipwise_ray.threads import let_threads_sleep
let_threads_sleep(os.environ)
import torch
"""
    environment = {"PATH": os.environ["PATH"], "OMP_DISPLAY_ENV": "TRUE"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr


def test_a_small_network_computes_on_one_thread() -> None:
    """The number is put back afterwards."""
    import torch

    from lipwise_ray.nets.torch_threads import on_one_thread

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with on_one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_an_interrupt_waits_for_a_thread_that_still_computes() -> None:
    """What the thread uses is closed next: under it a library would crash the process."""
    code = """
import os, signal, threading, time
from lipwise_ray.threads import join_surely
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
at_work = threading.Thread(target=time.sleep, args=(1.5,))
at_work.start()
for late_s in (0.3, 0.6):
    threading.Timer(late_s, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    join_surely(at_work)
except KeyboardInterrupt:
    print("interrupted", at_work.is_alive())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "interrupted False\n"), done.stderr
