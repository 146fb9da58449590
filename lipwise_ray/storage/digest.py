"""Hashes of files, and the identities that are made of them."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

from lipwise_ray.errors import MediaError

ID_CHARACTERS = 24
"""Of an identity: so much of a sha256."""

_BLOCK_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def crc32_of(path: Path) -> str:
    """Return a file's CRC-32 in hex, as zlib computes it: eight digits."""
    found = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            found = zlib.crc32(block, found)
    return f"{found:08x}"


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
