"""Stream of a container that an address chooses, counted by kind from 0: ``film.mkv#a:1`` is its second audio."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

MediaKind = Literal["audio", "video"]

_CHOICE = re.compile(r"(?P<file>.+)#(?P<letter>[av]):(?P<number>\d{1,3})", re.DOTALL)
_KINDS: dict[str, MediaKind] = {"a": "audio", "v": "video"}


@dataclass(frozen=True, slots=True)
class StreamChoice:
    """A stream of a container: the ``number``-th of its kind, from 0."""

    kind: MediaKind
    number: int

    @property
    def name(self) -> str:
        """Name in an address, as FFmpeg has it: ``a:1``."""
        return f"{self.kind[0]}:{self.number}"

    @property
    def mark(self) -> str:
        """End of the identity of contents of which it alone counts."""
        return f"-{self.kind[0]}{self.number}"


def split_choice(address: str) -> tuple[str, StreamChoice | None]:
    """Return the address of a file, and the stream of it that is chosen; None where the file's usual one is meant."""
    found = _CHOICE.fullmatch(address)
    if found is None:
        return address, None
    return found["file"], StreamChoice(_KINDS[found["letter"]], int(found["number"]))


def file_of(address: str) -> str:
    """Return an address without the stream that it chooses."""
    return split_choice(address)[0]
