"""Identities: hashes of what decides a result."""

from __future__ import annotations

import hashlib
import json
from typing import TypeAlias

from lipwise_ray.storage.digest import ID_CHARACTERS
from lipwise_ray.values import Json

Identity: TypeAlias = Json
"""All facts that decide a result, as they are hashed into its id."""

PIPELINE_VERSION = 8
"""Raised when the same inputs and settings would give another result: 8 for exact crops and masks."""

_SCORER_CHARACTERS = 12


def record_id(record: Json) -> str:
    """Return the identity of a JSON record."""
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:ID_CHARACTERS]


def sync_scorer_id(sha256: str, stride: int) -> str:
    """Return the name of a sync scorer's records, by the hash of its checkpoint and the stride of its windows."""
    return sha256[:_SCORER_CHARACTERS] + (f"-{stride}" if stride > 1 else "")
