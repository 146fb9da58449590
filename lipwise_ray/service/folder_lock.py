"""The lock of a service's own folder: uploads and secrets in it are one server's, wherever its state lies."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from lipwise_ray.errors import StateError, os_reason

_LOCK = ".lock"


class FolderLock:
    """A lock that ends with its process, however that ends.

    Args:
        folder: The folder.

    Raises:
        StateError: Another server has it, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._descriptor = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            got = f"cannot be written: {os_reason(error)}"
            raise StateError("no_state", str(folder), got=got, do="Name another folder") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            do = "End that one, or name another folder"
            raise StateError("state_in_use", str(folder), got="another server uses this folder", do=do) from error
        except OSError:  # a file system without locks: the state's own still holds
            pass

    def release(self) -> None:
        """Give it back."""
        with suppress(OSError):
            os.close(self._descriptor)
