"""Pocket TTS as an engine: a language model of sound, and a file a voice."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lipwise_ray.errors import AudioError, SettingsError, WeightsError
from lipwise_ray.tts.pocket_files import CONFIG, MODEL, TOKENIZERS, voice_in
from lipwise_ray.tts.program import no_voice
from lipwise_ray.values import F32Array

_KINDS: dict[str, str] = dict(zip(TOKENIZERS, ("tokenizers", "sentencepiece"), strict=True))
_FAIL_WITHOUT_END = "KPOCKET_TTS_ERROR_WITHOUT_EOS"
_CACHE, _OFFSET = "cache", "offset"


class PocketEngine:
    """Speaks by the package `pocket-tts`, with files that are given: it downloads nothing.

    Args:
        files: Paths by their places in the model's folder.
        model: Name of the model, by which the package describes its layers; its own file of that goes first.

    Raises:
        SettingsError: The package is not installed.
        WeightsError: It knows no such model, or a file is none of its own.
    """

    def __init__(self, files: Mapping[str, Path], model: str) -> None:
        from lipwise_ray.nets.torch_threads import on_one_thread

        # Speech that has not ended when its time is over is babble or cut off: the package only logs that, unless told.
        os.environ[_FAIL_WITHOUT_END] = "1"
        try:
            with on_one_thread():  # which the package sets for good when it is imported
                from pocket_tts.modules.stateful_module import init_states  # an extra
                from pocket_tts.utils.config import CONFIGS_DIR
        except ImportError as error:
            do = "Run `pip install 'lipwise-ray[pocket]'`"
            raise SettingsError("no_tts", "tts.engine", got="pocket-tts is not installed", do=do) from error
        described = files.get(CONFIG, CONFIGS_DIR / f"{model}.yaml")
        if not described.is_file():
            got = f"the package pocket-tts knows no model {model!r}"
            do = f"Name the folder as it is published (spanish, english ...), or put a {CONFIG} into it"
            raise WeightsError("not_pocket", "tts.model", got=got, do=do)
        self._voices = {voice_in(place): path for place, path in files.items() if voice_in(place)}
        self._model: Any = _loaded(files, described)
        self._model.max_decoder_frames_per_call = 1  # else as many as are ready, by which sums are rounded otherwise
        states = init_states(self._model.flow_lm, batch_size=1, sequence_length=1)
        self._layers = {layer: _shape(state) for layer, state in states.items()}

    def speak(self, text: str, voice: str, language: str) -> tuple[F32Array, int]:  # noqa: ARG002  # the model's own
        """Return a text as it is spoken: see `SpeechEngine`. Equal texts sound alike."""
        path = self._voices.get(voice)
        if path is None:
            raise no_voice(voice, f"known: {', '.join(sorted(self._voices)) or 'none'}")
        state = self._voice(path)
        try:
            with _drawn_for(text):
                wave = self._model.generate_audio(state, text)
        except (ValueError, RuntimeError) as error:
            got = f"did not speak {text[:60]!r}: {str(error).splitlines()[0]}"
            raise AudioError("tts_failed", f"pocket, voice {voice}", got=got) from error
        return np.asarray(wave.numpy(), np.float32), int(self._model.sample_rate)

    def _voice(self, path: Path) -> Mapping[str, Any]:
        """Return the state of the layers that a voice's file holds, once it is known to be of this model.

        The package finds out when a thread of its own waits for sound already, and waits for ever.
        """
        with _read(path):
            state = self._model.get_state_for_audio_prompt(path)
            if {layer: _shape(one) for layer, one in state.items()} != self._layers:
                raise ValueError("its layers are another model's")
        return state


def _shape(state: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape of a layer's state but for its length, which is the voice's own."""
    keys_and_values = state[_CACHE]
    return (len(keys_and_values), *keys_and_values.shape[3:], len(state[_OFFSET]))


def _loaded(files: Mapping[str, Path], described: Path) -> Any:  # noqa: ANN401  # the package has no types
    """Return a model of the given files alone, whatever addresses its description has."""
    from pocket_tts import TTSModel
    from pocket_tts.utils.config import load_config

    with _read(described):
        config: Any = load_config(described).model_dump(mode="json")
    tokenizer = next((name for name in TOKENIZERS if name in files), TOKENIZERS[0])
    config["weights_path_without_voice_cloning"] = config["flow_lm"]["weights_path"] = None
    config["mimi"]["weights_path"] = None
    handlers = list(logging.root.handlers)
    with _read(files[MODEL]), tempfile.TemporaryDirectory() as folder:
        config["weights_path"] = str(files[MODEL])
        table = config["flow_lm"]["lookup_table"]
        table["tokenizer"], table["tokenizer_path"] = _KINDS[tokenizer], str(files[tokenizer])
        ours = Path(folder) / CONFIG
        ours.write_text(json.dumps(config), "utf-8")  # what is JSON is YAML
        model = TTSModel.load_model(config=ours)
    for one in set(logging.root.handlers) - set(handlers):  # the package logs through the root, which then gets one
        logging.root.removeHandler(one)
    return model


@contextmanager
def _read(file: Path) -> Generator[None]:
    from safetensors import SafetensorError
    from yaml import YAMLError

    broken = (ValueError, KeyError, TypeError, AssertionError, RuntimeError, OSError, SafetensorError, YAMLError)
    try:
        yield
    except broken as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        do = "Download the files of one model again, from one revision"
        raise WeightsError("not_pocket", str(file), got=f"is not a file of this model: {reason}", do=do) from error


@contextmanager
def _drawn_for(text: str) -> Generator[None]:
    """Let the package, which draws from torch's common generator, draw the same for the same text."""
    import torch

    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]))
        yield
