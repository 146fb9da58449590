"""The files of Gradio's page, by names that say nothing of where they lie."""

from __future__ import annotations

import html
import json
import os
import re
from pathlib import Path
from urllib.parse import quote

from lipwise_ray.errors import RequestError

_NAME = re.compile(r"[0-9A-Za-z_-]{1,128}/(?!\.)[^/\\\0]{1,255}")
"""A hash, by which Gradio calls the folder of a file, and the file's own name."""


class GradioFiles:
    """Gradio's folder of what was sent and shown.

    Clients see ``HASH/NAME``, which is a file's path in the folder, and never the folder.

    Args:
        folder: The folder, as Gradio has it.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = os.path.abspath(folder)  # noqa: PTH100  # Path.resolve would follow links
        places = {self._folder, os.path.realpath(folder)}
        self._forms = tuple(sorted({form for place in places for form in _forms(place)}, key=len, reverse=True))
        self._pattern = re.compile(b"|".join(re.escape(form) + b"/?" for form in self._forms))

    def path(self, name: str) -> Path:
        """Return the path of a file.

        Args:
            name: Its name, as clients have it.

        Raises:
            RequestError: There is none of this name.
        """
        path = Path(self._folder, name)
        try:
            is_there = _NAME.fullmatch(name) is not None and not path.is_symlink() and path.is_file()
        except OSError:  # no disk takes such a name
            is_there = False
        if not is_there:
            got = "is not one that was sent to this page or shown by it, or is no longer there"
            raise RequestError("unknown_asset", "the file", got=got, do="Send it again")
        return path

    def shows_in(self, text: str) -> bool:
        """Tell whether a text holds the folder."""
        return self._pattern.search(text.encode("utf-8", "surrogateescape")) is not None

    def hidden(self, text: bytes) -> bytes:
        """Return a text in which files have their names, and the folder has none."""
        return self._pattern.sub(b"", text)

    def open_end(self, block: bytes) -> int:
        """Return the number of bytes at the end of a block that may begin the path of the folder."""
        if any(block.endswith(form + b"/") for form in self._forms):  # whole, though its last byte might begin another
            return 0
        most = min(len(block), len(self._forms[0]))
        for size in range(most, 0, -1):
            end = block[-size:]
            if any(form.startswith(end) for form in self._forms):
                return size
        return 0


def _forms(place: str) -> set[bytes]:
    """Return a path as JSON, Python, addresses, JSON or text in a page, and headers write it."""
    from jinja2.utils import htmlsafe_json_dumps

    known = {
        place,
        json.dumps(place)[1:-1],
        json.dumps(place, ensure_ascii=False)[1:-1],
        repr(place)[1:-1],
        str(htmlsafe_json_dumps(place))[1:-1],
        html.escape(place),
        quote(place, safe="/"),
    }
    return {form.encode("utf-8", "surrogateescape") for form in known} | {place.encode("latin-1", "replace")}
