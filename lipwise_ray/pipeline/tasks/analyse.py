"""Handlers that analyse a stretch of the source: face detection, active speaker detection, face embeddings."""

from __future__ import annotations

from lipwise_ray.errors import MediaError, SegmentError, StorageError
from lipwise_ray.faces.people import find_people
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.pipeline.analysis.active_speaker import (
    LISTENED_PAUSE_S,
    FaceFootage,
    OriginalAudio,
    agreements,
    listen,
)
from lipwise_ray.pipeline.analysis.face_detection import scan
from lipwise_ray.pipeline.analysis.face_recognition import embed_portrait, embed_tracks
from lipwise_ray.pipeline.analysis.speaker_activity import PART_FRAMES, SpeakerActivity, tracks_to_watch, watch
from lipwise_ray.pipeline.dubbing.planner import recipe_of
from lipwise_ray.pipeline.dubbing.task_parts import NumberedSpan
from lipwise_ray.pipeline.flows.task_kinds import (
    LISTEN,
    RECOGNISE,
    SCAN,
    ListenPayload,
    ListenResult,
    RecognisePayload,
    RecogniseResult,
    ScanPayload,
    ScanResult,
)
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.pipeline.tasks.handlers import handles
from lipwise_ray.roles.active_speaker import ACTIVE_SPEAKER
from lipwise_ray.roles.detector import DETECTOR
from lipwise_ray.roles.embedder import EMBEDDER
from lipwise_ray.roles.expert import EXPERT
from lipwise_ray.scheduler.task import Hints
from lipwise_ray.settings.model import DetectSettings
from lipwise_ray.state import layout
from lipwise_ray.storage.address import shown


@handles(SCAN)
def find_faces(context: TaskContext, payload: ScanPayload, hints: Hints) -> ScanResult:
    """Find faces in a chunk, and how much its images change."""
    probed = payload.probed
    key = layout.scan_chunk(probed.video_id, probed.detector_id, payload.piece.chunk)
    if not hints.is_surely_missing and context.store.size(key) is not None:
        return ScanResult()
    job = context.open(payload)
    detections = scan(
        job.video.info,
        job.video.index,
        recipe_of(job.spec.settings, job.video),
        payload.piece.span,
        context.models.needed(DETECTOR, context.models_for(payload, hints)),
        _with_smaller_batches(job.spec.settings.detect, hints.batch_halvings),
        threads=context.threads.decoder,
        salvage=job.salvage,
        on_frame=context.on_frame,
    )
    records.keep_record(context.store, context.scratch, key, detections.save)
    return ScanResult()


@handles(LISTEN)
def compare_voices(context: TaskContext, payload: ListenPayload, hints: Hints) -> ListenResult:
    """Compare the lips of everybody in a chunk with the original audio."""
    probed = payload.probed
    assert probed.voices_id is not None  # a speaker is sought
    key = layout.voices(probed.video_id, probed.voices_id, payload.piece.chunk)
    if not hints.is_surely_missing and context.store.size(key) is not None:
        return ListenResult()
    job = context.open(payload)
    own = context.planner.own_sound(job)
    if own is None:
        raise StorageError(
            "no_sound", key, got="the video's audio is missing from the state", do="Run the same command again"
        )
    try:
        tracks = context.planner.tracks(job, probed)
    except SegmentError as error:
        return ListenResult(missing=str(error))
    info, index, models = job.video.info, job.video.index, context.models
    request = context.models_for(payload, hints)
    mel, cepstra = (
        records.open_columns(context.store, name) for name in (own.mel_key, layout.cepstra(own.id, salvage=job.salvage))
    )
    voiced = records.voices(context.store, own.id, LISTENED_PAUSE_S, salvage=job.salvage, speech=job.speech)
    audio = OriginalAudio(mel, voiced, records.lead_s(info))
    recipe = recipe_of(job.spec.settings, job.video)
    with VideoReader(
        info.path,
        info.stream_index,
        index,
        threads=context.threads.decoder,
        salvage=job.salvage,
        deinterlace=recipe.deinterlace,
    ) as reader:
        expert = models.of(EXPERT, request)
        watcher = models.of(ACTIVE_SPEAKER, request)
        people = find_people(tracks, job.spec.faces.min_confidence)
        # Of a diarised audio somebody may be heard who is not seen: those who are alone are looked at, too.
        numbers = tracks_to_watch(people, everybody=watcher is not None and job.spec.diarisation is not None)
        footage = FaceFootage(reader, index, recipe, payload.piece.span, tracks, numbers, context.on_frame)
        if watcher:
            seen = watch(footage, audio, cepstra, watcher)
            heard = agreements(footage, audio, expert, PART_FRAMES) if expert else ()
            found = SpeakerActivity.of_scores(seen, heard, expert.offsets if expert else 1)
        else:
            assert expert is not None  # one of the two is there
            found = listen(footage, audio, expert)
    records.keep_record(context.store, context.scratch, key, found.save)
    return ListenResult()


@handles(RECOGNISE)
def embed_faces(context: TaskContext, payload: RecognisePayload, hints: Hints) -> RecogniseResult:
    """Embed a few faces of every track in a chunk, or those of a portrait."""
    looks_id = payload.probed.looks_id
    assert looks_id is not None  # people are told apart by their faces
    if payload.piece is not None:
        return _embed_tracks(context, payload, hints, payload.piece, looks_id)
    assert payload.portrait is not None  # it is one of the two
    _embed_portrait(context, payload, hints, *payload.portrait, looks_id)
    return RecogniseResult()


def _embed_tracks(
    context: TaskContext, payload: RecognisePayload, hints: Hints, piece: NumberedSpan, looks_id: str
) -> RecogniseResult:
    key = layout.face_embeddings(payload.probed.video_id, looks_id, piece.chunk)
    if not hints.is_surely_missing and context.store.size(key) is not None:
        return RecogniseResult()
    job = context.open(payload)
    try:
        tracks = context.planner.tracks(job, payload.probed)
    except SegmentError as error:
        return RecogniseResult(missing=str(error))
    embeddings = embed_tracks(
        job.video.info,
        job.video.index,
        recipe_of(job.spec.settings, job.video),
        piece.span,
        tracks,
        context.models.needed(EMBEDDER, context.models_for(payload, hints)),
        threads=context.threads.decoder,
        salvage=job.salvage,
        on_frame=context.on_frame,
    )
    records.keep_record(context.store, context.scratch, key, embeddings.save)
    return RecogniseResult()


def _embed_portrait(
    context: TaskContext, payload: RecognisePayload, hints: Hints, address: str, image_id: str, looks_id: str
) -> None:
    settings, request = payload.spec.settings, context.models_for(payload, hints)
    file = context.media.local(address, image_id)
    try:
        image = records.open_video(
            context.store, context.scratch, file, image_id, salvage=False, limits=settings.limits
        )
    except MediaError as error:  # what helps a row's video is no help here
        do = "Take another image for `faces = like:IMAGE`"
        raise MediaError(error.code, shown(address), got=error.happened, do=do) from error
    embeddings = embed_portrait(
        image.info,
        image.index,
        context.models.needed(DETECTOR, request),
        context.models.needed(EMBEDDER, request),
        settings.detect,
        shown(address),
    )
    records.keep_record(context.store, context.scratch, layout.portrait(image_id, looks_id), embeddings.save)


def _with_smaller_batches(detect: DetectSettings, halvings: int) -> DetectSettings:
    """Return the detection settings with the batch halved so often, for want of memory."""
    return detect.model_copy(update={"batch_frames": max(1, detect.batch_frames >> halvings)})
