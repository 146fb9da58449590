"""A file that arrives: its one writer, and what may go wrong."""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import contextmanager
from typing import BinaryIO

from lipwise_ray.errors import RequestError, StorageError, os_reason


class Upload:
    """The one writer of a file that arrives; what it wrote stays when the client vanishes.

    Attributes:
        received: Bytes that are there.

    Args:
        file: The file, open at its end.
        received: Bytes that were there.
        most_bytes: Its size, where that was announced, or the limit.
    """

    def __init__(self, file: BinaryIO, received: int, most_bytes: int) -> None:
        self._file = file
        self._most_bytes = most_bytes
        self.received = received

    def write(self, block: bytes) -> None:
        """Add a block.

        Raises:
            RequestError: More comes than was announced, or is allowed.
            StorageError: The disk refuses.
        """
        if self.received + len(block) > self._most_bytes:
            raise upload_too_large(f"more than {self._most_bytes} bytes came")
        with refused_by_disk():
            self._file.write(block)
        self.received += len(block)


@contextmanager
def refused_by_disk() -> Generator[None]:
    """Raise a disk's refusals as one clear error.

    Raises:
        StorageError: It refused.
    """
    try:
        yield
    except OSError as error:  # its own text names a path of ours
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_room() from error
        happened = f"the server's disk refused it: {os_reason(error)}"
        raise StorageError("upload_refused", "the upload", got=happened, do="Send it again later") from error


def no_room() -> StorageError:
    """Return the error for a file that the disk cannot take."""
    return StorageError("no_room", "the upload", got="there is no room for it on the server", do="Send it later")


def upload_too_large(got: str) -> RequestError:
    """Return the error for a file with too many bytes; `got` says how many."""
    return RequestError("upload_too_large", "the file", got=got)
