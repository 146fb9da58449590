"""A job's sounds: what is delivered, and what each face says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from lipwise_ray.dubbing import inputs
from lipwise_ray.dubbing.context import JobContext
from lipwise_ray.dubbing.ids import record_id
from lipwise_ray.dubbing.speakers import Speaker, overlapping, rules_of
from lipwise_ray.errors import StorageError
from lipwise_ray.faces.select import Selection
from lipwise_ray.media.mix import Clip, mix
from lipwise_ray.nets.checkpoint import sha256_of
from lipwise_ray.state import layout
from lipwise_ray.state.store import Store
from lipwise_ray.values import Json

_SLACK_S = Fraction(1, 50)  # times are often rounded


@dataclass(frozen=True, slots=True)
class Lines:
    """All that one face says.

    Attributes:
        rule: Chooses the face.
        mel_key: The mel of what it says, on the clock of the delivered sound.
        times_s: ``[start, end)`` of each thing said; empty for a row without speakers, whose face says everything.
    """

    rule: Selection
    mel_key: str
    times_s: tuple[tuple[Fraction, Fraction], ...] = ()


def mix_id(speakers: Sequence[Json]) -> str:
    """Return what names the mix of some speakers' sounds, by their records in a job's identity."""
    return record_id({"mix": [[one["audio"], one["start_s"], one["end_s"]] for one in speakers]})


class Sounds:
    """Opens a job's sounds; those that are put together are made once.

    Args:
        job: The job.
        scratch: Folder for temporary files.
        job_id: Whose mix it is.
        identity: What decides the job's result.
        on_block: Called while sounds are mixed.
    """

    def __init__(
        self, job: JobContext, scratch: Path, job_id: str, identity: Json, on_block: Callable[[], None] = lambda: None
    ) -> None:
        self._job = job
        self._scratch = scratch
        self._job_id = job_id
        self._identity = identity
        self._on_block = on_block

    def delivered(self) -> inputs.Audio:
        """Return the sound of the finished file: the row's, or its speakers' mixed.

        Raises:
            InputError: A sound cannot be used.
        """
        audio_id: str = self._identity["audio"]
        if self._job.spec.audio is not None:
            return self._open(self._job.media.local(self._job.spec.audio, audio_id), audio_id)
        folder = layout.mix(self._job_id)
        known = whole_file(self._job.store, folder)
        if known is None:
            with inputs.scratch_file(self._scratch, "mix.mka") as temporary:
                clips = [self._clip(*pair) for pair in self._pairs()]
                mix(clips, temporary, salvage=self._job.salvage, on_block=self._on_block)
                self._job.store.put_file(f"{folder}/{sha256_of(temporary)}.mka", temporary)
            known = whole_file(self._job.store, folder)
            if known is None:
                raise StorageError("no_mix", folder, "must keep the mix", "nothing", "Run the same command again")
        return self._open(known, audio_id)

    def lines(self) -> list[Lines]:
        """Return what each face says.

        Raises:
            InputError: A sound cannot be used, or a face would say two things at once.
        """
        spec = self._job.spec
        rules = rules_of(spec.speakers, spec.settings)
        if not spec.speakers:
            return [Lines(rules[0], self.delivered().mel_key)]
        return [self._lines(rule, [pair for pair in self._pairs() if pair[0].faces == rule.text]) for rule in rules]

    def _pairs(self) -> list[tuple[Speaker, Json]]:
        return list(zip(self._job.spec.speakers, self._identity["speakers"], strict=True))

    def _lines(self, rule: Selection, pairs: list[tuple[Speaker, Json]]) -> Lines:
        clips = [self._clip(*pair) for pair in pairs]
        times = sorted((Fraction(clip.start_s), clip.stop_s) for clip in clips)
        for (_, stop), (start, _) in pairwise(times):
            if start < stop - _SLACK_S:
                raise overlapping(pairs[0][0].faces, start)
        (first, told), alone = pairs[0], len(pairs) == 1
        if alone and first.start_s == 0 and first.end_s is None:
            mel_key = self._open(clips[0].info.path, told["audio"]).mel_key
        else:
            mel_key = self._joined(clips, [told for _, told in pairs])
        return Lines(rule, mel_key, tuple(times))

    def _joined(self, clips: list[Clip], records: list[Json]) -> str:
        """Return the mel of several sounds at their places."""
        line_id, salvage = mix_id(records), self._job.salvage
        known = inputs.known_sound(self._job.store, line_id, salvage=salvage)
        if known is None:
            with inputs.scratch_file(self._scratch, "line.mka") as temporary:
                mix(clips, temporary, salvage=salvage, on_block=self._on_block)
                self._open(temporary, line_id)
        return layout.mel(line_id, salvage=salvage)

    def _clip(self, speaker: Speaker, record: Json) -> Clip:
        audio = self._open(self._job.media.local(speaker.audio, record["audio"]), record["audio"])
        return Clip(audio.info, audio.sound.duration_s, speaker.start_s, speaker.end_s)

    def _open(self, path: Path, audio_id: str) -> inputs.Audio:
        return inputs.open_audio(
            self._job.store,
            self._scratch,
            path,
            audio_id,
            salvage=self._job.salvage,
            limits=self._job.spec.settings.limits,
        )


def whole_file(store: Store, folder: str) -> Path | None:
    """Return the file of a folder, which is named after its bytes; what has become another is removed."""
    for key in store.names(folder):
        path = store.fetch(key)
        if path is not None and Path(key).stem == sha256_of(path):
            return path
        store.remove(key)
    return None
