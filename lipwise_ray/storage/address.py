"""Addresses of files: local paths and object stores. Which of them may be read."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from lipwise_ray.errors import InputError, MediaError

STORES = ("s3", "gs", "az")
WEB = ("http", "https")

_SIGNS = re.compile(
    r"^(x-amz-.*|x-goog-.*|signature|expires|policy|key-pair-id|googleaccessid|awsaccesskeyid|hdnts"
    r"|sv|ss|srt|sp|se|st|spr|sig|sr|sip|sdd|ses|skoid|sktid|skt|ske|sks|skv)$",
    re.IGNORECASE,
)
"""Parameters by which a web address is signed, and nothing that may choose the file; the short ones are Azure's."""

_USER = re.compile(r"[^/?#]*@|[^/@:]*:(?!\d{1,5}/)[^@]*@(?:[^/?#]*@)?")
"""User and password, which may hold a slash; a port is none."""

_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]*)://")


def scheme_of(address: str) -> str:
    """Return an address's scheme in lower case; ``file`` for a path."""
    match = _SCHEME.match(address)
    return match[1].lower() if match else "file"


def is_local(address: str) -> bool:
    """Tell whether an address is a path of this machine."""
    return scheme_of(address) == "file"


def is_store(address: str) -> bool:
    """Tell whether an address lies in an object store."""
    return scheme_of(address) in STORES


def is_web(address: str) -> bool:
    """Tell whether an address is of a web server."""
    return scheme_of(address) in WEB


def bucket_and_key(address: str) -> tuple[str, str]:
    """Return ``scheme://bucket`` and the key in it, without slashes at its ends."""
    scheme, _, path = address.partition("://")
    bucket, _, key = path.partition("/")
    return f"{scheme.lower()}://{bucket}", key.strip("/")


def file_name(address: str) -> str:
    """Return the last part of an address."""
    if is_local(address):
        return Path(address).name
    path = _parts(address).path if is_web(address) else address
    return path.rpartition("/")[2]


def local_path(address: str) -> Path:
    """Return the path that a local address names, with the home folder put in where it begins with ``~``.

    One such as ``./~a`` comes back from the root on: a path drops its dot, and would name a home folder then.

    Raises:
        RuntimeError: There is no such home folder.
    """
    path = Path(address)
    if address.startswith("~"):
        return path.expanduser()
    return path.absolute() if str(path).startswith("~") else path


def whole_path(path: str | Path) -> Path:
    """Return a path from the root on: the home folder put in, links followed.

    Raises:
        InputError: Links lead in a circle, there is no such user, or the system cannot hold such a name.
    """
    given = os.fspath(path)
    try:
        home = Path(given).expanduser() if given.startswith("~") else given
        whole = os.path.realpath(home)
        whole.encode()  # records and reports are UTF-8
        in_circle = _in_circle(whole)
    except UnicodeError as error:
        got = "characters that names here cannot hold (set PYTHONUTF8=1, or a UTF-8 locale)"
        raise _no_path(given, got) from error
    except (RuntimeError, OSError, ValueError) as error:
        raise _no_path(given, str(error).rstrip(".")) from error
    if in_circle:
        raise _no_path(given, "links that lead in a circle")
    return Path(whole)


def _in_circle(whole: str) -> bool:
    try:
        Path(whole).stat()
    except OSError as error:  # what is not there yet, or may not be looked at, is none
        return error.errno == errno.ELOOP
    return False


def _no_path(path: str, got: str) -> InputError:
    where = path.encode("utf-8", "backslashreplace").decode()
    return InputError("bad_path", where, got=f"leads nowhere: {got}")


def normal(address: str) -> str:
    """Return one spelling of an address: a resolved path, or a scheme in lower case and no slash at the end.

    Raises:
        InputError: A path leads nowhere.
    """
    if is_local(address):
        return str(whole_path(address))
    return "/".join(bucket_and_key(address)).rstrip("/")


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules for the addresses of a run's inputs.

    Attributes:
        schemes: Of addresses; ``file`` is a local path.
        roots: Folders and prefixes that inputs must lie under; none for anywhere.
        hosts: Web servers that may be asked: a name, a name with a port, or ``*.`` and a domain.
    """

    schemes: Sequence[str] = ("file", *STORES)
    roots: Sequence[str] = ()
    hosts: Sequence[str] = ()

    def check(self, address: str) -> None:
        """Refuse an address that may not be read.

        Raises:
            InputError: The scheme or the place is not allowed.
        """
        where, scheme = shown(address), scheme_of(address)
        if scheme not in self.schemes:
            happened = f"{scheme} is not among the schemes that inputs may have, {', '.join(self.schemes)}"
            raise InputError("scheme_refused", where, got=happened, do="See paths.schemes")
        if scheme in WEB:
            parts = _parts(address)
            self._check_host(parts, where)
            steps = unquote(parts.path).split("/")
        else:
            steps = bucket_and_key(address)[1].split("/") if scheme != "file" else []
        if ".." in steps or (scheme in STORES and {"", "."} & {*steps}):
            raise InputError("place_refused", where, got="a way up, or an empty step, in the address")
        if self.roots and not any(_is_under(address, root) for root in self.roots):
            happened = f"lies under none of {', '.join(self.roots)}"
            raise InputError("place_refused", where, got=happened, do="See paths.roots")

    def _check_host(self, parts: SplitResult, where: str) -> None:
        if "@" in parts.netloc:
            raise InputError("place_refused", where, got="a user or password in the address")
        host = parts.netloc.lower()
        domains = [f"*.{host.split('.', cut)[cut]}" for cut in range(1, host.count(".") + 1)]
        if not {host, *domains} & {allowed.lower() for allowed in self.hosts}:
            happened = f"{host} is not among the hosts that may be asked, {', '.join(self.hosts) or 'none'}"
            raise InputError("host_refused", where, got=happened, do="See paths.hosts")


def _parts(address: str) -> SplitResult:
    """Return the parts of a web address.

    Raises:
        InputError: It has none.
    """
    try:
        return urlsplit(address)
    except ValueError as error:
        raise MediaError("no_address", shown(address), got=f"not a web address: {error}") from error


def unsigned(address: str) -> str:
    """Return a web address without its signature; all else that may choose the file stays."""
    parts = _parts(address)
    kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if not _SIGNS.match(pair[0])]
    return parts._replace(query=urlencode(kept), fragment="").geturl()


def is_within(address: str, root: str) -> bool:
    """Tell whether an address is a folder or prefix, or lies under it; links are followed."""
    return normal(address) == normal(root) or _is_under(address, root)


def _is_under(address: str, root: str) -> bool:
    inner, outer = normal(address), normal(root)
    if is_local(address) != is_local(root):
        return False
    return Path(inner).is_relative_to(outer) if is_local(inner) else inner.startswith(f"{outer.rstrip('/')}/")


def shown(address: str) -> str:
    """Return an address for people: without user and password, query and fragment."""
    scheme, sign, path = address.partition("://")
    return scheme + sign + split_rest(path, is_web=is_web(address))[1] if sign else address


def split_rest(location: str, *, is_web: bool) -> tuple[str, str, str]:
    """Return user, path, and query or fragment of what follows an address's scheme, first and last with their signs.

    Args:
        location: What follows.
        is_web: The address is of a web server. A bucket's key may hold ``?`` and ``#`` itself: there what assigns
            nothing is no query.
    """
    user = _USER.match(location)
    location = location[user.end() :] if user else location
    sign = re.search(r"[?#]", location)
    if sign and not is_web and "=" not in location[sign.end() :]:
        sign = None
    cut = sign.start() if sign else len(location)
    return user[0] if user else "", location[:cut], location[cut:]
