"""Number formats, and float32 that is float32."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch

from lipwise_ray.lipsync.model import Wav2LipSync
from lipwise_ray.metrics.sync_scorers import ExpertScorer
from lipwise_ray.nets.image_models import ImageModel
from lipwise_ray.nets.precision import choose_dtype, computing_in, exact_float32
from lipwise_ray.nets.wav2lip import Wav2Lip
from lipwise_ray.resources import models_folder

TINY = models_folder() / "tiny"


def _switches() -> tuple[bool, bool, bool, bool]:
    cudnn = torch.backends.cudnn
    return cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, cudnn.deterministic, cudnn.benchmark


EXACT = (False, False, True, False)


def test_exact_arithmetic_ends_with_the_last_thread() -> None:
    """A thread that leaves first does not take it from one that still computes; afterwards all is as before."""
    before = _switches()
    inside, leave = threading.Event(), threading.Event()

    def compute() -> None:
        with exact_float32():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=compute)
    with exact_float32():
        thread.start()
        assert inside.wait(10)
        assert _switches() == EXACT
    assert _switches() == EXACT
    leave.set()
    thread.join()
    assert _switches() == before


def test_what_a_library_switches_is_put_back() -> None:
    """face-alignment sets `cudnn.benchmark` for the whole process; an exception changes nothing about it."""
    before = _switches()

    def detect() -> None:
        with exact_float32():
            torch.backends.cudnn.benchmark = True
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        detect()
    assert _switches() == before


def test_figures_are_computed_without_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge's networks run with the switches of exact arithmetic."""
    judge = ExpertScorer(TINY / "tiny_judge.safetensors")
    seen: list[tuple[bool, ...]] = []
    embed = judge._halves.sound

    def noting(part: torch.Tensor) -> torch.Tensor:
        seen.append(_switches())
        return embed(part)

    monkeypatch.setattr(judge, "_halves", replace(judge._halves, sound=noting))
    judge.sound(np.zeros((32, 80), np.float32), np.array([0]))
    assert seen == [EXACT]


def test_a_lip_network_in_float32_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """`precision = float32` means it, on any GPU; a narrower format keeps torch's own switches."""
    model = Wav2LipSync(TINY / "tiny_generator.safetensors", device="cpu", precision="float32", batch_faces=1)
    seen: list[tuple[bool, ...]] = []
    forward = Wav2Lip.forward

    def noting(self: Wav2Lip, *given: torch.Tensor) -> torch.Tensor:
        seen.append(_switches())
        return forward(self, *given)

    monkeypatch.setattr(Wav2Lip, "forward", noting)
    model(np.zeros((1, 96, 96, 3), np.float32), np.zeros((1, 80, 16), np.float32))
    assert seen == [EXACT]
    before = _switches()
    with computing_in(torch.bfloat16):
        assert _switches() == before


@pytest.mark.parametrize(("capability", "expected"), [((7, 0), "float32"), ((7, 5), "float32"), ((8, 0), "bfloat16")])
def test_emulated_bfloat16_is_not_chosen(capability: tuple[int, int], expected: str) -> None:
    """A V100 and a T4 run bfloat16 only by way of float32: `auto` is float32 there, and bfloat16 from Ampere on."""
    model = ImageModel("GFPGAN", "face", 1, torch.nn.Identity(), lambda x: x, supports_float16=False)
    major, minor = capability
    with (
        mock.patch("torch.cuda.is_available", return_value=True),
        mock.patch("torch.cuda.current_device", return_value=0),
        mock.patch("torch.cuda.get_device_properties", return_value=SimpleNamespace(major=major, minor=minor)),
        mock.patch("torch.cuda._check_bf16_tensor_supported", return_value=True),
        mock.patch("torch.version.cuda", "12.8"),
    ):
        assert model.dtype("auto", "cuda", "restore.precision") == getattr(torch, expected)


def test_a_job_may_fix_what_auto_is() -> None:
    """All chunks of a job have one number format, whatever the machine at hand could do."""
    assert choose_dtype("auto", "cpu", bfloat16=True) == torch.bfloat16
    assert choose_dtype("auto", "cpu", bfloat16=False) == torch.float32
    model = ImageModel("GFPGAN", "face", 1, torch.nn.Identity(), lambda x: x, supports_float16=False)
    assert model.dtype("auto", "cpu", "x", bfloat16=False) == torch.float32
