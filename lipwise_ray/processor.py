"""The processor's instruction sets, as Linux names them."""

from __future__ import annotations

from pathlib import Path


def processor_flags(facts: Path = Path("/proc/cpuinfo")) -> frozenset[str] | None:
    """Return the names of what the processor can do beyond its base, or None where the system does not say.

    Args:
        facts: File in which Linux describes the processor.
    """
    try:
        lines = facts.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    # x86 has flags, Arm features.
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), None)
    return None if flags is None else frozenset(flags)
