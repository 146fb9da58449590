"""Finding out what a row's inputs are, how it will be done, and how far earlier runs came."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from lipwise_ray.credentials.signer import check_signing
from lipwise_ray.errors import FaceError, SettingsError
from lipwise_ray.faces.select import AT
from lipwise_ray.media.encode import check_encoder, is_hardware
from lipwise_ray.media.join import container_for
from lipwise_ray.media.soundtrack import plan_soundtrack
from lipwise_ray.pipeline.delivery.assemble import sweep_attempts
from lipwise_ray.pipeline.delivery.credentials import check_side_car, side_car_problem
from lipwise_ray.pipeline.delivery.delivered_audio import sound_codec
from lipwise_ray.pipeline.delivery.outputs import output_at
from lipwise_ray.pipeline.delivery.published import Published, find_published
from lipwise_ray.pipeline.dubbing.background import check_background
from lipwise_ray.pipeline.dubbing.capabilities import Choice, first_choice
from lipwise_ray.pipeline.dubbing.identity import comparison_id, detector_id_of, identity_of, listeners, protocol_of
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.job_audio import Sounds
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.make_plan import window_sources
from lipwise_ray.pipeline.dubbing.plan import Facts
from lipwise_ray.pipeline.dubbing.planner import recipe_of
from lipwise_ray.pipeline.dubbing.render_chunk import encode_spec
from lipwise_ray.pipeline.dubbing.source_range import stretch_of
from lipwise_ray.pipeline.dubbing.task_parts import NumberedSpan, Probed, RowPart
from lipwise_ray.pipeline.flows.task_kinds import (
    CHECK,
    PROBE,
    CheckPayload,
    CheckResult,
    ProbePayload,
    ProbeResult,
    ToDo,
)
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.inputs.resolver import Media
from lipwise_ray.pipeline.inputs.stamps import settled_stamps
from lipwise_ray.pipeline.manifest.speakers import detects, listens, portraits, rules_of
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.pipeline.tasks.handlers import handles
from lipwise_ray.pipeline.tasks.missing_chunks import missing_chunks
from lipwise_ray.roles.embedder import EMBEDDER
from lipwise_ray.scheduler.task import Hints
from lipwise_ray.state import layout
from lipwise_ray.state.ids import Identity, record_id
from lipwise_ray.state.job_result import DubResult
from lipwise_ray.storage.address import shown

_FEW_FRAMES = 1500
"""So many are looked through for a preview all the same, so that it shows whom the whole video's rules choose."""


@handles(PROBE)
def probe(context: TaskContext, payload: ProbePayload, hints: Hints) -> ProbeResult:
    """Return a row's identity, and which chunks of its video have to be looked at; or its earlier result.

    Raises:
        InputError: A file cannot be used.
        SettingsError: No encoder opens, or the output's container cannot hold what is asked for.
    """
    del hints  # whatever earlier runs left is looked for
    store, media, row, job = context.store, context.media, payload.row, payload.row.job
    stamps = settled_stamps(media, job.inputs)  # before what they stand for is looked at
    stamps = stamps if _says_its_cues(job, media) else None
    images = {address: media.identity(address) for address in portraits(rules_of(job.speakers, job.settings))}
    undecided, device = identity_of(job, media, row.weights, row.device, images), row.device
    problem = ""
    for choice in row.known_choices or first_choice(job.settings):
        job_id = record_id(choice.identity(undecided, device))
        published = _published(context, job_id, row)
        if published.result is not None:
            protocol = protocol_of(job, row.weights, undecided["tracks"])  # earlier versions kept none
            return ProbeResult(job_id=job_id, published=replace(published.result, protocol=protocol), inputs=stamps)
        problem = problem or published.problem
    opened = context.open_video(payload, undecided["video"])
    video = opened.video
    choice, has_begun = _choose(context, row, video, undecided)
    identity = choice.identity(undecided, device)
    job_id = record_id(identity)
    sounds = Sounds(opened, context.scratch, job_id, identity, context.on_block)
    audio, lines = sounds.delivered(), sounds.lines()
    for one in (audio, *(further.delivered() for further in sounds.beside())):
        _check_early(context, job, one)
    check_background(opened, identity)
    rules = [one.rule for one in lines]
    detector_id = detector_id_of(job.settings, row.weights)
    voices_id = looks_id = None
    to_scan: tuple[NumberedSpan, ...] = ()
    to_listen: tuple[NumberedSpan, ...] = ()
    to_recognise: tuple[NumberedSpan, ...] = ()
    to_embed: dict[str, str] = {}
    is_searched = detects(rules, job.tracks)
    if is_searched and job.window is not None:
        opened = _around_window(context, opened, audio, detector_id)
    stretch = stretch_of(opened)
    numbered = stretch.numbered
    if is_searched:
        present = store.names(layout.scans(video.id, detector_id))
        if layout.tracks(video.id, detector_id, stretch.part) not in present:
            to_scan = missing_chunks(numbered, partial(layout.scan_chunk, video.id, detector_id), present)
    if listens(rules):
        _check_own_sound(context, opened)
        voices_id = comparison_id(job, identity, listeners(identity), stretch.part)
        present = store.names(layout.listened(video.id, voices_id))
        to_listen = missing_chunks(numbered, partial(layout.voices, video.id, voices_id), present)
    if images or (is_searched and EMBEDDER.name in row.weights):
        looks_id = comparison_id(job, identity, [EMBEDDER.name], stretch.part)
        present = store.names(layout.recognised(video.id, looks_id))
        to_recognise = missing_chunks(numbered, partial(layout.face_embeddings, video.id, looks_id), present)
        to_embed = {
            address: image_id
            for address, image_id in images.items()
            if store.size(layout.portrait(image_id, looks_id)) is None
        }
    probed = Probed(
        job_id=job_id,
        identity=identity,
        video_id=video.id,
        detector_id=detector_id,
        voices_id=voices_id,
        looks_id=looks_id,
        portraits=images,
        choice=choice,
        has_begun=has_begun,
    )
    to_do = ToDo(
        probed=probed,
        frames=len(video.index),
        scan=to_scan,
        listen=to_listen,
        recognise=to_recognise,
        portraits=to_embed,
        needs_check=is_hardware(choice.encoder) and not has_begun,
        looked=opened.spec.window and opened.spec.window.looked,
    )
    return ProbeResult(job_id=job_id, to_do=to_do, problem=problem, inputs=stamps)


def _around_window(context: TaskContext, opened: JobContext, audio: records.Audio, detector_id: str) -> JobContext:
    """Return a job that looks for faces around its window alone where the whole video would take long."""
    job, video = opened.spec, opened.video
    stretch = stretch_of(opened)
    present = context.store.names(layout.scans(video.id, detector_id))
    missing = missing_chunks(stretch.numbered, partial(layout.scan_chunk, video.id, detector_id), present)
    is_known = layout.tracks(video.id, detector_id, stretch.part) in present
    names_frame = any(rule.kind == AT for rule in rules_of(job.speakers, job.settings))  # wherever that one lies
    if is_known or names_frame or job.window is None or sum(one.frames for one in missing) <= _FEW_FRAMES:
        return opened
    facts = Facts(
        index=video.index,
        is_still=video.is_still,
        lead_s=records.lead_s(video.info),
        audio_s=audio.sound.duration_s,
        mel_columns=audio.mel_columns,
        parts=(),
        start_s=job.start_s,
        end_s=job.end_s,
        window=job.window,
    )
    sources = window_sources(facts, job.settings)
    if sources is None:
        return opened
    return replace(opened, spec=replace(job, window=replace(job.window, looked=(sources.start, sources.stop))))


def _says_its_cues(job: JobSpec, media: Media) -> bool:
    """Tell whether a row's file of cues is still what was spoken; else its stamp would stand beside older speech."""
    script = job.script
    return not (script and script.file and script.spoken_id) or media.identity(script.file) == script.spoken_id


@handles(CHECK)
def check(context: TaskContext, payload: CheckPayload, hints: Hints) -> CheckResult:
    """Open a job's encoder where it is, before any work that it could make vain."""
    del hints  # nothing is kept of it
    job = context.open(payload)
    settings, threads = job.spec.settings, context.threads.encoder
    check_encoder(encode_spec(settings, job.spec.output, recipe_of(settings, job.video), job.video, threads))
    return CheckResult()


def _choose(context: TaskContext, row: RowPart, video: records.Video, undecided: Identity) -> tuple[Choice, bool]:
    """Return the way in which a job is done, and whether an earlier run has started it so.

    Raises:
        SettingsError: No encoder opens. One that needs a GPU is tried next, by a worker that has one.
    """
    job, choices = row.job, row.choices or first_choice(row.job.settings)
    begun = [
        choice
        for choice in choices
        if context.store.size(layout.plan(record_id(choice.identity(undecided, row.device)))) is not None
    ]
    refused: SettingsError | None = None
    for choice in begun or choices:
        settings = choice.settings(job.settings)
        try:
            spec = encode_spec(settings, job.output, recipe_of(settings, video), video, context.threads.encoder)
            if not begun and not is_hardware(spec.codec):
                check_encoder(spec)
        except SettingsError as error:
            refused = refused or error
        else:
            return replace(choice, encoder=spec.codec), bool(begun)
    assert refused is not None  # there is one choice at least
    raise refused


def _check_early(context: TaskContext, job: JobSpec, audio: records.Audio) -> None:
    """Find out before any work what would only fail at its end."""
    check_signing(job.settings.marking)
    output_at(job.output_address, context.scratch).check()
    check_side_car(job, context.scratch)
    sound, codec = job.settings.encode.audio, sound_codec(job.settings, audio.info)
    if codec != "copy":  # whether copying is exact depends on the plan
        container, whole_s = container_for(Path(job.output)), audio.sound.duration_s
        plan_soundtrack(audio.info, audio.sound, container, codec, sound.bitrate, whole_s)


def _published(context: TaskContext, job_id: str, row: RowPart) -> Published:
    """Return an earlier result when its file is still where it belongs, and what it was."""
    address = row.job.output_address
    output = output_at(address, context.scratch)
    found = find_published(context.store, job_id, address, output, verify=row.verify, on_block=context.on_block)
    if found.result and (problem := _signing_problem(context, found.result, row.job)):
        found = Published(None, problem)
    # A driver may have died before it did; a later attempt leaves alone what others wait with.
    if found.result and not row.attempt:
        sweep_attempts(context.store, found.result, row.job.kept)
    return found


def _signing_problem(context: TaskContext, result: DubResult, job: JobSpec) -> str:
    """Return the reason why a published file's credentials are not as asked for; empty where they are.

    Whoever would sign it now, it stays as it is; only where files must be signed is an unsigned one made again.
    """
    if job.settings.marking.c2pa == "require" and not (result.c2pa and result.c2pa.signed):
        return f"{shown(job.output_address)}: is not signed, but marking.c2pa is require, so it is made again."
    return side_car_problem(context.store, result, job.output_address, context.scratch)


def _check_own_sound(context: TaskContext, job: JobContext) -> None:
    """Decode the original audio of a video, by which its speaker is to be found."""
    if context.planner.own_sound(job) is None:
        raise FaceError(
            "no_own_sound",
            "faces",
            got="the video has no audio of its own by which `speaking` could choose",
            do="Choose another rule for this row",
        )
