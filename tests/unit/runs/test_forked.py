"""Processes forked from one that ran networks."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

import lipwise_ray
from lipwise_ray.errors import SetupError
from lipwise_ray.runs.forked import check_not_forked


def _tried(folder: Path) -> str:
    try:
        lipwise_ray.dub(folder / "v.mp4", folder / "a.wav", folder / "o.mp4")
    except SetupError as error:
        return f"{error.code}: {error}"
    return "it ran"


def _told(folder: Path) -> None:
    (folder / "told").write_text(_tried(folder))


def test_a_copy_of_a_process_that_ran_is_refused(tmp_path: Path) -> None:
    """It would wait for threads that it does not have, for ever and without a word."""
    for name in ("v.mp4", "a.wav"):
        (tmp_path / name).write_bytes(b"not looked at")
    check_not_forked()
    check_not_forked()
    child = multiprocessing.get_context("fork").Process(target=_told, args=(tmp_path,))
    child.start()
    child.join(30)
    told = (tmp_path / "told").read_text()
    assert told.startswith("forked: process ")
    assert 'multiprocessing.get_context("spawn")' in told
    with pytest.raises(lipwise_ray.LipwiseError) as raised:  # here it goes on, to what the files are
        lipwise_ray.dub(tmp_path / "v.mp4", tmp_path / "a.wav", tmp_path / "o.mp4", engine="inline")
    assert raised.value.code != "forked"
