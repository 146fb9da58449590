"""Shell completion, as a shell asks for it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lipwise_ray.cli.completion import settings_keys
from lipwise_ray.settings.layers import parse_assignment


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("lipwise-ray pre", {"preview"}),
        ("lipwise-ray submit m.csv --preset f", {"fast"}),
        ("lipwise-ray submit m.csv --set timing.len", {"timing.length="}),
        ("lipwise-ray cluster init a", {"aws"}),
    ],
)
def test_what_a_shell_is_offered(words: str, expected: set[str]) -> None:
    """Commands, presets, settings, choices."""
    told = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1), "_LIPWISE_RAY_COMPLETE": "complete_bash"}
    program = (
        "import sys; sys.argv[0] = 'lipwise-ray'; from lipwise_ray.cli.app import app; app(prog_name='lipwise-ray')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **told}, capture_output=True, text=True, check=False
    )
    assert set(done.stdout.split()) == expected, done.stderr


def test_every_setting_that_is_offered_is_one() -> None:
    """Each can be written as an assignment; sections within sections are named whole."""
    keys = settings_keys("")
    assert {"encode.audio.codec=", "lipsync.model=", "engine.workers="} <= set(keys)
    for key in keys:
        assert parse_assignment(f"{key}1")
