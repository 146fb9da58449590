"""Speech that a server can make of texts: the voices, or the reason for which there is none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lipwise_ray.errors import LipwiseError
from lipwise_ray.models.checkpoints import Checkpoints
from lipwise_ray.roles.tts import TTS, engine_facts, voice_of
from lipwise_ray.runs.model_requirements import ModelRequirements
from lipwise_ray.runs.run_inputs import registry_of
from lipwise_ray.settings.model import Settings


@dataclass(frozen=True, slots=True)
class SpeechOffer:
    """Speech of a server.

    Attributes:
        engine: Name of the engine; empty where there is none.
        voices: Names of its voices, as far as they are known.
        usual: Voice of videos that name none; empty for the engine's own.
        reason: Why there is no engine; empty where there is one.
    """

    engine: str
    voices: tuple[str, ...] = ()
    usual: str = ""
    reason: str = ""


def speech_offer(settings: Settings, models: Path | None) -> SpeechOffer:
    """Return the speech that settings offer.

    Args:
        settings: The service's.
        models: Folder of pulled checkpoints; None for the usual one.
    """
    tts = settings.tts
    try:
        found = ModelRequirements(registry_of(settings, models), gpu=False).for_role(TTS, settings)
        facts = engine_facts(tts, Checkpoints({TTS.name: found}))
    except LipwiseError as error:
        return SpeechOffer("", reason=str(error))
    named = tuple(sorted({voice for one in found if (voice := voice_of(one))}))
    return SpeechOffer(facts.name, tts.voices or named, tts.voice)
