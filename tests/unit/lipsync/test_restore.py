"""Restorers under want of memory, and what is laid over a frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lipwise_ray.errors import SettingsError
from lipwise_ray.lipsync.device_copies import DeviceImage, device_images
from lipwise_ray.lipsync.restore import ModelFaces, check_restorer, check_upscaler
from lipwise_ray.nets.image_models import ImageModel
from tests.support.seeded import seeded_input


class Small(torch.nn.Module):
    """Blurs, and runs out of memory above so many pictures."""

    def __init__(self, most: int, error: type[Exception] = torch.OutOfMemoryError) -> None:
        super().__init__()
        self.most, self.error = most, error
        self.done: list[float] = []

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        if len(faces) > self.most:
            raise self.error("no room")
        self.done += faces[:, 0, 0, 0].tolist()
        return torch.nn.functional.avg_pool2d(faces, 3, 1, 1)


def _role(network: Small, batch: int = 8) -> ModelFaces:
    model = ImageModel("Small", "picture", 1, network, network, supports_float16=False)
    return ModelFaces(model, device="cpu", precision="float32", batch_faces=batch)


def test_a_smaller_batch_goes_on_from_the_failed_one() -> None:
    """After memory ran out every face is still done once, with the same result, and later calls begin small."""
    faces = seeded_input("faces", (8, 32, 32, 3))
    network = Small(3)
    role = _role(network)
    enough = _role(Small(8))(faces)
    assert np.array_equal(role(faces), enough)
    assert sorted(network.done) == sorted(faces[:, 0, 0, 2].tolist())
    network.done.clear()
    assert np.array_equal(role(faces), enough)
    assert len(network.done) == 8


def test_faces_on_a_device_stay_there() -> None:
    """Faces that come as a device's images are restored as others are, to the bit, also where memory ran out."""
    faces = seeded_input("faces", (5, 32, 32, 3))
    padded = np.concatenate([faces, np.zeros((3, 32, 32, 3), np.float32)])
    for most in (8, 3):
        kept = _role(Small(most)).redrawn(device_images(torch.from_numpy(faces)))
        assert all(isinstance(face, DeviceImage) for face in kept)
        assert np.array_equal(np.stack([face.host() for face in kept]), _role(Small(most))(padded)[:5])


def test_one_face_that_does_not_fit_is_an_error() -> None:
    """The engine hears of it: it knows other nodes, and when to give up."""
    with pytest.raises(torch.OutOfMemoryError):
        _role(Small(0))(seeded_input("faces", (8, 32, 32, 3)))


def test_any_other_error_surfaces() -> None:
    """No face is passed on unrestored because its restorer broke."""
    with pytest.raises(ValueError, match="no room"):
        _role(Small(0, ValueError))(seeded_input("faces", (8, 32, 32, 3)))


def test_networks_see_rgb() -> None:
    """A blue face in BGR is blue for the network, and comes back as BGR."""
    seen: list[torch.Tensor] = []

    def call(faces: torch.Tensor) -> torch.Tensor:
        seen.append(faces)
        return faces

    model = ImageModel("Spy", "face", 1, torch.nn.Identity(), call, supports_float16=True)
    role = ModelFaces(model, device="cpu", precision="float32", batch_faces=1)
    assert (role.size_px, role.space) == (512, "aligned")
    blue = np.zeros((1, 512, 512, 3), np.float32)
    blue[..., 0] = 1
    assert np.array_equal(role(blue), blue)
    assert seen[0][:, 2].min() == 1
    assert seen[0][:, :2].max() == 0


def test_models_of_the_other_kind_are_refused() -> None:
    """An upscaler is no restorer and the other way round; the error names the right setting."""
    upscaler = ImageModel("ESRGAN", "upscaler", 4, torch.nn.Identity(), torch.nn.Identity(), supports_float16=True)
    restorer = ImageModel("GFPGAN", "face", 1, torch.nn.Identity(), torch.nn.Identity(), supports_float16=False)
    with pytest.raises(SettingsError, match=r"an upscaler by 4 .* restore.upscale.model"):
        check_restorer(upscaler, "restore.model")
    with pytest.raises(SettingsError, match=r"scale 1 .* restore.model"):
        check_upscaler(restorer, "restore.upscale.model")
