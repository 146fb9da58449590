"""Redaction of secrets in texts that are shown or kept."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

from lipwise_ray.storage.address import split_rest

GONE = "[redacted]"

_SCHEME = r"[a-zA-Z][a-zA-Z0-9+.-]{0,30}:(?:\\?/){2}"  # some programs' JSON has a backslash before every slash
_WEB = re.compile(r"(?:https?|wss?|ray|ftps?):(?:\\?/){2}", re.IGNORECASE)
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
_ESCAPED = r"""(?P<escape>\\{1,8})"(?:(?!(?<!\\)(?P=escape)").)*(?:(?P=escape)")?"""  # JSON that is a text of JSON
_VALUE = rf"""(?:"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?|{_ESCAPED}|(?!must\b)[^\s"';}}]+)"""
_NAMED = re.compile(rf"(?P<name>{_NAME})(?P<more>[\w-]{{0,40}})", re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"{_NAMED.pattern}(?P<sign>(?:\\{{0,8}}[\"'])?\s{{0,9}}[:=]\s{{0,9}}|%3[ad])(?P<value>{_VALUE})", re.IGNORECASE
)
_OPTION = re.compile(
    rf"(?:--|(?<!\S)-)[\w-]{{0,40}}(?P<name>{_NAME}|(?<=-)pass(?![\w-]))(?P<more>[\w-]{{0,40}})(?P<sign>\s{{1,9}})(?P<value>\S+)",
    re.IGNORECASE,
)
_ELEMENT = re.compile(
    rf"<[\w:.-]{{0,40}}{_NAMED.pattern}(?P<sign>(?:\s[^<>]{{0,200}})?>)(?P<value>[^<]+)", re.IGNORECASE
)
_OF_A_SECRET = re.compile(
    r"""s?[_-]?(?:
        counts? | limits? | max | min | sizes? | lengths? | num(?:ber)?s? | totals? | usage | used | left | budget
      | rates? | costs? | prices? | types? | kinds? | names? | ur[il]s? | endpoints? | paths? | files? | filenames?
      | dirs? | folders? | expir\w* | ttl | age | lifetime | timeout | scopes? | alg(?:orithm)?s? | versions? | policy
      | rotation | enabled | required | present | valid | status | check\w* | bytes | seconds | ms | per[_-]\w+
      | positions? | index | iz\w+ | is\w+ | ar(?:y|ies|ial) | less | ly
    )[_-]?s?""",
    re.IGNORECASE | re.VERBOSE,
)
"""Words that make of a secret's name one of something about it, or another word: a count, a path, a tokenizer."""
_HEADERS = re.compile(r"(?:proxy-)?authorization|(?:set-)?cookie2?|auth", re.IGNORECASE)
_PLAIN_VALUE = re.compile(r"true|false|yes|no|none|null|on|off", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?\d[\d.,:_]*")
_COUNTED = re.compile(r"(?:^|[^a-z])(?:max|min|num|n|total)[_-]$", re.IGNORECASE)
_FILE = re.compile(
    r".*\.(?:mp4|m4v|mov|mkv|webm|avi|mxf|ts|wav|flac|mp3|m4a|ogg|opus|csv|tsv|jsonl?|parquet|xlsx|toml|npz|npy|pth|pt"
    r"|onnx|safetensors|txt|srt|vtt|png|jpe?g|gif|webp|html?|log)",
    re.IGNORECASE | re.DOTALL,
)
_NEXT = re.compile(r"[&,]")
_PLACE = re.compile(r"""(?:^|[\s"'=;,&?#|<>()\[\]{}])(?:/|\.{1,2}/|~)[^\s"'=;,&?#|<>()\[\]{}]*$""")
_PATHS_BEFORE = 256
_MIXED = re.compile(r"(?=\S{0,64}\d)(?=\S{0,64}[A-Za-z])\S{6}")
"""Text that looks more like a secret than like a word of a message."""
_RANDOM = re.compile(r"[A-Za-z0-9]{16,}")
_WORDS = re.compile(r"(?:[A-Z]?[a-z]{2,}+|[A-Z]{2,5}+(?![a-z])|\d{1,4}+(?!\d))++")
"""Words and numbers without blanks between them; drawn by chance there would be capitals and digits anywhere."""
_HEX_CHARACTERS = 24
_TITLE = re.compile(r"[A-Z]?[a-z]{1,15}(?:[._-][A-Z]?[a-z]{1,15})*")
_SHORT_NAMES = ("pass", "sig", "sas", "auth", "key")
_SHORT = re.compile(
    rf"(?:^|(?<=[\s;&?,\"'])|(?<=_)(?=pass))(?P<name>{'|'.join(_SHORT_NAMES)})(?P<more>)(?P<sign>=)(?P<value>{_VALUE})",
    re.IGNORECASE,
)
_LONGEST_WORD, _LONGEST_SWITCH = 8, 2
_LONGEST_NAME = 512
_COUNTED_CHARACTERS = 8

_SIGNS = (
    *("=", "//", r":\/", "%2f", "%3", "-----begin", "authorization", "cookie", "bearer", "basic", "-u"),
    *("x-amz-", "x-goog-"),
    *("secret", "token", "passw", "passphrase", "pwd", "credential", "signature", "connection", "session", "key"),
    *("akia", "asia", "aroa", "aida", "eyj", "gho_", "ghp_", "ghs_", "ghu_", "ghr_", "github_pat_", "glpat-", "hf_"),
    *("npm_", "pypi-", "dop_v1_", "xox", "xapp-", "sk-", "k_live_", "k_test_", "sg.", "ya29.", "aiza", "glrt-"),
    *("dckr_pat_", "hvs.", "whsec_", "lin_api_", "shpat_", "atatt", "r8_", "-pass"),
)
"""Parts of which a text has one, in small letters, wherever a rule finds something in it: mostly there is none, and
looking for them takes a tenth of the rules' time.
"""
_MOST_KEYS = 4096
_KEY = "[A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?"

Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]


def _address(match: re.Match[str]) -> str:
    """Return an address, and what goes on from it to a blank or a quote, without what opens it."""
    scheme, location = match["scheme"], match["rest"]
    user, location, query = split_rest(location, is_web=bool(_WEB.match(scheme)))
    opening, query = scheme + (f"{GONE}@" if user else ""), query[:1] + (GONE if query[1:] else "")
    if not _WEB.match(scheme):
        return opening + location + query
    hook = _HOOKS.match(location)
    if hook and hook.end() < len(location):
        return opening + location[: hook.end()] + GONE
    host, slash, path = location.partition("/")
    return opening + host + slash + _RANDOM.sub(lambda part: GONE if _looks_random(part[0]) else part[0], path) + query


def _quoted(match: re.Match[str]) -> str:
    return match["q"] + _address(match)


def _looks_random(text: str) -> bool:
    """Tell whether a part of a path looks drawn by chance: then it is a key to what lies there."""
    if _WORDS.fullmatch(text):
        return False
    kinds = [any(map(kind, text)) for kind in (str.isdigit, str.islower, str.isupper)]
    return all(kinds) or (len(text) >= _HEX_CHARACTERS and kinds[0] and any(kinds[1:]))


def _is_about(name: re.Match[str]) -> bool:
    """Tell whether a name that holds a secret's is that of something about it, or another word."""
    return bool(_OF_A_SECRET.fullmatch(name["more"])) and not _NAMED.search(name["more"])


@lru_cache(_MOST_KEYS)
def _shown_key(key: str) -> str:
    return redact(key)


@lru_cache(_MOST_KEYS)
def _names_a_secret(key: str) -> bool:
    if _HEADERS.fullmatch(key):
        return True
    if key.startswith(("/", "./", "../", "~")) or "://" in key or _FILE.fullmatch(key):
        return False  # a place that is called so
    return any(not _is_about(name) for name in _NAMED.finditer(key))


def _hides(key: str, value: object) -> bool:
    """Tell whether a record's value under a key is a secret: a number of tokens is none."""
    is_count = isinstance(value, str) and key.lower().endswith("s") and _NUMBER.fullmatch(value)
    return not is_count and _names_a_secret(key)


def _is_plain(value: str, match: re.Match[str]) -> bool:
    """Tell whether a value under a secret's name is no secret: a yes, a file's name, a number of tokens."""
    if value[:1] not in ("'", '"'):
        value = _NEXT.split(value, maxsplit=1)[0]  # what follows is examined for itself
    bare = value.strip("\"'").rstrip(".,):")
    if not bare or len(bare) > _LONGEST_NAME:
        return False
    if _PLAIN_VALUE.fullmatch(bare) or _FILE.fullmatch(bare):
        return True
    if match["name"].lower() == "pwd" and bare.startswith("/"):  # where a process works
        return True
    if match["name"].lower() in _SHORT_NAMES:
        most = _LONGEST_WORD if match["name"].lower() == "key" and bare.isalpha() else _LONGEST_SWITCH
        return len(bare) <= most
    before = match.string[max(0, match.start("name") - _COUNTED_CHARACTERS) : match.start("name")]
    is_counted = match["more"].lower() == "s" or _COUNTED.search(before)
    return bool(is_counted and _NUMBER.fullmatch(bare))


def _is_place(match: re.Match[str]) -> bool:
    """Tell whether a secret's name is the end of a path of which something is said, or a folder in it."""
    sign, value = match["sign"], match["value"]
    if sign[:1] in ("'", '"') or (_MIXED.match(value) if ":" in sign else "/" not in value):
        return False
    start = match.start("name")
    return _PLACE.search(match.string[max(0, start - _PATHS_BEFORE) : start]) is not None


def _cut_assigned(pattern: re.Pattern[str], text: str) -> str:
    """Cut values under the names of secrets; values under other names are examined for themselves."""
    parts: list[str] = []
    kept = at = 0
    while match := pattern.search(text, at):
        at = match.start("value")
        if not (_is_about(match) or _is_plain(match["value"], match) or _is_place(match)):
            parts += [text[kept:at], GONE]
            kept = at = match.end()
    return "".join(parts) + text[kept:]


def _credentials(match: re.Match[str]) -> str:
    """Return the text after ``Bearer`` or ``Basic`` as it is, where those are but words of a title."""
    value = match["value"]
    is_title = _FILE.fullmatch(value) or (match[1] == "Basic" and _TITLE.fullmatch(value))
    return match[0] if is_title else f"{match[1]} {GONE}"


def _encoded(match: re.Match[str]) -> str:
    """Return a percent-encoded address without its secrets."""
    user, at, location = match[2].rpartition("%40")
    del user
    return match[1] + (f"{GONE}%40" if at else "") + re.sub(r"(%3f|%23).*", rf"\1{GONE}", location, flags=re.IGNORECASE)


# No rule may look at the same part of a long text again and again: each takes what it has looked at.
_RULES: tuple[Rule, ...] = (
    (
        re.compile(rf"-----BEGIN {_KEY}-----.*?(?:-----END {_KEY}-----|\Z)", re.DOTALL),
        GONE,
    ),
    # a header that carries credentials, to the end of its line or of the quotes around it
    (re.compile(rf"""(authorization["']\s{{0,9}}[:=]\s{{0,9}}){_VALUE}""", re.IGNORECASE), rf'\1"{GONE}"'),
    (
        re.compile(r"\b(?<!/)(authorization|(?:set-)?cookie2?)(\s{0,9}[:=]\s{0,9})[^\r\n]+", re.IGNORECASE),
        rf"\1\2{GONE}",
    ),
    (re.compile(r"\b((?i:bearer)|Basic)\s{1,9}(?P<value>[\w+/=.~-]{8,})"), _credentials),
    (re.compile(r"(?<!\S)(-[uU][ =]?|--(?:proxy-)?user[ =])[^\s:]{0,500}:\S+"), rf"\1{GONE}"),
    # addresses: in quotes to their end, else to the next blank
    (re.compile(rf"""(?P<q>["'])(?P<scheme>{_SCHEME})(?P<rest>(?:(?!\\{{0,8}}(?P=q)).)+)"""), _quoted),
    (re.compile(rf"(?<![\"'a-zA-Z0-9+.-])(?P<scheme>{_SCHEME})(?P<rest>\S+)"), _address),
    (re.compile(r"(?<![\w:/])(?P<scheme>//)(?P<rest>[^\s/@\"'<>]{1,500}@\S*)"), _address),
    (re.compile(r"(%3a%2f%2f)(\S+)", re.IGNORECASE), _encoded),
    # forms that tell themselves
    (re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b"), GONE),
    (re.compile(r"\beyJ[\w-]{6,}\.[\w-]{2,}(?:\.[\w-]*)?"), GONE),
    (
        re.compile(
            r"\b(?:gh[opsur]_|github_pat_|glpat-|hf_|npm_|pypi-|dop_v1_|xox[abeoprs]-|xapp-|sk-|sk_live_|rk_live_"
            r"|sk_test_|rk_test_|SG\.|ya29\.|AIza|glrt-|dckr_pat_|whsec_|lin_api_|shpat_)[\w.-]{10,}"
            r"|\b(?:hvs\.|ATATT|r8_)[A-Za-z0-9=-]{20,}"
        ),
        GONE,
    ),
)


def redact(text: str) -> str:
    """Return a text without passwords, keys, tokens, and queries and fragments of addresses."""
    return _by_the_rules(text) if _may_hide(text) else text


def _may_hide(text: str) -> bool:
    """Tell whether a rule may find something; other letters than ASCII's may be another case of a sign's."""
    if not text.isascii():
        return True
    lower = text.lower()
    for sign in _SIGNS:  # noqa: SIM110  # any() takes three times as long, and every text of every event comes here
        if sign in lower:
            return True
    return False


def _by_the_rules(text: str) -> str:
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    for pattern in (_OPTION, _ASSIGNED, _SHORT, _ELEMENT):
        text = _cut_assigned(pattern, text)
    return text


def scrub(value: object, *, is_secret: bool = False) -> object:
    """Return JSON values without secrets, text by text, so that what is left is whole JSON; NaN and infinity as None.

    Args:
        value: The values.
        is_secret: They stand under the name of a secret: a text, or a list of texts, goes as a whole.
    """
    if isinstance(value, str):
        return GONE if is_secret and value and not _PLAIN_VALUE.fullmatch(value) else redact(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        mapping = cast("dict[Any, Any]", value)
        return {_shown_key(str(key)): scrub(item, is_secret=_hides(str(key), item)) for key, item in mapping.items()}
    if isinstance(value, (list, tuple)):
        items = cast("list[Any]", value)
        return [
            scrub(item, is_secret=is_secret or _opens(*items[place - 1 : place + 1]))
            for place, item in enumerate(items)
        ]
    return value


def _opens(option: object = None, item: object = None) -> bool:
    """Tell whether words of a command are an option and a secret that belongs to it."""
    if not (isinstance(option, str) and isinstance(item, str) and option.startswith("-")) or item.startswith("--"):
        return False
    line = f"{option} {item}"
    return redact(line) != line and redact(item) == item
