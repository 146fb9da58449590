"""The last step of a job: segments and sound to one verified file at its final address."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

import lipwise_ray
from lipwise_ray.dubbing import inputs
from lipwise_ray.dubbing.context import JobContext, read_plan
from lipwise_ray.dubbing.identity import protocol_of
from lipwise_ray.dubbing.ids import PIPELINE_VERSION
from lipwise_ray.dubbing.outputs import output_at
from lipwise_ray.dubbing.plan import Plan
from lipwise_ray.dubbing.rendering import encode_spec
from lipwise_ray.dubbing.scores import Sums, collect_scores, reduce_scores
from lipwise_ray.dubbing.sounds import Sounds, whole_file
from lipwise_ray.dubbing.stretch import stretch_of
from lipwise_ray.dubbing.transcribing import AUTO
from lipwise_ray.errors import SegmentError, SettingsError, StorageError
from lipwise_ray.execution_settings import WIDEST_LIMITS
from lipwise_ray.lipsync.texture import looks_photographed
from lipwise_ray.media.edits import edits_of
from lipwise_ray.media.frames import FrameRecipe
from lipwise_ray.media.join import SegmentFile, container_for, join
from lipwise_ray.media.language import container_language
from lipwise_ray.media.probe import AudioInfo, probe_audio
from lipwise_ray.media.promise import promised
from lipwise_ray.media.side_packets import SidePackets
from lipwise_ray.media.side_streams import LeftBehind, SideStreams, side_streams
from lipwise_ray.media.soundtrack import (
    LOSSLESS,
    SoundtrackPlan,
    add_soundtrack,
    copy_impossible,
    plan_soundtrack,
    write_soundtrack,
)
from lipwise_ray.media.verify import Verdict, verify
from lipwise_ray.nets.checkpoint import sha256_of
from lipwise_ray.settings import Settings
from lipwise_ray.state import layout
from lipwise_ray.state.attempts import jobs_over
from lipwise_ray.state.markers import Marker, drop_marker, markers_of
from lipwise_ray.state.store import Store, to_json
from lipwise_ray.values import Json

_SIDE_FAULTS = ("join", "side_streams")  # codes of errors that what goes along may have caused

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet


def assemble(job: JobContext, payload: Json, recipe: FrameRecipe) -> Json:
    """Join, mux, verify and publish.

    Returns:
        The job's result; or ``{"missing": [...]}`` with the chunks whose segments are gone or damaged and have to be
        rendered again, or ``{"missing_scores": [...]}`` with those that have to be scored again.

    Raises:
        OutputError: The output's address cannot be written.
        SegmentError: The joined file does not hold what was planned.
    """
    begin = time.perf_counter()
    job_id: str = payload["job_id"]
    gathered = _gather(job, payload)
    if isinstance(gathered, dict):
        return gathered
    plan, markers = gathered.plan, gathered.markers
    scratch = Path(payload["scratch"])
    output = output_at(job.spec.output_address, scratch)
    spec = encode_spec(job.spec.settings, job.spec.output, recipe, job.video, 0, plan)
    delivered = container_for(Path(job.spec.output))
    carries = {name for marker in markers for name in marker.carries}
    picture, lost = promised(job.video.info, recipe.canvas.orientation, spec, delivered, carries)
    delivered_sound = prepare_sound(job, payload, plan)
    soundtrack, sound = delivered_sound.plan, delivered_sound.info

    def add_sound(container: OutputContainer) -> Iterator[Packet[Any]]:
        return add_soundtrack(container, sound, replace(soundtrack, copy=True))

    spoken = payload.get("language") if job.spec.language == AUTO else job.spec.language
    chosen = _side_streams(job, plan, delivered, spoken)
    with output.written(job_id) as temporary:
        segments = [_segment(job, marker) for marker in markers]
        while True:
            side = SidePackets(chosen)
            try:
                join(
                    segments,
                    plan.timeline,
                    temporary,
                    picture=picture,
                    metadata={**chosen.tags, **_provenance(payload)},
                    add_sound=add_sound,
                    language=container_language(spoken, delivered) if spoken else None,
                    rate=plan.rate,
                    side=side,
                )
                found = verify(temporary, segments, plan.timeline, plan.audio_s, side, picture)
                break
            except SegmentError as error:
                # What only goes along costs nobody the video; where it is not known what of it, all of it stays.
                told = {part: got for part, got in side.broken.items() if part in chosen.parts}
                broken = told or dict.fromkeys(chosen.parts, error.got)
                if error.code not in _SIDE_FAULTS or not broken:
                    job.store.remove_all(job.store.names(layout.soundtrack(job_id)))  # what is wrong may lie in it
                    raise
                chosen = chosen.without({part: f"the file could not hold it: {got}" for part, got in broken.items()})
        result = _result(job, payload, plan, markers, found, temporary)
    seen = output.seen()
    result["seen"] = asdict(seen) if seen else None
    result |= gathered.figures(job, payload)
    result["left_behind"] = [asdict(one) for one in (*lost, *chosen.left_behind, *side.lost)]
    result["notes"] = _notes(payload, markers)
    result["encoder"] = spec.codec
    result["counts"] = {**plan.counts, "frames_fitted": sum(marker.fitted for marker in markers)}
    result["sound"] = "copied" if soundtrack.copy else soundtrack.codec
    heard = (inputs.sound_of(job.store, part.sound_id, salvage=job.salvage) for part in plan.parts)
    result["heard"] = [one.record() for one in heard if one is not None]
    result["assemble_s"] = round(time.perf_counter() - begin, 3)
    settle(job.store, payload, result, keep=job.spec.settings.engine.keep_segments)
    return result


def _side_streams(job: JobContext, plan: Plan, container: str, spoken: str | None) -> SideStreams:
    """Return what of the source's container goes along."""
    index = job.video.index
    edits = () if job.video.is_still else edits_of(index, plan.source, plan.timeline)
    chosen = side_streams(job.video.info, container, job.spec.settings.encode.keep, edits, index.rate)
    if spoken and container_language(spoken, container) is None:
        untold = LeftBehind("language", spoken, f"{container} has no code for it")
        chosen = replace(chosen, left_behind=(*chosen.left_behind, untold))
    return chosen


def settle(store: Store, payload: Json, result: Json, *, keep: bool) -> None:
    """Record what was published, and remove what led to it; of several attempts all."""
    attempts: list[Json] = payload.get("attempts") or []
    if attempts:
        result["attempts"] = attempts
    # Under the row's own settings last: that is where a later run looks.
    for job_id in dict.fromkeys((str(result["job_id"]), payload.get("first_id") or str(result["job_id"]))):
        store.write(layout.result(job_id), to_json(result))
    sweep_attempts(store, result, keep=keep)


def weigh(job: JobContext, payload: Json) -> Json:
    """Return what a rendered video is like before it is published, as the gate judges it.

    Returns:
        ``sync``, ``counts``, ``flicker``, ``video_s``, ``audio_s`` and ``render_s``; or, as `assemble`, what has to be
        made again.
    """
    gathered = _gather(job, payload)
    if isinstance(gathered, dict):
        return gathered
    plan = gathered.plan
    lengths = {"video_s": round(float(plan.timeline.duration_s), 6), "audio_s": round(float(plan.audio_s), 6)}
    render_s = round(sum(marker.seconds for marker in gathered.markers), 3)
    return {"counts": plan.counts, **gathered.figures(job, payload), **lengths, "render_s": render_s}


@dataclass(frozen=True, slots=True)
class _Gathered:
    """All that a job's chunks left."""

    plan: Plan
    markers: list[Marker]
    scores: Sums | None

    def figures(self, job: JobContext, payload: Json) -> Json:
        """Return what was measured of the video."""
        judge, unscored = payload["weights"].get("judge"), payload.get("unscored", [])
        scores = self.scores
        sync = {} if scores is None else {"sync": reduce_scores(job, judge, self.plan, scores, unscored)}
        return {"flicker": _flicker(self.markers), **sync}


def _gather(job: JobContext, payload: Json) -> _Gathered | Json:
    """Return what chunks left, or ``missing`` or ``missing_scores`` with those that have to be made again."""
    job_id: str = payload["job_id"]
    plan = read_plan(job.store, job_id)
    markers, missing = _markers(job, job_id, plan)
    if missing:
        return {"missing": missing}
    judge, unscored = payload["weights"].get("judge"), payload.get("unscored", [])
    scores = collect_scores(job.store, job_id, judge, markers, unscored) if judge else None
    return {"missing_scores": scores} if isinstance(scores, list) else _Gathered(plan, markers, scores)


@dataclass(frozen=True, slots=True)
class DeliveredSound:
    """How the sound is delivered, a file from which it can be copied, and its key, where it is not the row's own."""

    plan: SoundtrackPlan
    info: AudioInfo
    key: str = ""


def prepare_sound(job: JobContext, payload: Json, plan: Plan) -> DeliveredSound:
    """Return how the sound is delivered.

    What has to be encoded is encoded once, while chunks are rendered: it takes minutes for a film.
    """
    scratch, name = Path(payload["scratch"]), Path(job.spec.output)
    audio = Sounds(job, scratch, payload["job_id"], payload["identity"]).file()
    encode = job.spec.settings.encode.audio
    delivered = container_for(name)
    codec = sound_codec(job.spec.settings, audio.info)
    planned = plan_soundtrack(audio.info, audio.sound, delivered, codec, encode.bitrate, plan.audio_s)
    if planned.copy and planned.codec in LOSSLESS:
        return DeliveredSound(planned, audio.info)
    folder, suffix = layout.soundtrack(payload["job_id"]), name.suffix.lower()
    folders = {copied: f"{folder}/{'copied' if copied else 'encoded'}" for copied in (True, False)}
    told = sound_told(payload)
    for copied in (True, False) if planned.copy else (False,):
        known = whole_file(job.store, folders[copied], told)
        if known is not None:
            return DeliveredSound(replace(planned, copy=copied), probe_audio(known, WIDEST_LIMITS))
    with inputs.scratch_file(scratch, f"track{suffix}") as temporary:
        wrote = write_soundtrack(temporary, audio.info, planned, salvage=job.salvage)
        if encode.codec == "copy" and not wrote.copy:
            raise copy_impossible(audio.info, delivered, "packets that decode otherwise in it")
        key = f"{folders[wrote.copy]}/{sha256_of(temporary)}{suffix}"
        job.store.put_file(key, temporary)
    known = job.store.fetch(key)
    if known is None:
        raise StorageError("no_sound", folder, "must keep the sound", "nothing", "Run the same command again")
    return DeliveredSound(wrote, probe_audio(known, WIDEST_LIMITS), key)


def sound_told(payload: Json) -> str:
    """Return the key of the sound that a task was told of, empty where it has to be looked for.

    An attempt before may have removed it, because what is wrong may lie in it; copies elsewhere do not know.
    """
    return "" if payload.get("may_be_done") else str(payload.get("sound", ""))


def sound_codec(settings: Settings, info: AudioInfo) -> str:
    """Return what a job asks of its sound's encoder.

    Raises:
        SettingsError: It is not what `encode.deliver` asks for.
    """
    encode = settings.encode
    codec = encode.audio.codec
    if encode.deliver != "compatible":
        return codec
    if codec not in ("auto", "aac") and (codec, info.codec) != ("copy", "aac"):
        raise SettingsError(
            "not_compatible",
            f"encode.deliver = compatible with encode.audio.codec = {codec}",
            "needs AAC",
            info.codec if codec == "copy" else codec,
            'Set encode.audio.codec = "auto", or encode.deliver = "source"',
        )
    return "aac" if codec == "auto" and info.codec != "aac" else codec


def sweep_segments(store: Store, job_id: str, *, keep: bool) -> None:
    """Remove the segments and the sounds of a published job, those of attempts that never committed too."""
    if keep:
        return
    gone = tuple(
        f"{folder}/"
        for folder in (layout.segments(job_id), layout.soundtrack(job_id), layout.mix(job_id), layout.scores(job_id))
    )
    store.remove_all([key for key in store.names(layout.job(job_id)) if key.startswith(gone)])


def sweep_attempts(store: Store, result: Json, *, keep: bool) -> None:
    """Do the same for a published job and the attempts at its row that are over."""
    over = jobs_over([(one["verdict"], one.get("job_id")) for one in result.get("attempts") or []])
    for job_id in dict.fromkeys([str(result["job_id"]), *over]):
        sweep_segments(store, job_id, keep=keep)


def _markers(job: JobContext, job_id: str, plan: Plan) -> tuple[list[Marker], list[int]]:
    """Return the chunks' markers, and the chunks whose segment is not what its marker says."""
    markers: dict[int, Marker] = {}
    missing: list[int] = []
    found = markers_of(job.store, job_id, range(len(plan.chunks)))
    for number, (span, marker) in enumerate(zip(plan.chunks, found, strict=True)):
        path = job.store.fetch(marker.segment) if marker else None
        if marker is None or path is None or marker.frames != len(span) or sha256_of(path) != marker.sha256:
            missing.append(number)
        else:
            markers[number] = marker
    missing = sorted([*missing, *_unlike(markers)])
    for number in missing:
        drop_marker(job.store, job_id, number)
    return list(markers.values()), missing


def _unlike(markers: dict[int, Marker]) -> list[int]:
    """Return the chunks that cannot be joined with the others: the library was changed while the job stood still.

    Those of the present library stay, for it will make the missing ones.
    """
    present = [marker for marker in markers.values() if marker.made_by == av.__version__] or [*markers.values()]
    common = Counter(marker.header for marker in present).most_common(1)
    return [number for number, marker in markers.items() if marker.header != common[0][0]]


def _segment(job: JobContext, marker: Marker) -> SegmentFile:
    path = job.store.fetch(marker.segment)
    if path is None:
        raise SegmentError("segment_gone", marker.segment, "must be in the state", "nothing", "Run again")
    return SegmentFile(path, marker.frames, marker.reorder, marker.crc)


def _provenance(payload: Json) -> dict[str, str]:
    """Return what the file says of itself: that its lips are made, of what, with what, and how."""
    identity, weights = payload["identity"], payload["weights"]
    used = [one for found in weights.values() for one in (found if isinstance(found, list) else [found]) if one]
    made: Json = {
        "made_with": f"lipwise-ray {lipwise_ray.__version__}",
        "synthetic": "lips",
        "job": payload["job_id"],
        "inputs": {name: identity[name] for name in ("video", "audio", "tracks", "speakers") if identity.get(name)},
        "weights": [{name: one[name] for name in ("name", "sha256", "licence")} for one in used],
        "settings": identity["settings"],
    }
    return {
        "comment": f"Lips synthesised by lipwise-ray {lipwise_ray.__version__}",
        "description": json.dumps(made, sort_keys=True),
    }


def _notes(payload: Json, markers: list[Marker]) -> list[str]:
    """Return what is to be known of a video: that its faces are none that its networks were made for."""
    total, faces = (sum(marker.smoothness[place] for marker in markers if marker.smoothness) for place in range(2))
    if not looks_photographed(total, int(faces)):
        return []
    weights: list[Json] = [
        one for role in payload["weights"].values() for one in (role if isinstance(role, list) else [role]) if one
    ]
    return [
        f"{one['name']} was made for {one['made_for']}, and these look photographed: expect poor lips"
        for one in weights
        if one.get("made_for")
    ]


def _flicker(markers: list[Marker]) -> Json:
    """Return the mean flicker of the dubbed and the filmed faces in levels of 255, None where nothing was compared."""
    dubbed, filmed, faces = (sum(marker.flicker[place] for marker in markers if marker.flicker) for place in range(3))
    means = (round(total / faces, 4) if faces else None for total in (dubbed, filmed))
    return {**dict(zip(("dubbed", "filmed"), means, strict=True)), "faces": int(faces)}


def _result(job: JobContext, payload: Json, plan: Plan, markers: list[Marker], found: Verdict, file: Path) -> Json:
    stages: dict[str, float] = {}
    for marker in markers:
        for name, seconds in marker.stages.items():
            stages[name] = round(stages.get(name, 0.0) + seconds, 3)
    return {
        "status": "done",
        "synthetic": "lips",
        "row_id": job.spec.row_id,
        "job_id": payload["job_id"],
        "output": job.spec.output_address,
        "bytes_total": file.stat().st_size,
        "sha256": sha256_of(file),
        "frames": found.frames,
        "video_s": found.video_s,
        "audio_s": found.audio_s,
        "counts": plan.counts,
        "chunks": len(plan.chunks),
        "scanned": stretch_of(job).part,
        "original_chunks": [number for number, marker in enumerate(markers) if marker.original],
        "render_s": round(sum(marker.seconds for marker in markers), 3),
        "stages_s": stages,
        "language": payload.get("language") if job.spec.language == AUTO else job.spec.language,
        "tags": list(job.spec.tags),
        "weights": payload["weights"],
        "identity": payload["identity"],
        "protocol": protocol_of(job.spec, payload["weights"], payload["identity"]["tracks"]),
        "version": lipwise_ray.__version__,
        "pipeline": PIPELINE_VERSION,
    }
