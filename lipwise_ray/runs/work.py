"""Work on the rows of a manifest: they are dubbed, or evaluated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from lipwise_ray.credentials.signer import check_signing, is_installed, signer_of
from lipwise_ray.errors import FaceError, LipwiseError, OutputError, SettingsError
from lipwise_ray.faces.select import LIKE, SPEAKING, parse_selection_rule
from lipwise_ray.media.join import codecs_for, container_for
from lipwise_ray.models.checkpoints import Checkpoints
from lipwise_ray.pipeline.dubbing.background import check_mixable
from lipwise_ray.pipeline.dubbing.capabilities import RenderCapabilities, choose
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.labelled import check_label
from lipwise_ray.pipeline.dubbing.task_parts import ReferencePart, RowPart
from lipwise_ray.pipeline.dubbing.watermarked import check_markable
from lipwise_ray.pipeline.dubbing.window import OutputWindow
from lipwise_ray.pipeline.flows.attempts import Attempt, AttemptsFlow
from lipwise_ray.pipeline.flows.dub import RowFlow
from lipwise_ray.pipeline.flows.evaluate import EvaluationFlow
from lipwise_ray.pipeline.manifest.row_table import Row
from lipwise_ray.runs.model_requirements import ModelRequirements
from lipwise_ray.runs.settings_source import further_attempts
from lipwise_ray.scheduler.flow import Flow
from lipwise_ray.settings.marking import MarkingSettings
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.job_result import RowFailure
from lipwise_ray.storage.address import is_within, normal


@dataclass(frozen=True, slots=True)
class Workers:
    """Capabilities that render workers have reported; ``are_all`` when no other is about to report."""

    capabilities: list[RenderCapabilities]
    are_all: bool


NOBODY_YET = Workers([], are_all=False)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Facts for all tasks of a run: the device of its render workers, and whether finished outputs are read again."""

    device: str
    verify: bool = False


class Work(Protocol):
    """Work that is done with the rows of a manifest."""

    @property
    def out(self) -> str:
        """Address that results go under."""
        ...

    def checkpoints(self, requirements: ModelRequirements, settings: Settings, row: Row) -> Checkpoints:
        """Return a row's checkpoints.

        Raises:
            LipwiseError: The row cannot be begun.
        """
        ...

    def flow(
        self,
        row: Row,
        settings: Settings,
        requirements: ModelRequirements,
        run: RunFacts,
        admission_round: int,
        workers: Workers = NOBODY_YET,
    ) -> Flow:
        """Return the flow of a row.

        Args:
            row: The row.
            settings: Its settings.
            requirements: Finds its checkpoints.
            run: What its tasks are told of the run.
            admission_round: The row's; lower goes first.
            workers: What they can do.

        Raises:
            LipwiseError: The row cannot be begun.
        """
        ...

    def part(self, row: Row, settings: Settings, checkpoints: Checkpoints, run: RunFacts) -> RowPart | None:
        """Return the part that decides a row's outcome, by which a later run knows it again; None where none shall."""
        ...


@dataclass(slots=True)
class Dubbing:
    """Rows are dubbed.

    Attributes:
        out: Outputs go under this folder or prefix.
        state: Where the state is; no output may lie in it.
        warn: Is told of further attempts that cannot be made, and of what workers do without.
        window: Part of each output that is made; None for all of it.
    """

    out: str
    state: str
    warn: Callable[[str], None] = print
    window: OutputWindow | None = None
    _told: set[str] = field(default_factory=set[str])
    _signers: set[tuple[str | None, str | None]] = field(default_factory=set[tuple["str | None", "str | None"]])

    def __post_init__(self) -> None:
        self.out, self.state = normal(self.out), normal(self.state)

    def checkpoints(self, requirements: ModelRequirements, settings: Settings, row: Row) -> Checkpoints:
        """Return the checkpoints that dub a row, once its output can be signed where it has to be."""
        check_signing(settings.marking)
        self._tell_of_signing(settings.marking)
        return requirements.of(settings, row)

    def flow(
        self,
        row: Row,
        settings: Settings,
        requirements: ModelRequirements,
        run: RunFacts,
        admission_round: int,
        workers: Workers = NOBODY_YET,
    ) -> Flow:
        """Return the flow that dubs a row."""
        codecs_for(settings.encode.codecs, container_for(Path(row.output)))
        check_mixable(settings, row.background)
        check_label(settings.marking)
        check_markable(settings)
        output = normal(f"{self.out}/{row.output}")
        if not output.startswith(f"{self.out}/"):  # by way of a link
            raise OutputError("output_escapes", row.where, got=f"{output} leads out of {self.out}, by way of a link")
        if is_within(output, self.state):
            do = "Change --out or --state"
            raise OutputError("output_in_state", row.where, got=f"{output} lies in the state {self.state}", do=do)

        for problem in (one.runtime_problem for one in workers.capabilities if one.runtime_problem):
            self._tell(f"{problem} Networks are computed by torch.")

        def attempt(number: int, attempt_settings: Settings, *, is_held: bool) -> RowFlow:
            checkpoints, device = self.checkpoints(requirements, attempt_settings, row), run.device
            ways = choose(
                attempt_settings, checkpoints, row.output, device, workers.capabilities, are_all=workers.are_all
            )
            base = RowPart(
                job=replace(_spec(row, attempt_settings, output), window=self.window),
                weights=checkpoints,
                device=device,
                choices=ways.possible,
                known_choices=ways.known,
                attempt=number if is_held else None,
                verify=run.verify,
            )
            return RowFlow(
                row=row.number,
                priority=row.priority,
                admission_round=admission_round,
                tenant=row.tenant,
                base=base,
                gate=settings.gate,
                attempt=number,
                is_held=is_held,
                shows_originals=number == 0 and settings.engine.on_quarantine == "passthrough",
            )

        changes = settings.gate.retry
        first = attempt(0, settings, is_held=bool(changes))
        if not changes:
            return first
        attempts = [Attempt({}, first)]
        for number, (changed, attempt_settings) in enumerate(zip(changes, further_attempts(settings), strict=True), 1):
            try:
                attempts.append(Attempt(changed, attempt(number, attempt_settings, is_held=True)))
            except LipwiseError as error:
                self._tell(f"gate.retry {number}: {error}")
                attempts.append(Attempt(changed, None, RowFailure(code=error.code, message=str(error))))
        return AttemptsFlow(row.tenant, settings.gate, attempts)

    def part(self, row: Row, settings: Settings, checkpoints: Checkpoints, run: RunFacts) -> RowPart:
        """Return the part that decides the outcome of a row; its output is where its address leads by now."""
        return RowPart(_spec(row, settings, f"{self.out}/{row.output}"), checkpoints, run.device)

    def _tell_of_signing(self, marking: MarkingSettings) -> None:
        """Tell once of a key that is not safe, or why nothing is signed although what signs is installed."""
        signer = (marking.folder, marking.key)
        if marking.c2pa == "off" or signer in self._signers:
            return
        self._signers.add(signer)
        if self.window is not None or not is_installed():
            return
        try:
            if warning := signer_of(marking).warning:
                self._tell(warning)
        except SettingsError as error:
            self._tell(f"marking.c2pa = auto: outputs are not signed: {error}")

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self.warn(text)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Rows are evaluated; their figures are written to ``out``."""

    out: str

    def checkpoints(self, requirements: ModelRequirements, settings: Settings, row: Row) -> Checkpoints:
        """Return the checkpoints that measure a row's video."""
        return requirements.for_evaluation(settings, row)[0]

    def flow(
        self,
        row: Row,
        settings: Settings,
        requirements: ModelRequirements,
        run: RunFacts,
        admission_round: int,
        workers: Workers = NOBODY_YET,
    ) -> Flow:
        """Return the flow that evaluates a row."""
        del workers  # nothing is encoded
        rule = parse_selection_rule(settings.faces.select)
        if rule.kind in (LIKE, SPEAKING):
            raise FaceError(
                "evaluated_faces",
                row.where,
                got=f"the rule {rule.text} cannot be used to evaluate",
                do="Choose by size, place or number, for example --set faces.select=largest",
            )
        checkpoints, absent = requirements.for_evaluation(settings, row)
        return EvaluationFlow(
            row=row.number,
            priority=row.priority,
            admission_round=admission_round,
            tenant=row.tenant,
            base=RowPart(_spec(row, settings, ""), checkpoints, run.device),
            gate=settings.gate,
            comparison=ReferencePart(row.reference, absent, start_s=row.reference_start_s),
        )

    def part(self, row: Row, settings: Settings, checkpoints: Checkpoints, run: RunFacts) -> None:
        """Return None: each run evaluates anew."""
        del row, settings, checkpoints, run


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
        diarisation=row.diarisation,
        beside=row.beside,
        script=row.script,
        background=row.background,
    )
