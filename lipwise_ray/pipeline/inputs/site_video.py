"""Videos of sites that yt-dlp knows, as inputs: asked for within limits, joined where they come in two files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from lipwise_ray.errors import InputError, StorageError
from lipwise_ray.media.limits import check_duration, check_size
from lipwise_ray.media.remux import remux
from lipwise_ray.pipeline.inputs.site_failures import live, playlist
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
        cookies: A file of cookies in Netscape's format, for sites that ask for a login; None for none.
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
    """A site's video: a source of `resolver`.

    Each question starts a child process. What a site states of a video, and which formats were chosen, is its tag.

    Args:
        address: Its page.
        sites: The reader.
    """

    def __init__(self, address: str, sites: Sites) -> None:
        self._address = address
        self._where = shown(address)
        self._sites = sites

    @property
    def _most_bytes(self) -> int:
        return round(self._sites.limits.gb * 1e9)

    def facts(self) -> ObjectInfo:
        """Return size and tag of the video, which is within the limits as far as the site says.

        Raises:
            InputError: It is not there, not allowed, or too large.
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
            facts = self._facts_of(child.found())
            base = target.with_name(f"site-{record_id({'address': facts.place, 'tag': facts.tag})}")
            files = child.fetched(base, on_block)
        if len(files) == 1:
            files[0].replace(target)
            return facts
        try:
            remux(files[0], files[1], target)
        except StorageError:
            raise  # the files are whole, and there when it is tried again
        except InputError:
            _remove(files)
            raise
        _remove(files)
        return facts

    def _facts_of(self, found: SiteFacts) -> ObjectInfo:
        if found.entries != 1:
            raise playlist(self._where)
        if found.is_live:
            raise live(self._where)
        check_duration(Fraction(found.duration_s), self._where, self._sites.limits)
        check_size(Size(found.width, found.height), self._where, self._sites.limits)
        if found.bytes_total > self._most_bytes:
            raise too_large(self._address, found.bytes_total, self._most_bytes)
        sizes = found.exact_bytes
        exact = sizes[0] if len(sizes) == 1 else None  # joined files have a size of their own
        return ObjectInfo(exact, found.tag(), unsigned(found.address or self._address))

    @contextmanager
    def _child(self) -> Generator[SiteProcess]:
        sites, most_pixels = self._sites, self._sites.limits.megapixels * 1e6
        with (
            _AT_ONCE,
            site_process(
                self._address, sites.policy, sites.cookies, most_pixels, self._most_bytes, sites.resolve
            ) as child,
        ):
            yield child


def _remove(files: Sequence[Path]) -> None:
    for file in files:
        file.unlink()
