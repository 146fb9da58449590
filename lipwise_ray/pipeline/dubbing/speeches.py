"""Speech of a row's texts: made once for equal texts, and kept in the state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from lipwise_ray.errors import MediaError
from lipwise_ray.models.checkpoints import Checkpoints
from lipwise_ray.pipeline.dubbing.fitting import FIT
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.job_audio import FITTED
from lipwise_ray.pipeline.inputs.made import made_address
from lipwise_ray.pipeline.manifest.cues import Cue
from lipwise_ray.pipeline.manifest.speakers import Seconds, Speaker
from lipwise_ray.roles.tts import EngineFacts
from lipwise_ray.state import layout
from lipwise_ray.state.ids import record_id
from lipwise_ray.state.shapes import STRICT, Maybe, record_of, typed
from lipwise_ray.state.speech_record import SpeechRecord, SpokenBy
from lipwise_ray.state.store import Store, as_json, to_json
from lipwise_ray.storage.address import shown
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.storage.scratch import scratch_file
from lipwise_ray.tts.engine import SpeechEngine, without_silence, write_speech

_VERSION = 1
"""Of the rules by which speech is cut and written."""

_LEAST_OVERLAP_S = 0.001
_MOST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class SpokenText:
    """A text and its speaker.

    Attributes:
        text: The words.
        voice: Name of the voice; empty for the engine's usual one.
        language: As the row states it; empty where nobody says.
    """

    text: str
    voice: str
    language: str


@dataclass(frozen=True, slots=True)
class MadeSpeech:
    """Speech in the state, and the time at which a row has it.

    Attributes:
        audio: Its address.
        start_s: Second of the delivered sound at which it begins; that of the row's speaker where speakers have texts.
        end_s: Second at which its time ends, where it has to fit; None where it lasts as long as it lasts.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    audio: Annotated[str, Field(pattern=r"^state://speech/[A-Za-z0-9_-]+/[0-9a-f]{64}\.wav$")]
    start_s: Seconds = 0.0
    end_s: Maybe[Seconds] = None


def speak_id(job: JobSpec, checkpoints: Checkpoints) -> str:
    """Return the id of the task that speaks a row's texts: rows that ask for the same have one.

    Args:
        job: The row's job.
        checkpoints: The row's.
    """
    said = [[one.text, one.voice] for one in job.speakers if one.text]
    script = [job.script.text, job.script.file, job.script.voice] if job.script else None
    settings = {name: getattr(job.settings, name).model_dump(mode="json") for name in ("tts", "paths", "limits")}
    return record_id(
        {
            "script": script,
            "speakers": said,
            "language": job.language,
            **({FITTED: True} if job.settings.timing.length == FIT else {}),
            "settings": settings,
            "weights": checkpoints.record().get("tts"),
        }
    )


def spoken_job(job: JobSpec, speeches: Sequence[MadeSpeech], cues_id: str | None = None) -> JobSpec:
    """Return a job whose texts have been spoken: its audio, or that of its speakers, is in the state.

    Args:
        job: The job, with its texts.
        speeches: Of `texts_of`, in that order.
        cues_id: Identity of the file whose cues they are; None without one.
    """
    script = job.script
    if script and script.file:
        faces = job.settings.faces.select
        cues = tuple(Speaker(faces, one.audio, one.start_s, one.end_s) for one in speeches)
        return replace(job, speakers=cues, script=replace(script, spoken_id=cues_id))
    if script and script.text:
        return replace(job, audio=speeches[0].audio)
    audio = iter(speeches)
    said = tuple(replace(one, audio=next(audio).audio, text="") if one.text else one for one in job.speakers)
    return replace(job, speakers=said)


def check_apart(file: str, cues: Sequence[Cue], seconds: Sequence[float]) -> None:
    """Refuse speech that goes on when the next cue begins.

    Args:
        file: Address of the cues.
        cues: They, in the order of their times.
        seconds: Lengths of their speech.

    Raises:
        MediaError: One does.
    """
    for cue, following, length_s in zip(cues, cues[1:], seconds, strict=False):
        end_s = cue.start_s + length_s
        if end_s > following.start_s + _LEAST_OVERLAP_S:
            words = cue.text if len(cue.text) <= _MOST_SHOWN else f"{cue.text[:_MOST_SHOWN]}..."
            raise MediaError(
                "cue_too_long",
                f"{shown(file)}, cue {cue.number}",
                got=f"its speech lasts from {cue.start_s:.3f} s to {end_s:.3f} s, but cue {following.number} starts at "
                f"{following.start_s:.3f} s ({words!r})",
                do="Shorten its text, or fit speech to its cues with length = fit",
            )


class Speeches:
    """Makes speech, and finds that which was made before.

    Args:
        store: The state.
        scratch: Folder for temporary files.
        facts: The engine.
        engine: Gives the engine, once something has to be spoken.
        on_block: Called after each text.
    """

    def __init__(
        self,
        store: Store,
        scratch: Path,
        facts: EngineFacts,
        engine: Callable[[], SpeechEngine],
        on_block: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._scratch = scratch
        self._facts = facts
        self._engine = engine
        self._on_block = on_block

    def of(self, texts: Sequence[SpokenText], decides: Callable[[str], str] = lambda _: "") -> list[tuple[str, float]]:
        """Return the address and length in seconds of the speech of each text.

        Args:
            texts: The texts; equal ones are spoken once.
            decides: Gives the hash of a voice's own file; empty where it has none.

        Raises:
            AudioError: The engine did not give speech.
            StorageError: The state refused.
        """
        ids = {one: self._id(one, decides(one.voice)) for one in dict.fromkeys(texts)}
        known = self._store.read_all([layout.speech_record(name) for name in ids.values()])
        found = {
            one: typed(as_json(data), SpeechRecord) or self._made(one, name)
            for (one, name), data in zip(ids.items(), known, strict=True)
        }
        return [(made_address(layout.speech_file(ids[one], found[one].sha256)), found[one].seconds) for one in texts]

    def _id(self, text: SpokenText, voice_sha256: str) -> str:
        return record_id(
            {
                "speech": _VERSION,
                "text": text.text,
                "voice": text.voice,
                "voice_sha256": voice_sha256,
                "language": text.language,
                "engine": self._facts.engine,
                "decides": list(self._facts.decides),
            }
        )

    def _made(self, text: SpokenText, speech_id: str) -> SpeechRecord:
        """Return the record of speech that is made now; where another worker was quicker, of its speech."""
        wave_f32, rate_hz = self._engine().speak(text.text, text.voice, text.language)
        wave_f32 = without_silence(wave_f32, rate_hz, f"text {text.text[:_MOST_SHOWN]!r}")
        with scratch_file(self._scratch, "speech.wav") as temporary:
            write_speech(temporary, wave_f32, rate_hz)
            sha256 = sha256_of(temporary)
            self._store.put_file(layout.speech_file(speech_id, sha256), temporary)
        by = SpokenBy(
            engine=self._facts.name, voice=text.voice or text.language, licence=self._facts.licence_of(text.voice)
        )
        record = SpeechRecord(sha256=sha256, seconds=len(wave_f32) / rate_hz, by=by)
        key = layout.speech_record(speech_id)
        self._on_block()
        if self._store.create(key, to_json(record_of(record))):
            return record
        other = typed(as_json(self._store.read(key)), SpeechRecord)
        if other is None:  # it was damaged
            self._store.write(key, to_json(record_of(record)))
            return record
        if other.sha256 != sha256:
            self._store.remove(layout.speech_file(speech_id, sha256))
        return other


def texts_of(job: JobSpec, cues: Sequence[Cue], voice_of: Callable[[str], str]) -> list[SpokenText]:
    """Return the texts of a row in the order in which `spoken_job` takes their speech.

    Args:
        job: The row's job.
        cues: Those of its file, or none.
        voice_of: Gives the voice that speaks for the one that is named, or for none.
    """
    script, language = job.script, job.language or ""
    own = script.voice if script else ""
    if script and script.file:
        said = [(cue.text, cue.voice) for cue in cues]
    elif script and script.text:
        said = [(script.text, "")]
    else:
        said = [(one.text, one.voice) for one in job.speakers if one.text]
    return [SpokenText(text, voice_of(voice or own), language) for text, voice in said]


def spoken_by(store: Store, speech_keys: Sequence[str]) -> tuple[SpokenBy, ...]:
    """Return the speakers of speech in the state, each once.

    Args:
        store: The state.
        speech_keys: Keys of the files.
    """
    names = dict.fromkeys(key.split("/")[1] for key in speech_keys)
    records = store.read_all([layout.speech_record(name) for name in names])
    found = (typed(as_json(data), SpeechRecord) for data in records)
    return tuple(dict.fromkeys(one.by for one in found if one))
