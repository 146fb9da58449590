"""What decides a result: jobs, scans and comparisons are named after it, so equal work is done once."""

from __future__ import annotations

from lipwise_ray.dubbing.context import JobSpec
from lipwise_ray.dubbing.ids import PIPELINE_VERSION, record_id
from lipwise_ray.dubbing.media import Media
from lipwise_ray.dubbing.sounds import mix_id
from lipwise_ray.dubbing.speakers import needs_detector, rules_of
from lipwise_ray.faces.select import LIKE, Selection, parse_selection
from lipwise_ray.settings import Settings
from lipwise_ray.values import Json


def identity_of(job: JobSpec, media: Media, payload: Json, images: dict[str, str]) -> Json:
    """Return what decides a job's result.

    Args:
        job: The job.
        media: Knows its inputs.
        payload: Of its task: weights and device.
        images: The identities of its portraits by address; they count by their contents.

    Raises:
        InputError: An input may not be read, or is not there.
    """
    rules = rules_of(job.speakers, job.settings)
    needs_scan = needs_detector(rules, job.tracks)
    decisive = job.settings.identity()
    if not needs_scan:
        del decisive["detect"]
    if not payload["weights"].get("upscaler"):
        del decisive["restore"]["upscale"]
        if not payload["weights"].get("restorer"):
            del decisive["restore"]
    speakers = [
        {
            "faces": _with_contents(parse_selection(speaker.faces), images),
            "audio": media.identity(speaker.audio),
            "start_s": speaker.start_s,
            "end_s": speaker.end_s,
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
        "video": media.identity(job.video),
        "audio": mix_id(speakers) if job.audio is None else media.identity(job.audio),
        **({"speakers": speakers} if speakers else {}),
        "tracks": media.identity(job.tracks) if job.tracks else None,
        "start_s": job.start_s,
        "end_s": job.end_s,
        "language": job.language,
        "settings": decisive,
        "device": payload["device"],
        "weights": {
            **{
                name: (payload["weights"].get(name) or {}).get("sha256")
                for name in ("lipsync", "restorer", "upscaler", "parser", "expert")
            },
            **({"embedder": payload["weights"]["embedder"]["sha256"]} if images else {}),
            "detector": detector_id_of(job.settings, payload["weights"]) if needs_scan else None,
        },
        "output": job.output,
    }


def detector_id_of(settings: Settings, weights: Json) -> str:
    """Return what decides which faces are found in a video, and how the records of that are cut."""
    chunk = settings.chunk.model_dump(mode="json")
    return record_id({"pipeline": PIPELINE_VERSION, **_detection(settings, weights), "chunk": chunk})


def protocol_of(job: JobSpec, weights: Json, tracks_id: str | None) -> str:
    """Return what decides where a video's figures are measured: whose face, found and followed how.

    Figures of the same protocol compare, whatever was dubbed and however it was cut into chunks. Which network scored
    them is told beside it.

    Args:
        job: The job.
        weights: Its checkpoints.
        tracks_id: The contents of the user's own tracks.
    """
    rules, settings = rules_of(job.speakers, job.settings), job.settings
    faces = settings.faces.model_dump(mode="json", include={"smooth_s", "smoothing"})
    found = _detection(settings, weights)
    if not needs_detector(rules, job.tracks):
        found = {"source": found["source"], "tracks": tracks_id}
    return record_id({**found, "faces": faces, "rules": sorted(_rule_text(rule) for rule in rules)})


def _rule_text(rule: Selection) -> str:
    return LIKE if rule.kind == LIKE else rule.text  # whose portrait it is, is the row's


def _detection(settings: Settings, weights: Json) -> Json:
    return {
        "weights": [ref["sha256"] for ref in weights.get("detector") or []],
        "detect": settings.detect.model_dump(mode="json", exclude={"detector", "checkpoint", "batch_frames"}),
        "source": settings.source.model_dump(mode="json", exclude={"static", "still_rate"}),
        "max_gap_s": settings.faces.max_gap_s,
    }


def comparison_id(job: JobSpec, identity: Json, network: str, part: str) -> str:
    """Return what decides what a network that compares faces finds.

    Args:
        job: The job.
        identity: What decides its result.
        network: ``expert`` or ``embedder``.
        part: The part of the source whose faces are numbered, empty for all of it.
    """
    decides = {"chunk": True, "source": True, "faces": {"smooth_s", "smoothing"}}
    settings = job.settings.model_dump(mode="json", include=decides)
    decisive = {"settings": settings, **{name: identity[name] for name in ("pipeline", "device", "tracks")}}
    decisive |= {"part": part} if part and not job.tracks else {}
    return record_id({**decisive, **{name: identity["weights"][name] for name in ("detector", network)}})


def _with_contents(rule: Selection, images: dict[str, str]) -> str:
    """Return a rule with its portrait's identity in place of its name."""
    return f"{LIKE}:{images[rule.image]}" if rule.kind == LIKE else rule.text
