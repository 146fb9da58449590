"""Making speech of a row's texts, in place of its audio."""

from __future__ import annotations

from functools import partial

from lipwise_ray.pipeline.dubbing.fitting import FIT
from lipwise_ray.pipeline.dubbing.speeches import MadeSpeech, Speeches, check_apart, texts_of
from lipwise_ray.pipeline.flows.task_kinds import SPEAK, SpeakPayload, SpeakResult
from lipwise_ray.pipeline.manifest.cues import read_cues
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.pipeline.tasks.handlers import handles
from lipwise_ray.roles.tts import COMMAND, TTS, EngineFacts, check_voice, engine_facts, spoken_voice, voice_of
from lipwise_ray.scheduler.task import Hints
from lipwise_ray.tts.engine import SpeechEngine
from lipwise_ray.tts.program import ProgramEngine, espeak_command


@handles(SPEAK)
def speak(context: TaskContext, payload: SpeakPayload, hints: Hints) -> SpeakResult:
    """Return the speech of a row's texts; what the state has is not spoken again.

    Raises:
        ManifestError: The file of cues is none.
        MediaError: The speech of a cue goes on when the next one begins.
        SettingsError: The engine is not installed, or has no such voice.
        AudioError: It did not give speech.
    """
    job, weights = payload.row.job, payload.row.weights
    tts, media, file = job.settings.tts, context.media, job.script.file if job.script else None
    facts = engine_facts(tts, weights)
    cues_id = media.identity(file) if file else None
    cues = read_cues(media.local(file, cues_id)) if file and cues_id else ()
    texts = texts_of(job, cues, partial(spoken_voice, tts, weights))
    for voice, language in dict.fromkeys((one.voice, one.language) for one in texts):
        check_voice(tts, weights, voice, language)
    hashes = {voice_of(one): one.sha256 for one in weights.all(TTS.name)}
    engine = partial(_engine, context, payload, hints, facts)
    speeches = Speeches(context.store, context.scratch, facts, engine, context.on_block)
    made = speeches.of(texts, lambda voice: hashes.get(voice, ""))
    is_fitted = job.settings.timing.length == FIT
    if file and not is_fitted:
        check_apart(file, cues, [seconds for _, seconds in made])
    times_s = [(cue.start_s, cue.end_s if is_fitted else None) for cue in cues] or [(0.0, None)] * len(made)
    pairs = zip(made, times_s, strict=True)
    speech = tuple(MadeSpeech(address, *of) for (address, _), of in pairs)
    return SpeakResult(speeches=speech, cues_id=cues_id)


def _engine(context: TaskContext, payload: SpeakPayload, hints: Hints, facts: EngineFacts) -> SpeechEngine:
    if facts.engine in TTS.networks:
        return context.models.needed(TTS, context.models_for(payload, hints))
    tts = payload.row.job.settings.tts
    words = tts.command if facts.engine == COMMAND else espeak_command()
    return ProgramEngine(words, tts.timeout_s, context.scratch, context.on_block)
