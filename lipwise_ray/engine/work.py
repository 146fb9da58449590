"""What can be done with the rows of a manifest: they are dubbed, or evaluated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lipwise_ray.dubbing.abilities import Abilities, choose
from lipwise_ray.dubbing.attempts import Attempt, AttemptsFlow
from lipwise_ray.dubbing.context import JobSpec
from lipwise_ray.dubbing.evaluation import EvaluationFlow
from lipwise_ray.dubbing.flow import Flow, RowFlow
from lipwise_ray.dubbing.row_table import Row
from lipwise_ray.engine.sources import WeightsTable, further_attempts
from lipwise_ray.errors import FaceError, LipwiseError, OutputError
from lipwise_ray.faces.select import LIKE, SPEAKING, parse_selection
from lipwise_ray.media.join import codecs_for, container_for
from lipwise_ray.settings import Settings
from lipwise_ray.storage.address import is_within, normal
from lipwise_ray.values import Json


@dataclass(frozen=True, slots=True)
class Workers:
    """What render workers have told they can do; ``are_all`` when no other is about to tell."""

    abilities: list[Abilities]
    are_all: bool


NOBODY_YET = Workers([], are_all=False)


class Work(Protocol):
    """What is done with the rows of a manifest."""

    @property
    def out(self) -> str:
        """Where results go."""
        ...

    def needs(self, weights: WeightsTable, settings: Settings, row: Row) -> Json:
        """Return what is to be known of a row's checkpoints: ``weights``, and whatever goes with them.

        Raises:
            LipwiseError: The row cannot be begun.
        """
        ...

    def flow(
        self, row: Row, settings: Settings, weights: WeightsTable, rest: Json, turn: int, workers: Workers = NOBODY_YET
    ) -> Flow:
        """Return what is to be done for a row.

        Args:
            row: The row.
            settings: Its settings.
            weights: Finds its checkpoints.
            rest: What its tasks are told besides: the scratch folder, the device.
            turn: The row's; lower goes first.
            workers: What they can do.

        Raises:
            LipwiseError: The row cannot be begun.
        """
        ...


@dataclass(frozen=True, slots=True)
class Dubbing:
    """Rows are dubbed.

    Attributes:
        out: Outputs go under this folder or prefix.
        state: Where the state is; no output may lie in it.
        warn: Is told of further attempts that cannot be made.
    """

    out: str
    state: str
    warn: Callable[[str], None] = print
    _told: set[str] = field(default_factory=set[str])

    def needs(self, weights: WeightsTable, settings: Settings, row: Row) -> Json:
        """Return the weights that dub a row."""
        return {"weights": weights.of(settings, row)}

    def flow(
        self, row: Row, settings: Settings, weights: WeightsTable, rest: Json, turn: int, workers: Workers = NOBODY_YET
    ) -> Flow:
        """Return what dubs a row."""
        codecs_for(settings.encode.codecs, container_for(Path(row.output)))
        output = normal(f"{self.out}/{row.output}")
        if not output.startswith(f"{self.out}/"):  # by way of a link
            raise OutputError("output_escapes", row.where, f"must stay under {self.out}", output)
        if is_within(output, self.state):
            do = "Change --out or --state"
            raise OutputError("output_in_state", row.where, f"must not lie in the state {self.state}", output, do)

        def attempt(number: int, told: Settings, *, is_held: bool) -> RowFlow:
            needs = self.needs(weights, told, row)
            ways = choose(
                told,
                needs["weights"],
                row.output,
                rest.get("device", "cpu"),
                workers.abilities,
                are_all=workers.are_all,
            )
            base = {"job": _spec(row, told, output).record(), **needs, **rest, **ways.record()}
            base |= {"attempt": number} if is_held else {}
            return RowFlow(
                row.line, row.priority, turn, row.share, base, settings.gate, attempt=number, is_held=is_held
            )

        changes = settings.gate.retry
        first = attempt(0, settings, is_held=bool(changes))
        if not changes:
            return first
        attempts = [Attempt({}, first)]
        for number, (changed, told) in enumerate(zip(changes, further_attempts(settings), strict=True), 1):
            try:
                attempts.append(Attempt(changed, attempt(number, told, is_held=True)))
            except LipwiseError as error:
                if (text := f"gate.retry {number}: {error}") not in self._told:
                    self._told.add(text)
                    self.warn(text)
                attempts.append(Attempt(changed, None, {"code": error.code, "message": str(error)}))
        return AttemptsFlow(row.share, settings.gate, attempts)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Rows are evaluated; their figures are written to ``out``."""

    out: str

    def needs(self, weights: WeightsTable, settings: Settings, row: Row) -> Json:
        """Return the weights that measure a row's video, and what cannot be told for want of others."""
        found, absent = weights.for_evaluation(settings, row)
        return {"weights": found, "absent": absent, "reference": row.reference}

    def flow(
        self, row: Row, settings: Settings, weights: WeightsTable, rest: Json, turn: int, workers: Workers = NOBODY_YET
    ) -> Flow:
        """Return what evaluates a row."""
        del workers  # nothing is encoded
        rule = parse_selection(settings.faces.select)
        if rule.kind in (LIKE, SPEAKING):
            raise FaceError(
                "evaluated_faces",
                row.where,
                "faces must be chosen by size, place or number to be evaluated",
                rule.text,
                "For example --set faces.select=largest",
            )
        base = {"job": _spec(row, settings, "").record(), **self.needs(weights, settings, row), **rest}
        return EvaluationFlow(row.line, row.priority, turn, row.share, base, settings.gate)


def _spec(row: Row, settings: Settings, output: str) -> JobSpec:
    return JobSpec(
        row_id=row.id,
        video=row.video,
        audio=row.audio,
        output=row.output,
        output_address=output,
        tracks=row.tracks,
        start_s=row.start_s,
        end_s=row.end_s,
        language=row.language,
        tags=row.tags,
        settings=settings,
        speakers=row.speakers,
    )
