"""Getting checkpoints: resumable, checked, placed at once and whole."""

from __future__ import annotations

import importlib.util
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from urllib3.exceptions import (
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import Retry

from lipwise_ray.errors import LipwiseError, SetupError, StorageError, WeightsError, os_reason
from lipwise_ray.models.registry import Registry, RegistryEntry, how_to_get
from lipwise_ray.nets.checkpoint import refuse_non_weights
from lipwise_ray.storage.address import is_web, shown
from lipwise_ray.storage.digest import crc32_of, sha256_of
from lipwise_ray.storage.plain_http import answered
from lipwise_ray.storage.redact import redact
from lipwise_ray.storage.retries import SLOWEST, RetryPolicy
from lipwise_ray.storage.timed_retries import TimedRetries, fault_of, is_untrusted

_BLOCK_BYTES = 1 << 20
_NET_BLOCK_BYTES = 1 << 16  # what is lost when a connection breaks
_MOST_TEXT_BYTES = 1024
_OTHER_PART = "the part from before belonged to another file; starting again"
_RETRIES = RetryPolicy(tries=4, total_s=60.0, first_wait_s=1.0, longest_wait_s=15.0)
"""Of each address, anew from the farthest byte that a broken download reached."""

_BROKEN = (ProtocolError, ReadTimeoutError, SSLError, ConnectionError, TimeoutError)
"""Errors of connections that end within a body."""

_OK, _PARTIAL, _RANGE_REFUSED = 200, 206, 416

DownloadProgress = Callable[[int, int | None], None]
"""Called with bytes so far and in all (None when the server does not say)."""


@dataclass(frozen=True, slots=True)
class _Body:
    """An open answer.

    Attributes:
        offset: Place of its first byte in the file.
        end: Length of the whole file; None where nobody says it.
        blocks: Its bytes.
        retries: Tries that are left.
    """

    offset: int
    end: int | None
    blocks: Iterator[bytes]
    retries: Retry


def pull(
    registry: Registry,
    name: str,
    *,
    mirror: str | None = None,
    accept_licence: bool = False,
    on_progress: DownloadProgress = lambda done, total: None,  # noqa: ARG005  # the default shows nothing
) -> Path:
    """Download a checkpoint unless the right file is there already.

    A broken download goes on where it stopped, also in a later call.

    Args:
        registry: Registry that holds the entry.
        name: Of the entry.
        mirror: Base address (http, https, s3, gs, azure, file) asked before the published ones.
        accept_licence: The user accepts terms that forbid commercial use.
        on_progress: Called with the bytes that are there, and all of them.

    Returns:
        The installed file.

    Raises:
        SetupError: The terms need to be accepted first.
        WeightsError: No address gave the published file.
        StorageError: The disk is full.
    """
    entry = registry.entry(name)
    if entry.needs_consent and not accept_licence:
        raise SetupError(
            "licence",
            f"model {name}",
            got=f"its licence needs your consent: {entry.licence}",
            do="If these terms fit your use, run the command again with --accept-licence",
        )
    target = registry.path_of(name)
    if target.is_file() and entry.sha256 in ("", sha256_of(target)):
        return target
    addresses = ([f"{mirror.rstrip('/')}/{entry.file}"] if mirror else []) + entry.urls
    if not addresses:
        raise WeightsError(
            "no_download",
            f"model {name}",
            got="no public address to download it from",
            do=how_to_get(name, entry)
            if entry.extra
            else f"Download {entry.file} yourself and run `lipwise-ray models add {name} FILE`",
        )
    problems: list[str] = []
    for address in addresses:
        try:
            _fetch(address, entry, target, on_progress)
        except StorageError:
            raise
        except _failures() as error:
            problems.append(f"{shown(address)}: {_reason(error)}")
        else:
            return target
    raise WeightsError(
        "pull_failed",
        f"model {name}",
        got=f"could not be downloaded: {'; '.join(dict.fromkeys(problems))}",
        do=f"Try --mirror, or download {entry.file} yourself and run `lipwise-ray models add {name} FILE`",
    )


def add(registry: Registry, name: str, source: Path) -> Path:
    """Install a file that the user brings, after checking that it is the published one.

    Raises:
        WeightsError: It is another file.
    """
    refuse_non_weights(source)
    registry.check(name, source)
    target = registry.path_of(name)
    part = target.with_name(target.name + ".part")
    with _disk(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, part)
        part.replace(target)
    return target


def _fetch(address: str, entry: RegistryEntry, target: Path, on_progress: DownloadProgress) -> None:
    part = target.with_name(target.name + ".part")
    with _disk(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    retries, farthest = TimedRetries.of(_RETRIES), 0
    while True:
        have = part.stat().st_size if part.is_file() else 0
        if entry.bytes_total is not None and have > entry.bytes_total:
            have = 0
        if have > farthest:
            retries, farthest = TimedRetries.of(_RETRIES), have
        try:
            if have != entry.bytes_total:
                with _opened(address, have, retries) as body:
                    retries = body.retries
                    _write(address, body, part, entry, on_progress)
            _check(address, part, entry, is_resumed=have > 0)
        except _BROKEN as error:
            retries = retries.increment("GET", error=error)
            retries.sleep()
        else:
            break
    with _disk(target):
        part.replace(target)


def _write(address: str, body: _Body, part: Path, entry: RegistryEntry, on_progress: DownloadProgress) -> None:
    """Write an answer's body to where it belongs in a partial file."""
    end = body.end if body.end is not None else entry.bytes_total
    done, began_s = body.offset, time.monotonic()
    with _disk(part), part.open("r+b" if done else "wb") as file:
        file.seek(done)
        for block in body.blocks:
            file.write(block)
            done += len(block)
            on_progress(done, end)
            if not SLOWEST.is_kept(done - body.offset, after_s := time.monotonic() - began_s):
                got = f"comes too slowly: {done - body.offset} bytes in {after_s:.0f} s"
                raise WeightsError("pull_failed", shown(address), got=got)
        file.truncate()
    if end is not None and done < end:
        message = f"the connection closed after {done} of {end} bytes"
        raise ConnectionError(message)


def _check(address: str, part: Path, entry: RegistryEntry, *, is_resumed: bool) -> None:
    """Remove a file that is not the published one, and say so."""
    if not entry.sha256:
        _check_crc32(address, part, entry, is_resumed=is_resumed)
        return
    digest = sha256_of(part)
    if digest == entry.sha256:
        return
    try:
        refuse_non_weights(part)
    finally:
        part.unlink()
    if is_resumed:
        raise ConnectionError(_OTHER_PART)
    raise WeightsError(
        "wrong_hash",
        shown(address),
        got=f"gave a file of sha256 {digest[:12]}...",
        must=f"the published file has {entry.sha256[:12]}...",
    )


def _check_crc32(address: str, part: Path, entry: RegistryEntry, *, is_resumed: bool) -> None:
    """Remove a file whose CRC32 is not the one that lies beside it, and say so: a sum against damage, not forgery."""
    try:
        refuse_non_weights(part)
    except WeightsError:
        part.unlink()
        raise
    if not entry.crc32_beside:
        return
    beside = f"{address.rpartition('.')[0]}.hash"
    crc32, stated = crc32_of(part), _text(beside).strip().lower()
    if crc32 != stated:
        part.unlink()
        if is_resumed:
            raise ConnectionError(_OTHER_PART)
        must = f"{shown(beside)} says {stated[:16]}"
        raise WeightsError("wrong_hash", shown(address), got=f"gave a file of CRC32 {crc32}", must=must)


def _text(address: str) -> str:
    """Return the text of a small file."""
    with _opened(address, 0, TimedRetries.of(_RETRIES)) as body:
        found = b""
        for block in body.blocks:
            found += block
            if len(found) > _MOST_TEXT_BYTES:
                raise WeightsError("pull_failed", shown(address), got=f"longer than {_MOST_TEXT_BYTES} bytes")
    return found.decode("ascii", "replace")


@contextmanager
def _opened(address: str, have: int, retries: Retry) -> Generator[_Body, None, None]:
    """Open an address from byte `have` on, or from 0 where it cannot."""
    if not is_web(address):
        import smart_open

        with smart_open.open(address, "rb") as stream:
            if have:
                stream.seek(have)
            yield _Body(have, None, _blocks(stream), retries)
        return
    headers = {"Range": f"bytes={have}-"} if have else {}
    with answered("GET", address, retries, headers=headers) as answer:
        if answer.status == _RANGE_REFUSED and have:
            with _opened(address, 0, answer.retries or retries) as body:
                yield body
            return
        if answer.status not in (_OK, _PARTIAL):
            raise WeightsError("pull_failed", shown(address), got=f"HTTP {answer.status}")
        offset = have if answer.status == _PARTIAL else 0
        length = answer.headers.get("Content-Length")
        end = offset + int(length) if length and "Content-Encoding" not in answer.headers else None
        yield _Body(offset, end, answer.stream(_NET_BLOCK_BYTES, decode_content=True), answer.retries or retries)


def _blocks(stream: IO[Any]) -> Iterator[bytes]:
    while block := stream.read(_BLOCK_BYTES):
        yield block


@contextmanager
def _disk(path: Path) -> Generator[None, None, None]:
    """Turn a refusing disk into a StorageError; errors of the network pass."""
    try:
        yield
    except OSError as error:
        if isinstance(error, ConnectionError | TimeoutError) or not error.errno:
            raise
        raise StorageError(
            "models_folder",
            str(path),
            got=f"cannot be written: {os_reason(error)}",
            do="Set paths.models to a folder with room",
        ) from error


def _failures() -> tuple[type[Exception], ...]:
    """Return the errors that a download may raise; the cloud libraries' own where they are installed."""
    errors: tuple[type[Exception], ...] = (LipwiseError, HTTPError, OSError, ValueError, ImportError)
    if importlib.util.find_spec("botocore"):
        import botocore.exceptions

        errors = (*errors, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)
    return errors


def _reason(error: Exception) -> str:
    cause = getattr(error, "reason", None) or error
    if isinstance(cause, LipwiseError):
        return cause.happened
    if is_untrusted(cause):
        return "its certificate is not trusted"
    if isinstance(cause, NewConnectionError | ProxyError):
        return "no connection to that server"
    if isinstance(cause, HTTPError):
        return redact(fault_of(cause))
    return str(cause).splitlines()[0][:200] if str(cause) else type(cause).__name__
