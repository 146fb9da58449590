"""A job's sounds: what is delivered, and what each face says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from lipwise_ray.errors import MediaError, StorageError
from lipwise_ray.faces.select import SelectionRule, parse_selection_rule
from lipwise_ray.media.mix import AudioClip, mix, mix_info
from lipwise_ray.pipeline.dubbing.dialogue import Times, check_alone
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.inputs.lines import PlacedSound, keep_line
from lipwise_ray.pipeline.manifest.cast import cast_of
from lipwise_ray.pipeline.manifest.diarisation import read_diarisation
from lipwise_ray.pipeline.manifest.speakers import Speaker, rules_of
from lipwise_ray.state import layout
from lipwise_ray.state.ids import Identity, record_id
from lipwise_ray.state.store import Store
from lipwise_ray.storage.address import shown
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.storage.scratch import scratch_file


@dataclass(frozen=True, slots=True)
class Dialogue:
    """All that one face says.

    Attributes:
        rule: Chooses the face.
        sound_id: The record of what it says, on the clock of the delivered sound.
        times_s: ``[start, end)`` of each thing said; empty for a row without speakers, whose face says everything.
        name: Of the speaker in a diarisation file, whose sound is that of all speakers; else empty.
        clips: Sounds that it is put together of, where it is of several.
    """

    rule: SelectionRule
    sound_id: str
    times_s: Times = ()
    name: str = ""
    clips: tuple[PlacedSound, ...] = ()


def mix_id(speakers: Sequence[Identity]) -> str:
    """Return the id of the mix of some speakers' audio, by their records in a job's identity."""
    return record_id({"mix": [[one["audio"], one["start_s"], one["end_s"]] for one in speakers]})


class Sounds:
    """Opens a job's sounds; those that are put together are made once.

    Args:
        job: The job.
        scratch: Folder for temporary files.
        job_id: Job whose mix it is.
        identity: Facts that decide the job's result.
        on_block: Called while sounds are mixed.
    """

    def __init__(
        self,
        job: JobContext,
        scratch: Path,
        job_id: str,
        identity: Identity,
        on_block: Callable[[], None] = lambda: None,
    ) -> None:
        self._job = job
        self._scratch = scratch
        self._job_id = job_id
        self._identity = identity
        self._on_block = on_block

    def delivered(self) -> records.Audio:
        """Return the sound of the finished file: the row's, or its speakers' mixed, of which there need be no file yet.

        Raises:
            MediaError: A sound cannot be used.
        """
        audio_id: str = self._identity["audio"]
        if self._job.spec.audio is not None:
            return self._open(self._job.media.local(self._job.spec.audio, audio_id), audio_id)
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
                key = f"{folder}/{sha256_of(temporary)}.mka"
                self._job.store.put_file(key, temporary)
            path = self._job.store.fetch(key)
            if path is None:
                raise StorageError(
                    "no_mix", folder, got="the mixed audio is missing from the state", do="Run the same command again"
                )
        return replace(audio, info=replace(audio.info, path=path))

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
            return [Dialogue(rules[0], self._identity["audio"])]
        return [
            self._lines(rule, [pair for pair in self._pairs() if parse_selection_rule(pair[0].faces) == rule])
            for rule in rules
        ]

    def _diarised(self, address: str) -> list[Dialogue]:
        """Return the turns of each speaker who is seen, all in the one audio.

        Raises:
            FaceError: The file is none, or names others than the row does.
        """
        turns = read_diarisation(self._job.media.local(address, self._identity["diarisation"]))
        return [
            Dialogue(parse_selection_rule(speaker.faces), self._identity["audio"], times, speaker.name)
            for speaker, times in cast_of(self._job.spec.speakers, turns, shown(address))
        ]

    def _pairs(self) -> list[tuple[Speaker, Identity]]:
        return list(zip(self._job.spec.speakers, self._identity["speakers"], strict=True))

    def _lines(self, rule: SelectionRule, pairs: list[tuple[Speaker, Identity]]) -> Dialogue:
        clips = [self._clip(*pair) for pair in pairs]
        times = tuple(sorted((Fraction(clip.start_s), clip.stop_s) for clip in clips))
        first, told = pairs[0]
        check_alone(first.faces, times)
        if len(pairs) > 1:
            return self._several(rule, times, clips, [told for _, told in pairs])
        if first.start_s == 0 and first.end_s is None:
            return Dialogue(rule, told["audio"], times)
        return Dialogue(rule, self._shifted(clips[0], told), times)

    def _several(
        self, rule: SelectionRule, times: Times, clips: list[AudioClip], identities: list[Identity]
    ) -> Dialogue:
        """Return a dialogue of several sounds, each looked at by itself."""
        line_id, salvage = f"{mix_id(identities)}-line", self._job.salvage
        keep_line(self._job.store, self._scratch, line_id, clips, salvage=salvage, on_block=self._on_block)
        placed = (
            PlacedSound(told["audio"], Fraction(clip.start_s), clip.stop_s)
            for clip, told in zip(clips, identities, strict=True)
        )
        return Dialogue(rule, line_id, times, clips=tuple(placed))

    def _shifted(self, clip: AudioClip, identity: Identity) -> str:
        """Return the record of one sound at its place."""
        line_id, salvage = f"{mix_id([identity])}-mono", self._job.salvage
        known = records.known_sound(self._job.store, line_id, salvage=salvage, speech=self._job.speech)
        if known is None:
            with scratch_file(self._scratch, "line.mka") as temporary:
                mix([clip], temporary, mono=True, salvage=salvage, on_block=self._on_block)
                self._open(temporary, line_id)
        return line_id

    def _clips(self) -> list[AudioClip]:
        return [self._clip(*pair) for pair in self._pairs()]

    def _clip(self, speaker: Speaker, record: Identity) -> AudioClip:
        audio = self._open(self._job.media.local(speaker.audio, record["audio"]), record["audio"])
        clip = AudioClip(audio.info, audio.sound, speaker.start_s, speaker.end_s)
        hours = self._job.spec.settings.limits.hours
        if clip.stop_s > hours * 3600:
            raise MediaError(
                "too_long",
                f"speakers ({speaker.faces})",
                got=f"lasts from {speaker.start_s:g} s to {float(clip.stop_s):g} s",
                must=f"at most {hours:g} hours are allowed (limits.hours)",
                do="Give start and end in seconds",
            )
        return clip

    def _open(self, path: Path, audio_id: str, *, is_said: bool = True) -> records.Audio:
        """Open a sound; when speech is heard is asked of what one face says, not of a mix of several."""
        return records.open_audio(
            self._job.store,
            self._scratch,
            path,
            audio_id,
            salvage=self._job.salvage,
            limits=self._job.spec.settings.limits,
            speech=self._job.speech if is_said else None,
            on_block=self._on_block,
        )


def whole_file(store: Store, folder: str, known_key: str = "") -> Path | None:
    """Return the file of a folder, which is named after its bytes; what has become another is removed.

    Args:
        store: The state.
        folder: The folder.
        known_key: The key of the file, or of one in another folder, where it has just been put: then none is looked
            for.
    """
    keys = [known_key] if known_key.startswith(f"{folder}/") else [] if known_key else store.names(folder)
    for key in keys:
        path = store.fetch(key)
        if path is not None and Path(key).stem == sha256_of(path):
            return path
        store.remove(key)
    return None
