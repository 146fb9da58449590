"""One driver a state directory: a lock that the system drops when its holder dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from lipwise_ray.errors import StateError


class DriverLock:
    """Held while a driver works on a local state directory.

    Args:
        root: The state directory.

    Raises:
        StateError: Another driver holds it, or the folder is not writable.
    """

    def __init__(self, root: Path) -> None:
        path = root / "driver.lock"
        try:
            self._file = path.open("a+")
        except OSError as error:
            raise StateError(
                "no_state", str(root), "must be writable", error.strerror or "", "Choose another --state"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise StateError(
                "state_in_use",
                str(root),
                "must have one driver at a time",
                holder,
                "Wait for it, or give this run a --state of its own",
            ) from error
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()}")
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
