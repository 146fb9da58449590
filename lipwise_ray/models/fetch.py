"""Getting checkpoints: resumable, checked, placed at once and whole."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import requests
import smart_open

from lipwise_ray.errors import LipwiseError, SetupError, StorageError, WeightsError, os_reason
from lipwise_ray.models.registry import Registry, RegistryEntry, how_to_get
from lipwise_ray.nets.checkpoint import refuse_non_weights
from lipwise_ray.storage.digest import sha256_of

_BLOCK_BYTES = 1 << 20
_NET_BLOCK_BYTES = 1 << 16  # what is lost when a connection breaks
_TIMEOUT_S = (10.0, 60.0)
_ATTEMPTS_PER_ADDRESS = 3
_OK, _PARTIAL, _RANGE_REFUSED = 200, 206, 416

DownloadProgress = Callable[[int, int | None], None]
"""Called with bytes so far and in all (None when the server does not say)."""


@dataclass(frozen=True, slots=True)
class _Body:
    """An open answer. ``offset`` is where its first byte belongs; ``end`` the whole file's length."""

    offset: int
    end: int | None
    blocks: Iterator[bytes]


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
    if target.is_file() and sha256_of(target) == entry.sha256:
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
        for _ in range(_ATTEMPTS_PER_ADDRESS):
            try:
                _fetch(address, entry, target, on_progress)
            except StorageError:
                raise
            except _failures() as error:
                problems.append(f"{_shown(address)}: {_reason(error)}")
                if isinstance(error, WeightsError) or not _worth_retrying(error):
                    break
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
        have = part.stat().st_size if part.is_file() else 0
    if entry.bytes_total is not None and have > entry.bytes_total:
        have = 0
    if have != entry.bytes_total:
        with _opened(address, have) as body:
            end = body.end if body.end is not None else entry.bytes_total
            done = body.offset
            with _disk(part), part.open("r+b" if done else "wb") as file:
                file.seek(done)
                for block in body.blocks:
                    file.write(block)
                    done += len(block)
                    on_progress(done, end)
                file.truncate()
        if end is not None and done < end:
            message = f"the connection closed after {done} of {end} bytes"
            raise ConnectionError(message)
    digest = hashlib.sha256()
    with part.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    if digest.hexdigest() != entry.sha256:
        try:
            refuse_non_weights(part)
        finally:
            part.unlink()
        if have:
            message = "the part from before belonged to another file; starting again"
            raise ConnectionError(message)
        raise WeightsError(
            "wrong_hash",
            _shown(address),
            got=f"gave a file of sha256 {digest.hexdigest()[:12]}...",
            must=f"the published file has {entry.sha256[:12]}...",
        )
    with _disk(target):
        part.replace(target)


@contextmanager
def _opened(address: str, have: int) -> Generator[_Body, None, None]:
    """Open an address from byte `have` on, or from 0 where it cannot."""
    if not address.startswith(("http://", "https://")):
        with smart_open.open(address, "rb") as stream:
            if have:
                stream.seek(have)
            yield _Body(have, None, _blocks(stream))
        return
    headers = {"Range": f"bytes={have}-"} if have else {}
    with requests.get(address, headers=headers, stream=True, timeout=_TIMEOUT_S) as answer:
        if answer.status_code == _RANGE_REFUSED:
            message = "the server refused to go on from a partial file"
            raise ConnectionError(message)
        answer.raise_for_status()
        offset = have if answer.status_code == _PARTIAL else 0
        length = answer.headers.get("Content-Length")
        end = offset + int(length) if length and "Content-Encoding" not in answer.headers else None
        yield _Body(offset, end, answer.iter_content(_NET_BLOCK_BYTES))


def _blocks(stream: IO[Any]) -> Iterator[bytes]:
    while block := stream.read(_BLOCK_BYTES):
        yield block


@contextmanager
def _disk(path: Path) -> Generator[None, None, None]:
    """Turn a refusing disk into a StorageError; errors of the network pass."""
    try:
        yield
    except OSError as error:
        if isinstance(error, requests.RequestException | ConnectionError | TimeoutError) or not error.errno:
            raise
        raise StorageError(
            "models_folder",
            str(path),
            got=f"cannot be written: {os_reason(error)}",
            do="Set paths.models to a folder with room",
        ) from error


def _failures() -> tuple[type[Exception], ...]:
    """Return the errors that a download may raise; the cloud libraries' own where they are installed."""
    errors: tuple[type[Exception], ...] = (LipwiseError, OSError, ValueError, ImportError)
    if importlib.util.find_spec("botocore"):
        import botocore.exceptions

        errors = (*errors, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)
    return errors


def _worth_retrying(error: Exception) -> bool:
    return isinstance(
        error, requests.ConnectionError | requests.Timeout | ConnectionError | requests.exceptions.ChunkedEncodingError
    )


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code}"
    if isinstance(error, LipwiseError):
        return error.happened
    if isinstance(error, requests.ConnectionError) and not isinstance(error, requests.Timeout):
        return "no connection to that server"
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def _shown(address: str) -> str:
    """Return an address without its query, which may hold a signature."""
    return address.split("?", 1)[0]
