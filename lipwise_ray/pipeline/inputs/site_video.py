"""Videos of sites that yt-dlp knows, as inputs: asked for within limits, joined where they come in two files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from lipwise_ray.errors import InputError, MediaError, StorageError
from lipwise_ray.media.limits import check_duration, check_size
from lipwise_ray.media.remux import remux
from lipwise_ray.pipeline.inputs.site_cut import first_frame_s, holds, join_part
from lipwise_ray.pipeline.inputs.site_failures import live, playlist
from lipwise_ray.pipeline.inputs.site_pieces import FormatPart, UsedSeconds, needed_parts, whole_files
from lipwise_ray.pipeline.inputs.site_process import SiteFacts, SiteProcess, site_process
from lipwise_ray.settings.model import LimitsSettings
from lipwise_ray.state.ids import record_id
from lipwise_ray.storage.address import Policy, shown, unsigned
from lipwise_ray.storage.objects import ObjectInfo
from lipwise_ray.storage.web import Resolve, too_large
from lipwise_ray.values import Size

_AT_ONCE = threading.Semaphore(2)
"""Children of this process: each is an interpreter, and sites refuse who asks much at a time."""


@dataclass(frozen=True, slots=True)
class Sites:
    """Reader of sites' videos.

    Attributes:
        policy: Hosts that may be asked: of pages, and of the files that they lead to.
        limits: Of an input.
        cookies: A file of cookies in Netscape's format, for sites that ask for a login, or None.
        resolve: Looks names up; None for public ones alone.
    """

    policy: Policy
    limits: LimitsSettings
    cookies: str | None
    resolve: Resolve | None = None

    def video(self, address: str) -> SiteVideo:
        """Return a site's video.

        Args:
            address: Its page.
        """
        return SiteVideo(address, self)


class SiteVideo:
    """A site's video, or a part of it: a source of `resolver`.

    Each question starts a child process. What a site states of a video, and which formats were chosen, is its tag.

    Args:
        address: Its page.
        sites: The reader.
        seconds: What is used of it; None for all.
    """

    def __init__(self, address: str, sites: Sites, seconds: UsedSeconds | None = None) -> None:
        self._address = address
        self._where = shown(address)
        self._sites = sites
        self._seconds = seconds
        self._zero_s: Fraction | None = None
        self._is_fetched = False

    def part(self, seconds: UsedSeconds) -> SiteVideo:
        """Return the part of it that is needed for what is used of it.

        Args:
            seconds: What is used.
        """
        return SiteVideo(self._address, self._sites, seconds)

    @property
    def _most_bytes(self) -> int:
        return round(self._sites.limits.gb * 1e9)

    def facts(self) -> ObjectInfo:
        """Return size and tag of the video, which is no longer and has no larger frames than allowed.

        Raises:
            InputError: It is not there, or not allowed.
            StorageError: The site cannot be reached now.
            SettingsError: yt-dlp is not installed, or the cookies cannot be read.
        """
        with self._child() as child:
            return self._facts_of(child.found())

    def download(self, target: Path, on_block: Callable[[], None]) -> ObjectInfo:
        """Write the video to a file.

        What has arrived lies beside it under the video's own name, so that a download that was killed goes on: at the
        byte where it stood, or with the file where that comes in pieces.

        Args:
            target: The file.
            on_block: Called while the video arrives.

        Raises:
            InputError: It is not there, not allowed, or too large.
            StorageError: The site cannot be reached now, or sends too slowly.
            SettingsError: yt-dlp is not installed, or the cookies cannot be read.
        """
        with self._child() as child:
            found = child.found()
            facts, parts = self._facts_of(found), self._parts_of(found)
            if facts.bytes_about > self._most_bytes:
                raise too_large(self._address, facts.bytes_about, self._most_bytes)
            named = {"address": facts.place, "tag": facts.tag, **({"part": facts.part} if facts.part else {})}
            base = target.with_name(f"site-{record_id(named)}")
            openings = [part.opening for part in parts] if any(part.first for part in parts) else []
            wanted = [part.file for part in parts] if parts else whole_files(len(found.formats))
            files = child.fetched(base, [*wanted, *openings], on_block)
        self._zero_s, self._is_fetched = None, True
        try:
            if parts and not self._is_cut_to(target, files, parts):
                self._whole().download(target, on_block)  # the playlist's times were not those of the file
            elif len(files) == 1:
                files[0].replace(target)
            elif not parts:
                remux(files[0], files[1], target)
        except StorageError:
            raise  # the files are whole, and there when it is tried again
        except InputError:
            _remove(files)
            raise
        _remove(files)
        return facts

    def zero_s(self, scratch: Path, on_block: Callable[[], None]) -> Fraction | None:
        """Return the time of the whole's first frame on the clock of the part; None where the part begins with it.

        Args:
            scratch: File to which the part is fetched once more, if it has not been.
            on_block: Called while it arrives.

        Raises:
            InputError: It is not there, not allowed, or too large.
            StorageError: The site cannot be reached now, or sends too slowly.
            SettingsError: yt-dlp is not installed, or the cookies cannot be read.
        """
        if not self._is_fetched:
            self.download(scratch, on_block)
        return self._zero_s

    def _whole(self) -> SiteVideo:
        return SiteVideo(self._address, self._sites)

    def _parts_of(self, found: SiteFacts) -> list[FormatPart]:
        return [] if self._seconds is None else needed_parts(found.pieces, self._seconds)

    def _is_cut_to(self, target: Path, files: Sequence[Path], parts: Sequence[FormatPart]) -> bool:
        """Write a part of the video, and tell whether it holds what is used on a clock that is known."""
        assert self._seconds is not None
        own, openings = files[: len(parts)], files[len(parts) :]
        joined = openings[0] if len(openings) == 1 else target.with_name(f"{target.name}.opening")
        try:
            if len(own) == 1:
                own[0].replace(target)
            elif not join_part(own, openings, target, joined):
                return False
            zero_s = first_frame_s(joined if openings else target)
            if not holds(target, parts, zero_s, self._seconds):
                return False
        except MediaError:  # whoever reads the whole says what is wrong
            return False
        finally:
            if joined not in files:
                joined.unlink(missing_ok=True)
        self._zero_s = zero_s if openings else None
        return True

    def _facts_of(self, found: SiteFacts) -> ObjectInfo:
        if found.entries != 1:
            raise playlist(self._where)
        if found.is_live:
            raise live(self._where)
        check_duration(Fraction(found.duration_s), self._where, self._sites.limits)
        check_size(Size(found.width, found.height), self._where, self._sites.limits)
        parts = self._parts_of(found)
        bytes_total = round(found.bytes_total * max((part.fraction for part in parts), default=1.0))
        sizes = found.exact_bytes
        exact = sizes[0] if len(sizes) == 1 and not parts else None  # joined files have a size of their own
        named = " ".join(f"{part.first}-{part.stop}/{part.count}" for part in parts)
        return ObjectInfo(exact, found.tag(), unsigned(found.address or self._address), named, bytes_total)

    @contextmanager
    def _child(self) -> Generator[SiteProcess]:
        sites, most_pixels = self._sites, self._sites.limits.megapixels * 1e6
        with (
            _AT_ONCE,
            site_process(
                self._address,
                sites.policy,
                sites.cookies,
                most_pixels,
                self._most_bytes,
                sites.resolve,
                self._seconds,
            ) as child,
        ):
            yield child


def _remove(files: Sequence[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
