"""Whatever speaks the texts of rows: a network, espeak-ng, or a program of the user's."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lipwise_ray.errors import SettingsError
from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import AutoChoice, Machines, ModelRole, Requirement, Wanted
from lipwise_ray.settings.model import Settings, TtsSettings
from lipwise_ray.tts import pocket_files

if TYPE_CHECKING:
    from lipwise_ray.tts.engine import SpeechEngine

SUPERTONIC, POCKET, ESPEAK, COMMAND = "supertonic", "pocket", "espeak", "command"

_FILES = {
    "supertonic_3_duration_predictor": "onnx/duration_predictor.onnx",
    "supertonic_3_text_encoder": "onnx/text_encoder.onnx",
    "supertonic_3_vector_estimator": "onnx/vector_estimator.onnx",
    "supertonic_3_vocoder": "onnx/vocoder.onnx",
    "supertonic_3_config": "onnx/tts.json",
    "supertonic_3_characters": "onnx/unicode_indexer.json",
}
_VOICES = {
    f"supertonic_3_voice_{name}".lower(): name for name in ["F1", "F2", "F3", "F4", "F5", "M1", "M2", "M3", "M4", "M5"]
}
_POCKET = "pocket_spanish"
"""The model of Pocket TTS whose published files are known by their hashes."""

_POCKET_VOICES = {
    f"{_POCKET}_voice_{name}": name
    for name in ["alba", "eve", "fantine", "giovanni", "javert", "lola", "marius", "michael"]
}
_USUAL_VOICE = "F1"
_OWN_TERMS = "a program of your own: its terms are not known here"
_ESPEAK_TERMS = "GPL-3.0-or-later"
_PACKAGES = {
    SUPERTONIC: ("supertonic", "supertonic"),
    POCKET: ("pocket_tts", "pocket"),
    ESPEAK: ("espeakng_loader", "espeak"),
}


def _load(request: ModelRequest, host: ModelHost) -> ModelRecipe[SpeechEngine] | None:
    checkpoints = request.checkpoints.all(TTS.name)
    if not checkpoints:
        return None

    def make() -> SpeechEngine:
        from lipwise_ray.tts.pocket import PocketEngine
        from lipwise_ray.tts.supertonic import SupertonicEngine

        if checkpoints[0].network == POCKET:
            located = {pocket_files.place_of(one.path): host.locate(one) for one in checkpoints}
            return PocketEngine(located, _pocket_model(checkpoints))
        files = {_layout_name(one): host.locate(one) for one in checkpoints}
        return SupertonicEngine(files, host.threads)

    return ModelRecipe(checkpoints, make)


def _layout_name(checkpoint: Checkpoint) -> str:
    """Return the name of a file in the published folder."""
    voice = voice_of(checkpoint)
    if voice:
        return f"voice_styles/{voice}.json"
    return next(place for place in _FILES.values() if _is_of(checkpoint, place))


def _is_of(checkpoint: Checkpoint, place: str) -> bool:
    return checkpoint.path.name.endswith(Path(place).name)


def voice_of(checkpoint: Checkpoint) -> str:
    """Return the name of the voice that a file is; empty where it is of the networks."""
    if checkpoint.network == POCKET:
        return pocket_files.voice_in(pocket_files.place_of(checkpoint.path))
    stem = checkpoint.path.stem.rpartition("_")[2]
    return stem if not any(_is_of(checkpoint, place) for place in _FILES.values()) else ""


def _pocket_model(checkpoints: Iterable[Checkpoint]) -> str:
    return pocket_files.model_name(one.path for one in checkpoints)


def _requirement(settings: Settings, machines: Machines) -> Requirement:
    tts, networks = settings.tts, (SUPERTONIC,)
    if tts.engine == POCKET:
        return Requirement(tuple(_wanted_of_pocket(tts, machines)))
    if tts.engine not in ("auto", SUPERTONIC):
        return Requirement(())
    if tts.model is not None:
        folder = Path(tts.model)
        voices = sorted(str(path) for path in (folder / "voice_styles").glob("*.json"))
        files = [str(folder / place) for place in _FILES.values()] + voices
        return Requirement(tuple(Wanted(Path(file).stem, networks, file) for file in files))
    has_all = all(machines.installed(name) for name in _FILES) and _has_package(SUPERTONIC)
    if tts.engine == "auto" and not has_all:
        return Requirement((), AutoChoice(ESPEAK, "supertonic is not installed"))
    names = [*_FILES, *(name for name in _VOICES if machines.installed(name))]
    choice = AutoChoice(SUPERTONIC) if tts.engine == "auto" else None
    return Requirement(tuple(Wanted(name, networks) for name in names), choice)


def _wanted_of_pocket(tts: TtsSettings, machines: Machines) -> Iterator[Wanted]:
    if tts.model is not None:
        for file in pocket_files.files_in(Path(tts.model)):
            yield Wanted(Path(file).stem, (POCKET,), file)
        return
    voices = (name for name in _POCKET_VOICES if machines.installed(name))
    for name in (_POCKET, f"{_POCKET}_tokenizer", *voices):
        yield Wanted(name, (POCKET,))


def _has_package(engine: str) -> bool:
    return importlib.util.find_spec(_PACKAGES[engine][0]) is not None


TTS = ModelRole(
    "tts",
    "tts.engine",
    "tts.model",
    networks=(SUPERTONIC, POCKET),
    load=_load,
    order=110,
    in_job_id="speech is made before a row is probed, and jobs are named after its samples",
    needed=lambda settings, row: row.has_text and settings.tts.engine in ("auto", SUPERTONIC, POCKET),
    requirement=_requirement,
    several_files=True,
    is_preloaded=False,
)
"""The networks that speak; other engines are programs, which have no checkpoints."""


SpeechEngineKind = Literal["supertonic", "pocket", "espeak", "command"]


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """Engine that speaks a row's texts.

    Attributes:
        engine: Its kind.
        name: Its name and version, for people.
        decides: Facts beside text, voice and language that decide the sound.
        licence: Its terms, and those of its networks.
        voice_licences: Terms of voices that are files, by their names.
    """

    engine: SpeechEngineKind
    name: str
    decides: tuple[str, ...]
    licence: str
    voice_licences: Mapping[str, str] = field(default_factory=dict[str, str])

    def licence_of(self, voice: str) -> str:
        """Return the terms of speech by a voice."""
        terms = (self.licence, self.voice_licences.get(voice, ""))
        return ", ".join(dict.fromkeys(filter(None, terms)))


def engine_of(tts: TtsSettings, checkpoints: Checkpoints) -> SpeechEngineKind:
    """Return the kind of engine that settings ask for; ``auto`` was decided when the checkpoints were found."""
    if tts.engine != "auto":
        return tts.engine
    return "supertonic" if checkpoints.all(TTS.name) else "espeak"


def engine_facts(tts: TtsSettings, checkpoints: Checkpoints) -> EngineFacts:
    """Return the engine that speaks a row's texts on this machine.

    Args:
        tts: The row's settings.
        checkpoints: The row's.

    Raises:
        SettingsError: It is not installed, or there is no such program.
    """
    from lipwise_ray.tts.program import check_program

    engine = engine_of(tts, checkpoints)
    if engine == "command":
        check_program(tts.command)
        return EngineFacts(engine, Path(tts.command[0]).name, tts.command, _OWN_TERMS)
    package, extra = _PACKAGES[engine]
    if not _has_package(engine):
        do = f"Run `pip install 'lipwise-ray[{extra}]'`, or set tts.engine"
        raise SettingsError("no_tts", "tts.engine", got=f"{package} is not installed, which speaks texts", do=do)
    release = version(package.replace("_", "-"))
    if engine == "espeak":
        return EngineFacts(engine, f"espeak-ng ({package} {release})", (release,), _ESPEAK_TERMS)
    files = [one for one in _of(checkpoints) if not voice_of(one)]
    terms = ", ".join(dict.fromkeys(map(_terms, files)))
    described = (_pocket_model(files),) if engine == POCKET else ()
    decides = (release, *described, *(one.sha256 for one in files))
    voices = {voice_of(one): _terms(one) for one in _of(checkpoints) if voice_of(one)}
    return EngineFacts(engine, f"{package.replace('_', '-')} {release}", decides, terms, voices)


def _terms(checkpoint: Checkpoint) -> str:
    return checkpoint.licence or checkpoint.reason


def spoken_voice(tts: TtsSettings, checkpoints: Checkpoints, voice: str) -> str:
    """Return the voice that speaks a text: the row's, the settings', or the engine's usual one.

    Args:
        tts: The row's settings.
        checkpoints: The row's.
        voice: Name of the row's voice; empty where it names none.
    """
    engine = engine_of(tts, checkpoints)
    usual = _USUAL_VOICE if engine == SUPERTONIC else ""
    if engine == POCKET:
        usual = pocket_files.usual_voice(_pocket_model(_of(checkpoints)))
    return voice or tts.voice or usual


def check_voice(tts: TtsSettings, checkpoints: Checkpoints, voice: str, language: str) -> None:
    """Find out, without loading a network, whether an engine has a voice, and speaks a language.

    Args:
        tts: The row's settings.
        checkpoints: The row's.
        voice: Of `spoken_voice`.
        language: As the row states it; empty where nobody says.

    Raises:
        SettingsError: It has not.
    """
    from lipwise_ray.tts.program import no_voice

    engine = engine_of(tts, checkpoints)
    if engine == "espeak":
        if not _espeak_has(voice, language):
            raise no_voice(voice or language, "espeak-ng")
        return
    if engine == POCKET:
        pocket_files.check_language(_pocket_model(_of(checkpoints)), language)
    known = list(tts.voices) if engine == "command" else sorted(filter(None, map(voice_of, _of(checkpoints))))
    if engine == "command" and (not known or not voice):
        return
    if voice not in known:
        published = _VOICES if engine == SUPERTONIC else _POCKET_VOICES if tts.model is None else {}
        name = next((name for name, published_as in published.items() if published_as == voice), "")
        get = f"; run `lipwise-ray models pull {name}`" if name and engine in TTS.networks else ""
        raise no_voice(voice, f"known: {', '.join(known) or 'none'}{get}")


def _of(checkpoints: Checkpoints) -> Iterator[Checkpoint]:
    return iter(checkpoints.all(TTS.name))


@lru_cache(1024)
def _espeak_has(voice: str, language: str) -> bool:
    from lipwise_ray.tts.program import espeak_has

    return espeak_has(voice, language)
