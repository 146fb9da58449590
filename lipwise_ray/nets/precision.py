"""Number formats and memory layout for the networks."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from lipwise_ray.nets.bfloat16 import has_bfloat16_cpu

Precision = Literal["auto", "float32", "bfloat16", "float16"]


def choose_dtype(precision: Precision, device: str, *, bfloat16: bool | None = None) -> torch.dtype:
    """Return the number format: float16 on CUDA, bfloat16 on a CPU that has it, else float32.

    Args:
        precision: Precision that was asked for.
        device: ``cpu`` or ``cuda``.
        bfloat16: True where ``auto`` may be bfloat16; None asks the hardware.
    """
    if precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
    if device.startswith("cuda"):
        return torch.float16
    has = has_bfloat16_cpu() if bfloat16 is None else bfloat16
    return torch.bfloat16 if has else torch.float32


@dataclass(slots=True)
class _Holders:
    """Threads that need exact arithmetic now: torch's switches are the whole process's."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    count: int = 0
    before: tuple[bool, bool, bool, bool] = (False, False, False, False)


_HOLDERS = _Holders()


@contextmanager
def exact_float32() -> Generator[None]:
    """Let float32 be float32 on CUDA, and the same call give the same bits.

    torch leaves TF32 (10 bits of mantissa) on in convolutions; figures that are compared with published ones, and a
    number format that was asked for, are promised without. The switches are put back when the last of several threads
    leaves, so they are never put back under another one.
    """
    cudnn: Any = torch.backends.cudnn  # a module that stands for an object: its switches have no static type
    matmul: Any = torch.backends.cuda.matmul
    with _HOLDERS.lock:
        if _HOLDERS.count == 0:
            _HOLDERS.before = (cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic, cudnn.benchmark)
            cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic, cudnn.benchmark = False, False, True, False
        _HOLDERS.count += 1
    try:
        yield
    finally:
        with _HOLDERS.lock:
            _HOLDERS.count -= 1
            if _HOLDERS.count == 0:
                cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic, cudnn.benchmark = _HOLDERS.before


def computing_in(dtype: torch.dtype) -> AbstractContextManager[None]:
    """Return the context of a network's call in a number format: float32 is exact, the others are what they are."""
    return exact_float32() if dtype == torch.float32 else nullcontext()
