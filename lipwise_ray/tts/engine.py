"""The role of whatever speaks a text, and the rules that hold for its speech whoever speaks."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Protocol

import numpy as np

from lipwise_ray.errors import AudioError, StorageError, os_reason
from lipwise_ray.values import F32Array

_WINDOW_S = 0.005
_SILENCE = 10 ** (-42 / 20)
"""Against the loudest window: breath and the noise of vocoders are below, the first consonants above."""

_KEPT_BEFORE_S, _KEPT_AFTER_S = 0.01, 0.05
_LEAST_PEAK = 1e-4
_LEAST_RATE_HZ, _MOST_RATE_HZ = 8_000, 192_000
_FULL = 32_767


class SpeechEngine(Protocol):
    """Makes speech of text."""

    def speak(self, text: str, voice: str, language: str) -> tuple[F32Array, int]:
        """Return a text as it is spoken.

        Args:
            text: Words on one line.
            voice: Name of the voice; empty for the engine's usual one of the language.
            language: As the row states it; empty where nobody says.

        Returns:
            Mono samples in [-1, 1], shape (N,), and their rate in Hz.

        Raises:
            AudioError: It did not give speech.
            SetupError: It has no such voice, or is not installed.
        """
        ...


def without_silence(wave_f32: F32Array, rate_hz: int, where: str) -> F32Array:
    """Return speech that begins and ends with sound: engines put silence before and after it, each its own.

    Args:
        wave_f32: Mono samples, shape (N,).
        rate_hz: Their rate.
        where: What was spoken, for messages.

    Raises:
        AudioError: It is silence, no numbers, or of no usual rate.
    """
    if not _LEAST_RATE_HZ <= rate_hz <= _MOST_RATE_HZ:
        raise AudioError("tts_output", where, got=f"speech of {rate_hz} samples a second")
    if not np.isfinite(wave_f32).all():
        raise AudioError("tts_output", where, got="speech with samples that are not numbers")
    window = max(1, round(_WINDOW_S * rate_hz))
    windows = -(-len(wave_f32) // window)
    padded = np.pad(wave_f32, (0, windows * window - len(wave_f32)))
    levels = np.sqrt(np.mean(padded.reshape(windows, window) ** 2, axis=1)) if windows else np.zeros(0, np.float32)
    peak = float(levels.max(initial=0.0))
    if peak < _LEAST_PEAK:
        raise AudioError("tts_silent", where, got="was spoken as silence", do="Check the text, its voice and language")
    loud = np.flatnonzero(levels > peak * _SILENCE)
    first = max(0, int(loud[0]) * window - round(_KEPT_BEFORE_S * rate_hz))
    last = (int(loud[-1]) + 1) * window + round(_KEPT_AFTER_S * rate_hz)
    return wave_f32[first:last]


def write_speech(target: Path, wave_f32: F32Array, rate_hz: int) -> None:
    """Write speech as a WAV file of 16 bits: equal samples give equal bytes, whichever libraries are installed.

    Args:
        target: The file.
        wave_f32: Mono samples in [-1, 1], shape (N,); louder ones are clipped.
        rate_hz: Their rate.

    Raises:
        StorageError: The disk refuses.
    """
    levels = np.rint(np.clip(wave_f32, -1, 1) * _FULL).astype("<i2")
    try:
        with wave.open(str(target), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate_hz)
            file.writeframes(levels.tobytes())
    except OSError as error:
        raise StorageError("scratch", str(target), got=f"cannot be written: {os_reason(error)}") from error
