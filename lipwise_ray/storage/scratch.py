"""Temporary files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lipwise_ray.errors import StorageError, os_reason


@contextmanager
def scratch_file(scratch: Path, name: str) -> Generator[Path, None, None]:
    """Give a path for a temporary file that is gone afterwards.

    Args:
        scratch: Folder of temporary files; made where it is not there.
        name: End of the file's name, with its suffix.

    Raises:
        StorageError: The scratch folder cannot be written.
    """
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        handle, text = tempfile.mkstemp(prefix=f"{os.getpid()}-", suffix=f"-{name}", dir=scratch)
        os.close(handle)
    except OSError as error:
        raise StorageError(
            "scratch",
            str(scratch),
            got=f"cannot be written: {os_reason(error)}",
            do="Set paths.scratch to a folder with room",
        ) from error
    path = Path(text)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
