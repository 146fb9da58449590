"""Evaluating a finished video in its worker: how its lips go with its sound, and how like it is to another one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

import numpy as np

from lipwise_ray.errors import SegmentError
from lipwise_ray.faces.people import find_people
from lipwise_ray.faces.select import BOX, fixed_box, select_tracks
from lipwise_ray.metrics.lse import SHIFTS, reduce
from lipwise_ray.models.checkpoints import Checkpoints
from lipwise_ray.pipeline.analysis.crops import resampled
from lipwise_ray.pipeline.dubbing.identity import detector_id_of, evaluated_with, least_confidence, protocol_of
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.plan import chunk_frames
from lipwise_ray.pipeline.dubbing.planner import recipe_of
from lipwise_ray.pipeline.dubbing.task_parts import Identity, Probed, ReferencePart
from lipwise_ray.pipeline.flows.evaluation_parts import (
    ConcludePayload,
    ConcludeResult,
    ExaminePayload,
    ExamineResult,
    MeasurePayload,
    MeasureResult,
    ToMeasure,
)
from lipwise_ray.pipeline.flows.task_kinds import (
    CONCLUDE,
    EXAMINE,
    MEASURE,
)
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.inputs.resolver import Media
from lipwise_ray.pipeline.manifest.speakers import detects, rules_of
from lipwise_ray.pipeline.quality.evaluation_sums import (
    NO_FEATURES,
    Measured,
    Pairing,
    Totals,
    fidelity_of,
    flicker_of,
    sharpness_of,
)
from lipwise_ray.pipeline.quality.lag_search import PairedVideo, search_lag
from lipwise_ray.pipeline.quality.lip_windows import AudioFeatures, Faces, LipWindows, compare_lips, frames_shown
from lipwise_ray.pipeline.quality.reference_comparison import Reference, compare_pictures
from lipwise_ray.pipeline.quality.score_chunk import as_jpeg
from lipwise_ray.pipeline.quality.size_fit import SizeFit, size_fit
from lipwise_ray.pipeline.quality.sync_scores import (
    FRAMES,
    RATE_HZ,
    Measure,
    is_lse,
    scorer_of,
    sync_score,
    sync_scores,
)
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.pipeline.tasks.handlers import handles
from lipwise_ray.pipeline.tasks.missing_chunks import missing_chunks
from lipwise_ray.roles.embedder import EMBEDDER
from lipwise_ray.roles.inception import INCEPTION
from lipwise_ray.roles.judge import JUDGE
from lipwise_ray.roles.landmarks import LANDMARKS
from lipwise_ray.scheduler.task import Hints
from lipwise_ray.state import layout
from lipwise_ray.state.ids import PIPELINE_VERSION, record_id
from lipwise_ray.state.job_result import CheckpointsByRole, Counts, EvaluationResult, SyncScore, SyncScores
from lipwise_ray.state.shapes import read_typed, record_of, shaped
from lipwise_ray.state.store import load_file, to_json
from lipwise_ray.storage.address import shown
from lipwise_ray.storage.scratch import scratch_file
from lipwise_ray.storage.stream_choice import split_choice
from lipwise_ray.values import F32Array, I64Array, Span, spans
from lipwise_ray.version import __version__

_VERSION = 1
"""Raised when the same files would get other figures."""

_DIGITS = 4


@handles(EXAMINE)
def probe(context: TaskContext, payload: ExaminePayload, hints: Hints) -> ExamineResult:
    """Find out what a row's files are, and what earlier runs measured.

    Raises:
        InputError: A file cannot be used.
    """
    del hints  # whatever earlier runs left is looked for
    store, media, spec, weights = context.store, context.media, payload.row.job, payload.row.weights
    identity = _identity(payload, media)
    job_id = record_id(identity)
    recorded = read_typed(store, layout.result(job_id), EvaluationResult)
    if recorded is not None:
        protocol = protocol_of(spec, weights, identity["tracks"], dubs=False)  # earlier versions kept none
        return ExamineResult(job_id=job_id, known=replace(recorded, output=shown(spec.video), protocol=protocol))
    job = context.open_video(payload, identity["video"])
    lag_s = _lag_s(context, job, payload.comparison, identity)
    if spec.audio:
        file = media.local(spec.audio, identity["audio"])
        records.open_audio(
            store,
            context.scratch,
            file,
            identity["audio"],
            salvage=job.salvage,
            limits=spec.settings.limits,
            choice=split_choice(spec.audio)[1],
        )
    else:
        context.planner.own_sound(job)
    detector_id = detector_id_of(spec.settings, weights)
    video_id, numbered = job.video.id, [*enumerate(_pieces(job))]
    scanned = store.names(layout.scans(video_id, detector_id))
    is_scanned = layout.tracks(video_id, detector_id) in scanned
    needs_scan = detects(rules_of((), spec.settings), spec.tracks) and not is_scanned
    measured = store.names(layout.measures(job_id))
    to_do = ToMeasure(
        probed=Probed(job_id, identity, video_id, detector_id),
        frames=len(job.video.index),
        chunks=len(numbered),
        lag_s=lag_s,
        scan=missing_chunks(numbered, partial(layout.scan_chunk, video_id, detector_id), scanned) if needs_scan else (),
        measure=missing_chunks(numbered, partial(layout.measured, job_id), measured),
    )
    return ExamineResult(job_id=job_id, to_do=to_do)


def _lag_s(context: TaskContext, job: JobContext, comparison: ReferencePart, identity: Identity) -> float:
    """Return by how many seconds a video comes later than its reference."""
    if comparison.reference is None:
        return 0.0
    beside = _beside(context, job, comparison.reference, identity)
    if isinstance(beside.fit, str):
        return 0.0
    settings = job.spec.settings
    return search_lag(
        PairedVideo(job.video, recipe_of(settings, job.video)),
        PairedVideo(beside.video, recipe_of(settings, beside.video), comparison.start_s),
        beside.fit,
        settings.compare.max_lag_s,
        threads=context.threads.decoder,
        salvage=job.salvage,
        on_frame=context.on_frame,
    )


@dataclass(frozen=True, slots=True)
class _Beside:
    """The video that a row's is compared with, and the row's frames on its own, or why there are none."""

    video: records.Video
    fit: SizeFit | str


def _beside(context: TaskContext, job: JobContext, address: str, identity: Identity) -> _Beside:
    settings = job.spec.settings
    video = context.video(settings, address, identity["reference"])
    ours, theirs = (recipe_of(settings, one).canvas for one in (job.video, video))
    return _Beside(video, size_fit(ours, theirs, settings.compare.fit))


@handles(MEASURE)
def measure(context: TaskContext, payload: MeasurePayload, hints: Hints) -> MeasureResult:
    """Measure a stretch of a video."""
    probed, piece = payload.probed, payload.piece
    key = layout.measured(probed.job_id, piece.chunk)
    if not hints.is_surely_missing and context.store.size(key) is not None:
        return MeasureResult()
    job = context.open(payload)
    try:
        faces, landmarks = _faces(context, job, probed)
    except SegmentError as error:
        return MeasureResult(missing=str(error))
    span, recipe = piece.span, recipe_of(job.spec.settings, job.video)
    at, distances = _compare_lips(context, job, payload, hints, faces)
    request, reference, models = context.models_for(payload, hints), None, context.models
    if payload.comparison.reference:
        beside = _beside(context, job, payload.comparison.reference, probed.identity)
        if isinstance(beside.fit, SizeFit):
            reference = Reference(
                beside.video,
                recipe_of(job.spec.settings, beside.video),
                beside.fit,
                payload.comparison.lag_s - payload.comparison.start_s,
                job.spec.settings.score.compare_hz,
                models.of(EMBEDDER, request),
                models.of(INCEPTION, request),
                models.of(LANDMARKS, request),
            )
    alike = compare_pictures(
        job.video,
        recipe,
        faces,
        landmarks,
        span,
        reference,
        threads=context.threads.decoder,
        salvage=job.salvage,
        on_frame=context.on_frame,
    )
    here = faces.frame[(faces.frame >= span.start) & (faces.frame < span.stop)]
    alike.sums["with_face"] = float(len(np.unique(here)))
    features = [np.concatenate(parts) if parts else NO_FEATURES for parts in alike.features]
    with scratch_file(context.scratch, "measured.npz") as temporary:
        Measured(at, distances, alike.sums, *features).save(temporary)
        if alike.sample is not None:
            for name, face in zip(("after", "before"), alike.sample, strict=True):
                context.store.write(layout.sample(probed.job_id, name), as_jpeg(face))
        context.store.put_file(key, temporary)
    return MeasureResult()


def _faces(context: TaskContext, job: JobContext, probed: Probed) -> tuple[Faces, F32Array]:
    """Return the faces that are judged, and their landmarks."""
    (rule,) = rules_of((), job.spec.settings)
    if rule.kind == BOX:
        size = recipe_of(job.spec.settings, job.video).canvas.shown_size
        found = fixed_box(rule, len(job.video.index), size)
        return Faces(found.frame, found.track, found.face_box), found.landmarks
    tracks = context.planner.tracks(job, probed)
    people = find_people(tracks, job.spec.faces.min_confidence)  # of each shot, whatever else is installed
    rows = np.flatnonzero(np.isin(tracks.track, select_tracks(people, rule, tracks)))
    rows = rows[np.argsort(tracks.frame[rows], kind="stable")]
    return Faces(tracks.frame[rows], tracks.track[rows], tracks.box[rows]), tracks.landmarks[rows]


def _compare_lips(
    context: TaskContext, job: JobContext, payload: MeasurePayload, hints: Hints, faces: Faces
) -> tuple[I64Array, F32Array]:
    audio_id = payload.probed.identity["audio"]
    if JUDGE.name not in payload.row.weights or _audio_s(job, audio_id) is None:
        return np.zeros(0, np.int64), np.zeros((0, SHIFTS), np.float32)
    scorer, index = context.models.needed(JUDGE, context.models_for(payload, hints)), job.video.index
    times, recipe = resampled(index), recipe_of(job.spec.settings, job.video)
    begins = np.flatnonzero((times >= payload.piece.start) & (times < payload.piece.stop))
    threads, on_frame = context.threads.decoder, context.on_frame
    read = frames_shown(job.video, recipe, times, threads=threads, salvage=job.salvage, on_frame=on_frame)
    return compare_lips(
        LipWindows(faces, times, scorer),
        begins,
        read,
        recipe.canvas.shown_size,
        scorer,
        AudioFeatures.of(scorer, context.store, audio_id or job.video.id, salvage=job.salvage),
        0.0 if audio_id else float(records.lead_s(job.video.info)),
    )


def _audio_s(job: JobContext, audio_id: str | None) -> Fraction | None:
    """Return the length of the audio that lips are compared with, the video's own without an id; None for no audio."""
    found = records.sound_of(job.store, audio_id or job.video.id, salvage=job.salvage)
    return found.duration_s if found else None


@handles(CONCLUDE)
def aggregate(context: TaskContext, payload: ConcludePayload, hints: Hints) -> ConcludeResult:
    """Return a video's figures, and keep them; or say that what stretches left is gone."""
    del hints  # nothing of it is kept but the whole
    job, probed, weights = context.open(payload), payload.probed, payload.row.weights
    job_id, spec, identity = probed.job_id, job.spec, probed.identity
    totals, pieces = Totals(), _pieces(job)
    for number in range(len(pieces)):
        part = load_file(context.store, layout.measured(job_id, number), Measured.load)
        if part is None:
            key = layout.measured(job_id, number)
            return ConcludeResult(missing=f"{key}: missing or damaged in the state. Run the same command again.")
        totals.add(part)
    index, audio_s = job.video.index, _audio_s(job, identity["audio"])
    video_s = float((index.end_pts - int(index.pts[0])) * index.time_base)
    with_face = int(totals.sums.get("with_face", 0))
    comparison = payload.comparison
    pairing = _pairing(context, job, comparison, identity, video_s) if comparison.reference else None
    result = EvaluationResult(
        kind="evaluation",
        row_id=spec.row_id,
        job_id=job_id,
        output=shown(spec.video),
        frames=len(index),
        video_s=round(video_s, _DIGITS),
        audio_s=round(float(audio_s), _DIGITS) if audio_s is not None else None,
        counts=Counts(frames=len(index), frames_with_face=with_face, frames_without_face=len(index) - with_face),
        chunks=len(pieces),
        sync=_sync(weights, totals, audio_s, video_s),
        flicker=flicker_of(totals),
        sharpness=sharpness_of(totals),
        fidelity=fidelity_of(pairing, comparison.absent, totals) if pairing else None,
        language=spec.language,
        tags=spec.tags,
        weights=shaped(weights.record(), CheckpointsByRole),
        identity=identity,
        protocol=protocol_of(spec, weights, identity["tracks"], dubs=False),
        version=__version__,
        pipeline=PIPELINE_VERSION,
    )
    context.store.write(layout.result(job_id), to_json(record_of(result)))
    return ConcludeResult(evaluated=result)


def _pairing(
    context: TaskContext, job: JobContext, comparison: ReferencePart, identity: Identity, video_s: float
) -> Pairing:
    assert comparison.reference is not None  # it is asked where there is one
    beside, settings = _beside(context, job, comparison.reference, identity), job.spec.settings
    sizes = [recipe_of(settings, one).canvas.shown_size for one in (job.video, beside.video)]
    ours, theirs = (f"{size.width}x{size.height}" for size in sizes)
    return Pairing(
        reference=comparison.reference,
        fit=beside.fit,
        size=f"{ours} to {theirs}" if ours != theirs else "",
        start_s=comparison.start_s,
        lag_s=comparison.lag_s,
        video_s=video_s,
        reference_s=PairedVideo(beside.video, recipe_of(settings, beside.video), comparison.start_s).length_s,
        is_still=beside.video.info.is_still,
    )


def _sync(weights: Checkpoints, totals: Totals, audio_s: Fraction | None, video_s: float) -> SyncScores:
    scorer = weights.one(JUDGE.name)
    scores: dict[Measure, SyncScore] = {}
    why: dict[str, str] = {}
    if scorer and totals.windows:
        scores["after"] = sync_score(reduce(totals.total, totals.windows), lse=is_lse(scorer))
    if not totals.windows:
        least = (FRAMES + 1) / RATE_HZ
        reasons = (
            (scorer is None, "score.judge is none"),
            (audio_s is None, "there is no sound that can be used"),
            (not totals.sums.get("with_face"), "no face is found"),
            (min(video_s, float(audio_s or 0)) < least, f"too short: a score needs {least:.2f} s"),
            (bool(totals.broken), f"the judge gave no numbers for {totals.broken} windows"),
        )
        why["after"] = next((text for holds, text in reasons if holds), "no face for five frames in a row with sound")
    return sync_scores(scorer_of(scorer), scores, why, totals.curve)


def _identity(payload: ExaminePayload, media: Media) -> Identity:
    """Return the identity of a video's figures: all that decides them."""
    spec, weights, comparison = payload.row.job, payload.row.weights, payload.comparison
    reference, start_s = comparison.reference, comparison.start_s
    settings = spec.settings
    compare = settings.compare.model_dump(mode="json", exclude_defaults=True)  # ids without it stay
    return {
        "evaluation": _VERSION,
        "video": media.identity(spec.video),
        "audio": media.identity(spec.audio) if spec.audio else None,
        "reference": media.identity(reference) if reference else None,
        "tracks": media.identity(spec.tracks) if spec.tracks else None,
        "detector": detector_id_of(settings, weights),
        "faces": settings.faces.model_dump(mode="json", include={"select", "smooth_s", "smoothing"})
        | least_confidence(spec),
        "on_error": settings.source.on_error,
        "compare_hz": settings.score.compare_hz if reference else None,
        **({"compare": compare} if reference and compare else {}),
        **({"reference_start_s": start_s} if reference and start_s else {}),
        "weights": evaluated_with(weights),
        "device": payload.row.device,
    }


def _pieces(job: JobContext) -> list[Span]:
    rate = job.video.index.mean_rate
    frames = len(job.video.index)
    return spans(frames, chunk_frames(job.spec.settings, rate, frames))
