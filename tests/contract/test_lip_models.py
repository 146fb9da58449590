"""What every lip-sync model promises: faces do not depend on others of a call, and follow what is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lipwise_ray.errors import WeightsError
from lipwise_ray.lipsync.audio_features import MEL
from lipwise_ray.lipsync.device_copies import device_images
from lipwise_ray.lipsync.latentsync import WINDOW_CALLS, LatentSyncLipSync, Sampling, WindowCalls
from lipwise_ray.lipsync.model import DeviceLipSync, LipSync, PlacedLipSync, Wav2LipSync, new_faces
from lipwise_ray.lipsync.musetalk import MuseTalkLipSync
from lipwise_ray.lipsync.onnx_lips import open_onnx_lips
from lipwise_ray.lipsync.window_noise import window_seed
from lipwise_ray.media.planes import HostImage
from lipwise_ray.models.checkpoints import Checkpoint
from lipwise_ray.models.registry import Registry
from lipwise_ray.nets.diffusion.published import load_latentsync_unet
from lipwise_ray.nets.diffusion.unet import LatentUNet, UNetShape
from lipwise_ray.nets.precision import Precision
from lipwise_ray.nets.runtimes import TORCH
from lipwise_ray.resources import models_folder
from lipwise_ray.roles.audio_encoder import LATENT_MODELS
from lipwise_ray.roles.lipsync import LATENTSYNC, MUSETALK, ONNX_LIPS, ONNX_MODELS, WAV2LIP, heard_by, taken_by
from lipwise_ray.settings.lipsync import LATENTSYNC_PX
from tests.support.latent_models import CHANNELS, write_latentsync, write_musetalk
from tests.support.onnx_lips import write_edtalk, write_exported
from tests.support.seeded import seeded_input

BATCH = 2


def _wav2lip(folder: Path) -> LipSync:
    del folder
    path = models_folder() / "tiny" / "tiny_generator.safetensors"
    return Wav2LipSync(path, device="cpu", precision="float32", batch_faces=BATCH)


def _musetalk(folder: Path, precision: Precision = "float32") -> LipSync:
    named = write_musetalk(folder)
    files = (Path(named["checkpoint"]), Path(named["autoencoder_checkpoint"]))
    return MuseTalkLipSync(*files, device="cpu", precision=precision, batch_faces=BATCH)


def _onnx(write: Callable[[Path], Path]) -> Callable[[Path], LipSync]:
    def opened(folder: Path) -> LipSync:
        path = write(folder / "lips.onnx")
        return open_onnx_lips(path, runtime=TORCH, device="cpu", threads=1, batch_faces=BATCH, strength=1.0)

    return opened


def _tiny(path: Path) -> Path:
    return write_exported(path, models_folder() / "tiny" / "tiny_generator.safetensors")


SAMPLING = Sampling(steps=2, guidance=3.0, seed=1, is_noise_shared=True)


def latentsync_of(
    folder: Path,
    precision: Precision = "float32",
    sampling: Sampling = SAMPLING,
    calls: WindowCalls = WINDOW_CALLS,
) -> LipSync:
    """Return LatentSync at crops of 64 pixels: what it is to any size, in a 60th of the time."""
    named = write_latentsync(folder)
    files = (Path(named["checkpoint"]), Path(named["autoencoder_checkpoint"]))
    return LatentSyncLipSync(*files, size_px=64, sampling=sampling, device="cpu", precision=precision, calls=calls)


MODELS: dict[str, tuple[str, Callable[[Path], LipSync]]] = {
    "wav2lip": (WAV2LIP, _wav2lip),
    "musetalk": (MUSETALK, _musetalk),
    "latentsync": ("latentsync_256", latentsync_of),
    "onnx wav2lip": (ONNX_LIPS, _onnx(_tiny)),
    "onnx edtalk": (ONNX_LIPS, _onnx(write_edtalk)),
}


@pytest.fixture(scope="module", params=MODELS)
def named(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, LipSync]:
    """Yield the name of a network and its model in float32."""
    network, make = MODELS[request.param]
    return network, make(tmp_path_factory.mktemp("models"))


@pytest.fixture
def model(named: tuple[str, LipSync]) -> LipSync:
    """Yield a model."""
    return named[1]


@pytest.fixture(scope="module")
def windowed(tmp_path_factory: pytest.TempPathFactory) -> tuple[LipSync, np.ndarray, np.ndarray, np.ndarray]:
    """Yield LatentSync in float32, faces and sounds of a window, and what it draws."""
    model = latentsync_of(tmp_path_factory.mktemp("windowed"))
    faces, sounds = _inputs(model, model.batch_faces)
    return model, faces, sounds, model(faces, sounds)


def _inputs(model: LipSync, count: int) -> tuple[np.ndarray, np.ndarray]:
    side = model.size_px
    return seeded_input("faces", (count, side, side, 3)), seeded_input("sounds", (count, *model.feature.shape), -1, 1)


def test_a_planner_knows_what_it_hears(named: tuple[str, LipSync]) -> None:
    """Chunks are named after the windows that the model will be given, before it is loaded."""
    name, model = named
    checkpoint = Checkpoint("x", name, Path("/x"), "0" * 64)
    assert heard_by(checkpoint) == model.feature
    assert taken_by(checkpoint) == model.frames


@pytest.mark.slow
@pytest.mark.parametrize("named", [WAV2LIP, MUSETALK], indirect=True)
def test_faces_do_not_depend_on_others(model: LipSync) -> None:
    """Drawn frame by frame, a face alone, with another, and at another place of the call is the same to the bit."""
    faces, sounds = _inputs(model, BATCH)
    both = model(faces, sounds)
    assert both.dtype == np.float32
    assert both.shape == faces.shape
    assert 0 <= both.min() < both.max() <= 1
    assert np.array_equal(model(faces[::-1].copy(), sounds[::-1].copy())[::-1], both)
    (alone,) = new_faces(model, [HostImage(faces[0])], sounds[:1])
    assert np.array_equal(alone.host(), both[0])
    (there,) = new_faces(model, device_images(torch.from_numpy(faces[:1])), sounds[:1])
    assert isinstance(model, DeviceLipSync) != isinstance(there, HostImage)
    assert np.array_equal(there.host(), both[0])


def test_faces_follow_what_is_said(model: LipSync) -> None:
    """Other audio gives another face, and those of the others of the call stay; silence is no error."""
    faces, sounds = _inputs(model, model.batch_faces)
    both, silent = model(faces, sounds), sounds.copy()
    silent[-1] = 0 if model.feature is not MEL else -4
    other = model(faces, silent)
    *others, last = np.abs(other - both).max(axis=(1, 2, 3))
    assert last > 0.01
    for one in others:
        assert one <= last
        assert (one == 0) == (model.frames.length == 1)  # frames of a window share what they are normalised by


def test_a_window_is_drawn_as_a_whole(windowed: Any) -> None:
    """LatentSync's frames depend on each other and on their order, a call repeats, and the kept part stays filmed."""
    model, faces, sounds, made = windowed
    assert made.shape == faces.shape
    assert 0 <= made.min() < made.max() <= 1
    assert np.abs(model(faces[::-1].copy(), sounds[::-1].copy())[::-1] - made).max() > 1e-4
    assert np.array_equal(made[:, :20], faces[:, :20])
    assert np.abs(made - faces)[:, 40:44, 24:40].max(axis=(1, 2, 3)).min() > 0.1
    assert isinstance(model, DeviceLipSync)
    there = new_faces(model, device_images(torch.from_numpy(faces)), sounds)
    assert all(np.array_equal(one.host(), other) for one, other in zip(there, made, strict=True))


@pytest.mark.parametrize("changed", [{"guidance": 1.0}, {"seed": 2}, {"steps": 1}])
@pytest.mark.slow
def test_steps_guidance_and_seed_count(changed: dict[str, Any], windowed: Any, tmp_path: Path) -> None:
    """Fewer steps, the audio alone, and another seed each give other faces."""
    _, faces, sounds, made = windowed
    other = latentsync_of(tmp_path, sampling=replace(SAMPLING, **changed))(faces, sounds)
    assert np.abs(other - made).max() > 1e-3


def test_a_window_may_have_noise_of_its_own(windowed: Any, tmp_path: Path) -> None:
    """Of the same faces and audio two windows are equal by shared noise, and differ where each has its own."""
    shared, faces, sounds, made = windowed
    assert np.array_equal(shared.at(16)(faces, sounds), made)
    own = latentsync_of(tmp_path, sampling=Sampling(1, 1.0, 1, is_noise_shared=False))
    assert isinstance(own, PlacedLipSync)
    first, second = (own.at(number)(faces, sounds) for number in (0, 16))
    assert np.abs(first - second).max() > 0.01
    there = new_faces(own.at(16), device_images(torch.from_numpy(faces)), sounds)
    assert all(np.array_equal(one.host(), other) for one, other in zip(there, second, strict=True))


def test_noise_goes_by_seed_place_and_audio() -> None:
    """Each of the three gives another noise, and nothing else does: not how the audio lies in memory."""
    sounds = seeded_input("sounds", (16, 50, 384), -1, 1)
    changed = sounds.copy()
    changed[15, 49, 383] += 1e-3
    seeds = {window_seed(*given) for given in ((1, 0, sounds), (2, 0, sounds), (1, 16, sounds), (1, 0, changed))}
    assert len(seeds) == 4
    assert window_seed(1, 0, np.asfortranarray(sounds)) == window_seed(1, 0, sounds)
    assert window_seed(1, 10, sounds) != window_seed(11, 0, sounds)


@pytest.mark.parametrize(
    ("precision", "most"), [pytest.param("bfloat16", 0.1, marks=pytest.mark.slow), ("float16", 0.02)]
)
def test_number_formats_are_near_each_other(precision: Precision, most: float, windowed: Any, tmp_path: Path) -> None:
    """In shorter formats LatentSync draws what it draws in float32, within what they hold."""
    _, faces, sounds, made = windowed
    apart = np.abs(latentsync_of(tmp_path, precision)(faces, sounds) - made)
    assert 0 < apart.max() < most


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "most"), [("bfloat16", 0.03), ("float16", 0.004)])
def test_musetalk_in_shorter_formats(precision: Precision, most: float, tmp_path: Path) -> None:
    """It draws what it draws in float32, on average within what they hold of made-up weights."""
    single, shorter = _musetalk(tmp_path), _musetalk(tmp_path, precision)
    faces, sounds = _inputs(single, BATCH)
    apart = np.abs(shorter(faces, sounds) - single(faces, sounds))
    assert 0 < apart.mean() < most


@pytest.mark.slow
def test_musetalk_beyond_float16_is_reported(tmp_path: Path) -> None:
    """Its weights that overflow float16 are an error, not black faces, and draw in float32."""
    unet = Path(write_musetalk(tmp_path)["checkpoint"])
    tensors = torch.load(unet, weights_only=True)
    tensors["conv_out.weight"] *= 1e6
    torch.save(tensors, unet)
    half, single = (
        MuseTalkLipSync(unet, tmp_path / "vae.bin", device="cpu", precision=precision, batch_faces=1)
        for precision in ("float16", "float32")
    )
    faces, sounds = _inputs(half, 1)
    with pytest.raises(WeightsError, match="draws faces of values that are not finite in float16") as caught:
        half(faces, sounds)
    assert caught.value.code == "faces_not_finite"
    assert np.isfinite(single(faces, sounds)).all()


@pytest.mark.slow
def test_a_window_is_drawn_in_less_memory(windowed: Any, tmp_path: Path) -> None:
    """Where memory ran out fewer images and one clip go through the networks at once, and draw nearly the same."""
    _, faces, sounds, made = windowed
    less = latentsync_of(tmp_path, calls=WindowCalls(images=1, clips=1))
    assert np.abs(less(faces, sounds) - made).max() < 1e-4


@pytest.mark.slow
def test_numbers_beyond_float16_are_reported(tmp_path: Path) -> None:
    """Weights that overflow float16 are an error that names the format and the file, and draw in float32."""
    named = write_latentsync(tmp_path)
    unet, autoencoder = Path(named["checkpoint"]), Path(named["autoencoder_checkpoint"])
    contents = torch.load(unet, weights_only=True)
    contents["state_dict"]["conv_out.weight"] *= 1e6
    torch.save(contents, unet)

    def loaded(precision: Precision) -> LipSync:
        sampling = replace(SAMPLING, steps=1, guidance=1.0)
        return LatentSyncLipSync(unet, autoencoder, size_px=64, sampling=sampling, device="cpu", precision=precision)

    half, single = loaded("float16"), loaded("float32")
    faces, sounds = _inputs(half, 16)
    with pytest.raises(WeightsError, match="draws faces of values that are not finite in float16") as caught:
        half(faces, sounds)
    assert caught.value.code == "faces_not_finite"
    assert np.isfinite(single(faces, sounds)).all()


def _musetalk_file(folder: Path) -> Path:
    return Path(write_musetalk(folder)["checkpoint"])


def _without_motion(folder: Path) -> Path:
    file = Path(write_latentsync(folder)["checkpoint"])
    tensors = torch.load(file, weights_only=True)["state_dict"]
    torch.save({"state_dict": {name: one for name, one in tensors.items() if "motion" not in name}}, file)
    return file


def _inpainting(folder: Path) -> Path:
    """Write a network of Stable Diffusion's inpainting layout: nine channels in, conditions of 768."""
    torch.save(LatentUNet(UNetShape(9, CHANNELS, context_channels=768)).state_dict(), folder / "sd.pt")
    return folder / "sd.pt"


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (_without_motion, r"\d+ missing, 0 unknown.*motion_modules"),
        (_musetalk_file, r"\d+ missing, 0 unknown"),
        (_inpainting, "of another shape"),
        (
            lambda folder: Path(write_latentsync(folder)["autoencoder_checkpoint"]),
            "no channels that",
        ),
    ],
    ids=["without motion", "musetalk", "inpainting", "autoencoder"],
)
def test_other_files_are_no_latentsync(write: Callable[[Path], Path], told: str, tmp_path: Path) -> None:
    """A file without layers over frames, which the original takes in silence, and other networks' are errors."""
    with pytest.raises(WeightsError, match=f"not a checkpoint of LatentSync's U-Net.*{told}") as caught:
        load_latentsync_unet(write(tmp_path))
    assert caught.value.code == "other_network"


def test_latent_models_are_named() -> None:
    """Models that draw among latents are those of the registry's networks, LatentSync's by the size of their crops."""
    entries = Registry(models_folder() / "registry.toml", Path()).entries
    drawing = (MUSETALK, *LATENTSYNC)
    assert {name for name, entry in entries.items() if entry.network in drawing} == {*LATENT_MODELS}
    for name, side_px in LATENTSYNC_PX.items():
        assert LATENTSYNC[entries[name].network] == side_px
    for name, feature in LATENT_MODELS.items():
        assert heard_by(entries[name].checkpoint(name, Path("/x"))) == feature


def test_onnx_models_are_named() -> None:
    """Models that are ONNX files are those of the registry's network."""
    entries = Registry(models_folder() / "registry.toml", Path()).entries
    assert {name for name, entry in entries.items() if entry.network == ONNX_LIPS} == {*ONNX_MODELS}
