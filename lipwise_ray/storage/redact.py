"""Keeping secrets out of what is shown and kept."""

from __future__ import annotations

import re

GONE = "[redacted]"

_RULES = (
    # user:password@ of an address
    (re.compile(r"(\b[a-zA-Z][\w+.-]*://)[^\s/@\"'<>]+@"), rf"\1{GONE}@"),
    # the query of an address that is signed or carries a token, or may: short plain ones stay
    (
        re.compile(
            r"(\bhttps?://[^\s?\"'<>]+)\?(?=[^\s\"'<>]*(?:=[^\s\"'<>&]{16,}|"
            r"(?:signature|sig|token|credential|accesskeyid|secret|password|key|auth|verify|md5|hmac|hdnts|policy)=))"
            r"[^\s\"'<>]*",
            re.IGNORECASE,
        ),
        rf"\1?{GONE}",
    ),
    # what follows the name of a secret
    (
        re.compile(
            r"((?:secret_?access_?key|session_?token|account_?key|sas_?token|api_?key|password|bearer[_ ]?token"
            r"|authorization)[\"']?\s*[:=]\s*[\"']?(?:bearer\s+|basic\s+)?)[^\s\"',;}]+",
            re.IGNORECASE,
        ),
        rf"\1{GONE}",
    ),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), GONE),
)


def redact(text: str) -> str:
    """Return a text without passwords, keys, tokens and signatures of addresses."""
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text
