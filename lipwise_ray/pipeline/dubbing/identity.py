"""Identity of a result: jobs, scans and comparisons are named after all that decides it, so equal work is done once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from pathlib import Path

from lipwise_ray.faces.select import BY_PLACE, LIKE, SelectionRule, parse_selection_rule
from lipwise_ray.media.join import container_for
from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.models.role import InId
from lipwise_ray.pipeline.dubbing.background import background_identity
from lipwise_ray.pipeline.dubbing.fitting import FIT
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.job_audio import FITTED, mix_id
from lipwise_ray.pipeline.dubbing.labelled import label_identity
from lipwise_ray.pipeline.dubbing.watermarked import WATERMARK_KEY, watermark_identity
from lipwise_ray.pipeline.inputs.resolver import Media
from lipwise_ray.pipeline.manifest.speakers import Speaker, needs_detector, rules_of
from lipwise_ray.roles.detector import DETECTOR
from lipwise_ray.roles.embedder import EMBEDDER
from lipwise_ray.roles.restorer import RESTORER
from lipwise_ray.roles.separator import SEPARATOR
from lipwise_ray.roles.table import ROLES
from lipwise_ray.roles.tts import TTS
from lipwise_ray.roles.upscaler import UPSCALER
from lipwise_ray.roles.vad import VAD
from lipwise_ray.roles.watermark import WATERMARK
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.ids import PIPELINE_VERSION, Identity, record_id

_BY_THE_PLAN = frozenset(
    (
        *("audio", "speakers", "diarisation", "background", "beside", "tracks", "start_s", "end_s", "language"),
        *("output", "timing", "chunk", "label", WATERMARK_KEY),
    )
)
"""Keys of a job's identity, and sections of settings, by which a chunk shows what it does only as far as its frames,
their times, faces and what these say follow from them."""

_BESIDE_FRAMES = frozenset(("audio", "keep"))
"""Keys of `encode` that are of what goes along with the frames."""

_OF_SOUND = frozenset((SEPARATOR.name, TTS.name, WATERMARK.name))
"""Roles whose networks make sound that no frame shows but by what is said."""

_FRAMES_VERSION = 1
"""Raised when `chunk_frames` names chunks by other things."""


def identity_of(job: JobSpec, media: Media, checkpoints: Checkpoints, device: str, images: dict[str, str]) -> Identity:
    """Return the identity of a job: all that decides its result.

    Args:
        job: The job.
        media: Knows its inputs.
        checkpoints: Its checkpoints.
        device: ``cpu`` or ``cuda``.
        images: The identities of its portraits by address; they count by their contents.

    Raises:
        InputError: An input may not be read, or is not there.
    """
    rules = rules_of(job.speakers, job.settings)
    needs_scan = needs_detector(rules, job.tracks)
    decisive = _decisive(job.settings)
    if not needs_scan:
        del decisive["detect"]
    if UPSCALER.name not in checkpoints:
        del decisive["restore"]["upscale"]
        if RESTORER.name not in checkpoints:
            del decisive["restore"]
    speakers = [
        {
            "faces": _with_contents(parse_selection_rule(speaker.faces), images) if speaker.faces else "",
            "audio": media.identity(speaker.audio),
            "start_s": speaker.start_s,
            "end_s": speaker.end_s,
            **({"name": speaker.name} if speaker.name else {}),
            **_fitted(job, speaker),
        }
        for speaker in job.speakers
    ]
    if speakers:
        del decisive["faces"]["select"]
    else:
        decisive["faces"]["select"] = _with_contents(rules[0], images)
    if not images:
        del decisive["faces"]["min_likeness"]
    return {
        "pipeline": PIPELINE_VERSION,
        "video": media.identity(job.video, job.used_seconds),
        "audio": mix_id(speakers) if job.audio is None else media.identity(job.audio),
        **({"speakers": speakers} if speakers else {}),
        **({"diarisation": media.identity(job.diarisation)} if job.diarisation else {}),
        **({"beside": [[one.language, media.identity(one.audio)] for one in job.beside]} if job.beside else {}),
        **background_identity(job, media),
        "tracks": media.identity(job.tracks) if job.tracks else None,
        "start_s": job.start_s,
        "end_s": job.end_s,
        "language": job.language,
        "settings": decisive,
        "device": device,
        "weights": {
            **_hashes(checkpoints),
            "detector": detector_id_of(job.settings, checkpoints) if needs_scan else None,
        },
        "output": job.output,
        **label_identity(job.settings.marking),
        **watermark_identity(job.settings.marking),
        **({"window": [job.window.at_s, job.window.seconds]} if job.window else {}),
    }


def _fitted(job: JobSpec, speaker: Speaker) -> Identity:
    """Return the mark of a clip that fits into its time: True where its audio alone does, else the rule."""
    timing = job.settings.timing
    if timing.length != FIT or speaker.end_s is None:
        return {}
    return {FITTED: True if timing.fit == "audio" or job.audio is not None else timing.fit}


def rendering_id(identity: Identity, output: str) -> str:
    """Return the id of how a job's frames are rendered and encoded: of all that its chunks show but by their plan.

    Args:
        identity: The job's. What is not known to count by the plan alone counts.
        output: Name of the output file; its ending chooses the container.
    """
    settings = {name: section for name, section in identity["settings"].items() if name not in _BY_THE_PLAN}
    settings["encode"] = {name: value for name, value in settings["encode"].items() if name not in _BESIDE_FRAMES}
    decisive = {name: value for name, value in identity.items() if name not in _BY_THE_PLAN}
    decisive["weights"] = {name: value for name, value in identity["weights"].items() if name not in _OF_SOUND}
    container = container_for(Path(output))
    return record_id({**decisive, "settings": settings, "container": container, "frames": _FRAMES_VERSION})


def _decisive(settings: Settings) -> Identity:
    """Return the settings that decide a result: of checkpoints the hashes count, not their names and where they are."""
    decisive = settings.identity()
    for role in ROLES.values():
        for setting in (role.setting, role.file_setting):
            *sections, key = setting.split(".")
            reduce(lambda section, name: section.get(name, {}), sections, decisive).pop(key, None)
    return decisive


def _hashes(checkpoints: Checkpoints) -> Identity:
    found: Identity = {}
    for role in ROLES.values():
        checkpoint = checkpoints.one(role.name)
        if role.in_job_id is InId.HASH or (role.in_job_id is InId.HASH_WHERE_USED and checkpoint):
            found[role.name] = _hash(checkpoint)
    return found


_MEASURES_LATER = frozenset({"landmarks"})


def evaluated_with(checkpoints: Checkpoints) -> Identity:
    """Return the hashes of what measures a finished video beside the detector, None for what is not there.

    What measures since later than the first version is left out instead: ids of figures without it stay.
    """
    counted = (role for role in ROLES.values() if role.evaluates and role.in_job_id is not InId.DETECTION)
    found = {role.name: _hash(checkpoints.one(role.name)) for role in counted}
    return {name: sha256 for name, sha256 in found.items() if sha256 or name not in _MEASURES_LATER}


def _hash(checkpoint: Checkpoint | None) -> str | None:
    return checkpoint and checkpoint.sha256


def detector_id_of(settings: Settings, checkpoints: Checkpoints) -> str:
    """Return the id of a video's detections: of all that decides which faces are found, and of the chunks."""
    chunk = settings.chunk.model_dump(mode="json")
    return record_id({"pipeline": PIPELINE_VERSION, **_detection(settings, checkpoints), "chunk": chunk})


def least_confidence(job: JobSpec) -> Identity:
    """Return the bound on doubtful faces where it decides: of a user's own tracks all are taken for faces."""
    return {} if job.tracks else {"min_confidence": job.settings.faces.min_confidence}


def protocol_of(job: JobSpec, checkpoints: Checkpoints, tracks_id: str | None, *, dubs: bool = True) -> str:
    """Return the id of a measuring protocol: whose face is measured, found and followed how.

    Figures of the same protocol compare, whatever was dubbed and however it was cut into chunks. Which network scored
    them is told beside it.

    Args:
        job: The job.
        checkpoints: Its checkpoints.
        tracks_id: The contents of the user's own tracks.
        dubs: The people are those who are dubbed; else those of each shot, told apart by places and colours alone.
    """
    rules, settings = rules_of(job.speakers, job.settings), job.settings
    faces = settings.faces.model_dump(mode="json", include={"smooth_s", "smoothing"})
    faces |= least_confidence(job) | (_people(job, checkpoints, rules) if dubs else {})
    decisive = _detection(settings, checkpoints)
    if not needs_detector(rules, job.tracks):
        decisive = {"source": decisive["source"], "tracks": tracks_id}
    return record_id({**decisive, "faces": faces, "rules": sorted(_rule_text(rule) for rule in rules)})


def _people(job: JobSpec, checkpoints: Checkpoints, rules: Sequence[SelectionRule]) -> Identity:
    """Return the embedder and the reach by which people are told apart in a dub, beyond their places in each shot."""
    faces, embedder = job.settings.faces, checkpoints.one(EMBEDDER.name)
    follows = faces.follow != "shot" and embedder is not None
    names_somebody = any(rule.kind in BY_PLACE for rule in rules)
    return {
        **({EMBEDDER.name: embedder.sha256} if embedder else {}),
        **({"follow": "video"} if follows and names_somebody else {}),
    }


def _rule_text(rule: SelectionRule) -> str:
    return LIKE if rule.kind == LIKE else rule.text  # whose portrait it is, is the row's


def _detection(settings: Settings, checkpoints: Checkpoints) -> Identity:
    return {
        "weights": [one.sha256 for one in checkpoints.all(DETECTOR.name)],
        "detect": settings.detect.model_dump(mode="json", exclude={"detector", "checkpoint", "batch_frames"}),
        "source": settings.source.model_dump(mode="json", exclude={"static", "still_rate"}),
        "max_gap_s": settings.faces.max_gap_s,
    }


def comparison_id(job: JobSpec, identity: Identity, networks: Sequence[str], part: str) -> str:
    """Return the id of the records of networks that compare faces.

    Args:
        job: The job.
        identity: Facts that decide its result.
        networks: Their roles: the embedder's, or those of `listeners`.
        part: The part of the source whose faces are numbered, empty for all of it.
    """
    decides = {"chunk": True, "source": True, "faces": {"min_confidence", "smooth_s", "smoothing"}}
    settings = job.settings.model_dump(mode="json", include=decides)
    decisive = {"settings": settings, **{name: identity[name] for name in ("pipeline", "device", "tracks")}}
    decisive |= {"part": part} if part and not job.tracks else {}
    decisive |= {name: identity["weights"][name] for name in (DETECTOR.name, *networks)}
    if EMBEDDER.name not in networks:
        decisive |= {"faces": "all"} if job.diarisation else {}
        if VAD.name in identity["weights"]:  # lips are compared where there is speech
            decisive[VAD.name] = identity["weights"][VAD.name]
    return record_id(decisive)


def listeners(identity: Identity) -> tuple[str, ...]:
    """Return the roles whose records say who speaks in a job: the lip-sync expert's, and others' where used."""
    return tuple(role.name for role in ROLES.values() if role.finds_speaker and role.name in identity["weights"])


def _with_contents(rule: SelectionRule, images: dict[str, str]) -> str:
    """Return a rule with its portrait's identity in place of its name."""
    return f"{LIKE}:{images[rule.image]}" if rule.kind == LIKE else rule.text
