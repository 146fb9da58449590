"""Rows of a service's jobs: checked as those of manifests are, and with the addresses that clients may name."""

from __future__ import annotations

import errno
import json
import sqlite3
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lipwise_ray.errors import InputError, ManifestError, StorageError, is_of_the_disk, os_reason
from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.pipeline.manifest.row_table import Row
from lipwise_ray.runs.settings_source import SettingsSource
from lipwise_ray.service.job_record import JobDraft, JsonObject
from lipwise_ray.settings.layers import preset_names
from lipwise_ray.settings.model import PathsSettings
from lipwise_ray.storage.address import WEB, Policy, is_local, is_web, is_within, scheme_of, shown

_MADE_HERE = ("id", "output", "priority")
_BASE = "/./row.jsonl"  # a relative path of a client's leads nowhere
_UNREADABLE = "manifest_unreadable"
_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR, errno.ENOENT})
"""Faults of a file of our own that are over as soon as others let go of what they have."""


@dataclass(frozen=True, slots=True)
class ClientPolicy(Policy):
    """Rules for the addresses that clients may name: the web's, and others under the roots of the settings, if any.

    Attributes:
        uploads: The service's own folder, whose files may always be read.
    """

    uploads: str = ""

    @staticmethod
    def of(paths: PathsSettings, uploads: str) -> ClientPolicy:
        """Return the policy that settings ask for."""
        # Without roots a client might read all that this machine can.
        schemes = tuple(scheme for scheme in paths.schemes if paths.roots or scheme in WEB)
        return ClientPolicy(schemes, paths.roots, paths.hosts, uploads)

    def check(self, address: str) -> None:
        """Refuse an address that a client may not name, without a word on this machine's folders.

        Raises:
            InputError: It is refused.
        """
        if is_local(address) and is_within(address, self.uploads):
            return
        try:
            Policy.check(self, address)
        except InputError as error:
            if is_web(address) and scheme_of(address) not in self.schemes:
                got = f"addresses of {scheme_of(address)} are not read here: paths.schemes does not name it"
                raise InputError("place_refused", shown(address), got=got, do="Upload the file") from error
            if is_web(address) and not self.roots:
                raise  # it names hosts at most
            what = "a path of the server's machine" if is_local(address) else "an address"
            got = f"{what} that is not read for clients: it lies under none of paths.roots"
            do = "Upload the file, or name it by an address of paths.hosts"
            raise InputError("place_refused", shown(address), got=got, do=do) from error


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """A job's row that was read, or all that is wrong with it: one of the two is empty."""

    row: Row | None
    problems: tuple[ManifestError, ...]


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads rows of jobs.

    Attributes:
        source: The service's settings.
        policy: Rules for addresses.
        out: Outputs go under this folder or prefix.
    """

    source: SettingsSource
    policy: ClientPolicy
    out: str

    def columns_of(self, draft: JobDraft, job_id: str) -> JsonObject:
        """Return all columns of a draft's row.

        Raises:
            ManifestError: A column is the service's to fill in.
        """
        given = {name: value for name, value in draft.columns.items() if value is not None}
        for name in _MADE_HERE:
            if name in given:
                raise ManifestError(
                    "row_made_here", f'column "{name}"', got="the service fills it in", do="Leave it out"
                )
        return {**given, "id": job_id, "output": f"{job_id}/{draft.name}.mp4"}

    def row(self, columns: JsonObject) -> Row:
        """Return the row of a job.

        Raises:
            ManifestError: A column breaks a rule.
            StorageError: This machine's disk for temporary files refuses.
        """
        found = self.checked(columns)
        if found.row is None:
            raise found.problems[0]
        return found.row

    def checked(self, columns: JsonObject) -> CheckedRow:
        """Return the row of a job, or everything that is wrong with its columns.

        Raises:
            StorageError: This machine's disk for temporary files refuses.
        """
        with _on_own_disk(), tempfile.TemporaryDirectory(prefix="lipwise-") as folder:
            path = Path(folder) / "row.jsonl"
            path.write_text(json.dumps(columns) + "\n", "utf-8")
            manifest = read_manifest(
                path,
                self.out,
                preset_names(self.source.presets),
                self.policy,
                _BASE,
                renames=self.source.renames,
            )
            found, rows = [*manifest.problems], [*manifest.rows]
        prefix = f"line 1 (id={columns['id']}), "
        problems = tuple(
            ManifestError(one.code, one.where.removeprefix(prefix), got=one.got, must=one.must, do=one.do)
            for one in found
        )
        if problems:
            return CheckedRow(None, problems)
        row, *further = rows
        if not further:
            return CheckedRow(row, ())
        several = ManifestError(
            "row_several",
            "",
            got=f"audio by language makes {1 + len(further)} videos of this row",
            must="a job is one video",
            do="Make a job of each language",
        )
        return CheckedRow(None, (several,))


@contextmanager
def _on_own_disk() -> Generator[None]:
    """Blame this machine, and not a row, for what a disk does to our own copy of the row.

    Raises:
        StorageError: It refused.
    """
    try:
        yield
    except ManifestError as error:
        cause = error.__cause__
        if error.code != _UNREADABLE or not isinstance(cause, OSError):
            raise
        if not is_of_the_disk(cause) and cause.errno not in _SHORT:
            raise
        raise _refused(os_reason(cause)) from error
    except OSError as error:
        raise _refused(os_reason(error)) from error
    except sqlite3.Error as error:
        raise _refused(str(error)) from error
    except StorageError as error:
        if not isinstance(cause := error.__cause__, sqlite3.Error):
            raise
        raise _refused(str(cause)) from error  # where files go is no client's to set


def _refused(reason: str) -> StorageError:
    got = f"the server's disk for temporary files refused them: {reason}"
    return StorageError("scratch", "the columns", got=got, do="Ask again later")
