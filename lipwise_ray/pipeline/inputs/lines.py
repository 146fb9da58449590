"""Lines: all that one face says, of clips each of which is looked at by itself, wherever it begins.

So a clip that is replaced changes a line only where that clip is heard, and a little around it; and silence before a
clip changes nothing in it, which a voice activity detector would otherwise carry into its first syllables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from lipwise_ray.lipsync.audio_features import AudioEncoder
from lipwise_ray.lipsync.mel import MEL_RATE_HZ
from lipwise_ray.lipsync.voice_activity import SpeechDetector, without_short_pauses
from lipwise_ray.media.mix import AudioClip, write_line
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.inputs.encoded_audio import has_states, keep_states
from lipwise_ray.state.store import Store
from lipwise_ray.storage.scratch import scratch_file
from lipwise_ray.values import BoolArray


@dataclass(frozen=True, slots=True)
class LineClip:
    """A clip of a line.

    Attributes:
        sound_id: The record of the whole audio that it is of.
        start_s: Time in the line at which it begins.
        stop_s: Time at which it ends.
    """

    sound_id: str
    start_s: Fraction
    stop_s: Fraction


def keep_line(
    store: Store,
    scratch: Path,
    line_id: str,
    clips: Sequence[AudioClip],
    *,
    salvage: bool,
    encoder: AudioEncoder | None = None,
    on_block: Callable[[], None] = lambda: None,
) -> None:
    """Keep the record of a line, made once for its content: every clip is as loud for the networks as it is alone.

    Args:
        store: The state.
        scratch: Folder for temporary files.
        line_id: Names its content.
        clips: Its clips.
        salvage: Keep what decodes of damaged streams.
        encoder: Its states are computed and kept too, or None.
        on_block: Called now and then.

    Raises:
        AudioError: A clip has no sound that can be used.
        MediaError: A clip is damaged.
    """
    is_known = records.known_sound(store, line_id, salvage=salvage) is not None
    is_encoded = encoder is None or has_states(store, line_id, encoder, salvage=salvage)
    if is_known and is_encoded:
        return
    with scratch_file(scratch, "line.f32") as own, scratch_file(scratch, "levelled.f32") as levelled:
        sound = write_line(clips, own, levelled, salvage=salvage, on_block=on_block)
        if encoder is not None and not is_encoded:
            keep_states(store, scratch, line_id, levelled, encoder, gain=1.0, salvage=salvage, on_block=on_block)
        if not is_known:
            records.keep_sound(store, scratch, line_id, sound, own, levelled, salvage=salvage)


def line_voices(
    store: Store,
    sounds: Sequence[LineClip],
    columns: int,
    min_pause_s: float,
    *,
    salvage: bool,
    speech: SpeechDetector | None,
) -> BoolArray:
    """Return a mask of the columns of a line's mel that hold speech: of each clip's where it is alone.

    Args:
        store: The state.
        sounds: Clips of the line.
        columns: How many its mel has.
        min_pause_s: Shorter pauses count as speech, between clips too.
        salvage: Whether what decodes of them was kept.
        speech: Detector that told speech from pauses; None goes by the level.

    Raises:
        StorageError: A record of one is gone.
    """
    found = np.zeros(columns, np.bool_)
    for sound in sounds:
        voiced = records.voices(store, sound.sound_id, 0, salvage=salvage, speech=speech)
        start, stop = round(sound.start_s * MEL_RATE_HZ), round(sound.stop_s * MEL_RATE_HZ) + 1
        part = found[start:stop]
        part |= voiced[: len(part)] if len(voiced) >= len(part) else np.pad(voiced, (0, len(part) - len(voiced)))
    return without_short_pauses(found, min_pause_s) if found.any() else found
