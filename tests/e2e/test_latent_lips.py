"""Videos dubbed by a lip model that draws among latents, on states of the audio."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.errors import WeightsError
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.conftest import ROOT
from tests.e2e.test_exactness import digest
from tests.support.dub import BY_LEVEL, LOSSLESS, dub, run, settings_arguments
from tests.support.latent_models import write_latentsync, write_musetalk
from tests.support.onnx_lips import write_pair_lips

BOX, RATE = "box:60,220,80,240", Fraction(30000, 1001)
EXACT = (LOSSLESS, BY_LEVEL, 'composite.mask="box"', 'lipsync.precision="float32"', 'restore.model="none"')
DEMO = ROOT / "manifests" / "demo"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Settings that name a small seeded MuseTalk."""
    named = write_musetalk(tmp_path_factory.mktemp("latent"))
    return [f'lipsync.{key}="{value}"' for key, value in named.items()]


def _row(folder: Path, frames: int) -> dict[str, Any]:
    write_clip(folder / "v.mp4", ClipSpec(size=Size(320, 240), frames=frames, rate=RATE))
    write_sound(folder / "s.wav", ToneSpec(float(frames / RATE), codec="pcm_s16le", rate_hz=16000, channels=1))
    return {"id": "a", "video": folder / "v.mp4", "audio": folder / "s.wav", "output": "a.mkv", "faces": BOX}


def _check_chunks(folder: Path, sets: list[str], *, frames: int, chunk: int) -> None:
    """Check that frames of chunks are, to the bit, those of one chunk."""
    row = _row(folder, frames)
    for out, length in (("parts", chunk), ("whole", 100)):
        report = dub(folder, [row], *EXACT, *sets, f"chunk.frames={length}", out=out)
        assert report.exit_code == 0, report.lines
    parts, whole = digest(folder / "parts" / "a.mkv"), digest(folder / "whole" / "a.mkv")
    assert len(whole) == frames
    assert parts == whole


@pytest.mark.slow
def test_chunks_do_not_show(models: list[str], tmp_path: Path) -> None:
    """Frames of chunks of two are, to the bit, those of one chunk, at a rate that is no whole number."""
    _check_chunks(tmp_path, models, frames=3, chunk=2)


@pytest.fixture(scope="module")
def latentsync(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Settings that name a small seeded LatentSync, and let it draw in one step by the audio alone."""
    named = write_latentsync(tmp_path_factory.mktemp("latentsync"))
    return [*(f'lipsync.{key}="{value}"' for key, value in named.items()), "lipsync.steps=1", "lipsync.guidance=1"]


@pytest.mark.slow
def test_windows_do_not_show(latentsync: list[str], tmp_path: Path) -> None:
    """Chunks whose border cuts a window of LatentSync give the frames of one chunk to the bit."""
    _check_chunks(tmp_path, latentsync, frames=10, chunk=6)


@pytest.mark.slow
def test_two_encodings_of_one_audio_lie_side_by_side(models: list[str], latentsync: list[str], tmp_path: Path) -> None:
    """LatentSync hears other states than MuseTalk of the same encoder: neither takes the other's for its own."""
    row, state = _row(tmp_path, 1), str(tmp_path / "state")
    for number, sets in enumerate((models, latentsync)):
        named = {**row, "output": f"{number}.mkv"}
        assert dub(tmp_path, [named], *EXACT, *sets, out=str(number), state=state).exit_code == 0
    assert len({file.parent.name for file in (tmp_path / "state").glob("sounds/*/states-*/*.npy")}) == 2


@pytest.mark.slow
def test_lost_states_are_made_again(models: list[str], tmp_path: Path) -> None:
    """States of the audio that were damaged between two runs are encoded anew, and those that are whole are not."""
    row, states = _row(tmp_path, 1), "sounds/*/states-*/*.npy"
    assert dub(tmp_path, [row], *EXACT, *models, state=str(tmp_path / "state")).exit_code == 0
    (file,) = (tmp_path / "state").glob(states)
    whole, made = file.read_bytes(), file.stat().st_mtime_ns
    other = {**row, "output": "b.mkv"}
    assert dub(tmp_path, [other], *EXACT, *models, out="second", state=str(tmp_path / "state")).exit_code == 0
    assert file.stat().st_mtime_ns == made
    file.write_bytes(whole[:-4])
    other = {**row, "output": "c.mkv"}
    assert dub(tmp_path, [other], *EXACT, *models, out="third", state=str(tmp_path / "state")).exit_code == 0
    (again,) = (tmp_path / "state").glob(states)
    assert again.read_bytes() == whole


@pytest.mark.slow
def test_the_command_line_dubs_a_presenter(models: list[str], tmp_path: Path) -> None:
    """A few frames of a clip that ships are dubbed by `submit`, and the result names the three files."""
    row = f"cuts,{DEMO}/cuts.mp4,{DEMO}/cuts.m4a,cuts.mp4,largest,0.12"
    (tmp_path / "m.csv").write_text(f"id,video,audio,output,faces,end\n{row}\n")
    sets = [*settings_arguments('engine.kind="inline"', 'score.judge="none"', *models, 'timing.length="video"')]
    done = run("submit", tmp_path / "m.csv", "--job", ROOT / "jobs" / "demo.toml", *sets)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(digest(tmp_path / "out" / "cuts.mp4")) == 3


@pytest.mark.parametrize("model", ["musetalk_15", "latentsync_15", "latentsync_16"])
@pytest.mark.parametrize("missing", ["autoencoder", "audio_encoder"])
def test_half_a_set_of_files_is_reported(missing: str, model: str, models: list[str], tmp_path: Path) -> None:
    """Without one of the three files no row starts, and the message names that one and how to get it."""
    sets = [*(one for one in models if not one.startswith(f"lipsync.{missing}_")), f'lipsync.model="{model}"']
    name = {"autoencoder": "sd_vae_ft_mse", "audio_encoder": "whisper_tiny"}[missing]
    with pytest.raises(WeightsError, match=f"model {name}: not installed.*lipwise-ray models pull {name}"):
        dub(tmp_path, [_row(tmp_path, 1)], *EXACT, *sets)


@pytest.mark.parametrize("given", ["autoencoder_checkpoint", "onnx"])
def test_another_networks_file_for_the_audio_encoder_ends_the_run(
    given: str, models: list[str], tmp_path: Path
) -> None:
    """It is told once and before work, as the U-Net's is, and not by each row that wants to hear."""
    named = dict(one.removeprefix("lipsync.").replace('"', "").split("=") for one in models)
    other = named[given] if given in named else write_pair_lips(tmp_path / "lips.onnx")
    told = "an ONNX file, where" if given == "onnx" else "not a checkpoint of Whisper's tiny encoder"
    row = _row(tmp_path, 1)
    with pytest.raises(WeightsError, match=told) as caught:
        dub(
            tmp_path,
            [row, {**row, "id": "b", "output": "b.mkv"}],
            *(*EXACT, *models, f'lipsync.audio_encoder_checkpoint="{other}"'),
        )
    assert caught.value.where == str(other)


@pytest.mark.parametrize(("model", "told"), [("musetalk_15", "MuseTalk"), ("latentsync_16", "LatentSync")])
def test_another_models_file_is_reported(model: str, told: str, models: list[str], tmp_path: Path) -> None:
    """An autoencoder where the U-Net belongs fails before a frame is drawn, and the message says what it is not."""
    sets = [*models, models[2].replace("autoencoder_checkpoint", "checkpoint"), f'lipsync.model="{model}"']
    with pytest.raises(WeightsError, match=f"not a checkpoint of {told}'s U-Net"):
        dub(tmp_path, [_row(tmp_path, 1)], *EXACT, *sets)
