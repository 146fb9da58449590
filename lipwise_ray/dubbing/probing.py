"""Finding out what a row's inputs are, how it will be done, and how far earlier runs came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lipwise_ray.dubbing import inputs
from lipwise_ray.dubbing.abilities import Choice, choices_of
from lipwise_ray.dubbing.assembly import sound_codec, sweep_attempts
from lipwise_ray.dubbing.context import JobSpec, open_job, spec_of
from lipwise_ray.dubbing.identity import comparison_id, detector_id_of, identity_of, protocol_of
from lipwise_ray.dubbing.ids import record_id
from lipwise_ray.dubbing.media import Media
from lipwise_ray.dubbing.outputs import output_at
from lipwise_ray.dubbing.planning import Planner, recipe_of
from lipwise_ray.dubbing.published import Published, find_published
from lipwise_ray.dubbing.rendering import encode_spec
from lipwise_ray.dubbing.sounds import Sounds
from lipwise_ray.dubbing.speakers import detects, listens, portraits, rules_of
from lipwise_ray.dubbing.stretch import Stretch, stretch_of
from lipwise_ray.errors import FaceError, SettingsError
from lipwise_ray.media.encode import check_encoder, is_hardware
from lipwise_ray.media.join import container_for
from lipwise_ray.media.soundtrack import plan_soundtrack
from lipwise_ray.state import layout
from lipwise_ray.state.store import Store
from lipwise_ray.values import Json


class Prober:
    """Looks at rows before any work is done for them.

    Args:
        store: The state.
        scratch: Folder for temporary files.
        planner: Knows the sound filmed with a video.
        threads: Of encoders.
        on_block: Called now and then while large files are read.
    """

    def __init__(
        self, store: Store, scratch: Path, planner: Planner, threads: int, on_block: Callable[[], None]
    ) -> None:
        self._store = store
        self._scratch = scratch
        self._planner = planner
        self._threads = threads
        self._on_block = on_block

    def probe(self, payload: Json, media: Media) -> Json:
        """Return a row's identity, and which chunks of its video have to be looked at; or its earlier result.

        Raises:
            InputError: A file cannot be used.
            SettingsError: No encoder opens, or the output's container cannot hold what is asked for.
        """
        job = spec_of(payload)
        images = {address: media.identity(address) for address in portraits(rules_of(job.speakers, job.settings))}
        undecided, device = identity_of(job, media, payload, images), payload["device"]
        problem = ""
        for choice in choices_of(payload, "known_choices", job.settings):
            job_id = record_id(choice.identity(undecided, device))
            published = self._published(job_id, job, payload)
            if published.result is not None:
                protocol = protocol_of(job, payload["weights"], undecided["tracks"])  # earlier versions kept none
                return {"job_id": job_id, "published": {**published.result, "protocol": protocol}}
            problem = problem or published.problem
        opened = open_job(self._store, media, self._scratch, {**payload, "video_id": undecided["video"]})
        video = opened.video
        choice, has_begun = self._choose(job, video, payload, undecided)
        identity = choice.identity(undecided, device)
        job_id = record_id(identity)
        sounds = Sounds(opened, self._scratch, job_id, identity, self._on_block)
        audio, lines = sounds.delivered(), sounds.lines()
        self._check_early(job, audio)
        rules = [one.rule for one in lines]
        detector_id = detector_id_of(job.settings, payload["weights"])
        voices_id = looks_id = None
        to_scan: list[list[int]] = []
        stretch = stretch_of(opened)
        tracks = layout.tracks(video.id, detector_id, stretch.part)
        if detects(rules, job.tracks):
            there = self._store.names(layout.scans(video.id, detector_id))
            if tracks not in there:
                to_scan = _missing(stretch, lambda number: layout.scan_chunk(video.id, detector_id, number), there)
        to_listen: list[list[int]] = []
        if listens(rules):
            self._check_own_sound(job, video)
            voices_id = found = comparison_id(job, identity, "expert", stretch.part)
            there = self._store.names(layout.listened(video.id, found))
            to_listen = _missing(stretch, lambda number: layout.voices(video.id, found, number), there)
        to_recognise: list[list[int]] = []
        if portraits(rules):
            looks_id = seen = comparison_id(job, identity, "embedder", stretch.part)
            there = self._store.names(layout.recognised(video.id, seen))
            to_recognise = _missing(stretch, lambda number: layout.looks(video.id, seen, number), there)
        return {
            "job_id": job_id,
            "identity": identity,
            "video_id": video.id,
            "detector_id": detector_id,
            "frames": len(video.index),
            "scan": to_scan,
            "voices_id": voices_id,
            "listen": to_listen,
            "looks_id": looks_id,
            "recognise": to_recognise,
            "portraits": images,
            "to_look_at": {
                address: image_id
                for address, image_id in images.items()
                if self._store.size(layout.portrait(image_id, str(looks_id))) is None
            },
            "published": None,
            "choice": choice.record(),
            "has_begun": has_begun,
            "check": is_hardware(choice.encoder) and not has_begun,
            "problem": problem,
        }

    def _choose(self, job: JobSpec, video: inputs.Video, payload: Json, undecided: Json) -> tuple[Choice, bool]:
        """Return how a job is done, and whether an earlier run has begun it so.

        Raises:
            SettingsError: No encoder opens. One that needs a GPU is tried next, by a worker that has one.
        """
        choices = choices_of(payload, "choices", job.settings)
        begun = [
            choice
            for choice in choices
            if self._store.size(layout.plan(record_id(choice.identity(undecided, payload["device"])))) is not None
        ]
        refused: SettingsError | None = None
        for choice in begun or choices:
            settings = choice.settings(job.settings)
            try:
                spec = encode_spec(settings, job.output, recipe_of(settings, video), video, self._threads)
                if not begun and not is_hardware(spec.codec):
                    check_encoder(spec)
            except SettingsError as error:
                refused = refused or error
            else:
                return replace(choice, encoder=spec.codec), bool(begun)
        assert refused is not None  # there is one choice at least
        raise refused

    def check(self, payload: Json, media: Media) -> Json:
        """Open a job's encoder where it is, before any work that it could make vain."""
        job = open_job(self._store, media, self._scratch, payload)
        settings = job.spec.settings
        check_encoder(
            encode_spec(settings, job.spec.output, recipe_of(settings, job.video), job.video, threads=self._threads)
        )
        return {}

    def _check_early(self, job: JobSpec, audio: inputs.Audio) -> None:
        """Find out before any work what would only fail at its end."""
        output_at(job.output_address, self._scratch).check()
        sound, codec = job.settings.encode.audio, sound_codec(job.settings, audio.info)
        if codec != "copy":  # whether copying is exact depends on the plan
            container, whole_s = container_for(Path(job.output)), audio.sound.duration_s
            plan_soundtrack(audio.info, audio.sound, container, codec, sound.bitrate, whole_s)

    def _published(self, job_id: str, job: JobSpec, payload: Json) -> Published:
        """Return an earlier result when its file is still where it belongs, and what it was."""
        output, verify = output_at(job.output_address, self._scratch), bool(payload.get("verify"))
        found = find_published(self._store, job_id, job.output_address, output, verify=verify, on_block=self._on_block)
        # A driver may have died before it did; a later attempt leaves alone what others wait with.
        if found.result and not payload.get("attempt"):
            sweep_attempts(self._store, found.result, keep=job.settings.engine.keep_segments)
        return found

    def _check_own_sound(self, job: JobSpec, video: inputs.Video) -> None:
        """Decode the sound filmed with a video, by which its speaker is to be found."""
        if self._planner.own_sound(job, video) is None:
            raise FaceError(
                "no_own_sound",
                "faces",
                "needs a video whose own sound can be used, for `speaking`",
                "none",
                "Choose another rule for this row",
            )


def _missing(stretch: Stretch, key_of: Callable[[int], str], there: list[str]) -> list[list[int]]:
    """Return the chunks of a source (number, start, stop) that are looked at and whose records are not there."""
    known = set(there)
    return [[number, piece.start, piece.stop] for number, piece in stretch.numbered if key_of(number) not in known]
