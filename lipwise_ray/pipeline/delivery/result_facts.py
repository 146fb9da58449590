"""Facts about a finished video that its result and the file itself tell: what it was made with, and how."""

from __future__ import annotations

import json

from lipwise_ray.faces.people import TOLD_BY_PLACE
from lipwise_ray.faces.select import BOX, BY_PLACE
from lipwise_ray.lipsync.jaw import BY_FIVE_POINTS
from lipwise_ray.lipsync.occlusion import BY_NEIGHBOURS
from lipwise_ray.lipsync.texture import looks_photographed
from lipwise_ray.lipsync.voice_activity import BY_LEVEL
from lipwise_ray.models.checkpoints import Checkpoints
from lipwise_ray.pipeline.dubbing.capabilities import RUNTIME
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.render_chunk import has_occlusion
from lipwise_ray.pipeline.dubbing.speeches import spoken_by
from lipwise_ray.pipeline.dubbing.task_parts import JobPayload, Probed
from lipwise_ray.pipeline.dubbing.window import OutputWindow
from lipwise_ray.pipeline.inputs.made import made_key
from lipwise_ray.pipeline.manifest.background import background_file
from lipwise_ray.pipeline.manifest.speakers import rules_of
from lipwise_ray.roles.embedder import EMBEDDER
from lipwise_ray.roles.landmarks import LANDMARKS
from lipwise_ray.roles.lipsync import PASSTHROUGH
from lipwise_ray.roles.occluder import OCCLUDER
from lipwise_ray.roles.parser import PARSER
from lipwise_ray.roles.vad import VAD
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.face_records import OcclusionMeans
from lipwise_ray.state.fitted_record import FittedRecord
from lipwise_ray.state.markers import ChunkMarker
from lipwise_ray.state.speech_record import SpokenBy
from lipwise_ray.version import __version__

_UNFOLLOWED = (
    'faces.follow = "video" needs an embedder and there was none: nobody was followed over cuts, faces were chosen in '
    "each shot anew (`lipwise-ray models pull sface` installs one)"
)

_ONLY_AROUND = (
    "faces were looked for around these seconds alone: who is largest, people's numbers and who is the same person "
    "follow from the whole video, and may come out otherwise there"
)


def provenance(payload: JobPayload) -> dict[str, str]:
    """Return the tags by which the file says that its lips are made: of what, with what, and how."""
    identity = payload.probed.identity
    inputs = ("video", "audio", "tracks", "speakers", "diarisation", "background")
    made = {
        "made_with": f"lipwise-ray {__version__}",
        "synthetic": "lips",
        "job": payload.probed.job_id,
        "inputs": {name: identity[name] for name in inputs if identity.get(name)},
        "weights": [{"name": one.name, "sha256": one.sha256, "licence": one.licence} for one in payload.row.weights],
        "settings": identity["settings"],
        **({RUNTIME: identity[RUNTIME]} if RUNTIME in identity else {}),
    }
    return {
        "comment": f"Lips synthesised by lipwise-ray {__version__}",
        "description": json.dumps(made, sort_keys=True),
    }


def speech_by(job: JobContext, payload: JobPayload) -> str | None:
    """Return the name of what told speech from pauses, None where pauses were nothing special."""
    detector = payload.row.weights.one(VAD.name)
    if job.spec.settings.lipsync.silence == "off":
        return None
    return detector.name if detector else BY_LEVEL


def speakers_of_texts(job: JobContext) -> tuple[SpokenBy, ...] | None:
    """Return the engines and voices that spoke the row's texts, None where it had audio."""
    named = [job.spec.audio, *(one.audio for one in job.spec.speakers)]
    keys = [key for address in named if address and (key := made_key(address))]
    return spoken_by(job.store, keys) or None


def people_by(job: JobSpec, weights: Checkpoints, probed: Probed) -> str | None:
    """Return the name of what told people apart, None where no face was chosen among people.

    Args:
        job: The row's.
        weights: Its checkpoints.
        probed: What was found out about it.
    """
    if all(rule.kind == BOX for rule in rules_of(job.speakers, job.settings)):
        return None
    embedder = weights.one(EMBEDDER.name) if probed.looks_id else None
    return embedder.name if embedder else TOLD_BY_PLACE


def unfollowed(job: JobSpec, told_by: str | None) -> list[str]:
    """Return a note where people were to be followed over cuts and could not be.

    Args:
        job: The row's.
        told_by: Of `people_by`.
    """
    by_place = any(rule.kind in BY_PLACE for rule in rules_of(job.speakers, job.settings)) or job.diarisation
    if job.settings.faces.follow != "video" or told_by != TOLD_BY_PLACE or not by_place:
        return []
    return [_UNFOLLOWED]


def of_window(window: OutputWindow | None) -> list[str]:
    """Return a note where a part of an output was made with faces that were looked for around it alone."""
    return [_ONLY_AROUND] if window is not None and window.looked is not None else []


def mask_by(settings: Settings, weights: Checkpoints) -> str | None:
    """Return the name of the network whose landmarks masks follow, or ``five points``; None where they follow no face.

    Args:
        settings: The row's.
        weights: Its checkpoints.
    """
    if settings.composite.mask != "face" or settings.lipsync.model == PASSTHROUGH:
        return None
    landmarker = weights.one(LANDMARKS.name)
    return landmarker.name if landmarker else BY_FIVE_POINTS


def occluded(settings: Settings, weights: Checkpoints, markers: list[ChunkMarker]) -> OcclusionMeans | None:
    """Return the figures of what was in front of faces, None where nobody looked.

    Args:
        settings: The row's.
        weights: Its checkpoints.
        markers: Those of its chunks.
    """
    if settings.composite.mask == "box" or settings.lipsync.model == PASSTHROUGH:
        return None
    parser, occluder = weights.one(PARSER.name), weights.one(OCCLUDER.name)
    networks = [one.name for one in (parser, occluder) if one]
    if has_occlusion(settings) and occluder is None:
        networks.append(BY_NEIGHBOURS)
    if not networks:
        return None
    frames, occluded, share = (
        sum(marker.occlusion[place] for marker in markers if marker.occlusion) for place in range(3)
    )
    return OcclusionMeans(
        by=tuple(networks),
        frames=round(occluded / frames, 4) if frames else None,
        mask=round(share / max(1, occluded), 4) if frames else None,
    )


def notes(weights: Checkpoints, markers: list[ChunkMarker]) -> list[str]:
    """Return notes on a video whose faces are none that its networks were made for."""
    total, faces = (sum(marker.smoothness[place] for marker in markers if marker.smoothness) for place in range(2))
    if not looks_photographed(total, int(faces)):
        return []
    return [
        f"{one.name} was made for {one.made_for}, and these look photographed: expect poor lips"
        for one in weights
        if one.made_for
    ]


def unmoved(job: JobSpec, fitted: FittedRecord | None) -> list[str]:
    """Return the note on a background file beside a video that was stretched in the slots of its clips.

    Args:
        job: The job.
        fitted: What was made longer; None where nothing was.
    """
    if fitted is None or not fitted.slots or background_file(job.background) is None:
        return []
    return ["the background is laid from the start on as it is: it does not follow the video, which was stretched"]
