"""Pocket TTS's own code over a made-up model of its layout."""

from __future__ import annotations

import logging
import sys
import threading
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from lipwise_ray.errors import AudioError, SettingsError, WeightsError
from lipwise_ray.models.checkpoints import Checkpoints
from lipwise_ray.models.loading import ModelHost, ModelRequest
from lipwise_ray.models.registry import Registry
from lipwise_ray.models.role import Machines
from lipwise_ray.pipeline.dubbing.speeches import spoken_by
from lipwise_ray.pipeline.flows.task_kinds import SpeakPayload
from lipwise_ray.pipeline.manifest.speakers import Script
from lipwise_ray.pipeline.tasks.speak import speak
from lipwise_ray.resources import models_folder
from lipwise_ray.roles.tts import TTS, check_voice, engine_facts, spoken_voice
from lipwise_ray.settings.layers import resolve
from lipwise_ray.tts import pocket_files
from lipwise_ray.tts.pocket import PocketEngine
from tests.support.pocket import RATE_HZ, VOICES, never_ending, with_sentences, write_pocket
from tests.support.task_context import NOTHING_KNOWN, Bench

# Not imported: it takes seconds, in every process that collects tests.
pytestmark = pytest.mark.skipif(find_spec("pocket_tts") is None, reason="extra pocket is not installed")


@pytest.fixture(scope="module")
def spanish(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model's folder, whose name says what it speaks."""
    return write_pocket(tmp_path_factory.mktemp("languages") / "spanish")


def _copy(folder: Path, into: Path) -> Path:
    (into / "embeddings").mkdir(parents=True)
    for file in pocket_files.files_in(folder):
        (into / Path(file).relative_to(folder)).write_bytes(Path(file).read_bytes())
    return into


def _registry(folder: Path) -> Registry:
    return Registry(models_folder() / "registry.toml", folder)


def _request(folder: Path) -> ModelRequest:
    """Return the request of a job whose settings name a folder of the user's."""
    settings = resolve([("test", {"tts": {"engine": "pocket", "model": str(folder)}})])
    registry = _registry(folder / "none")
    wanted = TTS.required(settings, Machines(have_gpu=False, installed=registry.installed)).wanted
    files = tuple(registry.own_file(Path(str(one.file)), one.networks[0]) for one in wanted)
    return ModelRequest(settings, Checkpoints({TTS.name: files}))


def _engine(folder: Path) -> PocketEngine:
    recipe = TTS.load(_request(folder), ModelHost("cpu", 1, lambda one: one.path, lambda: False))
    assert recipe is not None
    made = recipe.make()
    assert isinstance(made, PocketEngine)
    return made


def test_equal_texts_sound_alike(spanish: Path) -> None:
    """Though its noise is drawn: nothing else that draws notices. Long texts are spoken piece by piece."""
    engine = _engine(spanish)
    before = torch.get_rng_state()
    first, rate_hz = engine.speak("Buenas tardes.", "lola", "es")
    assert rate_hz == RATE_HZ
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(engine.speak("Buenas tardes.", "lola", "es-ES")[0], first)
    assert not np.array_equal(engine.speak("Buenas noches.", "lola", "es")[0], first)
    assert not np.array_equal(engine.speak("Buenas tardes.", "bill_boerst", "es")[0], first)
    long, _ = engine.speak("One sentence of a long text. " * 10, "lola", "")
    assert len(long) > 5 * len(first)


def test_the_process_is_left_as_it_was(spanish: Path) -> None:
    """Its package sets the threads of torch and of the log for all: neither stays."""
    threads, handlers = torch.get_num_threads(), list(logging.root.handlers)
    torch.set_num_threads(2)
    try:
        for handler in handlers:
            logging.root.removeHandler(handler)
        _engine(spanish)
        assert logging.root.handlers == []
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
        for handler in handlers:
            logging.root.addHandler(handler)


def test_a_text_or_voice_that_it_does_not_take_is_an_error(spanish: Path, tmp_path: Path) -> None:
    """The message names the voice, and those there are; another model's voice is the file's fault, and nobody waits."""
    folder = _copy(spanish, tmp_path / "spanish")
    other = write_pocket(tmp_path / "other", heads=1) / "embeddings" / "lola.safetensors"
    (folder / "embeddings" / "bill_boerst.safetensors").write_bytes(other.read_bytes())
    (folder / "embeddings" / "ann.safetensors").write_bytes(b"not a voice")
    engine = _engine(folder)
    waiting = threading.active_count()
    with pytest.raises(SettingsError, match=r"'eve' is not one of its voices \(known: ann, bill_boerst, lola\)"):
        engine.speak("Hola.", "eve", "es")
    with pytest.raises(WeightsError, match=r"bill_boerst\.safetensors: is not a file of this model: its layers"):
        engine.speak("Hola.", "bill_boerst", "es")
    with pytest.raises(WeightsError, match=r"ann\.safetensors: is not a file of this model"):
        engine.speak("Hola.", "ann", "es")
    with pytest.raises(AudioError, match=r"pocket, voice lola: did not speak ' ': Text prompt cannot be empty"):
        engine.speak(" ", "lola", "es")
    assert threading.active_count() == waiting


def test_speech_that_does_not_end_is_an_error(spanish: Path, tmp_path: Path) -> None:
    """It is babble, or cut off."""
    engine = _engine(never_ending(_copy(spanish, tmp_path / "spanish")))
    with pytest.raises(AudioError, match=r"did not speak 'Hola\.': Generation reached maximum length"):
        engine.speak("Hola.", "lola", "es")


def test_a_package_that_is_not_installed_is_named(spanish: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that brings it."""
    monkeypatch.setitem(sys.modules, "pocket_tts.modules.stateful_module", None)
    with pytest.raises(SettingsError, match=r"pocket-tts is not installed\. Run `pip install 'lipwise-ray\[pocket\]'`"):
        _engine(spanish)


def test_files_that_are_no_model_are_told(spanish: Path, tmp_path: Path) -> None:
    """By their paths, before anything is spoken; a folder of a name that the package does not know describes itself."""
    folder = _copy(spanish, tmp_path / "klingon")
    (folder / "config.yaml").unlink()
    with pytest.raises(WeightsError, match="the package pocket-tts knows no model 'klingon'"):
        _engine(folder)
    # By its name it is the published one, which has other layers.
    with pytest.raises(WeightsError, match=r"model\.safetensors: is not a file of this model"):
        _engine(folder.rename(tmp_path / "english_2m_2026-10"))
    folder = _copy(spanish, tmp_path / "spanish")
    (folder / "config.yaml").write_text("flow_lm: [")
    with pytest.raises(WeightsError, match=r"config\.yaml: is not a file of this model"):
        _engine(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(WeightsError, match=r"tokenizer\.json: no such checkpoint file"):
        _request(folder)


def test_a_tokenizer_of_either_kind_will_do(spanish: Path, tmp_path: Path) -> None:
    """Some models are published with one, some with the other."""
    folder = with_sentences(_copy(spanish, tmp_path / "spanish"))
    assert [Path(file).name for file in pocket_files.files_in(folder)][1] == "tokenizer.model"
    assert len(_engine(folder).speak("Hola.", "lola", "es")[0]) > 0


def test_a_row_is_spoken_with_a_users_own_folder(spanish: Path, tmp_path: Path) -> None:
    """By the usual voice of its language where the row names none; another voice is another speech; terms are told."""
    request = _request(spanish)
    facts = engine_facts(request.settings.tts, request.checkpoints)
    assert facts.name.startswith("pocket-tts 4.")
    assert facts.decides[1] == "spanish"
    assert spoken_voice(request.settings.tts, request.checkpoints, "") == "lola"
    bench = Bench(tmp_path)
    audio: list[str] = []
    for voice in ("", *VOICES):
        script = Script("Hola.", voice=voice)
        job = replace(bench.row.job, audio=None, script=script, language="es", settings=request.settings)
        payload = SpeakPayload(replace(bench.row, job=job, weights=request.checkpoints))
        audio.append(speak(bench.context, payload, NOTHING_KNOWN).speeches[0].audio)
    assert audio[0] == audio[1]
    assert audio[2].split("/")[3] != audio[0].split("/")[3]
    (by,) = spoken_by(bench.context.store, [audio[0].removeprefix("state://")])
    assert (by.voice, by.licence) == ("lola", "a file of your own: its terms are not known here")


def test_a_language_that_a_model_does_not_speak_is_told(spanish: Path, tmp_path: Path) -> None:
    """By the name of its folder; of a model of the user's own nobody knows, and no voice is its usual one."""
    request = _request(spanish)
    tts, files = request.settings.tts, request.checkpoints
    check_voice(tts, files, "lola", "es-MX")
    check_voice(tts, files, "lola", "")
    with pytest.raises(SettingsError, match="the model spanish speaks es, and the row's language is 'de'"):
        check_voice(tts, files, "lola", "de")
    with pytest.raises(SettingsError, match=r"'eve' is not one of its voices \(known: bill_boerst, lola\)"):
        check_voice(tts, files, "eve", "es")
    request = _request(_copy(spanish, tmp_path / "mine"))
    check_voice(request.settings.tts, request.checkpoints, "lola", "de")
    assert spoken_voice(request.settings.tts, request.checkpoints, "") == ""


def test_published_files_are_asked_for_by_name(tmp_path: Path) -> None:
    """The model always, voices as far as they are installed; a voice that is not says how to get it, and each has
    terms of its own.
    """
    registry = _registry(tmp_path)
    machines = Machines(have_gpu=False, installed=registry.installed)
    named = resolve([("test", {"tts": {"engine": "pocket"}})])
    assert [one.name for one in TTS.required(named, machines).wanted] == ["pocket_spanish", "pocket_spanish_tokenizer"]
    registry.path_of("pocket_spanish_voice_lola").touch()
    wanted = TTS.required(named, machines).wanted
    files = tuple(registry.entry(one.name).checkpoint(one.name, registry.path_of(one.name)) for one in wanted)
    assert [pocket_files.place_of(one.path) for one in files] == [
        *("model.safetensors", "tokenizer.json", "embeddings/lola.safetensors"),
    ]
    checkpoints = Checkpoints({TTS.name: files})
    check_voice(named.tts, checkpoints, "lola", "es")
    with pytest.raises(SettingsError, match="known: lola; run `lipwise-ray models pull pocket_spanish_voice_eve`"):
        check_voice(named.tts, checkpoints, "eve", "es")
    facts = engine_facts(named.tts, checkpoints)
    assert (facts.licence, facts.licence_of("lola")) == ("CC-BY-4.0", "CC-BY-4.0, CC0-1.0")


def test_every_published_file_of_pocket_has_a_place() -> None:
    """Of the model that the role asks for: none of the registry's is one that nobody loads."""
    registry = _registry(Path("nowhere"))
    paths = [registry.path_of(name) for name, entry in registry.entries.items() if entry.network == "pocket"]
    assert pocket_files.model_name(paths) == "spanish"
    machines = Machines(have_gpu=False, installed=lambda _: True)
    wanted = TTS.required(resolve([("test", {"tts": {"engine": "pocket"}})]), machines).wanted
    assert {registry.path_of(one.name) for one in wanted} == set(paths)
