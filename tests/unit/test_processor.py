"""What Linux says of its processor."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.processor import processor_flags


@pytest.mark.parametrize(
    ("facts", "flags"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2\n\nprocessor\t: 1\nflags\t\t: fpu\n", {"fpu", "avx2"}),
        ("processor\t: 0\nFeatures\t: fp asimd\n", {"fp", "asimd"}),
        ("processor\t: 0\n", None),
    ],
)
def test_flags_of_the_first_core(tmp_path: Path, facts: str, flags: set[str] | None) -> None:
    """X86 lists flags and Arm features; a kernel may list neither."""
    (tmp_path / "cpuinfo").write_text(facts)
    assert processor_flags(tmp_path / "cpuinfo") == flags


def test_other_systems_have_no_such_file(tmp_path: Path) -> None:
    """Nothing is claimed where there is no file."""
    assert processor_flags(tmp_path / "none") is None
