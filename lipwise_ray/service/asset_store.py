"""Files that clients send: kept in a folder, with records in the state."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from lipwise_ray.errors import InputError, RequestError, StorageError
from lipwise_ray.service.asset_page import AssetOrder, AssetPage, page_of
from lipwise_ray.service.asset_record import Asset, AssetKind, MediaFacts
from lipwise_ray.service.upload import Upload, no_room, refused_by_disk, upload_too_large
from lipwise_ray.state import layout
from lipwise_ray.state.shapes import record_of, typed
from lipwise_ray.state.store import Store, as_json, to_json

PENDING_S = 24 * 3600.0
"""An upload to which nothing came for so long is given up."""

_MOST_PENDING = 1000
_SPARE_BYTES = 1 << 30
"""Room that uploads leave on the disk, for the state and the outputs."""
_NAMED_S = 3600.0
"""A file whose path was asked for stays for so long: the job that is to read it may still be on its way."""
_BLOCK_BYTES = 1 << 20
_OURS = re.compile(r"(?P<id>a[0-9a-f]{12}-[0-9a-f]{20})(\.part)?")
_AT_A_TIME = 256


class AssetStore:
    """Files that clients sent, by id; safe to call from several threads.

    A file has a name of ours on the disk, so that none of a client's names leads anywhere.

    Args:
        store: The state, for the records.
        folder: Where the files lie; made when missing.
        most_bytes: Largest file.
        look: Tells the facts of a file, by its contents; raises `MediaError` for one that is no media file.
        clock: Seconds since 1970.

    Raises:
        StorageError: The folder or the state refuses.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        most_bytes: int,
        look: Callable[[Path], MediaFacts],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._folder = folder.resolve()
        self._look = look
        self._clock = clock
        self._lock = threading.Lock()
        self._writing: set[str] = set()
        self._assets: dict[str, Asset] = {}
        self._named: dict[str, float] = {}
        """Times at which paths of assets were lately asked for."""
        self.most_bytes = most_bytes
        with refused_by_disk():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._load()

    def announce(self, name: str, content_type: str, size: int) -> Asset:
        """Make the record of a file that is going to be sent.

        Args:
            name: Its name, for people.
            content_type: Its type by the client's word.
            size: Bytes.

        Raises:
            RequestError: It is too large, empty, or too many are on their way.
            StorageError: There is no room for it, or the state refuses.
        """
        if size > self.most_bytes:
            raise upload_too_large(f"{size} bytes were announced, at most {self.most_bytes} are allowed")
        if size < 1:
            raise RequestError("empty_upload", "the file", got="has no bytes")
        with self._lock:
            pending = [asset for asset in self._assets.values() if not asset.is_whole]
        if len(pending) >= _MOST_PENDING:
            raise RequestError(
                "many_uploads", got=f"{len(pending)} files are already on their way", where="", do="Send it later"
            )
        owed = size + sum((asset.size or 0) - self.received(asset.id) for asset in pending)
        self.check_room(owed)
        asset = self._new(name, content_type, size)
        self._keep(asset)
        return asset

    @contextmanager
    def writing(self, asset_id: str, start: int) -> Generator[Upload]:
        """Open an announced file for what comes next; afterwards what came lies on the disk.

        Args:
            asset_id: Id of the file.
            start: Number of the first byte that comes: 0 to begin anew, else how many are there.

        Raises:
            RequestError: It is not expected, is being sent already, or another byte is next.
            StorageError: The disk refuses.
        """
        with self._alone(asset_id):
            asset = self.get(asset_id)
            if asset.is_whole:
                raise RequestError("upload_done", "the upload", got="all of it arrived before")
            received = self.received(asset_id)
            if start not in (0, received):
                raise RequestError(
                    "upload_gap",
                    "the upload",
                    got=f"begins at byte {start}, and {received} bytes are there",
                    do="Ask with GET how far it came, and go on there",
                )
            path = self._part(asset_id)
            try:
                with refused_by_disk(), path.open("ab" if start else "wb") as file:
                    yield Upload(file, start, asset.size or self.most_bytes)
                    file.flush()
                    os.fsync(file.fileno())
            finally:  # it is given up a day after its latest part, and not after its announcement
                with suppress(StorageError):  # a full disk is told of as that
                    self._keep(replace(asset, changed=self._clock()))

    def received(self, asset_id: str) -> int:
        """Return the number of bytes of an announced file that are there."""
        for path in (self._part(asset_id), self._whole(asset_id)):
            try:
                return path.stat().st_size
            except FileNotFoundError:
                continue
        return 0

    def complete(self, asset_id: str) -> Asset:
        """Look at a file of which all arrived, and take it; one that is no media file is removed.

        Raises:
            RequestError: Bytes are missing.
            MediaError: It is no media file.
            TransientError: It cannot be looked at now; it stays, to be completed later.
            StorageError: The disk or the state refuses.
        """
        asset = self.get(asset_id)
        if asset.is_whole:
            return asset
        with self._alone(asset_id):
            received = self.received(asset_id)
            if received != asset.size:
                raise RequestError(
                    "upload_short",
                    "the upload",
                    got=f"{received} of {asset.size} bytes arrived",
                    do="Send the rest to its uploadUrl",
                )
            return self._take(asset)

    def add(self, source: BinaryIO, name: str, content_type: str) -> Asset:
        """Take a file that is at hand; nothing is left of one that is refused.

        Args:
            source: Its bytes.
            name: Its name, for people.
            content_type: Its type by the client's word.

        Raises:
            RequestError: It is too large.
            MediaError: It is empty, or no media file.
            TransientError: It cannot be looked at now.
            StorageError: The disk or the state refuses.
        """
        asset = self._new(name, content_type, None)
        path = self._part(asset.id)
        try:
            with refused_by_disk(), path.open("wb") as file:
                upload = Upload(file, 0, self.most_bytes)
                while block := source.read(_BLOCK_BYTES):
                    self.check_room(len(block))
                    upload.write(block)
                file.flush()
                os.fsync(file.fileno())
            return self._take(replace(asset, size=upload.received))
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def get(self, asset_id: str) -> Asset:
        """Return an asset.

        Raises:
            RequestError: There is none of this id.
        """
        with self._lock:
            asset = self._assets.get(asset_id)
        if asset is None:
            raise RequestError("unknown_asset", "the asset", got=f"none has the id {asset_id!r}")
        return asset

    def path(self, asset_id: str) -> Path:
        """Return the file of an asset, for a row.

        Raises:
            RequestError: There is none of this id, or it has not arrived.
        """
        asset = self.get(asset_id)
        if not asset.is_whole:
            raise RequestError(
                "upload_short", f"the asset {asset_id}", got="has not arrived", do="Send it to its uploadUrl first"
            )
        with self._lock:
            if asset_id in self._assets:
                self._named[asset_id] = self._clock()
        self.get(asset_id)  # nobody removed it in between
        return self._whole(asset_id)

    def listed(
        self,
        kinds: Collection[AssetKind] = (),
        search: str = "",
        order: AssetOrder = "dateDesc",
        limit: int = 100,
        cursor: str | None = None,
    ) -> AssetPage:
        """Return whole assets.

        Args:
            kinds: Their kinds; none for all.
            search: A part of their names, in any case.
            order: Their order.
            limit: Most of them.
            cursor: Where an earlier part ended.

        Raises:
            RequestError: No part ends there.
        """
        with self._lock:
            assets = [*self._assets.values()]
        return page_of(assets, kinds, search, order, limit, cursor)

    def remove(self, asset_id: str) -> None:
        """Remove an asset, or give an upload up.

        Raises:
            RequestError: There is none, or it is being sent.
        """
        self.get(asset_id)
        with self._alone(asset_id):
            self._forget(asset_id)

    def expire(self, keep_s: float, in_use: Callable[[str], bool]) -> int:
        """Remove what nobody wants any more, and return how many.

        Args:
            keep_s: Whole files stay for so long.
            in_use: Tells of a path whether an unfinished job reads it.
        """
        now_s = self._clock()
        with self._lock:
            old = [
                asset
                for asset in self._assets.values()
                if now_s - asset.changed > (keep_s if asset.is_whole else PENDING_S) and asset.id not in self._writing
            ]
            self._named = {one: named_s for one, named_s in self._named.items() if now_s - named_s < _NAMED_S}
        gone = 0
        for asset in old:
            if in_use(str(self._whole(asset.id))):
                continue
            with self._lock:
                if asset.id in self._named or asset.id in self._writing:
                    continue
                del self._assets[asset.id]
            self._remove_files(asset.id)
            gone += 1
        return gone

    def _load(self) -> None:
        keys = self._store.names(layout.SERVICE_ASSETS)
        for records in _batches(keys):
            for data in self._store.read_all(records):
                asset = typed(as_json(data), Asset)
                if asset is not None and _OURS.fullmatch(asset.id):
                    self._assets[asset.id] = asset
        for path in self._folder.iterdir():  # cut off before they had records
            ours = _OURS.fullmatch(path.name)
            if ours and ours["id"] not in self._assets:
                path.unlink(missing_ok=True)

    def _take(self, asset: Asset) -> Asset:
        part, whole = self._part(asset.id), self._whole(asset.id)
        try:
            media = self._look(part if part.exists() else whole)  # a crash may have come after it was moved
        except InputError:
            self._forget(asset.id)
            raise
        with refused_by_disk():
            if part.exists():
                part.replace(whole)
        taken = replace(asset, media=media, changed=self._clock(), size=whole.stat().st_size)
        self._keep(taken)
        return taken

    def _forget(self, asset_id: str) -> None:
        with self._lock:
            is_known = self._assets.pop(asset_id, None) is not None
        self._remove_files(asset_id, is_known=is_known)

    def _remove_files(self, asset_id: str, *, is_known: bool = True) -> None:
        if is_known:
            self._store.remove(layout.service_asset(asset_id))
        self._part(asset_id).unlink(missing_ok=True)
        self._whole(asset_id).unlink(missing_ok=True)

    def _new(self, name: str, content_type: str, size: int | None) -> Asset:
        now_s = self._clock()
        asset_id = f"a{int(now_s * 1000):012x}-{secrets.token_hex(10)}"
        plain = "".join(character for character in name if character.isprintable())[-255:]
        return Asset(id=asset_id, created=now_s, changed=now_s, name=plain, content_type=content_type[:255], size=size)

    def _keep(self, asset: Asset) -> None:
        self._store.write(layout.service_asset(asset.id), to_json(record_of(asset)))
        with self._lock:
            self._assets[asset.id] = asset

    @contextmanager
    def _alone(self, asset_id: str) -> Generator[None]:
        with self._lock:
            if asset_id in self._writing:
                raise RequestError("upload_busy", "the upload", got="another request is sending it")
            self._writing.add(asset_id)
        try:
            yield
        finally:
            with self._lock:
                self._writing.discard(asset_id)

    def check_room(self, wanted_bytes: int) -> None:
        """Refuse what the disk cannot take.

        Args:
            wanted_bytes: So much is going to be written.

        Raises:
            StorageError: There is no room for it.
        """
        with refused_by_disk():
            free = shutil.disk_usage(self._folder).free
        if free - wanted_bytes < _SPARE_BYTES:
            raise no_room()

    def _part(self, asset_id: str) -> Path:
        return self._folder / f"{asset_id}.part"

    def _whole(self, asset_id: str) -> Path:
        return self._folder / asset_id


def _batches(keys: list[str]) -> Iterable[list[str]]:
    return (keys[start : start + _AT_A_TIME] for start in range(0, len(keys), _AT_A_TIME))
