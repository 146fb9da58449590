"""A job's sounds: what is delivered, and what each face says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from lipwise_ray.errors import MediaError, StorageError
from lipwise_ray.faces.select import SelectionRule, parse_selection_rule
from lipwise_ray.lipsync.audio_features import AudioEncoder
from lipwise_ray.lipsync.time_map import TimeMap
from lipwise_ray.media.mix import AudioClip, mix, mix_info
from lipwise_ray.media.tempo import METHOD, write_stretched
from lipwise_ray.pipeline.dubbing.clip_places import PlacedClips, SlottedClip, moved_places, placed_clips, stated_places
from lipwise_ray.pipeline.dubbing.dialogue import Times, check_alone
from lipwise_ray.pipeline.dubbing.fitting import FIT, Slot, check_slots, fitted_s, used_s
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.inputs.lines import LineClip, keep_line
from lipwise_ray.pipeline.inputs.made import made_key
from lipwise_ray.pipeline.inputs.whole_file import whole_file
from lipwise_ray.pipeline.manifest.cast import cast_of
from lipwise_ray.pipeline.manifest.diarisation import read_diarisation
from lipwise_ray.pipeline.manifest.speakers import Speaker, rules_of
from lipwise_ray.state import layout
from lipwise_ray.state.fitted_record import FittedClip
from lipwise_ray.state.ids import Identity, record_id
from lipwise_ray.storage.address import shown
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.storage.scratch import scratch_file
from lipwise_ray.storage.stream_choice import StreamChoice, split_choice
from lipwise_ray.values import round_half_up

FITTED = "fitted"
"""Key, in the record of a speaker in a job's identity, of audio that fits into its time."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """All that one face says.

    Attributes:
        rule: Chooses the face.
        sound_id: The record of what it says, on the clock of the delivered sound.
        times_s: ``[start, end)`` of each thing said; empty for a row without speakers, whose face says everything.
        name: Of the speaker in a diarisation file, whose sound is that of all speakers; else empty.
        clips: Sounds that it is put together of; empty where it is one whole sound from its start on.
    """

    rule: SelectionRule
    sound_id: str
    times_s: Times = ()
    name: str = ""
    clips: tuple[LineClip, ...] = ()


def mix_id(speakers: Sequence[Identity]) -> str:
    """Return the id of the mix of some speakers' audio, by their records in a job's identity."""
    named = ("audio", "start_s", "end_s", FITTED)
    return record_id({"mix": [[one[name] for name in named if name in one] for one in speakers]})


class Sounds:
    """Opens a job's sounds; those that are put together are made once.

    Args:
        job: The job.
        scratch: Folder for temporary files.
        job_id: Job whose mix it is.
        identity: Facts that decide the job's result.
        on_block: Called while sounds are mixed.
        wanted_s: Length that one audio has to have; None for its own, or for what makes it fit.
        encodes: Ids of those whose states are kept, too, of the job's encoder.
    """

    def __init__(
        self,
        job: JobContext,
        scratch: Path,
        job_id: str,
        identity: Identity,
        on_block: Callable[[], None] = lambda: None,
        wanted_s: Fraction | None = None,
        encodes: Collection[str] = (),
    ) -> None:
        self._job = job
        self._encodes = encodes
        self._wanted_s = wanted_s
        self._scratch = scratch
        self._job_id = job_id
        self._identity = identity
        self._on_block = on_block
        self._fitted: records.Audio | None = None
        self._placed: PlacedClips | None = None
        self.factors: tuple[Fraction, ...] = ()
        """By which audio clips were made longer, 1 for none; known once the delivered sound is."""

    @property
    def job(self) -> JobContext:
        """The job, as far as its audio is concerned: of a further soundtrack, one that has that audio alone."""
        return self._job

    @property
    def time_map(self) -> TimeMap | None:
        """Times of the output by those of the used video; None where clips do not stretch it. Known with the sound."""
        return self._placed.time_map if self._placed else None

    @property
    def slots(self) -> tuple[FittedClip, ...]:
        """Records of the clips in whose slots the video is stretched; empty where none is."""
        return self._placed.record if self._placed else ()

    def beside(self) -> list[Sounds]:
        """Return the further soundtracks of the job's file, each as the sounds of a job that says it."""
        if not self._job.spec.beside:
            return []
        audio_ids = [audio_id for _, audio_id in self._identity["beside"]]
        is_fitted = self._job.spec.settings.timing.length == FIT
        wanted_s = self.delivered().sound.duration_s if is_fitted else None
        specs = [replace(self._job.spec, audio=one.audio, beside=()) for one in self._job.spec.beside]
        return [
            Sounds(
                replace(self._job, spec=spec),
                self._scratch,
                self._job_id,
                {**self._identity, "audio": audio_id, "beside": ()},
                self._on_block,
                wanted_s,
            )
            for spec, audio_id in zip(specs, audio_ids, strict=True)
        ]

    def delivered(self) -> records.Audio:
        """Return the sound of the finished file: the row's, or its speakers' mixed, of which there need be no file yet.

        Raises:
            MediaError: A sound cannot be used.
        """
        audio_id: str = self._identity["audio"]
        if self._job.spec.audio is not None:
            return self._one(self._job.spec.audio, audio_id)
        clips, salvage = self._clips(), self._job.salvage
        cached = records.known_sound(self._job.store, audio_id, salvage=salvage)
        if cached is not None:
            info = mix_info(clips, Path(f"{audio_id}.mka"))
            return records.Audio(audio_id, info, *cached, layout.mel(audio_id, salvage=salvage))
        with scratch_file(self._scratch, "mix.mka") as temporary:
            mix(clips, temporary, salvage=salvage, on_block=self._on_block)
            return self._open(temporary, audio_id, is_said=False)

    def file(self) -> records.Audio:
        """Return the delivered sound with a file; a mix is kept in the state until the job is published.

        Raises:
            MediaError: A sound cannot be used.
        """
        audio = self.delivered()
        if self._job.spec.audio is not None:
            return audio
        folder = layout.mix(self._job_id)
        path = whole_file(self._job.store, folder)
        if path is None:
            with scratch_file(self._scratch, "mix.mka") as temporary:
                mix(self._clips(), temporary, salvage=self._job.salvage, on_block=self._on_block)
                path = self._kept(folder, temporary)
        return replace(audio, info=replace(audio.info, path=path))

    def _one(self, address: str, audio_id: str) -> records.Audio:
        """Return the row's one sound, as long as it has to be."""
        if self._fitted is not None:
            return self._fitted
        audio = self._open_input(address, audio_id)
        if self._job.spec.settings.timing.length != FIT:
            return audio
        wanted_s, timing = self._wanted_s, self._job.spec.settings.timing
        if wanted_s is None:
            wanted_s = fitted_s(self._job, audio)
        else:
            check_slots([Slot(shown(address), audio.sound.duration_s, wanted_s, timing.max_stretch)], timing)
        self.factors = () if wanted_s == audio.sound.duration_s else (wanted_s / audio.sound.duration_s,)
        self._fitted = self._stretched(audio, wanted_s)
        return self._fitted

    def lines(self) -> list[Dialogue]:
        """Return the dialogue: the audio of each face.

        Raises:
            MediaError: A sound cannot be used, or a face would say two things at once.
        """
        spec = self._job.spec
        rules = rules_of(spec.speakers, spec.settings)
        if spec.diarisation is not None:
            return self._diarised(spec.diarisation)
        if not spec.speakers:
            return [Dialogue(rules[0], self._said_id())]
        said_by = [parse_selection_rule(speaker.faces) for speaker in spec.speakers]
        return [self._lines(rule, [number for number, one in enumerate(said_by) if one == rule]) for rule in rules]

    def _diarised(self, address: str) -> list[Dialogue]:
        """Return the turns of each speaker who is seen, all in the one audio.

        Raises:
            FaceError: The file is none, or names others than the row does.
        """
        turns = read_diarisation(self._job.media.local(address, self._identity["diarisation"]))
        sound_id = self._said_id()
        factor = self.factors[0] if self.factors else Fraction(1)
        return [
            Dialogue(
                parse_selection_rule(speaker.faces),
                sound_id,
                tuple((start_s * factor, stop_s * factor) for start_s, stop_s in times),
                speaker.name,
            )
            for speaker, times in cast_of(self._job.spec.speakers, turns, shown(address))
        ]

    def _said_id(self) -> str:
        """Return the id of the row's one sound as it is delivered."""
        audio_id: str = self._identity["audio"]
        return self.delivered().id if self._job.spec.settings.timing.length == FIT else audio_id

    def _pairs(self) -> list[tuple[Speaker, Identity]]:
        return list(zip(self._job.spec.speakers, self._identity["speakers"], strict=True))

    def _lines(self, rule: SelectionRule, numbers: list[int]) -> Dialogue:
        found = [self._clip(number) for number in numbers]
        clips, sound_ids = [clip for clip, _ in found], [sound_id for _, sound_id in found]
        times = tuple(sorted((clip.begin_s, clip.stop_s) for clip in clips))
        first = self._job.spec.speakers[numbers[0]]
        check_alone(first.faces, times)
        if len(numbers) == 1 and first.start_s == 0 and first.end_s is None:
            return Dialogue(rule, sound_ids[0], times)
        return self._line_of(rule, times, clips, sound_ids, f"{self._line_name(numbers, clips, sound_ids)}-line")

    def _line_name(self, numbers: list[int], clips: list[AudioClip], sound_ids: list[str]) -> str:
        """Return the id of some clips, each at its place; clips of others, or a mix, may have moved it."""
        is_in_fitted_mix = self._job.spec.audio is not None and self._job.spec.settings.timing.length == FIT
        if self.time_map is None and not is_in_fitted_mix:
            records_of = self._identity["speakers"]
            return mix_id([records_of[number] for number in numbers])
        pairs = zip(clips, sound_ids, strict=True)
        return record_id({"placed": [[sound_id, str(clip.begin_s), str(clip.stop_s)] for clip, sound_id in pairs]})

    def _line_of(
        self, rule: SelectionRule, times: Times, clips: list[AudioClip], sound_ids: list[str], line_id: str
    ) -> Dialogue:
        """Return a dialogue of sounds at their places, each looked at by itself."""
        keep_line(
            self._job.store,
            self._scratch,
            line_id,
            clips,
            salvage=self._job.salvage,
            encoder=self._encoder(line_id),
            on_block=self._on_block,
        )
        placed = (
            LineClip(sound_id, clip.begin_s, clip.stop_s) for clip, sound_id in zip(clips, sound_ids, strict=True)
        )
        return Dialogue(rule, line_id, times, clips=tuple(placed))

    def _clips(self) -> list[AudioClip]:
        return [self._clip(number)[0] for number in range(len(self._job.spec.speakers))]

    def _places(self) -> PlacedClips:
        """Return the places of the clips; none is made longer or shorter before it is known that all can be."""
        if self._placed is None:
            timing, speakers = self._job.spec.settings.timing, self._job.spec.speakers
            if timing.length != FIT:
                self._placed = stated_places(speakers)
            elif self._job.spec.audio is not None:
                self._placed = self._places_in_mix(self._job.spec.audio)
            else:
                if timing.fit != "audio" and any(speaker.end_s is not None for speaker in speakers):
                    used_s(self._job)  # the video has one
                self._placed = placed_clips(self._slotted(), timing)
            self.factors += self._placed.factors
        return self._placed

    def _places_in_mix(self, address: str) -> PlacedClips:
        """Return the places of clips in the row's own mix: that is made as long as it has to be, and they with it."""
        mixed_s = self._open_input(address, self._identity["audio"]).sound.duration_s
        factor = self.delivered().sound.duration_s / mixed_s
        timing = self._job.spec.settings.timing.model_copy(update={"fit": "audio"})
        placed = placed_clips(self._slotted(), timing)
        if factor == 1:
            return placed
        lengths_s = [self._source(speaker, record).sound.duration_s for speaker, record in self._pairs()]
        return moved_places(placed, lengths_s, factor)

    def _slotted(self) -> list[SlottedClip]:
        return [
            SlottedClip(
                self._name_of(number, speaker),
                Fraction(0) if speaker.end_s is None else self._source(speaker, record).sound.duration_s,
                Fraction(speaker.start_s),
                None if speaker.end_s is None else Fraction(speaker.end_s),
            )
            for number, (speaker, record) in enumerate(self._pairs(), 1)
        ]

    def _name_of(self, number: int, speaker: Speaker) -> str:
        """Return the name of a clip, for messages: that of a cue where speech was made of one."""
        script = self._job.spec.script
        if script and script.file:
            return f"cue {number} of {shown(script.file)}"
        return f"speaker {number} ({speaker.faces}, {'its text' if made_key(speaker.audio) else shown(speaker.audio)})"

    def _source(self, speaker: Speaker, record: Identity) -> records.Audio:
        return self._open_input(speaker.audio, record["audio"])

    def _stretched(self, audio: records.Audio, wanted_s: Fraction) -> records.Audio:
        """Return a sound as long as wanted, kept in the state until the job is published."""
        samples, salvage = max(1, round_half_up(wanted_s * audio.sound.rate_hz)), self._job.salvage
        if samples == audio.sound.samples:
            return audio
        factor = Fraction(samples, audio.sound.samples)
        sound_id = record_id({"stretched": audio.id, "factor": str(factor), "method": METHOD})
        folder = layout.stretched(self._job_id, sound_id)
        path = whole_file(self._job.store, folder)
        if path is None:
            with scratch_file(self._scratch, "stretched.mka") as temporary:
                write_stretched(audio.info, audio.sound, samples, temporary, salvage=salvage, on_block=self._on_block)
                path = self._kept(folder, temporary)
        return self._open(path, sound_id)

    def _kept(self, folder: str, file: Path) -> Path:
        """Put audio that was made here into the state, named after its bytes."""
        key = f"{folder}/{sha256_of(file)}.mka"
        self._job.store.put_file(key, file)
        path = self._job.store.fetch(key)
        if path is None:
            raise StorageError(
                "no_mix", folder, got="the mixed audio is missing from the state", do="Run the same command again"
            )
        return path

    def _clip(self, number: int) -> tuple[AudioClip, str]:
        """Return a speaker's clip, and the record of the whole audio that it is of."""
        speaker, place = self._job.spec.speakers[number], self._places().places[number]
        audio = self._source(speaker, self._identity["speakers"][number])
        if place.length_s is not None:
            audio = self._stretched(audio, place.length_s)
        clip = AudioClip(audio.info, audio.sound, place.start_s, place.end_s)
        hours = self._job.spec.settings.limits.hours
        if clip.stop_s > hours * 3600:
            raise MediaError(
                "too_long",
                f"speakers ({speaker.faces})",
                got=f"lasts from {place.start_s:g} s to {float(clip.stop_s):g} s",
                must=f"at most {hours:g} hours are allowed (limits.hours)",
                do="Give start and end in seconds",
            )
        return clip, audio.id

    def _open_input(self, address: str, audio_id: str) -> records.Audio:
        return self._open(self._job.media.local(address, audio_id), audio_id, choice=split_choice(address)[1])

    def _open(
        self, path: Path, audio_id: str, *, choice: StreamChoice | None = None, is_said: bool = True
    ) -> records.Audio:
        """Open a sound; when speech is heard is asked of what one face says, not of a mix of several."""
        return records.open_audio(
            self._job.store,
            self._scratch,
            path,
            audio_id,
            salvage=self._job.salvage,
            limits=self._job.spec.settings.limits,
            choice=choice,
            speech=self._job.speech if is_said else None,
            encoder=self._encoder(audio_id),
            on_block=self._on_block,
        )

    def _encoder(self, audio_id: str) -> AudioEncoder | None:
        return self._job.encoder if audio_id in self._encodes else None
