"""Videos that FFmpeg does not take as one file: numbered image files, and animated WebP.

Both give any frame by its number, one at a time, with exact times; the index and the reader go by them.
"""

from __future__ import annotations

import bisect
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import av
import av.error
import numpy as np

from lipwise_ray.errors import MediaError, os_reason
from lipwise_ray.media.container import decode_problem, open_input
from lipwise_ray.media.cut_image import refuse_cut_image
from lipwise_ray.values import Size

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from PIL import Image
    from PIL.WebPImagePlugin import WebPImageFile

_HEADERS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
USUAL_RATE = Fraction(25)
SERIES, WEBP_ANIMATION = "series", "webp_animation"
"""Names that stand where videos have a container's."""

_NUMBER = re.compile(r"^(.*?)(\d+)(\D*)$", re.DOTALL)
_PATTERN = re.compile(r"^(?P<before>.*?)(?:%(?:0\d{1,2})?d|#{2,})(?P<after>[^%#]*)$")
_MOST_NAMED = 5
_WEBP_ANIMATED = 2
_WEBP_HEAD_BYTES = 30
_MOST_WEBP_BYTES = 1 << 29  # its decoder holds the file in memory
WEBP_TICK = Fraction(1, 1000)
_SHORTEST_MS, _USUAL_MS = 10, 100  # what browsers show of shorter delays; FFmpeg's GIF demuxer does the same
_WHITE = (255, 255, 255)
_EXIF_ORIENTATION, _UPRIGHT = 0x0112, 1


class ImageSequence(Protocol):
    """Frames by number, with times in ticks of their `VideoInfo`."""

    def times(self, *, salvage: bool) -> Iterator[tuple[int, int]]:
        """Yield time and duration of each frame that can be used.

        Raises:
            MediaError: A frame is missing or damaged, and `salvage` is off.
        """
        ...

    def sizes(self) -> Iterator[Size]:
        """Yield the sizes of frames, as far as their headers tell.

        Raises:
            MediaError: Their headers tell that they are no frames of one video.
        """
        ...

    def frame(self, number: int, time: int) -> VideoFrame:
        """Return a frame by its number among those that can be used and its time.

        Raises:
            MediaError: It does not decode.
        """
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


def is_series(path: Path) -> bool:
    """Tell whether a path means numbered image files: a folder, or a name with ``%04d`` or ``####`` in it."""
    # Of os.path, because these never raise, whatever the name.
    is_pattern = _pattern(path.name) is not None and not os.path.lexists(path)
    return os.path.isdir(path.parent if is_pattern else path)  # noqa: PTH112  # the same


def names_series(address: str) -> bool:
    """Tell whether an address elsewhere can only mean numbered images: a prefix, or a pattern in its last step."""
    return address.endswith("/") or _pattern(address.rpartition("/")[2]) is not None


def _pattern(name: str) -> re.Match[str] | None:
    """Return the parts of an image's name with a place for its number, None for any other name."""
    return _PATTERN.match(name) if Path(name).suffix.lower() in IMAGE_SUFFIXES else None


def open_image_sequence(path: Path) -> ImageSequence | None:
    """Return the frames of a path that means a series, or of an animated WebP; None for any other file.

    Raises:
        MediaError: A series cannot be used as one.
    """
    if is_series(path):
        return _Series(path)
    return open_webp(path) if webp_size(path) is not None else None


def open_webp(path: Path) -> ImageSequence:
    """Return the frames of an animated WebP.

    Raises:
        MediaError: It is damaged.
    """
    return _AnimatedWebP(path)


@dataclass(frozen=True, slots=True)
class _Numbered:
    number: int
    file: Path


def series_files(path: Path) -> list[tuple[int, Path]]:
    """Return the numbers and files of a series, in that order.

    Raises:
        MediaError: There is none, there are several series, or two files have one number.
    """
    return [(image.number, image.file) for image in _numbered(path)]


def _numbered(path: Path) -> list[_Numbered]:
    folder, pattern = (path, None) if path.is_dir() else (path.parent, _pattern(path.name))
    groups: dict[tuple[str, str], list[_Numbered]] = {}
    try:
        names = [entry.name for entry in folder.iterdir() if entry.is_file()]
    except OSError as error:
        raise MediaError(
            "missing_file", str(path), got=f"the folder cannot be read: {os_reason(error)}", do="Check the path"
        ) from error
    for name in names:
        file = folder / name
        match = _NUMBER.match(file.stem)
        if name.startswith(".") or file.suffix.lower() not in IMAGE_SUFFIXES or match is None:
            continue
        if pattern is not None and not _fits(name, pattern["before"], pattern["after"]):
            continue
        groups.setdefault((match[1], match[3]), []).append(_Numbered(int(match[2]), file))
    if not groups:
        what = "holds no numbered images" if pattern is None else "no numbered image fits that pattern"
        raise MediaError(
            "not_a_file",
            str(path),
            got=what,
            must=f"a media file, or a folder of numbered images ({', '.join(IMAGE_SUFFIXES)}), is expected",
            do="Check the path",
        )
    if len(groups) > 1:
        several = [f"{before}####{after}" for before, after in sorted(groups)[:_MOST_NAMED]]
        raise MediaError(
            "no_series",
            str(path),
            got=f"holds several series of images: {', '.join(several)}",
            do="Name one by a pattern such as folder/shot_####.png",
        )
    (series,) = groups.values()
    twins = [number for number, count in Counter(image.number for image in series).items() if count > 1]
    if twins:
        raise MediaError(
            "twin_frames",
            str(path),
            got=f"holds several images of number {', '.join(map(str, sorted(twins)[:_MOST_NAMED]))}",
            do="Name one kind by a pattern such as folder/shot_####.png",
        )
    return sorted(series, key=lambda image: image.number)


def _fits(name: str, before: str, after: str) -> bool:
    return name.startswith(before) and name.endswith(after) and name[len(before) : len(name) - len(after)].isdigit()


class _Series:
    """Image files: each is opened, decoded and closed by itself, so they may be of several kinds and sizes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = _numbered(path)

    def times(self, *, salvage: bool) -> Iterator[tuple[int, int]]:
        """Yield the files' own numbers; with `salvage` an image is shown until the next one that decodes."""
        numbers = [image.number for image in self._files]
        count = numbers[-1] - numbers[0] + 1 - len(numbers)
        if count and not salvage:
            gaps = (range(number + 1, following) for number, following in pairwise(numbers))
            missing = ", ".join(map(str, islice(chain.from_iterable(gaps), _MOST_NAMED)))
            more = ", ..." if count > _MOST_NAMED else ""
            raise MediaError(
                "frames_missing",
                str(self._path),
                got=f"{count} images from {numbers[0]} to {numbers[-1]} are missing: {missing}{more}",
                do='Render them again, or set on_error = "salvage" to hold the image before a gap',
            )
        if salvage:
            numbers = [number for number in numbers if self._decodes(number)]
        ends = [*numbers[1:], self._files[-1].number + 1]
        yield from ((number, end - number) for number, end in zip(numbers, ends, strict=bool(numbers)))

    def sizes(self) -> Iterator[Size]:
        """Yield each file's size, without decoding it; one that cannot be told is left out."""
        from PIL import Image

        turned: dict[int, Path] = {}
        for image_file in self._files:
            try:
                with Image.open(image_file.file, formats=_HEADERS) as image:
                    size, orientation = Size(*image.size), _exif_orientation(image)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                continue
            turned.setdefault(orientation, image_file.file)
            if len(turned) > 1:
                files = (f"{file.name} has {number}" for number, file in turned.items())
                raise MediaError(
                    "mixed_orientation",
                    str(self._path),
                    got=f"images of several EXIF orientations: {', '.join(files)}",
                    must="all images of a series must have the same",
                    do="Turn their pixels instead, or make a series of each",
                )
            yield size

    def _decodes(self, number: int) -> bool:
        try:
            self.frame(0, number)
        except MediaError:
            return False
        return True

    def frame(self, number: int, time: int) -> VideoFrame:
        """Decode one file: the one with that number."""
        del number
        place = bisect.bisect_left(self._files, time, key=lambda image: image.number)
        if place == len(self._files) or self._files[place].number != time:
            raise MediaError(
                "frames_missing",
                str(self._path),
                got=f"image {time} is no longer there",
                do="Put it back, and run again",
            )
        file = self._files[place].file
        with open_input(file) as container:
            try:
                frame = next(iter(container.decode(video=0)), None)
            except (av.error.FFmpegError, IndexError) as error:
                raise decode_problem(file, error, "in an image of a series") from error
        if frame is None:
            raise decode_problem(file, ValueError("no image"), "in an image of a series")
        refuse_cut_image(file)
        return frame

    def close(self) -> None:
        """Nothing stays open."""


def _exif_orientation(image: Image.Image) -> int:
    """Return an image's EXIF orientation; 1 for upright."""
    if image.format == "PNG" and "exif" not in image.info:
        return _UPRIGHT  # Pillow would decode it to look for what may stand at its end
    return int(image.getexif().get(_EXIF_ORIENTATION) or _UPRIGHT)


def webp_size(path: Path) -> tuple[int, int] | None:
    """Return width and height of an animated WebP by its header, None for any other file."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return None
        with path.open("rb") as file:
            head = file.read(_WEBP_HEAD_BYTES)
    except OSError:
        return None
    is_extended = len(head) == _WEBP_HEAD_BYTES and head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X"
    if not is_extended or not head[20] & _WEBP_ANIMATED:
        return None
    return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")


class _AnimatedWebP:
    """An animated WebP: its decoder holds one canvas; going back begins anew. Transparency lies over white."""

    def __init__(self, path: Path) -> None:
        from PIL import Image

        self._path = path
        if path.stat().st_size > _MOST_WEBP_BYTES:
            raise MediaError(
                "too_large",
                str(path),
                got=f"an animated WebP of {path.stat().st_size >> 20} MiB",
                must=f"at most {_MOST_WEBP_BYTES >> 20} MiB are read of one",
                do="Make a video of it",
            )
        try:
            self._image = cast("WebPImageFile", Image.open(path, formats=["WEBP"]))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise decode_problem(path, error, "in its header") from error

    def times(self, *, salvage: bool) -> Iterator[tuple[int, int]]:
        """Yield times in milliseconds. The repetition that the file asks for is not followed."""
        now = 0
        for number in range(self._image.n_frames):
            try:
                self._show(number)
            except MediaError:
                if not salvage:
                    raise
                return
            stated_ms = int(self._image.info.get("duration") or 0)
            duration = stated_ms if stated_ms > _SHORTEST_MS else _USUAL_MS
            yield now, duration
            now += duration

    def sizes(self) -> Iterator[Size]:
        """Yield the canvas's, which all frames have."""
        yield Size(*self._image.size)

    def frame(self, number: int, time: int) -> VideoFrame:
        """Decode on to a frame."""
        from PIL import Image

        del time
        self._show(number)
        image: Any = self._image
        if image.mode == "RGBA":
            flat = Image.new("RGB", image.size, _WHITE)
            flat.paste(image, mask=image.getchannel("A"))
            image = flat
        return av.VideoFrame.from_ndarray(np.asarray(image.convert("RGB")), format="rgb24")

    def _show(self, number: int) -> None:
        try:
            self._image.seek(number)
            self._image.load()
        except (OSError, EOFError, ValueError, SyntaxError) as error:
            raise decode_problem(self._path, error, f"at image {number}") from error

    def close(self) -> None:
        """Close the file."""
        self._image.close()
