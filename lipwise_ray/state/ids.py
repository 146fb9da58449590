"""Identities: hashes of what decides a result, and names of runs."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from typing import TypeAlias

from lipwise_ray.storage.digest import ID_CHARACTERS
from lipwise_ray.values import Json

Identity: TypeAlias = Json
"""All facts that decide a result, as they are hashed into its id."""

PIPELINE_VERSION = 11
"""Raised when the same inputs and settings would give another result: 11 for clips heard alike wherever they begin."""

_SCORER_CHARACTERS = 12


def timed_id(now_ns: int | None = None) -> str:
    """Return a new name of a run or night; names sort as they were made, also within a second.

    Args:
        now_ns: Nanoseconds since 1970; None for the clock's.
    """
    seconds, part_ns = divmod(time.time_ns() if now_ns is None else now_ns, 10**9)
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds))
    return f"{moment}-{part_ns * 256 // 10**9:02x}{uuid.uuid4().hex[:4]}"


def record_id(record: Json) -> str:
    """Return the identity of a JSON record."""
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:ID_CHARACTERS]


def sync_scorer_id(sha256: str, stride: int, runtime: str) -> str:
    """Return the name of a sync scorer's records.

    Args:
        sha256: Hash of its checkpoint.
        stride: Of its windows.
        runtime: Library that computes it; empty for torch, whose records had no word for it.
    """
    return "-".join([sha256[:_SCORER_CHARACTERS], *([str(stride)] if stride > 1 else []), *filter(None, [runtime])])
