"""Windows of what faces say, as a lip-sync network hears them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwise_ray.errors import StorageError
from lipwise_ray.lipsync.audio_features import MEL, WHISPER_STATES, AudioEncoder
from lipwise_ray.pipeline.dubbing.heard_windows import HeardWindows
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.inputs.encoded_audio import has_states, keep_states
from lipwise_ray.pipeline.inputs.whole_file import whole_file
from lipwise_ray.settings.layers import resolve
from lipwise_ray.state import layout
from lipwise_ray.state.store import LocalStore
from tests.unit.pipeline.dubbing.test_chunk_frames import COLUMNS_A_FRAME, FRAMES, SPEC, plan_of

STEPS = 2 * FRAMES


def _job(folder: Path, offset_ms: float = 0.0) -> JobContext:
    """Return a job of two audio streams: states of the second are those of the first and 1000 more."""
    store, nothing = LocalStore(folder), object()
    for number, sound_id in enumerate(("s0", "s1")):
        mel = np.full((FRAMES * COLUMNS_A_FRAME + 16, 80), -4, np.float16)
        mel[(number * 300) : (number + 1) * 300] = 1  # each is loud in one half of the time
        np.save(folder / "mel.npy", mel)
        store.put_file(layout.mel(sound_id, salvage=False), folder / "mel.npy")

        def write(wave: Any, target: Path, gain: float, on_block: Any, number: int = number) -> None:
            del wave, gain, on_block
            numbers = np.arange(STEPS + 1, dtype=np.float16)[:, None, None] + 1000 * number
            with target.open("wb") as file:
                np.save(file, np.broadcast_to(numbers, (STEPS + 1, 5, 384)))

        (folder / "wave.f32").write_bytes(bytes(16))
        encoder = AudioEncoder("e", write)
        told = {"gain": 1.0, "salvage": False, "on_block": lambda: None}
        assert not has_states(store, sound_id, encoder, salvage=False)
        keep_states(store, folder, sound_id, folder / "wave.f32", encoder, **told)
        assert has_states(store, sound_id, encoder, salvage=False)
    spec = replace(SPEC, settings=resolve([("test", {"lipsync": {"audio_offset_ms": offset_ms}})]))
    opened: Any = (spec, store, nothing, nothing)
    return JobContext(*opened, encoder=encoder)


def _steps(window: np.ndarray) -> list[int]:
    assert window.shape == WHISPER_STATES.shape
    return [int(number) for number in window.reshape(10, 5, 384)[:, 0, 0]]


@pytest.mark.parametrize(("offset_ms", "later"), [(0.0, 0), (-100.0, -5)])
def test_states_are_those_around_the_frames_time(offset_ms: float, later: int, tmp_path: Path) -> None:
    """At 25 frames a second frame 50 is of step 100; an offset of the audio moves the window, too."""
    windows = HeardWindows(_job(tmp_path, offset_ms), plan_of(2), WHISPER_STATES)
    assert _steps(windows.of(50, (0,))) == list(range(96 + later, 106 + later))


def test_of_several_the_loudest_is_heard(tmp_path: Path) -> None:
    """A face that says two things says the one that is loud now; the mel has the louder of both, band by band."""
    job = _job(tmp_path)
    windows, mels = HeardWindows(job, plan_of(2), WHISPER_STATES), HeardWindows(job, plan_of(2), MEL)
    assert _steps(windows.of(50, (0, 1)))[0] == 96
    assert _steps(windows.of(150, (0, 1)))[0] == 1296
    assert mels.of(150, (0, 1)).max() == 1


def test_states_that_are_gone_are_told(tmp_path: Path) -> None:
    """What an encoder made is asked for before a frame is drawn, and a cut file counts as none."""
    job = _job(tmp_path)
    path = whole_file(job.store, layout.states("s1", "e", salvage=False))
    assert path is not None
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StorageError) as caught:
        HeardWindows(job, plan_of(2), WHISPER_STATES)
    assert caught.value.code == "no_states"
