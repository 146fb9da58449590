"""Publication of finished files: in a folder or a bucket, at once and whole."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from lipwise_ray.errors import OutputError, StorageError, os_reason
from lipwise_ray.media.container import write_problem
from lipwise_ray.state.job_result import Seen
from lipwise_ray.state.local import move_into_place
from lipwise_ray.storage.address import bucket_and_key, is_local
from lipwise_ray.storage.objects import Bucket, ObjectInfo
from lipwise_ray.storage.scratch import scratch_file

_SHOWN_BYTES = 80
_USUAL_NAME_BYTES = 255
_BLOCK_BYTES = 4 << 20
_ROOT = 0


class Output(Protocol):
    """The address of one finished file."""

    def check(self) -> None:
        """Find out before any work whether a file can be put there.

        Raises:
            OutputError: It cannot.
            StorageError: The store refused.
        """
        ...

    def seen(self) -> Seen | None:
        """Return size and time stamp or tag of the file that is there, or None."""
        ...

    def sha256(self, on_block: Callable[[], None]) -> str | None:
        """Read the file that is there, telling of blocks, and return its hash, or None.

        Raises:
            StorageError: It cannot be read.
        """
        ...

    def remove(self) -> None:
        """Remove the file that is there; nothing happens where there is none.

        Raises:
            OutputError: It cannot be removed.
            StorageError: The store refused.
        """
        ...

    @contextmanager
    def written(self, job_id: str) -> Generator[Path]:
        """Give a path for the file in the making; it is published when the block ends well, else removed.

        Raises:
            OutputError: The file cannot be put in its place.
            StorageError: The disk is full, or the store refused.
        """
        ...


def output_at(address: str, scratch: Path) -> Output:
    """Return the output at an address; one in a bucket is made under `scratch`."""
    return FileOutput(Path(address)) if is_local(address) else ObjectOutput(address, scratch)


def _shown(stem: str) -> str:
    """Return the beginning of a name, by which a temporary file is known and which leaves room for more."""
    return os.fsencode(stem)[:_SHOWN_BYTES].decode(errors="ignore")


def _longest_name(folder: Path) -> int:
    """Return the bytes that a file's name may have in a folder."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError):
        return _USUAL_NAME_BYTES


def _is_kept_by_another(path: Path) -> bool:
    """Tell whether a file lies in a sticky folder, such as /tmp, and neither is this user's."""
    try:
        owners, mode = {path.lstat().st_uid, path.parent.stat().st_uid}, path.parent.stat().st_mode
    except OSError:
        return False  # there is none, or nobody knows
    return bool(mode & stat.S_ISVTX) and os.geteuid() not in {_ROOT, *owners}


class FileOutput:
    """A file in a folder: made beside its place, and renamed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self) -> None:
        """Make the folder and see that it can be written."""
        path = self._path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_problem(path, error) from error
        name_bytes, most = len(os.fsencode(path.name)), _longest_name(path.parent)
        if name_bytes > most:
            raise OutputError(
                "not_writable",
                str(path),
                got=f"has a name of {name_bytes} bytes",
                must=f"its folder takes at most {most}",
                do="Shorten the row's output",
            )
        if path.is_dir():
            raise OutputError("not_writable", str(path), got="is a folder", do="Name a file in it")
        if path.exists() and not path.is_file():  # whoever reads from a pipe or a device would lose it
            raise OutputError("not_writable", str(path), got="is there, and is not a file", do="Choose another name")
        if _is_kept_by_another(path):
            raise OutputError(
                "not_writable",
                str(path),
                got="is another user's file, in a folder where only its owner may replace it",
                do="Remove it, or choose another name",
            )
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise OutputError(
                "not_writable",
                str(path),
                got="its folder is not writable",
                do="Change the folder's permissions, or name another --out",
            )
        try:  # permissions say little of a network's folder, or of one that only looks like a folder of a disk
            tempfile.TemporaryFile(dir=path.parent).close()
        except OSError as error:
            raise write_problem(path, error) from error

    def seen(self) -> Seen | None:
        """Return size and time stamp of the file that is there, or None."""
        if not self._path.is_file():
            return None
        found = self._path.stat()
        return Seen(found.st_size, str(found.st_mtime_ns))

    def sha256(self, on_block: Callable[[], None]) -> str | None:
        """Read the file that is there and return its hash, or None."""
        digest = hashlib.sha256()
        try:
            with self._path.open("rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    digest.update(block)
                    on_block()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(
                "output_read",
                str(self._path),
                got=f"cannot be read: {os_reason(error)}",
                do="Check its permissions and the disk",
            ) from error
        return digest.hexdigest()

    def remove(self) -> None:
        """Remove the file that is there; a folder stays."""
        try:
            if self._path.is_file():
                self._path.unlink(missing_ok=True)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:  # no file has such a name
                raise write_problem(self._path, error) from error

    @contextmanager
    def written(self, job_id: str) -> Generator[Path]:
        """Give a path beside the file's place, and rename."""
        self.check()
        path = self._path
        stem = f".{_shown(path.stem)}.{job_id[:8]}"
        for left_over in path.parent.glob(f"{glob.escape(stem)}.*.part{path.suffix}"):
            left_over.unlink(missing_ok=True)  # of a driver that was killed
        temporary = path.with_name(f"{stem}.{os.getpid()}.part{path.suffix}")
        try:
            yield temporary
            try:
                move_into_place(temporary, path)
            except OSError as error:
                raise write_problem(path, error) from error
        finally:
            temporary.unlink(missing_ok=True)


class ObjectOutput:
    """An object: made on this machine, and uploaded."""

    def __init__(self, address: str, scratch: Path) -> None:
        root, self._key = bucket_and_key(address)
        self._bucket = Bucket(root, "files")
        self._scratch = scratch
        self._put: ObjectInfo | None = None

    def check(self) -> None:
        """Ask the bucket for the object, which shows that it can be reached."""
        self._bucket.names(f"{self._key}/")

    def seen(self) -> Seen | None:
        """Return size and tag of the object that is there, or None."""
        facts = self._put or self._bucket.facts(self._key)
        return None if facts is None or facts.size is None else Seen(facts.size, facts.tag)

    def sha256(self, on_block: Callable[[], None]) -> str | None:
        """Read the object that is there and return its hash, or None."""
        return self._bucket.sha256(self._key, on_block)

    def remove(self) -> None:
        """Remove the object that is there; who may not remove objects is asked for that only where there is one."""
        if self._bucket.facts(self._key) is not None:
            self._bucket.remove(self._key)

    @contextmanager
    def written(self, job_id: str) -> Generator[Path]:
        """Give a path in the scratch folder, and upload."""
        name = self._key.rpartition("/")[2]
        suffix = Path(name).suffix
        stem = f"{_shown(name.removesuffix(suffix))}.{job_id[:8]}"
        with scratch_file(self._scratch, f"{stem}{suffix}") as temporary:
            yield temporary
            self._put = self._bucket.upload(self._key, temporary)
