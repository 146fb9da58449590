"""Supertonic's own code over made-up networks of its layout."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lipwise_ray.errors import AudioError, SettingsError, WeightsError
from lipwise_ray.models.checkpoints import Checkpoints
from lipwise_ray.models.loading import ModelHost, ModelRequest
from lipwise_ray.models.registry import Registry
from lipwise_ray.models.role import Machines
from lipwise_ray.pipeline.flows.task_kinds import SpeakPayload
from lipwise_ray.pipeline.manifest.speakers import Script
from lipwise_ray.pipeline.tasks.speak import speak
from lipwise_ray.resources import models_folder
from lipwise_ray.roles.tts import TTS, check_voice, engine_facts, spoken_voice
from lipwise_ray.settings.layers import resolve
from lipwise_ray.settings.model import Settings
from lipwise_ray.tts.supertonic import SupertonicEngine
from tests.support.supertonic import RATE_HZ, VOICES, write_supertonic
from tests.support.task_context import NOTHING_KNOWN, Bench

pytest.importorskip("supertonic", reason="extra supertonic is not installed")


def _registry(folder: Path) -> Registry:
    return Registry(models_folder() / "registry.toml", folder)


def _request(folder: Path) -> ModelRequest:
    """Return the request of a job whose settings name a folder of the user's."""
    settings = resolve([("test", {"tts": {"engine": "supertonic", "model": str(folder)}})])
    registry = _registry(folder / "none")
    wanted = TTS.required(settings, Machines(have_gpu=False, installed=registry.installed)).wanted
    files = tuple(registry.own_file(Path(str(one.file)), "supertonic") for one in wanted)
    return ModelRequest(settings, Checkpoints({TTS.name: files}))


def _engine(folder: Path) -> SupertonicEngine:
    recipe = TTS.load(_request(folder), ModelHost("cpu", 1, lambda one: one.path, lambda: False))
    assert recipe is not None
    made = recipe.make()
    assert isinstance(made, SupertonicEngine)
    return made


def test_equal_texts_sound_alike(tmp_path: Path) -> None:
    """Though its noise is drawn: nothing else that draws notices. Long texts are spoken piece by piece."""
    engine = _engine(write_supertonic(tmp_path / "model"))
    np.random.seed(3)  # noqa: NPY002  # it is what the package draws from
    before = np.random.get_state()[1].copy()  # noqa: NPY002  # the same
    first, rate_hz = engine.speak("Buenas tardes.", "F1", "es")
    assert rate_hz == RATE_HZ
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002  # the same
    assert np.array_equal(engine.speak("Buenas tardes.", "F1", "es-ES")[0], first)
    assert not np.array_equal(engine.speak("Buenas noches.", "F1", "es")[0], first)
    long, _ = engine.speak("One sentence of a long text. " * 30, "M1", "xx")
    assert len(long) > 20 * len(first)


def test_a_text_or_voice_that_it_does_not_take_is_an_error(tmp_path: Path) -> None:
    """The message names the voice, and those there are; a style of another model is the file's fault."""
    engine = _engine(write_supertonic(tmp_path / "model"))
    with pytest.raises(SettingsError, match=r"'F9' is not one of its voices \(known: F1, M1\)"):
        engine.speak("Hello.", "F9", "en")
    with pytest.raises(AudioError, match="has no sound for"):
        engine.speak("漢字", "F1", "ja")
    (tmp_path / "model" / "voice_styles" / "M1.json").write_text(json.dumps({"style": 1}))
    with pytest.raises(WeightsError, match=r"M1\.json: is not a file of supertonic"):
        engine.speak("Hello.", "M1", "en")


def test_files_that_are_no_networks_are_told(tmp_path: Path) -> None:
    """By their paths, before anything is spoken."""
    folder = write_supertonic(tmp_path / "model")
    (folder / "onnx" / "vocoder.onnx").write_bytes(b"not a network")
    with pytest.raises(WeightsError, match=r"vocoder\.onnx: ONNX Runtime cannot load it"):
        _engine(folder)


def test_a_row_is_spoken_with_a_users_own_folder(tmp_path: Path) -> None:
    """By the voice that rows without one have; another voice's file is another speech; files are known by hashes."""
    folder = write_supertonic(tmp_path / "model")
    request = _request(folder)
    facts = engine_facts(request.settings.tts, request.checkpoints)
    assert facts.name.startswith("supertonic 1.")
    assert len(facts.decides) == 7
    assert spoken_voice(request.settings.tts, request.checkpoints, "") == "F1"
    bench = Bench(tmp_path)
    audio: list[str] = []
    for voice in ("", *VOICES):
        job = replace(bench.row.job, audio=None, script=Script("Hello.", voice=voice), settings=request.settings)
        payload = SpeakPayload(replace(bench.row, job=job, weights=request.checkpoints))
        audio.append(speak(bench.context, payload, NOTHING_KNOWN).speeches[0].audio)
    assert audio[0] == audio[1]
    assert audio[2].split("/")[3] != audio[0].split("/")[3]


def test_published_files_are_asked_for_by_name(tmp_path: Path) -> None:
    """Networks always, voices as far as they are installed; a voice that is not says how to get it; `auto` takes espeak
    until all networks are there.
    """
    registry = _registry(tmp_path)
    machines = Machines(have_gpu=False, installed=registry.installed)
    named = resolve([("test", {"tts": {"engine": "supertonic"}})])
    assert len(TTS.required(named, machines).wanted) == 6
    assert TTS.required(Settings(), machines).wanted == ()
    for name in [one for one in registry.entries if one.startswith("supertonic_3_")]:
        if "voice" not in name or name.endswith("m2"):
            registry.path_of(name).touch()
    wanted = TTS.required(Settings(), machines).wanted
    assert len(wanted) == 7
    files = tuple(registry.entry(one.name).checkpoint(one.name, registry.path_of(one.name)) for one in wanted)
    checkpoints = Checkpoints({TTS.name: files})
    check_voice(named.tts, checkpoints, "M2", "es")
    with pytest.raises(SettingsError, match="known: M2; run `lipwise-ray models pull supertonic_3_voice_f1`"):
        check_voice(named.tts, checkpoints, "F1", "es")
    assert "OpenRAIL-M" in engine_facts(named.tts, checkpoints).licence
