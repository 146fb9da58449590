"""The part of a file that a request says it brings."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lipwise_ray.errors import RequestError

_PART = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class UploadRange:
    """A part of a file.

    Attributes:
        start: Number of its first byte.
        length: Bytes; None for all that come.
    """

    start: int
    length: int | None


def upload_range(header: str | None, size: int | None) -> UploadRange:
    """Return the part that ``Content-Range`` names; the whole file where there is no such header.

    Args:
        header: Its value.
        size: Size of the file, as it was announced.

    Raises:
        RequestError: It is no range, or not one of this file.
    """
    if header is None:
        return UploadRange(0, None)
    found = _PART.fullmatch(header.strip())
    if found is None or int(found[2]) < int(found[1]):
        raise RequestError(
            "bad_range",
            "the header Content-Range",
            got=f"{header[:80]!r} is not a range",
            must="one is bytes 0-1023/4096",
        )
    start, stop = int(found[1]), int(found[2]) + 1
    total = size if found[3] == "*" else int(found[3])
    if size is not None and (total != size or stop > size):
        raise RequestError(
            "bad_range", "the header Content-Range", got=f"{size} bytes were announced, not {header[:80]}"
        )
    return UploadRange(start, stop - start)
