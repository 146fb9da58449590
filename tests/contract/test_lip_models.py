"""What every lip-sync model promises: faces do not depend on others of a call, and follow what is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lipwise_ray.lipsync.audio_features import MEL
from lipwise_ray.lipsync.device_copies import device_images
from lipwise_ray.lipsync.model import DeviceLipSync, LipSync, Wav2LipSync, new_faces
from lipwise_ray.lipsync.musetalk import MuseTalkLipSync
from lipwise_ray.lipsync.onnx_lips import open_onnx_lips
from lipwise_ray.media.planes import HostImage
from lipwise_ray.models.checkpoints import Checkpoint
from lipwise_ray.models.registry import Registry
from lipwise_ray.nets.runtimes import TORCH
from lipwise_ray.resources import models_folder
from lipwise_ray.roles.audio_encoder import LATENT_MODELS
from lipwise_ray.roles.lipsync import MUSETALK, ONNX_LIPS, ONNX_MODELS, WAV2LIP, heard_by
from tests.support.latent_models import write_musetalk
from tests.support.onnx_lips import write_edtalk, write_exported
from tests.support.seeded import seeded_input

BATCH = 2


def _wav2lip(folder: Path) -> LipSync:
    del folder
    path = models_folder() / "tiny" / "tiny_generator.safetensors"
    return Wav2LipSync(path, device="cpu", precision="float32", batch_faces=BATCH)


def _musetalk(folder: Path) -> LipSync:
    named = write_musetalk(folder)
    files = (Path(named["checkpoint"]), Path(named["autoencoder_checkpoint"]))
    return MuseTalkLipSync(*files, device="cpu", precision="float32", batch_faces=BATCH)


def _onnx(write: Callable[[Path], Path]) -> Callable[[Path], LipSync]:
    def opened(folder: Path) -> LipSync:
        path = write(folder / "lips.onnx")
        return open_onnx_lips(path, runtime=TORCH, device="cpu", threads=1, batch_faces=BATCH, strength=1.0)

    return opened


def _tiny(path: Path) -> Path:
    return write_exported(path, models_folder() / "tiny" / "tiny_generator.safetensors")


MODELS: dict[str, tuple[str, Callable[[Path], LipSync]]] = {
    "wav2lip": (WAV2LIP, _wav2lip),
    "musetalk": (MUSETALK, _musetalk),
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


def _inputs(model: LipSync, count: int) -> tuple[np.ndarray, np.ndarray]:
    side = model.size_px
    return seeded_input("faces", (count, side, side, 3)), seeded_input("sounds", (count, *model.feature.shape), -1, 1)


def test_a_planner_knows_what_it_hears(named: tuple[str, LipSync]) -> None:
    """Chunks are named after the windows that the model will be given, before it is loaded."""
    name, model = named
    assert heard_by(Checkpoint("x", name, Path("/x"), "0" * 64)) == model.feature


@pytest.mark.slow
def test_faces_do_not_depend_on_others(model: LipSync) -> None:
    """A face alone, with another, and at another place of the call is the same to the bit; so is a second call."""
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
    """Other audio gives another face, and that of the other person of the call stays; silence is no error."""
    faces, sounds = _inputs(model, BATCH)
    both, silent = model(faces, sounds), sounds.copy()
    silent[1] = 0 if model.feature is not MEL else -4
    other = model(faces, silent)
    assert np.array_equal(other[0], both[0])
    assert np.abs(other[1] - both[1]).max() > 0.01


def test_models_are_named() -> None:
    """Models that draw among latents, and those that are ONNX files, are those of the registry's networks."""
    entries = Registry(models_folder() / "registry.toml", Path()).entries
    assert {name for name, entry in entries.items() if entry.network == MUSETALK} == {*LATENT_MODELS}
    assert {name for name, entry in entries.items() if entry.network == ONNX_LIPS} == {*ONNX_MODELS}
