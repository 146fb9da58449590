"""Features of audio that lip-sync networks hear: their columns, and the window of them that a frame gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lipwise_ray.lipsync.mel import MEL_BANDS, MEL_RATE_HZ
from lipwise_ray.lipsync.windows import WINDOW_COLUMNS
from lipwise_ray.values import F32Array


@dataclass(frozen=True, slots=True)
class AudioFeature:
    """A kind of columns, and a frame's window of them.

    Attributes:
        name: Its name in messages.
        rate_hz: Columns a second.
        columns: Columns of a window.
        lead_columns: Columns of a window that come before the one of the frame's time.
        shape: Of a window as a network takes it.
        is_clamped: Beyond an end of the audio its first or last column goes on, for the length of a window, and then
            there is silence; else there is nothing.
    """

    name: str
    rate_hz: int
    columns: int
    lead_columns: int
    shape: tuple[int, int]
    is_clamped: bool = False


MEL = AudioFeature("mel_80x16", MEL_RATE_HZ, WINDOW_COLUMNS, 0, (MEL_BANDS, WINDOW_COLUMNS))
"""Wav2Lip's mel: 200 ms from the frame's time on."""

STATES_A_STEP, STATE_CHANNELS = 5, 384
"""States of Whisper's tiny encoder that are heard of each step, and their channels."""

WHISPER_STATES = AudioFeature("whisper_musetalk_50x384", 50, 10, 4, (10 * STATES_A_STEP, STATE_CHANNELS))
"""States of Whisper's tiny encoder: 80 ms before the frame's time to 120 ms after it; the states of a step come one
after the other. Source: MuseTalk utils/audio_processor.py at the 25 frames a second that it was trained at; differs in:
at other rates the window stays where it is."""

LATENTSYNC_STATES = AudioFeature("whisper_latentsync_50x384", 50, 10, 4, WHISPER_STATES.shape, is_clamped=True)
"""The same steps as LatentSync hears them: of one spectrogram of the whole audio, the last state not normalised.
Source: LatentSync latentsync/whisper/audio2feature.py at 25 frames a second; differs in: the window is at the exact
time of a frame at other rates too."""


@dataclass(frozen=True, slots=True)
class AudioEncoder:
    """An encoder whose states of audio are kept.

    Attributes:
        id: Names its records: all that decides its states.
        write: Writes the states of mono samples at 16 kHz, which may be a map of a file, made louder by a factor; the
            last argument is called now and then.
    """

    id: str
    write: Callable[[F32Array, Path, float, Callable[[], None]], None]
