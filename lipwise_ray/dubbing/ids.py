"""Identities: hashes of what decides a result."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from lipwise_ray.errors import MediaError
from lipwise_ray.values import Json

PIPELINE_VERSION = 6
"""Raised when the same inputs and settings would give another result: 6 for mels in half precision."""

_ID_CHARACTERS, _JUDGE_CHARACTERS = 24, 12


def content_id(path: Path) -> str:
    """Return the identity of a file's bytes.

    Raises:
        MediaError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    except OSError as error:
        raise MediaError(
            "missing_file", str(path), "must exist and be readable", error.strerror or "", "Check the path"
        ) from error
    return digest.hexdigest()[:_ID_CHARACTERS]


def record_id(record: Json) -> str:
    """Return the identity of a JSON record."""
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:_ID_CHARACTERS]


def judge_id(judge: Json) -> str:
    """Return the name of a judge's records, by the record of its weights."""
    return str(judge["sha256"])[:_JUDGE_CHARACTERS]
