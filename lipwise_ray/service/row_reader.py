"""Rows of a service's jobs: checked as those of manifests are, and with the addresses that clients may name."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lipwise_ray.errors import InputError, ManifestError
from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.pipeline.manifest.row_table import Row
from lipwise_ray.runs.settings_source import SettingsSource
from lipwise_ray.service.job_record import JobDraft, JsonObject
from lipwise_ray.settings.layers import preset_names
from lipwise_ray.settings.model import PathsSettings
from lipwise_ray.storage.address import WEB, Policy, is_local, is_web, is_within, scheme_of, shown

_MADE_HERE = ("id", "output", "priority")
_BASE = "/./row.jsonl"  # a relative path of a client's leads nowhere


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
        """
        found = self.checked(columns)
        if found.row is None:
            raise found.problems[0]
        return found.row

    def checked(self, columns: JsonObject) -> CheckedRow:
        """Return the row of a job, or everything that is wrong with its columns."""
        with tempfile.TemporaryDirectory(prefix="lipwise-") as folder:
            path = Path(folder) / "row.jsonl"
            path.write_text(json.dumps(columns) + "\n", "utf-8")
            manifest = read_manifest(path, self.out, preset_names(self.source.presets), self.policy, _BASE)
        prefix = f"line 1 (id={columns['id']}), "
        problems = tuple(
            ManifestError(one.code, one.where.removeprefix(prefix), got=one.got, must=one.must, do=one.do)
            for one in manifest.problems
        )
        if problems:
            return CheckedRow(None, problems)
        row, *further = manifest.rows
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
