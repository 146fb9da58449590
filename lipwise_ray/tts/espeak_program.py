"""espeak-ng as a program: ``python espeak_program.py VOICE LANGUAGE`` reads a text, and writes it spoken as WAV.

It is a program because espeak-ng keeps its noise from text to text, in its process, so that only fresh ones say equal
texts alike; and because espeak-ng is GPL-3, and this is all that loads it. ``--check`` at the end speaks nothing.
Exit status 3: there is no such voice.
"""

from __future__ import annotations

import ctypes
import sys
import wave
from pathlib import Path
from typing import Any

# Source: espeak-ng's speak_lib.h.
_SYNCHRONOUS, _DONT_EXIT, _UTF8 = 2, 0x8000, 1

_NO_VOICE, _NO_LIBRARY = 3, 4
_Samples = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def _candidates(voice: str, language: str) -> list[str]:
    """Return espeak-ng's names to be tried: a voice, a variant (``+f3``) of a language, or a language's own voice."""
    if voice and not voice.startswith("+"):
        return [voice]
    names = [language, language.partition("-")[0]] if language else []
    return [f"{name.lower()}{voice}" for name in names]


def _has_variant(name: str, data: str) -> bool:
    """Tell whether the variant that a name asks for is there; espeak-ng takes the plain voice where it is not."""
    _, plus, variant = name.partition("+")
    return not plus or (variant.isalnum() and (Path(data) / "voices" / "!v" / variant).is_file())


def main(words: list[str]) -> int:
    """Speak what is on standard input."""
    voice, language, *rest = words
    try:
        import espeakng_loader
    except ImportError:
        sys.stderr.write("espeakng-loader is not installed\n")
        return _NO_LIBRARY
    library: Any = ctypes.CDLL(str(espeakng_loader.get_library_path()))
    library.espeak_Synth.argtypes = (
        *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int),
        *(ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p),
    )
    rate_hz = int(library.espeak_Initialize(_SYNCHRONOUS, 0, str(espeakng_loader.get_data_path()).encode(), _DONT_EXIT))
    if rate_hz <= 0:
        sys.stderr.write(f"espeak-ng did not start (error {rate_hz})\n")
        return _NO_LIBRARY
    names = [name for name in _candidates(voice, language) if _has_variant(name, espeakng_loader.get_data_path())]
    if not any(library.espeak_SetVoiceByName(name.encode()) == 0 for name in names):
        return _NO_VOICE
    if rest == ["--check"]:
        return 0
    pieces: list[bytes] = []

    def receive(samples: Any, count: int, _: Any) -> int:  # noqa: ANN401  # C pointers
        if samples and count > 0:
            pieces.append(ctypes.string_at(samples, 2 * count))
        return 0

    callback = _Samples(receive)  # the library keeps a pointer to it
    library.espeak_SetSynthCallback(callback)
    text = sys.stdin.buffer.read().strip() + b"\0"
    library.espeak_Synth(text, len(text), 0, 0, 0, _UTF8, None, None)
    with wave.open(sys.stdout.buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.setnframes(sum(map(len, pieces)) // 2)  # a pipe cannot be told afterwards
        file.writeframes(b"".join(pieces))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
