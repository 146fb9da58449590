"""Supertonic 3 as an engine: four networks for ONNX Runtime, and a file a voice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lipwise_ray.errors import AudioError, SettingsError, WeightsError
from lipwise_ray.nets.onnx_session import broken_networks, open_session
from lipwise_ray.tts.program import no_voice
from lipwise_ray.values import F32Array

_NETWORKS = ("duration_predictor", "text_encoder", "vector_estimator", "vocoder")
"""In the order in which the package takes them."""

_ANY_LANGUAGE = "na"
_PAUSE_S = 0.3
"""Between pieces of a long text, as in the package."""


class SupertonicEngine:
    """Speaks by the package `supertonic`, with files that are given: it downloads nothing.

    Args:
        files: Paths by their places in the published folder.
        threads: Threads that its networks may use; 0 for all cores.

    Raises:
        SettingsError: The package is not installed.
        WeightsError: A file is none of its networks.
    """

    def __init__(self, files: Mapping[str, Path], threads: int) -> None:
        sessions = [open_session(files[f"onnx/{name}.onnx"], threads=threads, device="cpu") for name in _NETWORKS]
        try:
            from supertonic.config import AVAILABLE_LANGUAGES  # an extra
            from supertonic.core import Supertonic, UnicodeProcessor
        except ImportError as error:
            do = "Run `pip install 'lipwise-ray[supertonic]'`"
            raise SettingsError("no_tts", "tts.engine", got="supertonic is not installed", do=do) from error
        self._languages: frozenset[str] = frozenset(AVAILABLE_LANGUAGES)
        self._voices = {Path(place).stem: path for place, path in files.items() if place.startswith("voice_styles/")}
        settings, characters = files["onnx/tts.json"], files["onnx/unicode_indexer.json"]
        with _read(settings):
            described: Any = json.loads(settings.read_bytes())
            self._model: Any = Supertonic(described, UnicodeProcessor(str(characters)), *sessions)

    def speak(self, text: str, voice: str, language: str) -> tuple[F32Array, int]:
        """Return a text as it is spoken: see `SpeechEngine`. Equal texts sound alike."""
        from supertonic import config
        from supertonic.loader import load_voice_style_from_json_file
        from supertonic.utils import chunk_text

        is_known, unknown = self._model.text_processor.validate_text(text)
        if not is_known:
            got = f"has no sound for {', '.join(map(ascii, unknown))}"
            raise AudioError("tts_failed", "supertonic", got=got, do="Write the text without them")
        path = self._voices.get(voice)
        if path is None:
            raise no_voice(voice, f"known: {', '.join(sorted(self._voices)) or 'none'}")
        with _read(path):
            style = load_voice_style_from_json_file(path)
        base = language.partition("-")[0].lower()
        named = base if base in self._languages else _ANY_LANGUAGE
        longest = config.DEFAULT_MAX_CHUNK_LENGTH_KO if named == "ko" else config.DEFAULT_MAX_CHUNK_LENGTH
        steps, speed, rate_hz = config.DEFAULT_TOTAL_STEPS, config.DEFAULT_SPEED, int(self._model.sample_rate)
        pause = np.zeros(round(_PAUSE_S * rate_hz), np.float32)
        pieces: list[F32Array] = []
        try:
            with _drawn_for(text):
                for piece in chunk_text(text, longest):
                    wave, _ = self._model([piece], style, steps, speed, named)
                    pieces += [np.asarray(wave, np.float32).reshape(-1), pause]
        except (ValueError, *broken_networks()) as error:  # a voice of another model
            got = f"did not take {text[:60]!r}: {str(error).splitlines()[0]}"
            raise AudioError("tts_failed", f"supertonic, voice {voice}", got=got) from error
        return np.concatenate(pieces[:-1] or [pause]), rate_hz


@contextmanager
def _read(file: Path) -> Generator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, OSError) as error:
        do = "Download it again with `lipwise-ray models pull`"
        raise WeightsError("not_supertonic", str(file), got=f"is not a file of supertonic: {error}", do=do) from error


@contextmanager
def _drawn_for(text: str) -> Generator[None]:
    """Let the package, which draws from numpy's common generator, draw the same for the same text."""
    before = np.random.get_state()  # noqa: NPY002  # the package's
    np.random.seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]))  # noqa: NPY002  # the same
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002  # the same
