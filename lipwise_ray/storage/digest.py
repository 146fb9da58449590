"""Hashes of files, and the identities that are made of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lipwise_ray.errors import MediaError

ID_CHARACTERS = 24
"""Of an identity: so much of a sha256."""


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_id(path: Path) -> str:
    """Return the identity of a file's bytes.

    Raises:
        MediaError: The file cannot be read.
    """
    try:
        return sha256_of(path)[:ID_CHARACTERS]
    except OSError as error:
        happened = "file not found" if isinstance(error, FileNotFoundError) else (error.strerror or str(error)).lower()
        raise MediaError("missing_file", str(path), got=happened, do="Check the path") from error
