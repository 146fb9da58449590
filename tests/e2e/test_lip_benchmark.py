"""`benchmarks/lip_models.py`: every lip model is written, loaded and measured."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from benchmarks.lip_models import MODELS
from tests.conftest import ROOT


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_model_is_measured() -> None:
    """Small networks of each layout go the whole way, in each number format that they have here."""
    words = [sys.executable, "-m", "benchmarks.lip_models", "--quick", "--rounds", "1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    for model in MODELS:
        assert re.search(rf"^{model} +float32 .* \d+\.\d+ s a face", done.stdout, re.MULTILINE)
