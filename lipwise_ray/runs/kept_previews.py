"""Previews on this machine's disk: those that were made, and the faces that were found for them."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lipwise_ray.errors import StorageError, os_reason
from lipwise_ray.state import layout
from lipwise_ray.state.store import LocalStore, Store, read_json, to_json
from lipwise_ray.storage.cache import own_folder
from lipwise_ray.storage.scratch import scratch_file

_MOST = 64
_GRACE_S = 3600.0
"""What was used within this time stays: somebody may be at work with it."""

_NOTES, _STATE, _FACES = "notes.json", "state", "faces"
_OF_OUTPUTS = ("lips-", "rendered-")
"""Beginnings of names of records that jobs leave beside those of faces."""


@dataclass(frozen=True, slots=True)
class KeptPreviews:
    """Previews in a folder, the longest unused ones removed first.

    Attributes:
        root: The folder; made when the first preview is.
    """

    root: Path

    def get(self, key: str, name: str) -> tuple[Path, tuple[str, ...]] | None:
        """Return a preview that was made, and the notes on it; None where it was not.

        Args:
            key: Names all that decides it.
            name: Of its file.
        """
        folder = self.root / key
        notes = read_json(LocalStore(folder), _NOTES) if (folder / name).is_file() else None
        if notes is None:
            return None
        with suppress(OSError):  # it may just make room
            folder.touch()
        return folder / name, tuple(map(str, notes.get("notes", ())))

    def begin(self, key: str) -> Path:
        """Return the folder in which a preview is made; what has long been unused makes room.

        Raises:
            StorageError: The folder cannot be written, or is somebody else's.
        """
        own_folder(self.root)
        self._make_room()
        return own_folder(self.root / key)

    def state(self, key: str) -> Path:
        """Return the folder of the state with which a preview is made; what was stopped goes on from there."""
        return self.root / key / _STATE

    def keep(self, key: str, file: Path, name: str, notes: tuple[str, ...]) -> Path:
        """Keep a preview that was made, and return its place; its state goes.

        Args:
            key: Names all that decides it.
            file: The preview, in its folder.
            name: Of the file that is kept.
            notes: What is to be said of it.

        Raises:
            StorageError: The folder cannot be written.
        """
        folder = self.root / key
        try:
            file.replace(folder / name)
        except OSError as error:
            raise StorageError("cache", str(folder), got=f"cannot be written: {os_reason(error)}") from error
        LocalStore(folder).write(_NOTES, to_json({"notes": [*notes]}))
        shutil.rmtree(folder / _STATE, ignore_errors=True)
        return folder / name

    def faces(self) -> LocalStore:
        """Return the store of faces that were found, which all previews of a video share."""
        return LocalStore(self.root / _FACES)

    def _make_room(self) -> None:
        for folder in (self.root, self.root / _FACES / layout.SCANS):
            found = [one for one in folder.iterdir() if one.name != _FACES] if folder.is_dir() else []
            ages = sorted(((one.stat().st_mtime, one) for one in found if one.is_dir()), reverse=True)
            for changed_s, unused in ages[_MOST:]:
                if changed_s < time.time() - _GRACE_S:
                    shutil.rmtree(unused, ignore_errors=True)


def lend_faces(source: Store, target: LocalStore, video_id: str) -> None:
    """Copy what is known of the faces of a video from one store to another that lacks it; each record is whole.

    Args:
        source: Where faces were found; nothing is written to it.
        target: Where they are to be known.
        video_id: The video.

    Raises:
        StorageError: A store refused.
    """
    there = set(target.names(layout.video(video_id)))
    for key in source.names(layout.video(video_id)):
        if key in there or key.split("/")[2].startswith(_OF_OUTPUTS):  # scans/VIDEO/...
            continue
        file = source.fetch(key)
        if file is None:
            continue
        with scratch_file(target.root, "lent") as temporary:
            shutil.copyfile(file, temporary)
            target.put_file(key, temporary)
