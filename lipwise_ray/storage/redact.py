"""Keeping secrets out of what is shown and kept."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, cast

GONE = "[redacted]"

_SCHEME = r"[a-zA-Z][a-zA-Z0-9+.-]{0,30}://"
_WEB = re.compile(r"(?:https?|wss?|ray|ftps?)://", re.IGNORECASE)
_HOOKS = re.compile(
    r"(?:hooks\.\w+\.com|(?:\w+\.)?discord(?:app)?\.com/api|[\w.-]+\.webhook\.office\.com|api\.telegram\.org"
    r"|chat\.googleapis\.com|[\w.-]*logic\.azure\.com)/|[^?#]*?/(?:services|webhooks?|hooks)/",
    re.IGNORECASE,
)
"""Addresses whose whole path is a password."""

_NAME = (
    r"(?:secret|token|passw(?:or)?d|passphrase|pwd|credentials?|signature|connection[_ -]?string|bearer|session[_-]?id"
    r"|(?:api|access|account|private|subscription|shared|storage|master|encryption|signing|webhook|auth|ssh|app)"
    r"[_ -]?key|x-amz-[a-z-]+|x-goog-[a-z-]+)"
)
_VALUE = r"""(?:"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?|(?!must\b)[^\s"';}]+)"""
_SECRET_NAMES = re.compile(rf"{_NAME}|^(?:proxy-)?authorization$|^(?:set-)?cookie$|^auth$", re.IGNORECASE)
_RANDOM = re.compile(r"[A-Za-z0-9]{16,}")
_HEX_CHARACTERS = 24

Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]


def _address(found: re.Match[str]) -> str:
    """Return an address, and what goes on from it to a blank or a quote, without what opens it."""
    scheme, rest = found["scheme"], found["rest"]
    user = re.match(r"[^/?#]*@|[^/@:]*:[^@]*@(?:[^/?#]*@)?", rest)
    kept = ""
    if user:
        kept, rest = f"{GONE}@", rest[user.end() :]
    if not _WEB.match(scheme):  # a key of a bucket may hold either sign: what assigns nothing stays
        query = re.search(r"[?#]", rest)
        if query and "=" in rest[query.end() :]:
            rest = rest[: query.end()] + GONE
        return scheme + kept + rest
    hook = _HOOKS.match(rest)
    if hook and hook.end() < len(rest):
        return scheme + kept + rest[: hook.end()] + GONE
    path, sign, query = re.match(r"([^?#]*)([?#]?)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]  # always
    host, slash, path = path.partition("/")
    path = _RANDOM.sub(lambda part: GONE if _looks_random(part[0]) else part[0], path)
    return scheme + kept + host + slash + path + sign + (GONE if query else "")


def _quoted(found: re.Match[str]) -> str:
    return found["q"] + _address(found)


def _looks_random(text: str) -> bool:
    """Tell whether a part of a path looks drawn by chance: then it is a key to what lies there."""
    kinds = [any(map(kind, text)) for kind in (str.isdigit, str.islower, str.isupper)]
    return all(kinds) or (len(text) >= _HEX_CHARACTERS and kinds[0] and any(kinds[1:]))


def _encoded(found: re.Match[str]) -> str:
    """Return a percent-encoded address without what opens it."""
    user, at, rest = found[2].rpartition("%40")
    del user
    return found[1] + (f"{GONE}%40" if at else "") + re.sub(r"(%3f|%23).*", rf"\1{GONE}", rest, flags=re.IGNORECASE)


# No rule may look at the same part of a long text again and again: each takes what it has looked at.
_RULES: tuple[Rule, ...] = (
    (
        re.compile(
            r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL
        ),
        GONE,
    ),
    # a header that carries credentials, to the end of its line or of the quotes around it
    (re.compile(rf"""(authorization["']\s{{0,9}}[:=]\s{{0,9}}){_VALUE}""", re.IGNORECASE), rf'\1"{GONE}"'),
    (
        re.compile(r"\b(authorization|(?:set-)?cookie2?)(\s{0,9}[:=]\s{0,9})[^\r\n]+", re.IGNORECASE),
        rf"\1\2{GONE}",
    ),
    (re.compile(r"\b([Bb]earer|Basic)\s{1,9}[\w+/=.~-]{8,}"), rf"\1 {GONE}"),
    (re.compile(r"(?<!\S)(-u|--user|--proxy-user)([ =])\S+"), rf"\1\2{GONE}"),
    (re.compile(rf"(--[\w-]{{0,40}}{_NAME}[\w-]{{0,20}}\s{{1,9}})\S+", re.IGNORECASE), rf"\1{GONE}"),
    # addresses: in quotes to their end, else to the next blank
    (re.compile(rf"""(?P<q>["'])(?P<scheme>{_SCHEME})(?P<rest>(?:(?!\\{{0,8}}(?P=q)).)+)"""), _quoted),
    (re.compile(rf"(?<![\"'a-zA-Z0-9+.-])(?P<scheme>{_SCHEME})(?P<rest>\S+)"), _address),
    (re.compile(r"(?<![\w:/])(?P<scheme>//)(?P<rest>[^\s/@\"'<>]{1,500}@\S*)"), _address),
    (re.compile(r"(%3a%2f%2f)(\S+)", re.IGNORECASE), _encoded),
    # what follows the name of a secret; where one lies is none
    (
        re.compile(
            rf"({_NAME}(?!\w{{0,40}}_(?:path|file)\b)\w{{0,40}}[\"']?\s{{0,9}}[:=]\s{{0,9}}){_VALUE}", re.IGNORECASE
        ),
        rf"\1{GONE}",
    ),
    (re.compile(rf"((?:^|[\s;&?,\"'])(?:pass|sig|sas|auth|key)=){_VALUE}", re.IGNORECASE), rf"\1{GONE}"),
    # forms that tell themselves
    (re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b"), GONE),
    (re.compile(r"\beyJ[\w-]{6,}\.[\w-]{2,}(?:\.[\w-]*)?"), GONE),
    (
        re.compile(
            r"\b(?:gh[opsur]_|github_pat_|glpat-|hf_|npm_|pypi-|dop_v1_|xox[abeoprs]-|xapp-|sk-|sk_live_|rk_live_"
            r"|SG\.|ya29\.|AIza)[\w.-]{10,}"
        ),
        GONE,
    ),
)


def redact(text: str) -> str:
    """Return a text without passwords, keys, tokens, and queries and fragments of addresses."""
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text


def scrub(value: Any, *, is_secret: bool = False) -> Any:  # noqa: ANN401  # JSON values
    """Return JSON values without secrets, text by text, so that what is left is whole JSON; NaN and infinity as None.

    Args:
        value: The values.
        is_secret: They stand under the name of a secret: a text, or a list of texts, goes as a whole.
    """
    if isinstance(value, str):
        return GONE if is_secret and value else redact(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        found = cast("dict[Any, Any]", value)
        return {
            redact(str(key)): scrub(one, is_secret=bool(_SECRET_NAMES.search(str(key)))) for key, one in found.items()
        }
    if isinstance(value, (list, tuple)):
        return [scrub(one, is_secret=is_secret) for one in cast("list[Any]", value)]
    return value
