"""What every lip-sync model promises of videos: chunks do not show, at any rate, in few frames, with several faces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwise_ray.faces.select import FaceSelection
from lipwise_ray.lipsync.audio_features import AudioEncoder
from lipwise_ray.lipsync.drafts import LIGHT_RADIUS
from lipwise_ray.lipsync.frame_job import Blend, FrameJob
from lipwise_ray.lipsync.latentsync import Sampling
from lipwise_ray.lipsync.model import LipSync, Passthrough
from lipwise_ray.lipsync.renderer import Renderer
from lipwise_ray.lipsync.windows import timed_starts
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.media.timeline import Timeline
from lipwise_ray.pipeline.dubbing.chunk_frames import ChunkFrames
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.plan import Part, Plan
from lipwise_ray.pipeline.inputs.encoded_audio import keep_states
from lipwise_ray.state import layout
from lipwise_ray.state.job_result import Counts
from lipwise_ray.state.store import LocalStore
from lipwise_ray.synth.clips import draw_frame
from lipwise_ray.values import Span
from tests.contract.test_lip_models import MODELS, latentsync_of
from tests.support.seeded import seeded_input
from tests.unit.lipsync.test_renderer import CANVAS, SPEC
from tests.unit.pipeline.dubbing.test_chunk_frames import SPEC as JOB

SOFT = Blend("soft", 0.1, "cubic", match_light=True, linear_light=False, grain=False, align=False)
BOXES = np.array([[10, 20, 74, 100], [84, 16, 150, 96]], np.float32)
POINTS = np.array(
    [[[28, 48], [56, 48], [42, 62], [32, 76], [52, 76]], [[102, 44], [131, 46], [116, 59], [106, 73], [127, 74]]]
)
HIDDEN = 4
"""Frame in which the second face is not seen."""

WAV2LIP, MUSETALK, LATENTSYNC, ONNX_PAIRS, ONNX_ALIGNED = MODELS
PASSTHROUGH = "passthrough"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LipSync]:
    """Yield models that were loaded, by their names there."""
    folder = tmp_path_factory.mktemp("models")
    found: dict[str, LipSync] = {PASSTHROUGH: Passthrough()}
    for name, (_, make) in MODELS.items():
        (folder / name).mkdir()
        found[name] = make(folder / name)
    return found


def _plan(frames: int, rate: Fraction, faces: int) -> Plan:
    numbers = np.arange(frames, dtype=np.int64)
    rows = [(number, face) for number in range(frames) for face in range(faces) if (number, face) != (HIDDEN, 1)]
    frame, face = (np.array(one, np.int64) for one in zip(*rows, strict=True))
    timeline = Timeline(numbers, frames, 1 / rate)
    return Plan(
        source=numbers,
        mel_start=timed_starts(numbers, 1 / rate),
        timeline=timeline,
        rate=rate,
        chosen=FaceSelection(
            frame=frame,
            track=face,
            crop_box=BOXES[face],
            face_box=BOXES[face],
            landmarks=POINTS[face].astype(np.float32),
            opacity=np.ones(len(frame), np.float32),
        ),
        parts=tuple(Part((one,), f"s{one}", np.ones(frames, np.float32), np.array([[40, 48]])) for one in range(faces)),
        chunks=[Span(0, frames)],
        audio_s=Fraction(frames) / rate,
        counts=Counts(),
    )


def _job(folder: Path, *, is_silent: bool = False, replaced_step: int | None = None) -> JobContext:
    """Return a job of two sounds, with a mel and an encoder's states of both, other states from a step on if asked."""
    store, nothing = LocalStore(folder), object()
    loud = 0.0 if is_silent else 1.0
    for number in range(2):
        mel = loud * 4 * seeded_input(f"mel{number}", (100, 80), -1, 1) - (4 - 4 * loud)
        np.save(folder / "mel.npy", mel.astype(np.float16))
        store.put_file(layout.mel(f"s{number}", salvage=False), folder / "mel.npy")

        def write(wave: Any, target: Path, gain: float, on_block: Any, number: int = number) -> None:
            del wave, gain, on_block
            states = loud * seeded_input(f"states{number}", (41, 5, 384), -1, 1)
            if replaced_step is not None:
                states[replaced_step:-1] *= -1  # the last are those of silence
            with target.open("wb") as file:
                np.save(file, states.astype(np.float16))

        encoder = AudioEncoder("e", write)
        (folder / "wave.f32").write_bytes(bytes(16))
        told: dict[str, Any] = {"gain": 1.0, "salvage": False, "on_block": lambda: None}
        keep_states(store, folder, f"s{number}", folder / "wave.f32", encoder, **told)
    opened: Any = (JOB, store, nothing, nothing)
    return JobContext(*opened, encoder=encoder)


def _rendered(model: LipSync, job: JobContext, plan: Plan, chunk: Span) -> list[bytes]:
    renderer = Renderer(model, CANVAS, SOFT, rate=plan.rate)
    planned = ChunkFrames(job, plan, renderer.reach, model.feature, model.frames)

    def jobs() -> Iterator[FrameJob]:
        for one in planned.of(chunk):
            frame = draw_frame(SPEC, one.number)
            told = {"outside": one.outside, "fills_window": one.fills_window}
            yield FrameJob(frame, one.targets, one.source, one.number, **told)

    frames = [[plane_array(frame, plane).tobytes() for plane in range(3)] for frame in renderer.render(jobs())]
    return [b"".join(planes) for planes in frames]


def _slow(*values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("name", "rate", "faces"),
    [
        (WAV2LIP, "30000/1001", 2),
        (LATENTSYNC, "30000/1001", 1),
        (ONNX_PAIRS, "50", 1),
        (ONNX_ALIGNED, "24000/1001", 2),
        (PASSTHROUGH, "30000/1001", 2),
        _slow(LATENTSYNC, "24000/1001", 2),
        _slow(LATENTSYNC, "50", 1),
        _slow(WAV2LIP, "50", 1),
        _slow(MUSETALK, "24000/1001", 2),
    ],
)
def test_chunks_do_not_show(name: str, rate: str, faces: int, models: dict[str, LipSync], tmp_path: Path) -> None:
    """Frames of chunks whose borders cut windows are, to the bit, those of one chunk, the last ones among them."""
    plan, job = _plan(9, Fraction(rate), faces), _job(tmp_path)
    whole = _rendered(models[name], job, plan, Span(0, 9))
    assert len(whole) == 9
    assert len(set(whole)) == 9
    parts = [frame for chunk in (Span(0, 5), Span(5, 9)) for frame in _rendered(models[name], job, plan, chunk)]
    assert parts == whole


@pytest.mark.parametrize("name", [WAV2LIP, LATENTSYNC, ONNX_PAIRS, ONNX_ALIGNED, _slow(MUSETALK)])
def test_one_frame_and_silence(name: str, models: dict[str, LipSync], tmp_path: Path) -> None:
    """A video of one frame is drawn, in silence too, and there it is another; without a face it is the filmed one."""
    plan, model = _plan(1, Fraction(25), 1), models[name]
    (tmp_path / "silent").mkdir()
    (spoken,) = _rendered(model, _job(tmp_path), plan, Span(0, 1))
    (silent,) = _rendered(model, _job(tmp_path / "silent", is_silent=True), plan, Span(0, 1))
    nobody = replace(plan, parts=tuple(replace(one, opacity=np.zeros(1, np.float32)) for one in plan.parts))
    (filmed,) = _rendered(model, _job(tmp_path), nobody, Span(0, 1))
    assert filmed not in (spoken, silent)
    # The small network of aligned faces makes them lighter by what it hears, and light is matched.
    assert (spoken != silent) == (name != ONNX_ALIGNED)


def test_without_a_network_silence_changes_nothing(models: dict[str, LipSync], tmp_path: Path) -> None:
    """A video of one frame in which faces stay as they are is the same in silence."""
    plan, model = _plan(1, Fraction(25), 1), models[PASSTHROUGH]
    (tmp_path / "silent").mkdir()
    assert _rendered(model, _job(tmp_path), plan, Span(0, 1)) == _rendered(
        model, _job(tmp_path / "silent", is_silent=True), plan, Span(0, 1)
    )


@pytest.mark.parametrize("name", [WAV2LIP, LATENTSYNC, ONNX_PAIRS, _slow(MUSETALK)])  # aligned crops overlap here
def test_faces_of_a_frame_are_drawn_apart(name: str, models: dict[str, LipSync], tmp_path: Path) -> None:
    """In windows, too: a second face changes nothing of the first, and where it is hidden for a frame it stays so."""
    job, side = _job(tmp_path), SPEC.size.width
    both, alone = (_rendered(models[name], job, _plan(6, Fraction(25), faces), Span(0, 6)) for faces in (2, 1))
    for number, (one, other) in enumerate(zip(both, alone, strict=True)):
        luma = [np.frombuffer(frame, np.uint8)[: side * SPEC.size.height].reshape(-1, side) for frame in (one, other)]
        assert np.array_equal(luma[0][:, :76], luma[1][:, :76])
        assert np.array_equal(luma[0], luma[1]) == (number == HIDDEN)


@pytest.mark.slow
def test_noise_of_a_window_is_of_its_place_and_audio(tmp_path: Path) -> None:
    """Chunks do not show where each window has its own noise, and a replaced sentence changes only who hears it."""
    model = latentsync_of(tmp_path / "model", sampling=Sampling(1, 1.0, 1, is_noise_shared=False))
    plan, frames = _plan(20, Fraction(25), 1), Span(0, 20)
    (tmp_path / "replaced").mkdir()
    (tmp_path / "job").mkdir()
    job = _job(tmp_path / "job")
    whole = _rendered(model, job, plan, frames)
    parts = [frame for chunk in (Span(0, 18), Span(18, 20)) for frame in _rendered(model, job, plan, chunk)]
    assert parts == whole
    other = _rendered(model, _job(tmp_path / "replaced", replaced_step=38), plan, frames)
    changed = [number for number, (one, two) in enumerate(zip(whole, other, strict=True)) if one != two]
    assert changed == [*range(16 - LIGHT_RADIUS, 20)]  # the light is smoothed over frames before the window
