"""A task of a dead letter, rebuilt: from typed fields, with this machine's checkpoints and folders.

A state may lie where others can write. Its letters say which work failed; whose checkpoints and places are trusted they
do not say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lipwise_ray.errors import LipwiseError, StateError
from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.models.registry import Registry
from lipwise_ray.pipeline.dubbing.task_parts import JobPayload, RowPayload
from lipwise_ray.pipeline.flows.evaluation_parts import (
    ConcludePayload,
    ExaminePayload,
    MeasurePayload,
)
from lipwise_ray.pipeline.flows.task_kinds import (
    KINDS,
    RecognisePayload,
)
from lipwise_ray.pipeline.inputs.made import made_key
from lipwise_ray.pipeline.manifest.background import background_file
from lipwise_ray.scheduler.task import AnyKind
from lipwise_ray.settings.model import EngineSettings
from lipwise_ray.state.shapes import Letter
from lipwise_ray.storage.address import is_local
from lipwise_ray.storage.redact import GONE


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A task that can be done alone.

    Attributes:
        kind: Kind of the task.
        payload: Payload that its worker gets.
        places: Addresses that are read and written, each after its part in the job.
        foreign: Checkpoints by role that are not this machine's published ones.
    """

    kind: AnyKind
    payload: RowPayload
    places: tuple[tuple[str, str], ...]
    foreign: tuple[tuple[str, str], ...]


def rebuild(letter: Letter, registry: Registry) -> Rebuilt:
    """Return the task of a dead letter.

    Args:
        letter: The letter.
        registry: This machine's checkpoints: of the published ones its own are taken.

    Raises:
        StateError: The letter is not one that a run wrote, or secrets were cut from it.
    """
    task = letter.task
    try:
        kind = _kind_of(task, letter.kind)
        payload: RowPayload = kind.payload_of(letter.payload)
    except ValueError as error:
        what = str(error).splitlines()
        got = " ".join(line.strip() for line in what[1:3]) or what[0]
        raise StateError("bad_letter", f"dead letter of {task}", got=f"not as a run writes it: {got[:300]}") from error
    places = tuple(_places(payload))
    cut = [place for _, place in places if GONE in place and not is_local(place)]
    if cut:
        raise StateError(
            "secret_in_letter",
            f"dead letter of {task}",
            got=f"a secret was left out of {', '.join(cut)}, because none is kept",
            do="Run the submit again",
        )
    checkpoints, foreign = _of_here(payload.row.weights, registry)
    settings = payload.row.job.settings
    settings = settings.model_copy(update={"engine": EngineSettings(keep_segments=settings.engine.keep_segments)})
    row = replace(payload.row, job=replace(payload.row.job, settings=settings), weights=checkpoints)
    return Rebuilt(kind, replace(payload, row=row), places, foreign)


def _kind_of(task: str, name: str) -> AnyKind:
    """Return the kind of a task, as its name and its letter say.

    Raises:
        ValueError: They do not agree, or there is no such kind.
    """
    if name not in KINDS or not task.startswith(f"{name}:"):
        raise ValueError(f"{name} for {task}")
    return KINDS[name]


def _of_here(checkpoints: Checkpoints, registry: Registry) -> tuple[Checkpoints, tuple[tuple[str, str], ...]]:
    """Return this machine's checkpoints in place of those of the same bytes; and the others, by role and path."""
    found: dict[str, Checkpoint | tuple[Checkpoint, ...]] = {}
    foreign: list[tuple[str, str]] = []
    for role, theirs in checkpoints.by_role.items():
        several = checkpoints.all(role)
        ours = [_published(one, registry) for one in several]
        used = tuple(known or one for known, one in zip(ours, several, strict=True))
        found[role] = used if isinstance(theirs, tuple) else used[0]
        foreign += [(role, str(one.path)) for known, one in zip(ours, several, strict=True) if known is None]
    return Checkpoints(found), tuple(foreign)


def _published(checkpoint: Checkpoint, registry: Registry) -> Checkpoint | None:
    """Return this machine's own copy of a checkpoint, None where it has none of those bytes."""
    try:
        known = registry.resolve(checkpoint.name, checkpoint.network)
    except LipwiseError:
        return None
    return known if known.sha256 == checkpoint.sha256 else None


def _places(payload: RowPayload) -> Iterator[tuple[str, str]]:
    job = payload.row.job
    named = {
        "video": job.video,
        "audio": job.audio,
        "tracks": job.tracks,
        "diarisation": job.diarisation,
        "text": job.script.file if job.script else None,
        "background": background_file(job.background),
        "output": job.output_address,
    }
    if isinstance(payload, ExaminePayload | MeasurePayload | ConcludePayload):
        named["reference"] = payload.comparison.reference
    found = [*named.items(), *(("audio", sound.audio) for sound in (*job.speakers, *job.beside))]
    yield from ((name, place) for name, place in found if place and not made_key(place))
    portraits = [*payload.probed.portraits] if isinstance(payload, JobPayload) else []
    if isinstance(payload, RecognisePayload) and payload.portrait:
        portraits.append(payload.portrait[0])
    for address in portraits:
        yield "portrait", address
