"""Hardware for bfloat16, as far as possible without loading torch."""

from __future__ import annotations

from pathlib import Path

from lipwise_ray.processor import processor_flags

_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86 has the first two, Arm the last


def has_bfloat16_cpu(facts: Path = Path("/proc/cpuinfo")) -> bool:
    """Tell whether the processor multiplies bfloat16 in hardware, as far as Linux knows, or torch elsewhere.

    Args:
        facts: File in which Linux describes the processor.
    """
    flags = processor_flags(facts)
    if flags is not None:
        return not _FLAGS.isdisjoint(flags)
    import torch

    known = torch.cpu.get_capabilities()
    return any(known.get(flag) for flag in _FLAGS)


def has_bfloat16(device: str) -> bool:
    """Tell whether a device has bfloat16 in hardware; torch itself counts GPUs that only emulate it (V100, T4).

    Args:
        device: ``cpu`` or ``cuda``.
    """
    if not device.startswith("cuda"):
        return has_bfloat16_cpu()
    import torch

    return torch.cuda.is_bf16_supported(including_emulation=False)
