"""States of audio that an encoder made, kept in the state beside the mel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lipwise_ray.errors import StorageError
from lipwise_ray.lipsync.audio_features import STATE_CHANNELS, STATES_A_STEP, AudioEncoder
from lipwise_ray.media.container import write_problem
from lipwise_ray.pipeline.inputs.whole_file import whole_file
from lipwise_ray.state import layout
from lipwise_ray.state.store import Store, load_file
from lipwise_ray.storage.arrays import ArraySpec, map_npy
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.storage.scratch import scratch_file
from lipwise_ray.values import FloatArray

_STATES = ArraySpec("float16", ("S", STATES_A_STEP, STATE_CHANNELS), kinds="f")


@dataclass(frozen=True, slots=True)
class EncodedAudio:
    """States of audio, shape (steps, states, channels), and those of a silent step, shape (states, channels)."""

    states: FloatArray
    silence: FloatArray


def has_states(store: Store, audio_id: str, encoder: AudioEncoder, *, salvage: bool) -> bool:
    """Tell whether the states of an audio stream are there and whole; those that are not are removed.

    Args:
        store: The state.
        audio_id: Names the audio's content.
        encoder: The encoder.
        salvage: It was opened as one that may be damaged.
    """
    return whole_file(store, layout.states(audio_id, encoder.id, salvage=salvage)) is not None


def keep_states(
    store: Store,
    scratch: Path,
    audio_id: str,
    wave: Path,
    encoder: AudioEncoder,
    *,
    gain: float,
    salvage: bool,
    on_block: Callable[[], None],
) -> None:
    """Compute and keep the states of an audio stream.

    Args:
        store: The state.
        scratch: Folder for temporary files.
        audio_id: Names the audio's content.
        wave: Raw float32 samples that are heard, mono at 16 kHz.
        encoder: The encoder.
        gain: Factor by which they are made louder first.
        salvage: What decodes of a damaged stream was kept.
        on_block: Called now and then.

    Raises:
        AudioError: It is empty, or holds NaN.
        StorageError: The disk is full.
    """
    samples = wave.stat().st_size // 4
    heard = np.memmap(wave, np.float32, "r") if samples else np.zeros(0, np.float32)
    with scratch_file(scratch, "states.npy") as states:
        try:
            encoder.write(heard, states, gain, on_block)
        except OSError as error:
            raise write_problem(states, error) from error
        folder = layout.states(audio_id, encoder.id, salvage=salvage)
        store.put_file(f"{folder}/{sha256_of(states)}.npy", states)


def open_states(store: Store, audio_id: str, encoder_id: str, *, salvage: bool) -> EncodedAudio:
    """Return the states of an audio stream as maps of their file.

    Args:
        store: The state.
        audio_id: Names the audio's content.
        encoder_id: Names the encoder.
        salvage: It was opened as one that may be damaged.

    Raises:
        StorageError: They are gone, or damaged: then they are removed, to be made again.
    """
    folder = layout.states(audio_id, encoder_id, salvage=salvage)
    for key in store.names(folder):
        found = load_file(store, key, lambda path: map_npy(path, _STATES))
        if found is not None and len(found):
            return EncodedAudio(found[:-1], found[-1])
    raise StorageError("no_states", folder, got="missing or damaged in the state", do="Run the same command again")
