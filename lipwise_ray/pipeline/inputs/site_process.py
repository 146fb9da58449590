"""Process of its own in which yt-dlp reads a site; it reaches a proxy of this one and nothing else."""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from lipwise_ray.errors import InputError, MediaError, SettingsError, StorageError, os_reason
from lipwise_ray.pipeline.inputs import site_child
from lipwise_ray.pipeline.inputs.site_failures import SiteFailure, site_fault
from lipwise_ray.pipeline.inputs.site_pieces import FormatPieces, SiteFile, UsedSeconds
from lipwise_ray.storage.address import Policy, shown, unsigned
from lipwise_ray.storage.proxy import GuardedProxy
from lipwise_ray.storage.web import Resolve, too_large

PACKAGE = "yt_dlp"
"""Module of the downloader, which the extra `web` brings."""

_NAMELESS = ("Generic", "HTML5MediaEmbed")
"""Extractors for pages of sites that yt-dlp does not know: their ids are parts of the page's address."""

_POLL_S = 0.2
_SILENT_S = 120.0
"""A child that neither speaks nor receives anything for so long is given up."""

_PAGE_S = 300.0
_SLOW_S, _SLOWEST_BYTES_A_SECOND = 60.0, 10_000
_MOST_PAGE_BYTES = 64 << 20
"""Pages and playlists of one video; more is no page."""


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True))
class SiteFacts:
    """Facts of a video, as its site states them. 0 and an empty text stand for what it does not.

    Attributes:
        extractor: Name of the part of yt-dlp that reads the site.
        id: The site's name for the video.
        address: The video's page.
        formats: Names of the chosen format, or of those of video and audio.
        files: Addresses of their files, mostly signed.
        duration_s: Length.
        bytes_total: Size of the files, exact or about.
        exact_bytes: Size of each; None where it is not stated, or only about.
        width, height: Of a frame.
        changed: Time at which it was made or last changed.
        is_live: It has no end yet.
        entries: Videos on the page.
        pieces: Those of each format, where a part of the video is wanted.
    """

    extractor: str
    id: str
    address: str
    formats: list[str]
    files: list[str]
    duration_s: float
    bytes_total: int
    exact_bytes: list[int | None]
    width: int
    height: int
    changed: str
    is_live: bool
    entries: int
    pieces: list[FormatPieces]

    def tag(self) -> str:
        """Return a strong tag: it changes with the video, the chosen formats, and whatever else the site says of it."""
        files = [unsigned(file) for file in self.files] if self.extractor in _NAMELESS else []
        exact = [self.extractor, self.id, self.formats, files, round(self.duration_s), self.exact_bytes, self.changed]
        return f'"{json.dumps(exact)}"'


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True))
class _Message:
    """Line of the child: one of these."""

    found: SiteFacts | None = None
    expects: int | None = None
    fetched: list[str] | None = None
    failed: SiteFailure | None = None


_LINE = TypeAdapter(_Message)


@contextmanager
def site_process(
    address: str,
    policy: Policy,
    cookies: str | None,
    most_pixels: float,
    most_bytes: int,
    resolve: Resolve | None,
    seconds: UsedSeconds | None,
) -> Generator[SiteProcess]:
    """Run the process for one video, and end it with the context.

    Args:
        address: The video's page.
        policy: Hosts that may be asked.
        cookies: A file of cookies, or None.
        most_pixels: Of a frame, where there is a choice of formats.
        most_bytes: Of the video.
        resolve: Looks names up; None for public ones alone.
        seconds: What is used of the video; None for all.

    Raises:
        SettingsError: yt-dlp is not installed, or the cookies cannot be read.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise SettingsError(
            "no_downloader",
            "paths.downloader = yt-dlp",
            got="yt-dlp is not installed on this machine",
            do="`pip install 'lipwise-ray[web]'` on all machines",
        )
    with (
        tempfile.TemporaryDirectory(prefix="lipwise-ray-site-") as home,
        GuardedProxy(policy, resolve) as proxy,
        (Path(home) / "errors").open("w+") as errors,
    ):
        request: site_child.SiteRequest = {
            "address": address,
            "proxy": proxy.address,
            "cookies": _cookies_in(cookies),
            "most_pixels": most_pixels,
            "most_bytes": most_bytes,
            "length_s": None if seconds is None else seconds.most_s,
        }
        with subprocess.Popen(  # noqa: S603  # this interpreter, a script of this package
            [sys.executable, "-P", "-B", site_child.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=home,
            env=bare_environment(home),
            encoding="utf-8",
            start_new_session=True,
        ) as process:
            child = SiteProcess(address, process, proxy, errors, most_bytes)
            try:
                child.order(json.dumps(request))
                yield child
            finally:
                child.end()


def bare_environment(home: str) -> dict[str, str]:
    """Return the child's environment: no proxies, no configuration, no plugins, no secrets of this process.

    Args:
        home: Folder that is its home.
    """
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "SSL_CERT_FILE") if name in os.environ}
    own = dict.fromkeys(("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"), home)
    # Modules are found where this process finds them, also where a cluster brought them.
    found = {"PYTHONPATH": os.pathsep.join(path or os.curdir for path in sys.path), "PYTHONUTF8": "1"}
    return {**kept, **own, **found, "YTDLP_NO_PLUGINS": "1"}


def _cookies_in(file: str | None) -> str | None:
    """Return a file's cookies, which are handed on without a copy on the disk, or None."""
    if file is None:
        return None
    try:
        return Path(file).read_text("utf-8")
    except OSError as error:
        raise _no_cookies(file, f"cannot be read: {os_reason(error)}") from error
    except UnicodeDecodeError as error:
        raise _no_cookies(file, "is not a text") from error


def _no_cookies(file: str, got: str) -> SettingsError:
    return SettingsError("cookies", f"paths.cookies = {file}", got=got, do="Check the path")


class SiteProcess:
    """The running child process.

    Args:
        address: Of the video's page.
        process: It.
        proxy: Its way to the network.
        errors: File of what it prints.
        most_bytes: Of the video.
    """

    def __init__(
        self, address: str, process: subprocess.Popen[str], proxy: GuardedProxy, errors: IO[str], most_bytes: int
    ) -> None:
        self._address, self._where = address, shown(address)
        self._process = process
        self._proxy = proxy
        self._errors = errors
        self._most_bytes = most_bytes
        self._target: Path | None = None
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def end(self) -> None:
        """Kill it, and whatever it started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)  # it leads a session
        self._listener.join()
        with suppress(OSError):  # what was not read of the last order
            assert self._process.stdin is not None
            self._process.stdin.close()

    def order(self, line: str) -> None:
        """Send a line."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # its last words say why
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()

    def found(self) -> SiteFacts:
        """Return the facts that the site states of the video.

        Raises:
            InputError: It is not there, or not allowed.
            StorageError: The site cannot be reached now.
        """
        before, begun_s = self._proxy.bytes_total, time.monotonic()

        def watch() -> None:
            if time.monotonic() - begun_s > _PAGE_S:
                got = f"its page was not read within {_PAGE_S:.0f} s"
                raise StorageError("web_slow", self._where, got=got, do="Run again later")
            if self._proxy.bytes_total - before > _MOST_PAGE_BYTES:
                raise MediaError(
                    "site_unreadable",
                    self._where,
                    got=f"its page has more than {_MOST_PAGE_BYTES >> 20} MiB",
                    do="Check the address",
                )

        found = self._message(watch).found
        if found is None:
            raise self._out_of_order()
        return found

    def fetched(self, base: Path, files: Sequence[SiteFile], on_block: Callable[[], None]) -> list[Path]:
        """Return files of the video, fetched to paths that begin like `base`.

        Args:
            base: Beginning of their paths.
            files: What they hold.
            on_block: Called while they arrive.

        Raises:
            InputError: They are not there, not allowed, or too large.
            StorageError: They cannot be reached now, or come too slowly.
        """
        self._target = base
        before, begun_s, seen = self._proxy.bytes_total, time.monotonic(), 0

        def watch() -> None:
            nonlocal seen
            done = self._proxy.bytes_total - before
            if done != seen:
                seen = done
                on_block()
            here = sum(_size(path) for path in base.parent.glob(f"{base.name}.*"))
            if here > self._most_bytes:
                raise too_large(self._address, here, self._most_bytes)
            after_s = time.monotonic() - begun_s
            if after_s > _SLOW_S and done < after_s * _SLOWEST_BYTES_A_SECOND:
                got = f"comes too slowly: {done} bytes in {after_s:.0f} s"
                raise StorageError("web_slow", self._where, got=got, do="Run again later")

        self.order(json.dumps([(f"{base}.{file.name}", file.format, file.playlist, file.fragments) for file in files]))
        while True:
            message = self._message(watch)
            if message.fetched is not None:
                return [Path(path) for path in message.fetched]
            if message.expects is None:
                raise self._out_of_order()
            if message.expects > self._most_bytes:
                raise too_large(self._address, message.expects, self._most_bytes)

    def _message(self, watch: Callable[[], None]) -> _Message:
        """Return the child's next message, watched while it is waited for."""
        spoke_s = time.monotonic()
        while True:
            watch()
            try:
                line = self._lines.get(timeout=_POLL_S)
            except queue.Empty:
                if time.monotonic() - max(spoke_s, self._proxy.heard_s) > _SILENT_S:
                    got = f"nothing came for {_SILENT_S:.0f} s"
                    raise StorageError("web_slow", self._where, got=got, do="Run again later") from None
                continue
            if line is None:
                raise self._out_of_order()
            try:
                message = _LINE.validate_json(line)
            except ValidationError as error:
                raise self._out_of_order() from error
            if message.failed is not None:
                raise site_fault(self._where, message.failed, self._proxy.refusals, self._target)
            return message

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with suppress(ValueError, OSError):  # closed by whoever gave the child up
            for line in self._process.stdout:
                self._lines.put(line)
        self._lines.put(None)

    def _out_of_order(self) -> InputError | StorageError:
        """Return the error for a child that ended, or spoke, otherwise than it should."""
        self._errors.seek(0)
        said = self._errors.read().strip().splitlines()
        got = f"yt-dlp ended: {said[-1][:200] if said else 'it said nothing'}"
        return StorageError("site_reader", self._where, got=got, do="Run the same command again")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # renamed meanwhile
        return 0
