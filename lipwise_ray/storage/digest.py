"""Identities of files: hashes of their contents."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lipwise_ray.errors import MediaError

ID_CHARACTERS = 24
"""Of an identity: so much of a sha256."""


def content_id(path: Path) -> str:
    """Return the identity of a file's bytes.

    Raises:
        MediaError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    except OSError as error:
        happened = "file not found" if isinstance(error, FileNotFoundError) else (error.strerror or str(error)).lower()
        raise MediaError("missing_file", str(path), got=happened, do="Check the path") from error
    return digest.hexdigest()[:ID_CHARACTERS]
