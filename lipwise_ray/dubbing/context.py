"""A job as a worker sees it: what the row asked for, and its opened inputs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

from lipwise_ray.dubbing import inputs
from lipwise_ray.dubbing.abilities import choice_in
from lipwise_ray.dubbing.media import Media
from lipwise_ray.dubbing.plan import Plan
from lipwise_ray.dubbing.speakers import Speaker
from lipwise_ray.errors import StorageError
from lipwise_ray.settings import Settings
from lipwise_ray.state import layout
from lipwise_ray.state.store import Store, load_file, read_json
from lipwise_ray.values import Json


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a row asks for, all defaults filled in.

    ``audio`` is None where the speakers' sounds are mixed; without speakers one rule of the settings chooses the faces.
    """

    row_id: str
    video: str
    audio: str | None
    output: str
    output_address: str
    tracks: str | None
    start_s: float
    end_s: float | None
    language: str | None
    tags: tuple[str, ...]
    settings: Settings
    speakers: tuple[Speaker, ...] = ()

    def record(self) -> Json:
        """Return JSON values that `spec_of` reads."""
        return {
            "row_id": self.row_id,
            "video": self.video,
            "audio": self.audio,
            "output": self.output,
            "output_address": self.output_address,
            "tracks": self.tracks,
            "start_s": self.start_s,
            "end_s": self.end_s,
            "language": self.language,
            "tags": list(self.tags),
            "settings": self.settings.model_dump_json(),
            "speakers": [asdict(speaker) for speaker in self.speakers],
        }


def spec_of(payload: Json) -> JobSpec:
    """Read the job of a task's payload."""
    job = payload["job"]
    settings = Settings.model_validate_json(job["settings"])
    if "choice" in payload:
        settings = choice_in(payload["choice"]).settings(settings)
    return JobSpec(
        row_id=job["row_id"],
        video=job["video"],
        audio=job["audio"],
        output=job["output"],
        output_address=job["output_address"],
        tracks=job["tracks"],
        start_s=job["start_s"],
        end_s=job["end_s"],
        language=job["language"],
        tags=tuple(job["tags"]),
        settings=settings,
        speakers=tuple(Speaker(**speaker) for speaker in job["speakers"]),
    )


@dataclass(frozen=True, slots=True)
class JobContext:
    """A job with its video opened."""

    spec: JobSpec
    store: Store
    media: Media
    video: inputs.Video
    salvage: bool


def open_job(store: Store, media: Media, scratch: Path, payload: Json) -> JobContext:
    """Open the job of a task whose inputs have been probed."""
    spec = spec_of(payload)
    salvage = spec.settings.source.on_error == "salvage"
    file = media.local(spec.video, payload["video_id"])
    rate, limits = Fraction(spec.settings.source.still_rate), spec.settings.limits
    video = inputs.open_video(store, scratch, file, payload["video_id"], salvage=salvage, limits=limits, rate=rate)
    return JobContext(spec, store, media, video, salvage)


def read_plan(store: Store, job_id: str) -> Plan:
    """Return a job's plan.

    Raises:
        StorageError: It is gone.
    """
    found = known_plan(store, job_id)
    if found is None:
        raise StorageError("no_plan", layout.plan(job_id), "must be whole in the state", "nothing", "Run again")
    return found


def known_plan(store: Store, job_id: str) -> Plan | None:
    """Return a job's plan, or None when it is missing or damaged."""
    summary = read_json(store, layout.plan(job_id))
    if summary is None:
        return None
    return load_file(store, layout.plan_arrays(job_id), lambda arrays: Plan.load(arrays, summary))
