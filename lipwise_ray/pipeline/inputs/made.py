"""Addresses of audio that earlier tasks left in the state; no manifest can name one, for inputs have no such scheme."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from lipwise_ray.errors import StorageError
from lipwise_ray.state.store import Store
from lipwise_ray.storage.digest import ID_CHARACTERS, sha256_of

LOST = "no_made_file"
"""Code of the error that such a file is gone or damaged."""

_SCHEME = "state://"
_MADE = re.compile(rf"{_SCHEME}(speech/[A-Za-z0-9_-]{{1,64}}/[0-9a-f]{{64}}\.wav)")


def made_address(key: str) -> str:
    """Return the address of a file in the state, whose name is the hash of its bytes."""
    return f"{_SCHEME}{key}"


def made_key(address: str) -> str | None:
    """Return the key of the file that an address names; None where it names none in the state."""
    found = _MADE.fullmatch(address)
    return found[1] if found else None


class MadeFiles:
    """Files that earlier tasks left in the state, for tasks that read them like any other input.

    Args:
        store: The state; None where there is none, so that none of them is there.
    """

    def __init__(self, store: Store | None) -> None:
        self._store = store

    def identity(self, key: str) -> str:
        """Return the identity of a file's bytes, the same as that of any file that holds them.

        Its name tells: what was published of a file that `clean` has removed is known without it.
        """
        return PurePosixPath(key).stem[:ID_CHARACTERS]

    def local(self, key: str) -> Path:
        """Return a local path with a file's contents.

        Raises:
            StorageError: It is gone, or not what was made.
        """
        path = self._store.fetch(key) if self._store else None
        if path is None:
            raise self._lost(key, "is missing from the state")
        if sha256_of(path) != PurePosixPath(key).stem:
            raise self._lost(key, "is not what was made")
        return path

    def _lost(self, key: str, got: str) -> StorageError:
        """Remove all of a file that is gone or damaged, so that the next run makes it again."""
        if self._store is not None:
            for name in self._store.names(str(PurePosixPath(key).parent)):
                self._store.remove(name)
        return StorageError(LOST, key, got=got, do="Run the same command again: it is made again")
