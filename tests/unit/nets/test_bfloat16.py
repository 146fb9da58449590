from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lipwise_ray.nets.bfloat16 import has_bfloat16, has_bfloat16_cpu


@pytest.mark.parametrize(
    ("facts", "has"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16 sse\n\nflags\t\t: fpu\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx512f sse\n", False),
        ("processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd\n", False),
    ],
)
def test_what_linux_says_of_its_processor_decides(tmp_path: Path, facts: str, *, has: bool) -> None:
    """The flags that Linux lists for x86 and Arm say whether bfloat16 is multiplied in hardware."""
    (tmp_path / "cpuinfo").write_text(facts)
    assert has_bfloat16_cpu(tmp_path / "cpuinfo") is has


def test_torch_says_the_same_of_this_processor(tmp_path: Path) -> None:
    """Torch, which is asked where no kernel tells, agrees on this machine."""
    known = torch.cpu.get_capabilities()
    is_known = any(bool(known.get(flag)) for flag in ("avx512_bf16", "amx_bf16", "bf16"))
    assert has_bfloat16_cpu(tmp_path / "none") is is_known
    assert has_bfloat16("cpu") is is_known
