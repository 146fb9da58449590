"""Videos beside one another in a notebook, and stills of them."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from html import escape
from pathlib import Path

import cv2

from lipwise_ray.media.reader import read_through

_MOST_BYTES = 32 << 20
"""Of a video inside a page: more makes browsers, and the notebook's file, slow."""

_SLACK_S = 1e-6
"""By so much a decimal may miss the frame that it means."""


@dataclass(frozen=True, slots=True)
class VideoPair:
    """Videos side by side, held by the page itself; of one that is too large it says where it lies.

    Attributes:
        videos: Files, by their titles.
        most_bytes: Of a file inside the page.
    """

    videos: Mapping[str, Path]
    most_bytes: int = _MOST_BYTES

    def _repr_html_(self) -> str:
        return _row((title, self._shown(path)) for title, path in self.videos.items())

    def _shown(self, path: Path) -> str:
        kind, size = mimetypes.guess_type(path.name)[0] or "", path.stat().st_size
        if size > self.most_bytes:
            return f"<p>{size / 1e6:.0f} MB are too much for a page. Open {escape(str(path))}.</p>"
        data = base64.b64encode(path.read_bytes()).decode()
        if kind.startswith("image/"):
            return f'<img alt="" style="max-width:100%" src="data:{kind};base64,{data}">'
        return f'<video controls loop style="max-width:100%" src="data:{kind};base64,{data}"></video>'


@dataclass(frozen=True, slots=True)
class VideoStills:
    """The same moment of several videos.

    Attributes:
        videos: Files, by their titles.
        at_s: The moment, in seconds; a shorter video shows its last frame.
    """

    videos: Mapping[str, Path]
    at_s: float = 1.0

    def _repr_html_(self) -> str:
        return _row((title, _image(still(path, self.at_s), title)) for title, path in self.videos.items())


def still(path: Path, at_s: float) -> bytes:
    """Return the frame that a video shows at a moment, as JPEG.

    Args:
        path: The video.
        at_s: The moment, in seconds from its first frame on.

    Raises:
        InputError: The video cannot be read.
    """
    with closing(read_through(path)) as frames:
        image = next(frames, None)
        assert image is not None  # a video without frames is refused
        latest_s = image.time + at_s + _SLACK_S
        for frame in frames:
            if frame.time > latest_s:
                break
            image = frame
    return cv2.imencode(".jpg", image.to_ndarray(format="bgr24"))[1].tobytes()


def _image(data: bytes, title: str) -> str:
    source = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    return f'<img alt="{escape(title)}" style="max-width:100%" src="{source}">'


def _row(parts: Iterator[tuple[str, str]]) -> str:
    cells = "".join(
        f'<figure style="flex:1 1 16em;margin:0">{shown}<figcaption>{escape(title)}</figcaption></figure>'
        for title, shown in parts
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:1em">{cells}</div>'
