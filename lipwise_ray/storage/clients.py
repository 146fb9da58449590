"""Clients of object stores, one a bucket: how long they are patient, and whose credentials they use.

Credentials come from each cloud's standard chain alone; none is ever a setting.
"""

from __future__ import annotations

import importlib.util
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from obstore.exceptions import BaseError
from obstore.store import from_url

from lipwise_ray.errors import StorageError
from lipwise_ray.storage.address import scheme_of
from lipwise_ray.storage.redact import redact
from lipwise_ray.storage.retries import RetryPolicy

if TYPE_CHECKING:
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import ObjectStore

Patience = Literal["records", "files"]
"""``records`` gives up early, for somebody waits; ``files`` bears with a store that is busy for minutes."""

_MOST_TRIES = 10_000
"""The time decides: waits are drawn by chance, and many are short."""

_RETRIES: dict[Patience, RetryPolicy] = {
    "records": RetryPolicy(_MOST_TRIES, total_s=20.0, first_wait_s=0.1, longest_wait_s=5.0),
    "files": RetryPolicy(_MOST_TRIES, total_s=180.0, first_wait_s=0.1, longest_wait_s=5.0),
}


def reason_of(error: BaseException) -> str:
    """Return an error's first line; what follows is for those who write obstore."""
    first = next(iter(str(error).splitlines()), type(error).__name__)
    return redact(first.removesuffix('<?xml version="1.0" encoding="utf-8"?>').rstrip(": "))[:300]


@lru_cache(maxsize=64)
def opened(root: str, patience: Patience) -> ObjectStore:
    """Return a client for a bucket, kept for the next caller.

    Args:
        root: ``scheme://bucket``.
        patience: Time for which refused requests are tried again.

    Raises:
        StorageError: There is no such kind of store, or its settings in the environment are wrong.
    """
    options: dict[str, Any] = {
        "client_options": {"connect_timeout": "10s", "timeout": "120s"},
        "retry_config": _RETRIES[patience].of_store(),
    }
    if scheme_of(root) == "s3":
        # Given options replace what obstore takes from the environment.
        options["client_options"]["allow_http"] = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true")
        options["config"] = {"checksum_algorithm": "SHA256"}
        options["credential_provider"] = _boto3_credentials()
    try:
        return from_url(root, **options)
    except (BaseError, ValueError) as error:
        raise StorageError(
            "store_refused", root, got=f"no store can be opened: {reason_of(error)}", do="Check the address"
        ) from error


def _boto3_credentials() -> Boto3CredentialProvider | None:
    """Return boto3's chain (profiles, single sign-on too) where boto3 is installed and finds something.

    Without it obstore has a chain of its own: environment, web identity, container, instance.
    """
    if os.environ.get("AWS_ACCESS_KEY_ID") or importlib.util.find_spec("boto3") is None:
        return None
    import boto3
    from obstore.auth.boto3 import Boto3CredentialProvider

    session = boto3.Session()
    return Boto3CredentialProvider(session) if session.get_credentials() is not None else None
