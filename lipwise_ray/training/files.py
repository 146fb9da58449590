"""Writing files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

from lipwise_ray.media.container import write_problem


def replace_text(path: Path, text: str) -> None:
    """Write a text file; the one before stays until the new one is whole.

    Raises:
        StorageError: The disk is full, or the folder not writable.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, "utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise write_problem(path, error) from error
