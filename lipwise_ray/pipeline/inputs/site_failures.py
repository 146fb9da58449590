"""Errors of sites: yt-dlp's words, an answer's status and what the proxy refused, told as what is wrong."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from lipwise_ray.errors import InputError, LipwiseError, MediaError, StorageError
from lipwise_ray.media.container import write_problem
from lipwise_ray.storage.redact import redact
from lipwise_ray.storage.retries import TRANSIENT_STATUSES

_REFUSING, _REGIONAL, _GONE = (401, 403), 451, (404, 410)
_LINKS = {"TransportError", "ProxyError", "IncompleteRead", "SSLError", "RequestError", "ContentTooShortError"}
_MOST_CHARACTERS = 200

_REGION = re.compile(r"(?i)geo[ -]?(?:restrict|block)|(?:in|from) your (?:country|region|location|area)")
_DRM = re.compile(r"\bDRM\b")
_LIVE = re.compile(
    r"(?i)live event|live ?stream|premieres? in|is upcoming|will begin|is not (?:currently )?live|is offline"
)
_PRIVATE = re.compile(r"(?i)\bprivate\b|password")
_LOGIN = re.compile(
    r"(?i)--cookies|\bsign in\b|\blog ?in\b|registered users|members?[ -]only|subscribers?\b|confirm your age"
    r"|age.restricted"
)
_REMOVED = re.compile(
    r"(?i)(?:been|was) (?:removed|deleted)|no longer (?:available|exists)|does ?n[o']t exist"
    r"|video (?:is )?(?:not found|unavailable)|account .*terminated"
)
_SCRIPT = re.compile(r"(?i)javascript runtime|\bjs runtime|challenge solving|nsig extraction|phantomjs")
_NO_FORMATS = re.compile(r"(?i)no video formats|requested format is not available|only images are available")
_PREFIX = re.compile(r"^(?:ERROR: )?(?:\[[\w:+-]+\] )?(?:Got error: )?")
_CHATTER = re.compile(
    r"(?s)\s*(?:;? ?please report this issue\b|Use --|See  ?https?:|\(caused by |You might want to use).*"
)
"""Of the site's words: what is said to people at a command line."""


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True))
class SiteFailure:
    """Error in the child process.

    Attributes:
        kinds: Names of its classes and of those that led to it.
        status: Of the answer that led to it; None where there is none.
        errno: The system's number for it; None where there is none.
        text: Its words.
        warnings: Words said before it.
    """

    kinds: list[str]
    status: int | None
    errno: int | None
    text: str
    warnings: list[str]


def site_fault(where: str, failure: SiteFailure, refusals: Sequence[LipwiseError], target: Path | None) -> LipwiseError:
    """Return the error that says what is wrong with a video of a site.

    Args:
        where: Its address, for people.
        failure: Error in the child process.
        refusals: Errors of the proxy, in order.
        target: File that is being written; None as long as nothing was found out of the video. What a site refuses in
            the middle of a file (an address whose signature ran out) may be had by asking anew.
    """
    known = _fault_of_the_site(where, failure) if target is None else None
    if known:
        return known
    if refusals:
        return refused(where, refusals[-1])
    if target and failure.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO):
        return write_problem(target, OSError(failure.errno, os.strerror(failure.errno)))
    said = _words(failure.text)
    if "CertificateVerifyError" in failure.kinds:
        return MediaError("untrusted_host", where, got=f"its certificate is not trusted: {said}")
    if target or failure.status in TRANSIENT_STATUSES or (failure.status is None and _LINKS & {*failure.kinds}):
        do = "Check the address and the network"
        return StorageError("web_unreachable", where, got=f"cannot be read: {said}", do=do)
    do = "Check that it plays in a browser; a newer yt-dlp may read it"
    return MediaError("site_unreadable", where, got=f"yt-dlp cannot read it: {said}", do=do)


def refused(where: str, refusal: LipwiseError) -> LipwiseError:
    """Return the error for a host from which a site's video comes, or would come, and that could not be asked.

    Args:
        where: The address of the video's page, for people.
        refusal: The proxy's error.
    """
    if not isinstance(refusal, InputError):
        return type(refusal)(refusal.code, where, refusal.must, f"needs {refusal.where}: {refusal.got}", refusal.do)
    is_unknown = refusal.code == "host_refused"
    do = "Add the host to paths.hosts if you trust it with that" if is_unknown else refusal.do
    return type(refusal)(refusal.code, where, refusal.must, f"needs {refusal.where}: {refusal.got}", do)


def _fault_of_the_site(where: str, failure: SiteFailure) -> MediaError | None:  # noqa: PLR0911  # one for each fault
    text, status, said = failure.text, failure.status, _words(failure.text)
    lacks_formats = bool(_NO_FORMATS.search(text))
    if _SCRIPT.search(text) or (lacks_formats and any(_SCRIPT.search(one) for one in failure.warnings)):
        do = "Install deno on every machine, or copy the file to a folder or a bucket instead"
        return MediaError("site_script", where, got="the site needs a JavaScript runtime, and none was found", do=do)
    if status == _REGIONAL or "GeoRestrictedError" in failure.kinds or _REGION.search(text):
        return MediaError("site_region", where, got=f"the site does not give it to this region: {said}")
    if _DRM.search(text):
        return MediaError("site_drm", where, got="it is encrypted for certain players (DRM)")
    if "UserNotLive" in failure.kinds or _LIVE.search(text):
        return live(where)
    if _PRIVATE.search(text):
        do = "Give a file of cookies that may see it, paths.cookies"
        return MediaError("site_private", where, got=f"it is private: {said}", do=do)
    if _LOGIN.search(text):
        return MediaError("site_login", where, got=f"the site asks for a login: {said}", do="See paths.cookies")
    if status in _REFUSING:
        do = "See paths.cookies if a login is needed, or copy the file to a folder or a bucket instead"
        return MediaError("site_private", where, got=f"the site refuses it (status {status})", do=do)
    if status in _GONE or _REMOVED.search(text):
        why = f"status {status}" if status in _GONE else said
        return MediaError("site_gone", where, got=f"it is not there any more: {why}", do="Check the address")
    if "UnsupportedError" in failure.kinds:
        got = "the page has no video that yt-dlp can find"
        return MediaError("site_unsupported", where, got=got, do="Name the page of one video, or a file")
    return None


def live(where: str) -> MediaError:
    """Return the error for a stream that has no end yet.

    Args:
        where: Its address, for people.
    """
    return MediaError("site_live", where, got="it is live, or has not started: it has no end", do="Wait for its end")


def playlist(where: str) -> MediaError:
    """Return the error for a page with several videos.

    Args:
        where: Its address, for people.
    """
    return MediaError(
        "site_playlist", where, got="the page holds several videos", must="a row takes one", do="Name the page of one"
    )


def _words(text: str) -> str:
    said = " ".join(_CHATTER.sub("", _PREFIX.sub("", text)).split())
    return redact(said)[:_MOST_CHARACTERS].rstrip(" .")
