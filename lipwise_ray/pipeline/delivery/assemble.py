"""The last step of a job: segments and sound to one verified file at its final address."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from lipwise_ray.errors import SegmentError
from lipwise_ray.media.edits import edits_of
from lipwise_ray.media.frames import FrameRecipe
from lipwise_ray.media.join import JoinedSound, SegmentFile, container_for, join
from lipwise_ray.media.language import container_language
from lipwise_ray.media.promise import promised
from lipwise_ray.media.side_packets import SidePackets
from lipwise_ray.media.side_streams import LeftBehind, SideStreams, side_streams
from lipwise_ray.media.soundtrack import add_soundtrack
from lipwise_ray.media.verify import verify
from lipwise_ray.models.checkpoints import Checkpoint
from lipwise_ray.pipeline.delivery.credentials import publish_side_car, sign_delivery
from lipwise_ray.pipeline.delivery.delivered_audio import DeliveredSound, prepare_sounds
from lipwise_ray.pipeline.delivery.mixed_sound import is_mixed
from lipwise_ray.pipeline.delivery.outputs import output_at
from lipwise_ray.pipeline.delivery.result_facts import (
    mask_by,
    notes,
    occluded,
    of_window,
    people_by,
    provenance,
    speakers_of_texts,
    speech_by,
    unfollowed,
    unmoved,
)
from lipwise_ray.pipeline.dubbing.identity import protocol_of
from lipwise_ray.pipeline.dubbing.job import KeptParts
from lipwise_ray.pipeline.dubbing.job_context import JobContext, read_plan
from lipwise_ray.pipeline.dubbing.labelled import label_record
from lipwise_ray.pipeline.dubbing.plan import Plan
from lipwise_ray.pipeline.dubbing.render_chunk import encode_spec
from lipwise_ray.pipeline.dubbing.shown_part import shown_chunks, shown_plan
from lipwise_ray.pipeline.dubbing.source_range import stretch_of
from lipwise_ray.pipeline.dubbing.task_parts import Attempts, JobPayload, Repairs
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.manifest.row_table import AUTO
from lipwise_ray.pipeline.quality.face_means import flicker_means, sharpness_means
from lipwise_ray.pipeline.quality.sync_scores import Sums, collect_scores, reduce_scores, score_records_id
from lipwise_ray.roles.judge import JUDGE
from lipwise_ray.state import layout
from lipwise_ray.state.attempts import jobs_over
from lipwise_ray.state.delivered_records import LeftBehindRecord, WatermarkRecord
from lipwise_ray.state.ids import PIPELINE_VERSION
from lipwise_ray.state.job_result import CheckpointsByRole, DubResult, SyncScores, VideoMeasures
from lipwise_ray.state.markers import ChunkMarker, drop_marker, markers_of
from lipwise_ray.state.mixed_record import MixedRecord
from lipwise_ray.state.shapes import read_typed, record_of, shaped
from lipwise_ray.state.store import Store, to_json
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.values import Json
from lipwise_ray.version import __version__

_SIDE_FAULTS = ("join", "side_streams")  # codes of errors that what goes along may have caused

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet


def publish(
    job: JobContext,
    scratch: Path,
    payload: JobPayload,
    recipe: FrameRecipe,
    *,
    unscored: Sequence[int],
    language: str | None,
    sound_key: str,
    history: Attempts,
) -> DubResult | Repairs:
    """Join, mux, verify and publish.

    Args:
        job: The job.
        scratch: Folder for temporary files.
        payload: Facts about it.
        recipe: Steps that prepared its frames.
        unscored: Chunks whose scoring was given up.
        language: Language that was heard, where the row asks for that.
        sound_key: Key under which its audio was prepared; empty where it has to be looked for.
        history: Records to be kept of the row's attempts.

    Returns:
        The job's result, or what has to be made again first.

    Raises:
        OutputError: The output's address cannot be written.
        SegmentError: The joined file does not hold what was planned.
        SettingsError: It has to be signed, and cannot be.
        TransientError: It has to be signed, and was not.
    """
    begin = time.perf_counter()
    probed = payload.probed
    gathered = _gather(job, payload, unscored)
    if isinstance(gathered, Repairs):
        return gathered
    plan, markers = shown_plan(job.spec.window, gathered.plan), gathered.markers
    output = output_at(job.spec.output_address, scratch)
    spec = encode_spec(job.spec.settings, job.spec.output, recipe, job.video, 0, plan)
    delivered = container_for(Path(job.spec.output))
    carries = {name for marker in markers for name in marker.carries}
    picture, lost = promised(job.video.info, recipe.canvas.orientation, spec, delivered, carries)
    prepared = prepare_sounds(job, scratch, probed, gathered.plan, sound_key)
    spoken = language if job.spec.language == AUTO else job.spec.language
    languages = [spoken, *(one.language for one in job.spec.beside)]
    sounds = [_joined(one, told, delivered) for one, told in zip(prepared, languages, strict=True)]
    chosen = _side_streams(job, plan, delivered, languages)
    with output.written(probed.job_id) as temporary:
        segments = [_segment(job, marker) for marker in markers]
        while True:
            side = SidePackets(chosen)
            try:
                join(
                    segments,
                    plan.timeline,
                    temporary,
                    tags=picture,
                    metadata={**chosen.tags, **provenance(payload)},
                    sounds=sounds,
                    rate=plan.rate,
                    side=side,
                )
                verified = verify(temporary, segments, plan.timeline, plan.audio_s, side, picture, len(sounds))
                break
            except SegmentError as error:
                # What only goes along costs nobody the video; where it is not known what of it, all of it stays.
                named = {part: got for part, got in side.broken.items() if part in chosen.parts}
                broken = named or dict.fromkeys(chosen.parts, error.got)
                if error.code not in _SIDE_FAULTS or not broken:
                    job.store.remove_all(
                        job.store.names(layout.soundtrack(probed.job_id))
                    )  # what is wrong may lie in it
                    raise
                chosen = chosen.without({part: f"the file could not hold it: {got}" for part, got in broken.items()})
        spoken_by = speakers_of_texts(job)
        signed = sign_delivery(job, scratch, payload, temporary, spoken, spoken_by)
        bytes_total, sha256 = temporary.stat().st_size, sha256_of(temporary)
        publish_side_car(job, scratch, probed.job_id, signed)
    sounds = (records.sound_of(job.store, part.sound_id, salvage=job.salvage) for part in plan.parts)
    told_by = people_by(job.spec, payload.row.weights, probed)
    result = DubResult(
        synthetic="lips",
        row_id=job.spec.row_id,
        job_id=probed.job_id,
        output=job.spec.output_address,
        bytes_total=bytes_total,
        sha256=sha256,
        seen=output.seen(),
        frames=verified.frames,
        video_s=verified.video_s,
        audio_s=verified.audio_s,
        counts=replace(plan.counts, frames_fitted=sum(marker.fitted for marker in markers)),
        chunks=len(plan.chunks),
        scanned=stretch_of(job).part,
        original_chunks=tuple(number for number, marker in enumerate(markers) if marker.original),
        render_s=gathered.render_s,
        stages_s=gathered.stages_s,
        sync=gathered.sync(job),
        flicker=flicker_means(gathered.markers),
        sharpness=sharpness_means(gathered.markers),
        left_behind=tuple(
            LeftBehindRecord(kind=one.kind, what=one.what, why=one.why)
            for one in (*lost, *chosen.left_behind, *side.lost)
        ),
        notes=(
            *unfollowed(job.spec, told_by),
            *of_window(job.spec.window),
            *unmoved(job.spec, plan.fitted),
            *notes(payload.row.weights, markers),
        ),
        speaking=plan.speaking,
        fitted=plan.fitted,
        occluded=occluded(job.spec.settings, payload.row.weights, markers),
        mask_by=mask_by(job.spec.settings, payload.row.weights),
        label=label_record(job.spec.settings.marking, gathered.plan.timeline, recipe.canvas),
        encoder=spec.codec,
        sound="copied" if prepared[0].plan.copy else prepared[0].plan.codec,
        heard=tuple(records.heard_record(one) for one in sounds if one is not None),
        mixed=read_typed(job.store, layout.mixed(probed.job_id), MixedRecord) if is_mixed(job.spec) else None,
        watermark=read_typed(job.store, layout.watermark(probed.job_id), WatermarkRecord) if job.watermark else None,
        speech_by=speech_by(job, payload),
        people_by=told_by,
        language=spoken,
        further_languages=tuple(one.language for one in job.spec.beside) or None,
        tags=job.spec.tags,
        weights=shaped(payload.row.weights.record(), CheckpointsByRole),
        identity=probed.identity,
        protocol=protocol_of(job.spec, payload.row.weights, probed.identity["tracks"]),
        version=__version__,
        pipeline=PIPELINE_VERSION,
        assemble_s=round(time.perf_counter() - begin, 3),
        attempts=history.attempts or None,
        spoken_by=spoken_by,
        c2pa=signed.record,
    )
    record_published(job.store, result, record_of(result), history.first_id, job.spec.kept)
    return result


def _joined(sound: DeliveredSound, language: str | None, container: str) -> JoinedSound:
    """Return audio that has been prepared, for the file into which it goes."""

    def add(output: OutputContainer) -> Iterator[Packet[Any]]:
        return add_soundtrack(output, sound.info, replace(sound.plan, copy=True))

    return JoinedSound(add, container_language(language, container) if language else None)


def _side_streams(job: JobContext, plan: Plan, container: str, languages: Sequence[str | None]) -> SideStreams:
    """Return the streams, attachments, chapters and tags of the source's container that go along."""
    index = job.video.index
    edits = () if job.video.is_still else edits_of(index, plan.source, plan.timeline)
    chosen = side_streams(job.video.info, container, job.spec.settings.encode.keep, edits, index.rate)
    untold = tuple(
        LeftBehind("language", language, f"{container} has no code for it")
        for language in languages
        if language and container_language(language, container) is None
    )
    return replace(chosen, left_behind=(*chosen.left_behind, *untold))


def record_published(store: Store, result: DubResult, record: Json, first_id: str | None, kept: KeptParts) -> None:
    """Record what was published, and remove what led to it; of several attempts all.

    Args:
        store: The state.
        result: The result.
        record: The same as JSON values, as it is written.
        first_id: Job of the row's own settings, under which a later run looks; None where that is the result's own.
        kept: What stays in the state.
    """
    # Under the row's own settings last: that is where a later run looks.
    for job_id in dict.fromkeys((result.job_id, first_id or result.job_id)):
        store.write(layout.result(job_id), to_json(record))
    sweep_attempts(store, result, kept)


def measure_rendered(job: JobContext, payload: JobPayload, unscored: Sequence[int]) -> VideoMeasures | Repairs:
    """Return the figures of a rendered video before it is published, for the gate.

    Args:
        job: The job.
        payload: Facts about it.
        unscored: Chunks whose scoring was given up.
    """
    gathered = _gather(job, payload, unscored)
    if isinstance(gathered, Repairs):
        return gathered
    plan = gathered.plan
    return VideoMeasures(
        counts=plan.counts,
        sync=gathered.sync(job),
        flicker=flicker_means(gathered.markers),
        sharpness=sharpness_means(gathered.markers),
        video_s=round(float(plan.timeline.duration_s), 6),
        audio_s=round(float(plan.audio_s), 6),
        render_s=gathered.render_s,
    )


@dataclass(frozen=True, slots=True)
class _Gathered:
    """All that a job's chunks left."""

    plan: Plan
    markers: list[ChunkMarker]
    scorer: Checkpoint | None
    scores: Sums | None
    unscored: list[int]

    @property
    def render_s(self) -> float:
        """Busy seconds of all chunks."""
        return round(sum(marker.seconds for marker in self.markers), 3)

    @property
    def stages_s(self) -> dict[str, float]:
        """Busy seconds by stage."""
        stages: dict[str, float] = {}
        for marker in self.markers:
            for name, seconds in marker.stages.items():
                stages[name] = round(stages.get(name, 0.0) + seconds, 3)
        return stages

    def sync(self, job: JobContext) -> SyncScores | None:
        """Return the sync scores, None where nobody scores."""
        if self.scores is None:
            return None
        return reduce_scores(job, self.scorer, self.plan, self.scores, self.unscored)


def _gather(job: JobContext, payload: JobPayload, unscored: Sequence[int]) -> _Gathered | Repairs:
    """Return the markers, segments and scores of all chunks, or the chunks that have to be made again."""
    job_id = payload.probed.job_id
    plan = read_plan(job.store, job_id)
    markers, missing = _markers(job, job_id, plan)
    if missing:
        return Repairs(render=tuple(missing))
    scorer, without = payload.row.weights.one(JUDGE.name), list(unscored)
    scores = None
    if scorer:
        records_id = score_records_id(payload.row, payload.choice)
        scores = collect_scores(job.store, job_id, records_id, markers, without)
    if isinstance(scores, list):
        return Repairs(score=tuple(scores))
    return _Gathered(plan, markers, scorer, scores, without)


def sweep_segments(store: Store, job_id: str, kept: KeptParts) -> None:
    """Remove the segments and the sounds of a published job, those of attempts that never committed too.

    Args:
        store: The state.
        job_id: The job.
        kept: What stays.
    """
    if kept == "everything":
        return
    folders = [layout.soundtrack(job_id), layout.mix(job_id), layout.all_stretched(job_id), layout.scores(job_id)]
    folders += [layout.segments(job_id)] if kept == "nothing" else []
    gone = tuple(f"{folder}/" for folder in folders)
    store.remove_all([key for key in store.names(layout.job(job_id)) if key.startswith(gone)])


def sweep_attempts(store: Store, result: DubResult, kept: KeptParts) -> None:
    """Do the same for a published job and the attempts at its row that are over.

    Args:
        store: The state.
        result: The published job's, with its attempts.
        kept: What stays of it; of the others everything or nothing.
    """
    sweep_segments(store, result.job_id, kept)
    for job_id in {*jobs_over([(one.verdict, one.job_id) for one in result.attempts or ()])} - {result.job_id}:
        sweep_segments(store, job_id, kept if kept == "everything" else "nothing")


def _markers(job: JobContext, job_id: str, plan: Plan) -> tuple[list[ChunkMarker], list[int]]:
    """Return the chunks' markers, and the chunks whose segment is not what its marker says."""
    markers: dict[int, ChunkMarker] = {}
    missing: list[int] = []
    numbers = shown_chunks(job.spec.window, plan)
    for number, marker in zip(numbers, markers_of(job.store, job_id, numbers), strict=True):
        span = plan.chunks[number]
        path = job.store.fetch(marker.segment) if marker else None
        if marker is None or path is None or marker.frames != len(span) or sha256_of(path) != marker.sha256:
            missing.append(number)
        else:
            markers[number] = marker
    missing = sorted([*missing, *_unlike(markers)])
    for number in missing:
        drop_marker(job.store, job_id, number)
    return list(markers.values()), missing


def _unlike(markers: dict[int, ChunkMarker]) -> list[int]:
    """Return the chunks that cannot be joined with the others: the library was changed while the job stood still.

    Those of the present library stay, for it will make the missing ones.
    """
    present = [marker for marker in markers.values() if marker.made_by == av.__version__] or [*markers.values()]
    common = Counter(marker.header for marker in present).most_common(1)
    return [number for number, marker in markers.items() if marker.header != common[0][0]]


def _segment(job: JobContext, marker: ChunkMarker) -> SegmentFile:
    path = job.store.fetch(marker.segment)
    if path is None:
        raise SegmentError(
            "segment_gone", marker.segment, got="missing from the state", do="Run the same command again"
        )
    return SegmentFile(path, marker.frames, marker.reorder, marker.crc)
