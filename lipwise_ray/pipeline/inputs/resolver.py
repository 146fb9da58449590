"""Inputs wherever they lie: their identities, and local copies of what lies elsewhere."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Protocol

from lipwise_ray.errors import LipwiseError, MediaError
from lipwise_ray.media.image_sequence import USUAL_RATE, is_series, series_files
from lipwise_ray.pipeline.inputs.made import MadeFiles, made_key
from lipwise_ray.pipeline.inputs.site_pieces import UsedSeconds
from lipwise_ray.pipeline.inputs.site_video import Sites, SiteVideo
from lipwise_ray.settings.model import PathsSettings, Settings
from lipwise_ray.state.ids import record_id
from lipwise_ray.state.store import Store
from lipwise_ray.storage.address import Policy, file_name, is_local, is_web, normal, shown, unsigned
from lipwise_ray.storage.cache import Cache
from lipwise_ray.storage.digest import content_id
from lipwise_ray.storage.objects import BucketFile, ObjectInfo
from lipwise_ray.storage.stream_choice import file_of, split_choice
from lipwise_ray.storage.web import WebFile, too_large

_MOST_NAME_BYTES = 100
_PART = "-part"
"""End of the identity of a part of a site's video."""


class Source(Protocol):
    """A file elsewhere."""

    def facts(self) -> ObjectInfo | None:
        """Return its size and tag, None where there is no such file."""
        ...

    def download(self, target: Path, on_block: Callable[[], None]) -> ObjectInfo | None:
        """Write it to a file, telling of blocks as they arrive; None where there is no such file."""
        ...


class Media:
    """Inputs of a task; FFmpeg is given local files only.

    An address may choose a stream of its file. The choice counts in the identity of the contents; what is fetched, and
    whether it may be, is the file's.

    Args:
        policy: Rules for the addresses that may be read.
        most_bytes: Bound on the size of a file.
        cache: For copies of what lies elsewhere.
        on_block: Called while files arrive.
        series_rate: Frames a second of an image sequence.
        store: The state, where files are that earlier tasks made, or None.
        sites: Reader of videos of sites; None where addresses of the web are those of files.
    """

    def __init__(
        self,
        policy: Policy,
        most_bytes: int,
        cache: Cache,
        on_block: Callable[[], None] = lambda: None,
        series_rate: Fraction = USUAL_RATE,
        store: Store | None = None,
        sites: Sites | None = None,
    ) -> None:
        self._made = MadeFiles(store)
        self._sites = sites
        self._parts: dict[tuple[str, UsedSeconds], SiteVideo] = {}
        self._sources: dict[str, Source] = {}
        """A server is asked once whether an address is that of a file or of a page."""
        self._series_rate = series_rate
        self._on_block = on_block
        self._policy = policy
        self._most_bytes = most_bytes
        self._cache = cache
        self._addresses: dict[str, str] = {}
        self._asked: dict[str, ObjectInfo] = {}
        """Facts that were asked for stamps; identities do not ask for them again."""

    def identity(self, address: str, seconds: UsedSeconds | None = None) -> str:
        """Return the id of an input's contents.

        A hash of a file's bytes, or of an object's address, tag and size. The bytes of a web server's file count
        where it states no tag. Where only a part of a site's video is needed, it is of that part, and marked so. Where
        the address chooses a stream, its mark follows.

        Args:
            address: A path or an address.
            seconds: What is used of a video; None for all.

        Raises:
            InputError: It may not be read, is not there, or is too long.
            StorageError: The store refused.
        """
        if made := made_key(address):
            return self._made.identity(made)
        file, choice = split_choice(address)
        return self._file_identity(file, seconds) + (choice.mark if choice else "")

    def _file_identity(self, address: str, seconds: UsedSeconds | None) -> str:
        self._policy.check(address)
        if is_local(address):
            path = Path(address)
            if is_series(path):
                return self._series_identity(path)
            self._check_size(address, path.stat().st_size if path.is_file() else None)
            return content_id(path)
        part = self._part(address, seconds)
        facts = part.facts() if part else self._asked.pop(address, None) or self._source(address).facts()
        if facts is None:
            raise _absent(address)
        self._check_size(address, facts.bytes_about or facts.size)
        if facts.tag:
            return _name_of(address, facts)
        first = self._fetched(address, f"unnamed-{uuid.uuid4().hex}", None)
        identity = content_id(first)

        def move(part: Path) -> bool:
            first.replace(part)
            return True

        self._cache.get(self._copy_name(address, identity), move)
        first.unlink(missing_ok=True)  # where that copy was there already
        return identity

    def _series_identity(self, path: Path) -> str:
        """Return the id of an image sequence: of its numbers, what each file holds, and its rate."""
        files, bytes_total = series_files(path), 0
        for _, file in files:
            self._policy.check(str(file))
            bytes_total += file.stat().st_size
        self._check_size(str(path), bytes_total)
        return record_id(
            {
                "series": [[number, self._hashed(file)] for number, file in files],
                "rate": str(self._series_rate),
            }
        )

    def _hashed(self, file: Path) -> str:
        self._on_block()
        return content_id(file)

    def glance(self, address: str, seconds: UsedSeconds | None = None) -> Path | None:
        """Return an input that lies here, None for one elsewhere, of which only size and presence are asked.

        Args:
            address: A path or an address.
            seconds: What is used of a video; None for all.

        Raises:
            InputError: It may not be read, is not there, or is too long.
            StorageError: The store refused.
        """
        address = file_of(address)
        self._policy.check(address)
        if is_local(address):
            path = Path(address)
            self._check_size(address, path.stat().st_size if path.is_file() else None)
            return path
        facts = (self._part(address, seconds) or self._source(address)).facts()
        if facts is None:
            raise _absent(address)
        self._check_size(address, facts.bytes_about or facts.size)
        return None

    def vouched(self, address: str) -> str:
        """Return an identity of an object's contents for which its store or server vouches; empty where it does not.

        Raises:
            InputError: It may not be read, or is not there.
            StorageError: The store refused.
        """
        address = file_of(address)
        self._policy.check(address)
        facts = self._source(address).facts()
        if facts is None:
            raise _absent(address)
        self._asked[address] = facts
        return _name_of(address, facts) if facts.tag else ""

    def local(self, address: str, identity: str, seconds: UsedSeconds | None = None) -> Path:
        """Return a local file with an input's contents, downloaded once a machine.

        Args:
            address: A path or an address.
            identity: Id of the contents when the job began, as `identity` returned it.
            seconds: What is used of a video; None for all.

        Raises:
            InputError: It may not be read, or is not what it was when the job began.
            StorageError: The store refused, or the disk is full.
        """
        if made := made_key(address):
            return self._made.local(made)
        address, choice = split_choice(address)
        self._policy.check(address)
        if is_local(address):
            return Path(address)
        identity = identity.removesuffix(choice.mark) if choice else identity
        found = self._fetched(address, self._copy_name(address, identity), identity, seconds)
        self._addresses[str(found)] = shown(address)
        return found

    def zero_s(self, address: str, identity: str, seconds: UsedSeconds | None) -> Fraction | None:
        """Return the time of the first frame of a video of which a part was fetched, on the clock of the local file.

        Args:
            address: A path or an address.
            identity: Id of the contents, as `identity` returned it.
            seconds: What is used of the video.

        Returns:
            None where the local file begins with that frame.

        Raises:
            InputError: It may not be read, or is not what it was when the job began.
            StorageError: The store refused, or the disk is full.
        """
        address, choice = split_choice(address)
        identity = identity.removesuffix(choice.mark) if choice else identity
        part = self._part(address, seconds) if identity.endswith(_PART) else None
        if part is None:
            return None

        def fill(file: Path) -> bool:
            zero_s = part.zero_s(file, self._on_block)
            file.write_text("" if zero_s is None else str(zero_s))
            return True

        kept = self._cache.get(f"zero-{identity}", fill, self._on_block)
        assert kept is not None  # fill makes it
        return Fraction(text) if (text := kept.read_text()) else None

    def named(self, error: LipwiseError) -> LipwiseError:
        """Return an error that names addresses where it named their local copies."""
        words = [str(word) for word in error.args]
        for local, address in self._addresses.items():
            words = [word.replace(local, address) for word in words]
        return type(error)(*words)

    def _source(self, address: str) -> Source:
        if address not in self._sources:
            self._sources[address] = self._new_source(address)
        return self._sources[address]

    def _part(self, address: str, seconds: UsedSeconds | None) -> SiteVideo | None:
        """Return the source of what is used of a site's video; None where all of an input is wanted."""
        if seconds is None or self._sites is None or not is_web(address):
            return None
        if (address, seconds) not in self._parts and isinstance(whole := self._source(address), SiteVideo):
            self._parts[address, seconds] = whole.part(seconds)
        return self._parts.get((address, seconds))

    def _new_source(self, address: str) -> Source:
        if not is_web(address):
            return BucketFile(address)
        file = WebFile(address, self._policy, self._most_bytes)
        return self._sites.video(address) if self._sites and not file.is_file() else file

    def _copy_name(self, address: str, identity: str) -> str:
        """Return the name of a copy; of what may be a site's video, which has many addresses, one for all of them."""
        name = file_name(address)
        if self._sites is not None and is_web(address):
            return identity + PurePosixPath(name).suffix.encode()[:_MOST_NAME_BYTES].decode(errors="ignore")
        return f"{identity}-{name.encode()[-_MOST_NAME_BYTES:].decode(errors='ignore')}"

    def _check_size(self, address: str, size: int | None) -> None:
        if size is not None and size > self._most_bytes:
            raise too_large(address, size, self._most_bytes)

    def _fetched(self, address: str, name: str, identity: str | None, seconds: UsedSeconds | None = None) -> Path:
        """Return the copy of that name, downloaded when it is not there; it must have that identity."""

        def fill(part: Path) -> bool:
            source = self._part(address, seconds) if identity is not None and identity.endswith(_PART) else None
            facts = (source or self._source(address)).download(part, self._on_block)
            if facts is None or (
                identity is not None and identity != (_name_of(address, facts) if facts.tag else content_id(part))
            ):
                raise MediaError(
                    "changed", shown(address), got="changed while it was dubbed", do="Run the same command again"
                )
            return True

        found = self._cache.get(name, fill, self._on_block)
        assert found is not None  # fill raises where there is none
        return found


def _absent(address: str) -> MediaError:
    return MediaError("missing_file", shown(address), got="no such object", do="Check the path")


def _name_of(address: str, facts: ObjectInfo) -> str:
    """Return an identity; how a web address is signed does not count where the server vouches for the bytes."""
    is_strong = is_web(address) and facts.tag.startswith('"')
    place = facts.place or (unsigned(address) if is_strong else normal(address))
    decides = {"address": place, "tag": facts.tag, "bytes": facts.size}
    return record_id({**decides, "part": facts.part}) + _PART if facts.part else record_id(decides)


def media_of(
    settings: Settings, cache: Cache, on_block: Callable[[], None] = lambda: None, store: Store | None = None
) -> Media:
    """Return the inputs that a run's settings allow.

    Args:
        settings: The run's.
        cache: For copies of what lies elsewhere.
        on_block: Called while files arrive.
        store: The state, or None.
    """
    rate = Fraction(settings.source.still_rate)
    policy = policy_of(settings.paths)
    sites = Sites(policy, settings.limits, settings.paths.cookies) if settings.paths.downloader != "none" else None
    return Media(policy, round(settings.limits.gb * 1e9), cache, on_block, rate, store, sites)


def cache_of(paths: PathsSettings) -> Cache:
    """Return the cache that a run's settings ask for."""
    return Cache(Path(paths.scratch) / "cache" if paths.scratch else None, round(paths.cache_gb * 1e9))


def policy_of(paths: PathsSettings) -> Policy:
    """Return the policy of a run's inputs."""
    return Policy(paths.schemes, paths.roots, paths.hosts)
