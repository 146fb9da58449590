"""Runs that are ended from outside go on as if nothing had been."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import ROOT
from tests.unit.training.conftest import GAN, SMALL, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_ENDLESS = 1_000_000


_OFTEN: dict[str, Any] = {"eval_every": 7, "save_every": 5, "keep_every": 10, "seed": 3, "threads": 1, **GAN}


def _command(data: Path, folder: Path, steps: int, more: dict[str, Any]) -> list[str]:
    values = {**SMALL["generator"], **_OFTEN, "steps": steps, **more}
    sets = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    return [sys.executable, "-m", "lipwise_ray", "train", "generator", str(data), str(folder), *sets]


def _step_of(folder: Path) -> int:
    try:
        with (folder / "metrics.csv").open(newline="") as file:
            return max((int(row["step"]) for row in csv.DictReader(file) if row["value"]), default=0)
    except (OSError, ValueError):
        return 0


def _end_by(number: int, command: list[str], folder: Path) -> int:
    """Start a run, send it a signal once it is well past its first checkpoints, and return its exit code."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and _step_of(folder) < 14:
            time.sleep(0.02)
        process.send_signal(number)
        return process.wait(120)
    finally:
        process.kill()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _rows(folder: Path) -> list[list[str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return sorted(csv.reader(file))


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(_equal(a, b) for a, b in zip(one, other, strict=True))
    return one == other


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_ended_run_goes_on_bit_by_bit(
    number: signal.Signals, begun_gan: Path, begun_expert: Path, prepared: Path, tmp_path: Path
) -> None:
    """Killed in the middle, a fine-tuning with all losses ends with the bits of one that was never ended.

    Weights, moments, discriminator, what is known of the best, and every row of numbers are compared. SIGTERM saves
    first and leaves with code 3.
    """
    more = {
        "init": str(begun_gan / "last.pth"), "disc_init": str(begun_gan / "last.pth"),
        "expert": str(begun_expert / "last.pth"),
        "sync_weight": 0.03, "sync_below": 100,
    }  # fmt: skip
    ended = tmp_path / "ended"
    code = _end_by(number, _command(prepared, ended, _ENDLESS, more), ended)
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 3)
    saved = torch.load(ended / "last.pth", weights_only=True)["global_step"]
    assert saved >= 14 if number == signal.SIGTERM else saved >= 10 and saved % 5 == 0
    steps = 7 * (saved // 7 + 2)
    _run(_command(prepared, ended, steps, more))
    train("generator", prepared, tmp_path / "whole", steps=steps, **_OFTEN, **more)
    names = ["last.pth", "checkpoint-0000010.pth"]
    if number == signal.SIGKILL:  # an orderly end measures once more, and keeps what is better
        names.append("best.pth")
    for name in names:
        one, other = (torch.load(folder / name, weights_only=True) for folder in (ended, tmp_path / "whole"))
        for content in (one, other):
            content["settings"].pop("steps")  # the one thing that was to differ
        assert _equal(one, other), name
        assert name == "best.pth" or one["state"] == {"sync_on": True}
    assert _rows(ended) == _rows(tmp_path / "whole")
