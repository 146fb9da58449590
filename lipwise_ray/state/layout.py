"""The keys of everything in a state directory.

Ids are hashes: `video_id`, `audio_id` and `image_id` of a file's contents, `judge_id` of the sync scorer's checkpoint,
the others of everything that decides a result: `detector_id` of detections, `voices_id` of active speaker scores,
`looks_id` of face embeddings, `lips_id` of those of lips, `recogniser_id` of transcripts, `speech_id` of speech that is
made of a text, `encoder_id` of the states of audio, `separator_id` of audio without voices, `rendering_id` of how
frames are rendered and encoded. Numbers of chunks begin at 0.
Records of a damaged file that is read past its damage, with `salvage`, have keys of their own.
"""

from __future__ import annotations

import re

FORMAT = "format.json"
"""Record with the number of the state's layout: see `state.format`."""

DRIVER = "driver"
QUARANTINE = "quarantine"
CONTROL = "control"
SCANS, SOUNDS, JOBS, RUNS = "scans", "sounds", "jobs", "runs"
SPEECH = "speech"
SPEEDS = "speeds"
"""Folder of the speeds of runs, a small record each."""

CANCEL_RUN = f"{CONTROL}/cancel.json"
"""Asks the driver to end the whole run."""


SHARDS = "shards"
"""Under it are the leases of drivers that share a state, and what they are asked for."""

NIGHTS = "nights"
NIGHT_LOCK = "night-lock"
"""Under it is the lease of whoever works through the backlog."""

SERVICE = "service"
"""Folder of a service's queue; under `SERVICE_LOCK` is the lease of the server that has it."""
SERVICE_LOCK = f"{SERVICE}/lock"
SERVICE_JOBS, SERVICE_BATCHES = f"{SERVICE}/jobs", f"{SERVICE}/batches"
SERVICE_ASSETS, SERVICE_WEBHOOKS = f"{SERVICE}/assets", f"{SERVICE}/webhooks"


_FIXED = re.compile(
    rf"({SCANS}|{SOUNDS})/.+|{SPEECH}/[^/]+/[0-9a-f]{{64}}\.wav|{JOBS}/[^/]+/(plan\.json|plan\.npz|(segments|sound|mix|stretched|scores|measures)/.+)"
)


def is_fixed(key: str) -> bool:
    """Tell whether a key always holds the same, so that nobody who has it needs to ask again.

    Its name says what it is made of, or it is written once. Scores are an exception, which change with their segments:
    they say of which they are, and whoever meets those of others asks anew (`Store.forget`).
    """
    return _FIXED.fullmatch(key) is not None


def backlog(name: str) -> str:
    """Return the key of the record of a manifest of the backlog."""
    return f"backlog/{name}.json"


def night(night_id: str) -> str:
    """Return the folder of a night's record and report."""
    return f"{NIGHTS}/{night_id}"


def video(video_id: str) -> str:
    """Return the folder of a video's shared records."""
    return f"{SCANS}/{video_id}"


def index(video_id: str, *, salvage: bool) -> str:
    """Return the key of a frame index."""
    return f"{video(video_id)}/index{'-salvage' if salvage else ''}.npz"


def scans(video_id: str, detector_id: str) -> str:
    """Return the folder of a video's detections and tracks."""
    return f"{video(video_id)}/{detector_id}"


def scan_chunk(video_id: str, detector_id: str, number: int) -> str:
    """Return the key of one chunk's detections; it is created whole, so it is its own marker."""
    return f"{scans(video_id, detector_id)}/chunk-{number:05d}.npz"


def tracks(video_id: str, detector_id: str, part: str = "") -> str:
    """Return the key of a video's tracks, or of those in a part of it.

    Args:
        video_id: Id of the video.
        detector_id: Id of the detector.
        part: Name of the part; empty for the whole video.
    """
    return f"{scans(video_id, detector_id)}/tracks{part and '-' + part}.npz"


def listened(video_id: str, voices_id: str) -> str:
    """Return the folder of a video's active speaker scores: the agreement of its faces with its audio."""
    return f"{video(video_id)}/voices-{voices_id}"


def voices(video_id: str, voices_id: str, number: int) -> str:
    """Return the key of one chunk's active speaker scores; it is created whole."""
    return f"{listened(video_id, voices_id)}/chunk-{number:05d}.npz"


def recognised(video_id: str, looks_id: str) -> str:
    """Return the folder of a video's face embeddings."""
    return f"{video(video_id)}/looks-{looks_id}"


def face_embeddings(video_id: str, looks_id: str, number: int) -> str:
    """Return the key of one chunk's face embeddings; it is created whole."""
    return f"{recognised(video_id, looks_id)}/chunk-{number:05d}.npz"


def portrait(image_id: str, looks_id: str) -> str:
    """Return the key of the face embedding of a portrait."""
    return f"{video(image_id)}/portrait-{looks_id}.npz"


def filmed_lips(video_id: str, lips_id: str) -> str:
    """Return the key of what a sync scorer made of the original lips of a stretch; it is created whole."""
    return f"{video(video_id)}/lips-{lips_id}.npz"


def rendered(video_id: str, rendering_id: str) -> str:
    """Return the folder of what is known of chunks of a video's jobs that are rendered alike, a record a job."""
    return f"{video(video_id)}/rendered-{rendering_id}"


def sound(audio_id: str, *, salvage: bool) -> str:
    """Return the key of a sound's record."""
    return f"{SOUNDS}/{audio_id}/sound{'-salvage' if salvage else ''}.json"


def mel(audio_id: str, *, salvage: bool) -> str:
    """Return the key of a sound's mel."""
    return f"{SOUNDS}/{audio_id}/mel{'-salvage' if salvage else ''}.npy"


def cepstra(audio_id: str, *, salvage: bool) -> str:
    """Return the key of a sound's cepstra."""
    return f"{SOUNDS}/{audio_id}/mfcc{'-salvage' if salvage else ''}.npy"


def states(audio_id: str, encoder_id: str, *, salvage: bool) -> str:
    """Return the folder of the file with the states of audio that lips follow; its name is that of its bytes."""
    return f"{SOUNDS}/{audio_id}/states-{encoder_id}{'-salvage' if salvage else ''}"


def speech(audio_id: str, detector_id: str, *, salvage: bool) -> str:
    """Return the key of when a sound holds speech; it is created whole."""
    return f"{SOUNDS}/{audio_id}/speech-{detector_id}{'-salvage' if salvage else ''}.npz"


def speech_record(speech_id: str) -> str:
    """Return the key of the record of speech that was made of a text; it is written last."""
    return f"{SPEECH}/{speech_id}/speech.json"


def speech_file(speech_id: str, sha256: str) -> str:
    """Return the key of speech that was made of a text, which is named after its bytes."""
    return f"{SPEECH}/{speech_id}/{sha256}.wav"


def backgrounds(audio_id: str, separator_id: str, *, salvage: bool) -> str:
    """Return the folder of the file with what audio holds beside voices; its name is that of its bytes."""
    return f"{SOUNDS}/{audio_id}/background-{separator_id}{'-salvage' if salvage else ''}"


def transcript(audio_id: str, recogniser_id: str, *, salvage: bool) -> str:
    """Return the key of the transcript of audio."""
    return f"{SOUNDS}/{audio_id}/transcript-{recogniser_id}{'-salvage' if salvage else ''}.json"


def plan(job_id: str) -> str:
    """Return the key of a job's plan."""
    return f"{JOBS}/{job_id}/plan.json"


def plan_arrays(job_id: str) -> str:
    """Return the key of a plan's per-frame arrays."""
    return f"{JOBS}/{job_id}/plan.npz"


def job(job_id: str) -> str:
    """Return the folder of a job."""
    return f"{JOBS}/{job_id}"


def markers(job_id: str) -> str:
    """Return the folder of a job's commit markers."""
    return f"{job(job_id)}/chunks"


def marker(job_id: str, chunk: int) -> str:
    """Return the key of a chunk's commit marker."""
    return f"{markers(job_id)}/{chunk:05d}.json"


def segment(job_id: str, chunk: int, attempt: str) -> str:
    """Return the key of an attempt's segment.

    Args:
        job_id: Id of the job.
        chunk: Number of the chunk, from 0 on.
        attempt: Name of the attempt, which no other one has.
    """
    return f"{segments(job_id)}/{chunk:05d}.{attempt}.mkv"


def segments(job_id: str) -> str:
    """Return the folder of a job's segments."""
    return f"{JOBS}/{job_id}/segments"


def soundtrack(job_id: str, track: int = 0) -> str:
    """Return the folder of a job's encoded sound; further soundtracks have theirs within that of the first."""
    return f"{JOBS}/{job_id}/sound{f'/{track}' if track else ''}"


def mixed(job_id: str) -> str:
    """Return the key of the record of what was mixed into a job's audio."""
    return f"{soundtrack(job_id)}/mixed.json"


def watermark(job_id: str) -> str:
    """Return the key of the record of the mark in a job's audio."""
    return f"{soundtrack(job_id)}/watermark.json"


def mix(job_id: str) -> str:
    """Return the folder of the mix of a job's speakers."""
    return f"{JOBS}/{job_id}/mix"


def stretched(job_id: str, sound_id: str) -> str:
    """Return the folder of a sound of a job that was made longer or shorter."""
    return f"{all_stretched(job_id)}/{sound_id}"


def all_stretched(job_id: str) -> str:
    """Return the folder of all sounds of a job that were made longer or shorter."""
    return f"{JOBS}/{job_id}/stretched"


def scores(job_id: str) -> str:
    """Return the folder of a job's sync scores."""
    return f"{JOBS}/{job_id}/scores"


def score(job_id: str, judge_id: str, chunk: int) -> str:
    """Return the key of the sync scores of one chunk; it is created whole."""
    return f"{scores(job_id)}/{judge_id}-{chunk:05d}.npz"


def still(job_id: str, name: str) -> str:
    """Return the key of an image of a job's face, ``before`` or ``after`` it was dubbed."""
    return f"{JOBS}/{job_id}/stills/{name}.jpg"


def sample(job_id: str, name: str) -> str:
    """Return the key of an image of a finished video's face, ``after``, or of its reference's beside it, ``before``."""
    return f"{JOBS}/{job_id}/samples/{name}.jpg"


def measures(job_id: str) -> str:
    """Return the folder of a finished video's measures."""
    return f"{JOBS}/{job_id}/measures"


def measured(job_id: str, chunk: int) -> str:
    """Return the key of the measures of one stretch of it; it is created whole."""
    return f"{measures(job_id)}/{chunk:05d}.npz"


def attempts(job_id: str) -> str:
    """Return the key of a job's attempt ledger."""
    return f"{JOBS}/{job_id}/attempts.jsonl"


def result(job_id: str) -> str:
    """Return the key of a job's result."""
    return f"{JOBS}/{job_id}/result.json"


def side_car(job_id: str) -> str:
    """Key of a copy of the content credentials that lie beside a job's output."""
    return f"{JOBS}/{job_id}/credentials.c2pa"


def run(run_id: str) -> str:
    """Return the folder of a run."""
    return f"{RUNS}/{run_id}"


def run_record(run_id: str) -> str:
    """Return the key of the record of a run's start."""
    return f"{run(run_id)}/run.json"


def planned(run_id: str) -> str:
    """Return the key of a run's planned rows: a line a row that could be started."""
    return f"{run(run_id)}/planned.jsonl"


def rows(run_id: str) -> str:
    """Return the folder of the rows' outcomes in a run."""
    return f"{run(run_id)}/rows"


def row(run_id: str, number: int, status: str) -> str:
    """Return the key of a row's outcome in a run; it tells how the row ended, so that listing is enough to count.

    Args:
        run_id: Id of the run.
        number: Line of the row in its manifest.
        status: ``done`` or ``failed``.
    """
    return f"{rows(run_id)}/{number:06d}-{status}.json"


def done(run_id: str) -> str:
    """Return the key of the log of a run's rows that were done and have records of their outcomes."""
    return f"{run(run_id)}/done.jsonl"


def reused(run_id: str) -> str:
    """Return the key of the log of a run's rows that were done before and unchanged, with their outcomes."""
    return f"{run(run_id)}/reused.jsonl"


def speed(run_id: str) -> str:
    """Return the key of a run's speeds."""
    return f"{SPEEDS}/{run_id}.json"


def events(run_id: str) -> str:
    """Return the key of a run's event log."""
    return f"{run(run_id)}/events.jsonl"


def epoch(number: int) -> str:
    """Return the key of the record that a driver makes when it takes a state."""
    return f"{DRIVER}/epoch-{number:08d}.json"


def beat(number: int) -> str:
    """Return the key of a driver's sign of life."""
    return f"{DRIVER}/beat-{number:08d}.json"


def dead_letter(task_id: str) -> str:
    """Return the key of a task's dead letter."""
    return f"{QUARANTINE}/{task_id.replace(':', '-').replace('/', '-')}.json"


def cancel(job_id: str) -> str:
    """Return the key that asks the driver to cancel a job, or the row of that id."""
    return f"{CONTROL}/cancel-{job_id}.json"


def service_job(job_id: str) -> str:
    """Return the key of the record of a service's job."""
    return f"{SERVICE_JOBS}/{job_id}.json"


def service_batch(batch_id: str) -> str:
    """Return the key of the record of jobs that were handed to a service together."""
    return f"{SERVICE_BATCHES}/{batch_id}.json"


def service_request(digest: str) -> str:
    """Return the key of the record of a request that a service's client gave a key of its own."""
    return f"{SERVICE}/requests/{digest}.json"


def service_asset(asset_id: str) -> str:
    """Return the key of the record of a file that was sent to the service."""
    return f"{SERVICE_ASSETS}/{asset_id}.json"


def service_webhook(call_id: str) -> str:
    """Return the key of the record of a call that the service owes."""
    return f"{SERVICE_WEBHOOKS}/{call_id}.json"
