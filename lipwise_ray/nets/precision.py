"""Number formats and memory layout for the networks."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16", "float16"]


def has_bfloat16_cpu() -> bool:
    """Tell whether the processor multiplies bfloat16 in hardware."""
    capability = torch.cpu.get_capabilities()
    return bool(capability.get("avx512_bf16") or capability.get("amx_bf16") or capability.get("bf16"))


def choose_dtype(precision: Precision, device: str) -> torch.dtype:
    """Return the number format: float16 on CUDA, bfloat16 on a CPU that has it, else float32."""
    if precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
    if device.startswith("cuda"):
        return torch.float16
    return torch.bfloat16 if has_bfloat16_cpu() else torch.float32
