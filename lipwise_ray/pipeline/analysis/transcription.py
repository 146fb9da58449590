"""Transcription of audio, and detection of its language: by faster-whisper and lingua, the extra `asr`."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lipwise_ray.errors import SettingsError, is_of_the_machine
from lipwise_ray.state.ids import record_id
from lipwise_ray.state.input_records import TranscriptRecord, TranscriptSegment
from lipwise_ray.values import F32Array

if TYPE_CHECKING:
    from lingua import LanguageDetector

_NEEDED = ("model.bin", "config.json", "tokenizer.json")
_PACKAGES = ("faster_whisper", "lingua")
_RATE_HZ, _BLOCK_S = 16_000, 300
_SURE = 0.5
_FEWEST_LETTERS = 12
_DIGITS = 3
_END_BYTES = 1 << 20


def check_recogniser(folder: Path) -> None:
    """Find out whether speech can be recognised here.

    Args:
        folder: Of a Whisper model in CTranslate2's layout.

    Raises:
        SettingsError: The extra is not installed, or the folder holds no such model.
    """
    absent = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        raise SettingsError(
            "no_asr",
            "asr.model",
            got=f"speech cannot be recognised without {' and '.join(absent)}",
            do="Run `pip install 'lipwise-ray[asr]'`",
        )
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise SettingsError(
            "no_asr_model",
            f"asr.model {folder}",
            got=f"no {', '.join(missing)} in this folder",
            do="Name a Whisper model for faster-whisper, for example a copy of Systran/faster-whisper-small",
        )
    for name in _NEEDED:
        if name.endswith(".json"):
            try:
                json.loads((folder / name).read_bytes())
            except ValueError as error:
                raise _damaged(folder, f"{name}: {error}") from error


def _damaged(folder: Path, got: str) -> SettingsError:
    return SettingsError(
        "bad_asr_model",
        f"asr.model {folder}",
        got=f"not a whole Whisper model for faster-whisper: {got}",
        do="Convert or download it again",
    )


def recogniser_id(folder: Path) -> str:
    """Return the id of a model's transcripts: of its configuration, and the sizes and ends of its files."""
    found: dict[str, tuple[int, str]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(_END_BYTES)
                file.seek(-min(_END_BYTES, path.stat().st_size), os.SEEK_END)
                ends = hashlib.sha256(head + file.read()).hexdigest()
            found[path.name] = (path.stat().st_size, ends)
    return record_id(found)


class Recogniser:
    """A Whisper model.

    Args:
        folder: Folder that holds it.
        device: ``cpu`` or ``cuda``.
        threads: On a CPU; 0 for as many as there are.

    Raises:
        SettingsError: It cannot be used.
    """

    def __init__(self, folder: Path, device: str = "cpu", threads: int = 0) -> None:
        check_recogniser(folder)
        from faster_whisper import WhisperModel

        try:
            self._model: Any = WhisperModel(str(folder), device=device, cpu_threads=threads, local_files_only=True)
        except (RuntimeError, ValueError) as error:
            if is_of_the_machine(error):
                raise
            raise _damaged(folder, str(error).splitlines()[0][:200]) from error

    def __call__(self, wave: F32Array, on_segment: Callable[[], None] = lambda: None) -> TranscriptRecord:
        """Return the transcript.

        Args:
            wave: Mono at 16 kHz, shape (N,); a memory map is read in parts of five minutes.
            on_segment: Called as it goes on.
        """
        languages: Counter[str] = Counter()
        segments: list[TranscriptSegment] = []
        for start in range(0, len(wave), _BLOCK_S * _RATE_HZ):
            part = np.asarray(wave[start : start + _BLOCK_S * _RATE_HZ])
            found, info = self._model.transcribe(part, condition_on_previous_text=False)
            heard = list(_segments(found, start / _RATE_HZ, on_segment))
            segments += heard
            languages[str(info.language)] += sum(len(one.text) for one in heard)
        if not any(languages.values()):
            return TranscriptRecord(language=None)
        by_sound = languages.most_common(1)[0][0]
        text = " ".join(one.text for one in segments)
        by_text = _language_of(text)
        return TranscriptRecord(
            language=by_text or by_sound, by_sound=by_sound, by_text=by_text, text=text, segments=tuple(segments)
        )


def _segments(found: Any, offset_s: float, on_segment: Callable[[], None]) -> Iterator[TranscriptSegment]:  # noqa: ANN401  # an extra states no types
    for one in found:
        on_segment()
        if text := str(one.text).strip():
            start, end = (round(float(at) + offset_s, _DIGITS) for at in (one.start, one.end))
            yield TranscriptSegment(start, end, text)


def _language_of(text: str) -> str | None:
    """Return the language of some words, None where they do not tell."""
    if sum(letter.isalpha() for letter in text) < _FEWEST_LETTERS:
        return None
    best = _detector().compute_language_confidence_values(text)[0]
    return best.language.iso_code_639_1.name.lower() if best.value >= _SURE else None


@cache
def _detector() -> LanguageDetector:
    from lingua import LanguageDetectorBuilder

    return LanguageDetectorBuilder.from_all_languages().build()
