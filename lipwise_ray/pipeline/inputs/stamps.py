"""Stamps of a row's inputs: one that is the same says that the input is, without reading it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from os import stat_result
from pathlib import Path

from lipwise_ray.media.image_sequence import is_series
from lipwise_ray.pipeline.inputs.resolver import Media
from lipwise_ray.pipeline.manifest.background import background_file
from lipwise_ray.pipeline.manifest.speakers import Speaker, portraits, rules_of
from lipwise_ray.settings.model import Settings
from lipwise_ray.storage.address import is_local

_YOUNG_NS = 2_000_000_000
"""Two changes so close to each other may leave a file of the same size with the same times: disks count coarsely."""


def inputs_of(
    video: str,
    audio: str | None,
    tracks: str | None,
    diarisation: str | None,
    speakers: Sequence[Speaker],
    settings: Settings,
    background: str | None,
) -> list[str]:
    """Return the addresses of all that a row reads, always in the same order.

    Args:
        video: Its video.
        audio: Its audio; None where those of its speakers are mixed.
        tracks: Its own face tracks; None where it brings none.
        diarisation: Its file with the turns of speakers; None where it brings none.
        speakers: Its speakers.
        settings: Its settings, whose rule of faces may name a portrait.
        background: Its background; None where it has none.
    """
    named = [video, audio, tracks, diarisation, background_file(background), *(one.audio for one in speakers)]
    return [address for address in (*named, *portraits(rules_of(speakers, settings))) if address]


def stamp(media: Media, address: str) -> str:
    """Return the stamp of an input; empty where none would tell of every change.

    Of a file: its size, and when its contents and whatever else belongs to it were last changed, which nobody can set
    back. Of an object: what its store vouches for.

    Raises:
        InputError: It may not be read, or is not there.
        StorageError: The store refused.
    """
    if not is_local(address):
        return media.vouched(address)
    path = media.glance(address)
    if path is None or is_series(path) or not path.is_file():  # an image sequence is many files
        return ""
    return _of(path.stat())


def settled_stamps(media: Media, addresses: Sequence[str]) -> tuple[str, ...] | None:
    """Return the stamps of inputs that are about to be read; None where one tells not of every later change.

    Raises:
        InputError: One may not be read, or is not there.
        StorageError: The store refused.
    """
    found = tuple(stamp(media, address) for address in addresses)
    is_settled = all(found) and not any(is_local(one) and _is_young(Path(one)) for one in addresses)
    return found if is_settled else None


def _of(found: stat_result) -> str:
    return f"{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}"


def _is_young(path: Path) -> bool:
    found = path.stat()
    return max(found.st_mtime_ns, found.st_ctime_ns) > time.time_ns() - _YOUNG_NS
