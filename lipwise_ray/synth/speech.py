"""Speech with phoneme times, by espeak-ng through its C API."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import soxr

from lipwise_ray.errors import SetupError
from lipwise_ray.values import F32Array

RATE_HZ = 16_000

# Source: espeak-ng's speak_lib.h.
_SYNCHRONOUS, _PHONEME_EVENTS, _IPA, _DONT_EXIT = 2, 0x0001, 0x0002, 0x8000
_UTF8 = 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_EVENT_END, _EVENT_PHONEME = 0, 7
_NAME_BYTES = 8


@dataclass(frozen=True, slots=True)
class Voice:
    """Voice of a speaker.

    Attributes:
        language: espeak-ng's name of the language, for example ``en-us``.
        variant: espeak-ng's voice variant, for example ``f2``; empty for the plain voice.
        words_per_minute: Speed, 80-450.
        pitch: 0-99.
        pitch_range: 0-99; how much the melody moves.
        tract: Length of the vocal tract against the variant's own; a shorter one raises pitch and all formants.
    """

    language: str
    variant: str = ""
    words_per_minute: int = 165
    pitch: int = 50
    pitch_range: int = 50
    tract: float = 1.0

    @property
    def name(self) -> str:
        """Return the name under which espeak-ng finds the voice."""
        return f"{self.language}+{self.variant}" if self.variant else self.language


@dataclass(frozen=True, slots=True)
class Phoneme:
    """One phoneme in IPA, ``[start_s, stop_s)``; an empty name is a pause."""

    ipa: str
    start_s: float
    stop_s: float


@dataclass(frozen=True, slots=True)
class Speech:
    """Samples in [-1, 1] at 16 kHz, shape (N,), and what they say."""

    wave_f32: F32Array
    phonemes: tuple[Phoneme, ...]

    @property
    def seconds(self) -> float:
        """Return the length."""
        return len(self.wave_f32) / RATE_HZ


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("text", ctypes.c_char * _NAME_BYTES))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class _Espeak:
    """The library, which keeps its state in globals: one object a process, one thread at a time."""

    def __init__(self) -> None:
        try:
            import espeakng_loader  # an extra, GPL-3
        except ImportError as error:
            raise SetupError(
                "no_espeak",
                "synth",
                got="espeakng-loader is not installed",
                do="Run `pip install 'lipwise-ray[train]'`",
            ) from error
        self._library: Any = ctypes.CDLL(str(espeakng_loader.get_library_path()))
        self._library.espeak_Synth.argtypes = (
            *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int),
            *(ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p),
        )
        flags = _PHONEME_EVENTS | _IPA | _DONT_EXIT
        self._rate_hz = int(
            self._library.espeak_Initialize(_SYNCHRONOUS, 0, str(espeakng_loader.get_data_path()).encode(), flags)
        )
        if self._rate_hz <= 0:
            raise SetupError(
                "no_espeak",
                "synth",
                got=f"espeak-ng did not start (error {self._rate_hz})",
                do="Reinstall espeakng-loader",
            )
        self._samples: list[bytes] = []
        self._events: list[tuple[int, str]] = []
        self._callback = _Callback(self._receive)  # the library keeps a pointer to it
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples: Any, count: int, events: Any) -> int:  # noqa: ANN401  # C pointers
        if samples and count > 0:
            self._samples.append(ctypes.string_at(samples, 2 * count))
        place = 0
        while events[place].type != _EVENT_END:
            event = events[place]
            if event.type == _EVENT_PHONEME:
                raw = ctypes.string_at(ctypes.addressof(event) + _Event.id.offset, _NAME_BYTES)
                self._events.append((event.audio_position_ms, raw.split(b"\0")[0].decode("utf-8", "ignore")))
            place += 1
        return 0

    def speak(self, text: str, voice: Voice) -> tuple[F32Array, list[tuple[int, str]]]:
        if self._library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise SetupError("no_voice", "voice", got=f"espeak-ng has no voice {voice.name!r}")
        # A longer tract is the same sound played slower, so it is spoken faster to keep its pace.
        pace = round(voice.words_per_minute * voice.tract)
        for parameter, value in ((_RATE, pace), (_PITCH, voice.pitch), (_RANGE, voice.pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._samples.clear()
        self._events.clear()
        data = text.encode() + b"\0"
        self._library.espeak_Synth(data, len(data), 0, 0, 0, _UTF8, None, None)
        wave = np.frombuffer(b"".join(self._samples), "<i2").astype(np.float32) / 32768
        events = [(round(ms * voice.tract), name) for ms, name in self._events]
        return np.asarray(soxr.resample(wave, self._rate_hz / voice.tract, RATE_HZ), np.float32), events


@cache
def _espeak() -> _Espeak:
    return _Espeak()


def speak(text: str, voice: Voice) -> Speech:
    """Return a sentence spoken.

    espeak-ng keeps its noise and flutter from call to call: the same words differ by a few samples.
    The phonemes' times are those of the samples that are returned.

    Raises:
        SetupError: espeak-ng is not installed or does not know the voice.
    """
    wave, events = _espeak().speak(text, voice)
    seconds = len(wave) / RATE_HZ
    starts = [min(ms / 1000, seconds) for ms, _ in events]
    phonemes = tuple(
        Phoneme(name, start, stop)
        for (_, name), start, stop in zip(events, starts, [*starts[1:], seconds], strict=True)
        if stop > start
    )
    return Speech(wave, phonemes)


def with_silence(speech: Speech, before_s: float, after_s: float) -> Speech:
    """Return the speech between pauses."""
    wave = np.pad(speech.wave_f32, (round(before_s * RATE_HZ), round(after_s * RATE_HZ)))
    moved = tuple(Phoneme(p.ipa, p.start_s + before_s, p.stop_s + before_s) for p in speech.phonemes)
    end = before_s + speech.seconds
    return Speech(wave, (Phoneme("", 0.0, before_s), *moved, Phoneme("", end, end + after_s)))


def joined(parts: list[Speech]) -> Speech:
    """Return speeches one after the other."""
    phonemes: list[Phoneme] = []
    start_s = 0.0
    for part in parts:
        phonemes += [Phoneme(p.ipa, p.start_s + start_s, p.stop_s + start_s) for p in part.phonemes]
        start_s += part.seconds
    return Speech(np.concatenate([part.wave_f32 for part in parts]), tuple(phonemes))
