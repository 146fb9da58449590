"""Validation of a manifest before anything is run: rows, settings, files and checkpoints, all at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from lipwise_ray.errors import InputError, LipwiseError, SettingsError, WeightsError, blamed_on_file
from lipwise_ray.faces.tracks import read_tracks
from lipwise_ray.media.index import check_packets
from lipwise_ray.media.probe import probe_audio, probe_video
from lipwise_ray.media.stated_size import refuse_cut
from lipwise_ray.models.checkpoints import Checkpoint
from lipwise_ray.models.registry import Registry
from lipwise_ray.models.role import ModelRole, Wanted
from lipwise_ray.pipeline.inputs.resolver import Media
from lipwise_ray.pipeline.inputs.site_pieces import UsedSeconds, used_seconds
from lipwise_ray.pipeline.manifest.background import background_file
from lipwise_ray.pipeline.manifest.diarisation import read_diarisation
from lipwise_ray.pipeline.manifest.manifest import Manifest
from lipwise_ray.pipeline.manifest.row_table import Row, line_of
from lipwise_ray.pipeline.manifest.speakers import portraits, rules_of
from lipwise_ray.runs.model_requirements import ModelRequirements
from lipwise_ray.runs.settings_source import SettingsSource
from lipwise_ray.runs.speech_check import cue_problems
from lipwise_ray.runs.stretched_length import unmoved_background
from lipwise_ray.runs.work import Dubbing, RunFacts
from lipwise_ray.settings.model import LimitsSettings, Settings
from lipwise_ray.storage.address import is_web
from lipwise_ray.storage.stream_choice import StreamChoice, split_choice

_MOST_KNOWN_FILES = 4096


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        code: A stable word for machines.
        message: For people; it says where.
        line: The row's in the manifest; None for what several rows lack.
        row_id: The row's.
        rows: How many rows it concerns.
    """

    code: str
    message: str
    line: int | None = None
    row_id: str | None = None
    rows: int = 1


class Validation:
    """Checks a manifest of rows that are to be dubbed.

    Args:
        manifest: The manifest.
        source: Its settings.
        registry: Where checkpoints are.
        media: Opens inputs; None leaves them closed.
        out: Where outputs are to go.
        state: Where the state is to be.
    """

    def __init__(
        self, manifest: Manifest, source: SettingsSource, registry: Registry, media: Media | None, out: str, state: str
    ) -> None:
        self._manifest = manifest
        self._source = source
        self._media = media
        self._work = Dubbing(out, state, warn=lambda _: None)
        self._requirements = NotedRequirements(registry, source.for_run())
        self._known = lru_cache(_MOST_KNOWN_FILES)(self._problem_of)
        self.bad = 0
        """Rows that cannot be done whatever is installed, of those that were looked at."""
        self.warnings: list[str] = []
        """Warnings of rows that can be done, and may not become what somebody expects; each says where."""
        self.lacking = 0
        """Checkpoints that cannot be used, and settings of the run that its models do not bear."""

    def findings(self) -> Iterator[Finding]:
        """Yield the findings row by row; missing checkpoints come last, each once."""
        for bad in self._manifest.bad_rows:
            self.bad += 1
            yield from (Finding(one.code, str(one), line_of(bad.line), bad.id) for one in bad.problems)
        lacking: Counter[tuple[str, str]] = Counter()
        for row in self._manifest.rows:
            problems = list(self._problems(row))
            lacks = self._requirements.taken()
            lacking.update({(one.code, str(one)): 1 for one in lacks})
            self.bad += bool(problems)
            yield from (Finding(one.code, f"{row.where}: {one}", row.line, row.id) for one in problems)
        self.lacking = len(lacking)
        yield from (Finding(code, message, rows=count) for (code, message), count in lacking.items())

    def _problems(self, row: Row) -> Iterator[LipwiseError]:
        try:
            settings = self._source.for_row(row)
            self._work.flow(row, settings, self._requirements, RunFacts("cpu"), 0)
        except LipwiseError as error:
            yield error
            return
        warning = unmoved_background(row, settings)
        if warning is not None:
            self.warnings.append(f"{row.where}: {warning}")
        if self._media is None:
            return
        told, source = settings.limits.model_dump_json(), settings.source
        for kind, address in _files_of(row, settings):
            may_be_part = kind == "video" and is_web(address)
            used = used_seconds(row, settings) if may_be_part else None
            problem = self._known(kind, address, used, told, source.still_rate, is_whole=not source.salvage)
            if problem is not None:
                yield problem
        if row.script and row.script.file:
            yield from cue_problems(row, settings, self._requirements.of(settings, row), self._media)

    def _problem_of(
        self, kind: str, address: str, used: UsedSeconds | None, limits: str, rate: str, *, is_whole: bool
    ) -> LipwiseError | None:
        """Return the error of an input, whose packets are read where it is on this machine."""
        assert self._media is not None  # nothing is asked without
        try:
            path = self._media.glance(address, used)
            if path is not None:
                choice = split_choice(address)[1]
                with blamed_on_file(partial(_broken, kind, path)):
                    bounds = LimitsSettings.model_validate_json(limits)
                    _open(kind, path, bounds, Fraction(rate), choice, is_whole=is_whole)
        except LipwiseError as error:
            return error
        return None


def _open(
    kind: str, path: Path, limits: LimitsSettings, rate: Fraction, choice: StreamChoice | None, *, is_whole: bool
) -> None:
    """Look at an input as far as that goes without decoding it."""
    if kind == "audio":
        sound = probe_audio(path, limits, choice)
        if is_whole:
            refuse_cut(path, sound.container)
    elif kind == "tracks":
        read_tracks(path)
    elif kind == "diarisation":
        read_diarisation(path)
    else:
        info = probe_video(path, limits, rate, choice)
        if is_whole and kind == "video":
            check_packets(info)


def _broken(kind: str, path: Path, why: str) -> InputError:
    return InputError("broken_input", str(path), got=f"this {kind} broke its reader ({why})", do="Export it again")


def _files_of(row: Row, settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the kind that each of a row's inputs has to be of, and its address."""
    yield "video", row.video
    yield from (("audio", one) for one in dict.fromkeys(_sounds_of(row)) if one)
    yield from (("picture", one) for one in portraits(rules_of(row.speakers, settings)))
    if row.tracks is not None:
        yield "tracks", row.tracks
    if row.diarisation is not None:
        yield "diarisation", row.diarisation


def _sounds_of(row: Row) -> list[str | None]:
    return [row.audio, *(one.audio for one in (*row.speakers, *row.beside)), background_file(row.background)]


class NotedRequirements(ModelRequirements):
    """Goes on where a checkpoint cannot be used, and notes why, so that all of them are told of.

    Args:
        registry: Where named ones are.
        settings: Those of rows without settings of their own. What their models do not bear is noted too, to be told
            once, and not once a row.
    """

    def __init__(self, registry: Registry, settings: Settings) -> None:
        super().__init__(registry, gpu=False)
        self._settings = settings
        self._noted: dict[str, LipwiseError] = {}

    def taken(self) -> list[LipwiseError]:
        """Return the errors noted since the last call."""
        self._found.clear()  # the next row is asked about anew, and noted
        noted = list(self._noted.values())
        self._noted.clear()
        return noted

    def for_role(self, role: ModelRole[Any], settings: Settings) -> tuple[Checkpoint, ...]:
        """Return the checkpoints that settings ask for in a role, a stand-in where its model does not bear them.

        Raises:
            SettingsError: It does not bear settings of the row's own.
        """
        try:
            return super().for_role(role, settings)
        except (SettingsError, WeightsError) as error:
            section = attrgetter(role.setting.partition(".")[0])
            if isinstance(error, SettingsError) and section(settings) != section(self._settings):
                raise
            return (self._noting(error, Wanted(role.name, role.networks)),)

    def _get(self, wanted: Wanted) -> Checkpoint:
        try:
            return super()._get(wanted)
        except LipwiseError as error:
            return self._noting(error, wanted)

    def _noting(self, error: LipwiseError, wanted: Wanted) -> Checkpoint:
        """Note an error, and return a stand-in for the checkpoint."""
        self._noted.setdefault(str(error), error)
        return Checkpoint(wanted.name, wanted.networks[0], Path(wanted.name), "")
