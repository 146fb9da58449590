"""Checks of new videos before they are submitted: can they be done, how long do they take, what do they cost?"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from pathlib import Path

from lipwise_ray.errors import InputError, LipwiseError, ManifestError, SettingsError, WeightsError
from lipwise_ray.pipeline.manifest.row_table import Row
from lipwise_ray.runs.costs import Prices
from lipwise_ray.runs.estimate import Speeds
from lipwise_ray.runs.model_requirements import ModelRequirements
from lipwise_ray.runs.run_inputs import registry_of
from lipwise_ray.runs.speech_check import check_speech
from lipwise_ray.service.job_record import JobDraft
from lipwise_ray.service.row_reader import ClientPolicy, RowReader
from lipwise_ray.service.service import Service
from lipwise_ray.service.upload_reading import with_uploads

_COLUMN = re.compile(r'column "([^"]*)"')
_FIELDS = ("video", "audio", "text", "voice", "language", "faces", "preset", "name", "settings")
_OF_VOICES = frozenset({"no_tts", "tts_voice", "tts_language"})
_OF_THE_START = "--at: "
"""As a preview's start is called where there are no fields."""

_SOME_ID = "new"


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """A problem, the field that it belongs to (empty for none), and what it says."""

    field: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPlan:
    """Plan of a new video.

    Attributes:
        frames: Frames of the output.
        seconds: Length of the output.
        least_s, most_s: Time of one worker, at best and at worst.
        is_assumed: Nothing was measured here yet: the speeds are assumed.
        costs: Costs on each machine of the price list, in words.
    """

    frames: int
    seconds: float
    least_s: float
    most_s: float
    is_assumed: bool
    costs: tuple[str, ...]


class NewChecker:
    """Checks drafts as they will be checked when they are done; safe to call from several threads.

    Args:
        service: The queue.
        prices: What machines cost, or None.
        models: Folder of pulled checkpoints; None for the usual one.
    """

    def __init__(self, service: Service, prices: Prices | None, models: Path | None) -> None:
        self._source = service.source
        self._with_uploads = with_uploads(service.source, str(service.uploads))
        self._state = service.store.address
        self._prices = prices
        policy = ClientPolicy.of(service.settings.paths, str(service.uploads))
        self._reader = RowReader(service.source, policy, service.out)
        self._requirements = ModelRequirements(registry_of(service.settings, models), gpu=False)
        self._alone = threading.Lock()
        self._estimate = service.side_work.estimate

    def problems(self, draft: JobDraft) -> list[LipwiseError]:
        """Return all reasons for which a draft cannot be done here, those of its columns before those of its means."""
        try:
            found = self._reader.checked(self._reader.columns_of(draft, _SOME_ID))
            if found.row is not None:
                self._check_means(found.row)
        except LipwiseError as error:
            return [error]
        return [*found.problems]

    def _check_means(self, row: Row) -> None:
        """Check that the networks, the settings and the voice are there that a row needs."""
        settings = self._source.for_row(row)
        with self._alone:
            check_speech(row, settings, self._requirements.of(settings, row))

    def plan(self, draft: JobDraft) -> NewPlan:
        """Return the plan of a draft that has no problems, by its files.

        Raises:
            ManifestError: A column breaks a rule by now.
            InputError: A file cannot be used, or an address may not be asked for.
            TransientError: Others are being made already, or a store refused.
        """
        row = self._reader.row(self._reader.columns_of(draft, _SOME_ID))
        found = self._estimate(row, self._with_uploads.for_row(row))
        speeds = Speeds.measured(self._state)
        scan_s = found.scan_frames / speeds.scan
        least_s, most_s = found.frames / speeds.fastest + scan_s, found.frames / speeds.slowest + scan_s
        return NewPlan(
            frames=found.frames,
            seconds=round(found.seconds, 2),
            least_s=round(least_s, 1),
            most_s=round(most_s, 1),
            is_assumed=not speeds.jobs,
            costs=tuple(self._prices.lines(least_s, most_s)) if self._prices else (),
        )


def field_problem(error: LipwiseError) -> FieldProblem:
    """Return an error as a problem of the field that it belongs to."""
    column = _COLUMN.search(error.where)
    if isinstance(error, InputError) and error.where in _FIELDS:
        return FieldProblem(error.where, _sentence(error))
    if column is not None:
        name = column[1]
        return FieldProblem(name if name in _FIELDS else "settings", _sentence(error, "" if name in _FIELDS else name))
    if (text := str(error)).startswith(_OF_THE_START):
        return FieldProblem("at", text.removeprefix(_OF_THE_START))
    if error.code in _OF_VOICES:
        return FieldProblem("voice", str(error))
    if isinstance(error, SettingsError | WeightsError):
        return FieldProblem("settings", str(error))
    field = error.code.removeprefix("row_") if isinstance(error, ManifestError) else ""
    return FieldProblem(field if field in _FIELDS else "", str(error))


def _sentence(error: LipwiseError, name: str = "") -> str:
    text = str(type(error)(error.code, name, error.must, error.got, error.do))
    return text[:1].upper() + text[1:] if not name else text
