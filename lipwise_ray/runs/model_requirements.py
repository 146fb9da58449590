"""Checkpoints that a run's rows require, and their places."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from lipwise_ray.errors import LipwiseError, SettingsError
from lipwise_ray.metrics.fidelity import check_fidelity
from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.models.loading import ModelRequest
from lipwise_ray.models.registry import Registry
from lipwise_ray.models.role import NOTHING, Machines, ModelRole, RowFacts, Wanted
from lipwise_ray.pipeline.analysis.transcription import check_recogniser
from lipwise_ray.pipeline.manifest.background import KEEP
from lipwise_ray.pipeline.manifest.row_table import AUTO, Row
from lipwise_ray.pipeline.manifest.speakers import has_text, listens, needs_detector, portraits, rules_of
from lipwise_ray.roles.active_speaker import ACTIVE_SPEAKER
from lipwise_ray.roles.embedder import EMBEDDER
from lipwise_ray.roles.table import ROLES
from lipwise_ray.runs.settings_source import SettingsSource, further_attempts
from lipwise_ray.runs.speech_check import check_speech
from lipwise_ray.settings.model import Settings
from lipwise_ray.storage.address import whole_path

_MOST_KNOWN = 256


class ModelRequirements:
    """Finds the checkpoints that settings ask for; each file is hashed once.

    Args:
        registry: Where named ones are.
        gpu: Workers have a GPU, so that ``auto`` may take the heavier detector.
    """

    def __init__(self, registry: Registry, *, gpu: bool) -> None:
        self._registry = registry
        self._machines = Machines(gpu, registry.installed)
        self._known: dict[Wanted, Checkpoint] = {}
        self._unusable: dict[Wanted, LipwiseError] = {}
        self._choices: dict[str, None] = {}
        self._found: OrderedDict[tuple[int, RowFacts, bool], tuple[Settings, Checkpoints]] = OrderedDict()
        """Checkpoints by the settings, as the object that they are, and what else of a row decides them: rows share
        both."""

    def all_of(
        self,
        source: SettingsSource,
        rows: Iterable[Row],
        of: Callable[[Settings, Row], Checkpoints] | None = None,
        *,
        may_be_none: bool = False,
    ) -> list[ModelRequest]:
        """Return the models that workers have to load for these rows, each combination once.

        Args:
            source: Their settings.
            rows: The rows.
            of: Says what a row needs; what dubbing does without it.
            may_be_none: Others may come where all of these are left out.

        Rows whose settings or checkpoints cannot be used are left out, for they are refused when their turn comes.

        Raises:
            SettingsError: No row is left, and the first one's settings are impossible.
            WeightsError: No row is left: the first one's checkpoint is missing or damaged.
        """
        found: dict[str, ModelRequest] = {}
        problem: LipwiseError | None = None
        noted: list[Settings] = []
        seen: dict[tuple[int, int], tuple[Settings, Checkpoints]] = {}
        for row in rows:
            try:
                settings = source.for_row(row)
            except SettingsError as error:  # its cells are right, but not with the run's settings or its preset
                problem = problem or error
                continue
            if settings.gate.retry and settings not in noted[-_MOST_KNOWN:]:
                noted.append(settings)
                self._note_terms(further_attempts(settings), row, of or self.of)
            try:
                checkpoints = (of or self.of)(settings, row)
            except LipwiseError as error:
                problem = problem or error
                continue
            same = id(settings), id(checkpoints)  # to write them out takes as long as all else of a row
            if same in seen:
                continue
            if len(seen) >= _MOST_KNOWN:
                seen.clear()
            seen[same] = settings, checkpoints
            key = f"{checkpoints} {settings.lipsync} {settings.restore} {settings.detect} {settings.composite}"
            if key not in found:
                found[key] = ModelRequest(settings, checkpoints)
        if problem and not found and not may_be_none:
            raise problem
        return list(found.values())

    def _note_terms(self, attempts: list[Settings], row: Row, of: Callable[[Settings, Row], Checkpoints]) -> None:
        """Find the checkpoints of further attempts, for their terms; those that cannot be used are reported later."""
        for settings in attempts:
            with suppress(LipwiseError):
                of(settings, row)

    @property
    def notes(self) -> list[str]:
        """Notes to the user on the checkpoints found so far.

        The choice of ``auto`` and its reason; networks that were made for other images than photographed ones; terms
        that forbid commerce or leave it unclear.
        """
        words = {"no": "is not for commercial use", "unclear": "may not be for commercial use"}
        found = self._known.values()
        terms = {f"{one.name} {words[one.commercial]}: {one.reason}" for one in found if one.commercial != "yes"}
        made_for = {
            f"{one.name} was made for {one.made_for}, and not for photographed ones" for one in found if one.made_for
        }
        return [*self._choices, *sorted(made_for), *sorted(terms)]

    def of(self, settings: Settings, row: Row) -> Checkpoints:
        """Return the checkpoints that dub a row.

        Raises:
            WeightsError: One is not installed, or damaged.
            SettingsError: The row's language is to be recognised, or its texts are to be spoken, and cannot be.
        """
        if row.language == AUTO:
            _check_hearing(settings)
        rules = rules_of(row.speakers, settings)
        is_searched = needs_detector(rules, row.tracks)
        facts = RowFacts(
            needs_detector=is_searched,
            tells_apart=is_searched,
            seeks_speaker=listens(rules),
            has_portraits=bool(portraits(rules)),
            has_text=has_text(row.script, row.speakers),
            keeps_background=row.background == KEEP,
        )
        key = id(settings), facts, bool(row.diarisation)
        if key not in self._found or self._found[key][0] is not settings:
            self._found[key] = settings, self._to_dub(settings, facts, has_diarisation=bool(row.diarisation))
            if len(self._found) > _MOST_KNOWN:
                self._found.popitem(last=False)
        checkpoints = self._found[key][1]
        check_speech(row, settings, checkpoints)
        return checkpoints

    def _to_dub(self, settings: Settings, facts: RowFacts, *, has_diarisation: bool) -> Checkpoints:
        finder: Checkpoint | None = None
        if has_diarisation and facts.seeks_speaker and not self.for_role(ACTIVE_SPEAKER, settings):
            finder, facts = self._speaker_finder(settings), replace(facts, seeks_speaker=False)
        found = self._files((role for role in ROLES.values() if role.dubs and role.needed(settings, facts)), settings)
        if finder:
            found[ACTIVE_SPEAKER.name] = finder
        if facts.has_portraits and EMBEDDER.name not in found:  # which other rows can do without
            found[EMBEDDER.name] = self._get(Wanted("sface", EMBEDDER.networks))
        return Checkpoints(found)

    def _speaker_finder(self, settings: Settings) -> Checkpoint:
        """Return the network that finds the faces of a diarisation's names, which nothing else can.

        Raises:
            WeightsError: It is not installed.
            SettingsError: It is not to be used.
        """
        name = settings.faces.active_speaker
        if name == NOTHING:
            raise SettingsError(
                "no_active_speaker",
                "faces.active_speaker",
                got=f"is {name}, but a row has a diarisation file without faces for its names",
                do="Set it to auto, or write NAME=RULE into the row's faces",
            )
        return self._get(Wanted("lr_asd_talkset", ACTIVE_SPEAKER.networks))

    def for_evaluation(self, settings: Settings, row: Row) -> tuple[Checkpoints, dict[str, str]]:
        """Return the checkpoints that measure a row's video, and by figure why what is not installed cannot be told.

        Raises:
            SetupError: It is to be compared with a reference, and what does that is not installed.
            WeightsError: A checkpoint is damaged, or one without which nothing can be told is not installed.
        """
        if row.reference is not None:
            check_fidelity(row.where)
        facts = RowFacts(
            needs_detector=needs_detector(rules_of((), settings), row.tracks),
            is_evaluated=True,
            has_reference=row.reference is not None,
        )
        found: list[ModelRole[Any]] = []
        absent: dict[str, str] = {}
        for role in ROLES.values():
            if not role.evaluates or not role.needed(settings, facts):
                continue
            why = self._why_absent(role, settings) if role.figure else None
            if why:
                absent[role.figure] = why
            else:
                found.append(role)
        return Checkpoints(self._files(found, settings)), absent

    def _why_absent(self, role: ModelRole[Any], settings: Settings) -> str | None:
        """Return the reason why a role has no checkpoint: none is wanted, or one is not installed; None where it has.

        Where it is left open, the usual one is meant.
        """
        required = role.required(settings, self._machines)
        if not required.wanted and required.choice is None:
            return f"{role.setting} is {NOTHING}"
        wanted = required.wanted or (Wanted(role.networks[0], role.networks),)
        absent = (one.name for one in wanted if one.file is None and not self._registry.installed(one.name))
        name = next(absent, None)
        return name and f"{name} is not installed: run `lipwise-ray models pull {name}`"

    def _files(
        self, roles: Iterable[ModelRole[Any]], settings: Settings
    ) -> dict[str, Checkpoint | tuple[Checkpoint, ...]]:
        found: dict[str, Checkpoint | tuple[Checkpoint, ...]] = {}
        for role in roles:
            several = self.for_role(role, settings)
            if several:
                found[role.name] = several if role.several_files else several[0]
        return found

    def for_role(self, role: ModelRole[Any], settings: Settings) -> tuple[Checkpoint, ...]:
        """Return the checkpoints that settings ask for in a role, none where it is not wanted.

        Raises:
            WeightsError: One is not installed, or damaged.
        """
        required = role.required(settings, self._machines)
        if required.choice is not None:
            why = f" ({required.choice.why})" if required.choice.why else ""
            self._choices[f"{role.setting} = auto: {required.choice.name}{why}"] = None
        return tuple(self._get(one) for one in required.wanted)

    def _get(self, wanted: Wanted) -> Checkpoint:
        if wanted in self._unusable:
            raise self._unusable[wanted]
        if wanted not in self._known:
            try:
                self._known[wanted] = self._find(wanted)
            except LipwiseError as error:
                self._unusable[wanted] = error
                raise
        return self._known[wanted]

    def _find(self, wanted: Wanted) -> Checkpoint:
        usual = wanted.networks[0]
        if wanted.file is not None:
            return self._registry.own_file(whole_path(wanted.file), usual)
        network = self._registry.entry(wanted.name).network
        return self._registry.resolve(wanted.name, network if network in wanted.networks else usual)


def _check_hearing(settings: Settings) -> None:
    """Find out whether a row's language can be heard.

    Raises:
        SettingsError: It cannot.
    """
    if settings.asr.model is None:
        raise SettingsError(
            "no_asr_model",
            "asr.model",
            got=f"not set, but rows have the language {AUTO}",
            do="Name the folder of a Whisper model",
        )
    check_recogniser(Path(settings.asr.model))
