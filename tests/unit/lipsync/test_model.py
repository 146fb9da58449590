"""The lip-sync network on faces that stay where they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lipwise_ray.lipsync.device_copies import DeviceCopies, device_images
from lipwise_ray.lipsync.device_light import DeviceLights
from lipwise_ray.lipsync.device_planes import DevicePlanes
from lipwise_ray.lipsync.frame_job import Blend, FaceTarget, FrameJob
from lipwise_ray.lipsync.model import DeviceLipSync, Passthrough, Wav2LipSync, new_faces
from lipwise_ray.lipsync.renderer import Renderer
from lipwise_ray.media.pixels import planar_format, plane_array
from lipwise_ray.media.planes import HostImage
from lipwise_ray.media.region import Canvas
from lipwise_ray.nets.wav2lip import Wav2Lip
from lipwise_ray.synth.clips import ClipSpec, draw_frame
from lipwise_ray.values import ColorTags, Size

BATCH = 4


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network of seeded weights."""
    path = tmp_path_factory.mktemp("weights") / "small.pth"
    torch.manual_seed(3)
    torch.save({"state_dict": Wav2Lip(0.125).state_dict()}, path)
    return path


class Counted(Wav2LipSync):
    """Counts what stays on its device, and what it is handed in this machine's memory."""

    stayed = handed = 0

    def redrawn(self, faces: Sequence[Any], mels: Any) -> Any:
        self.stayed += len(faces)
        return super().redrawn(faces, mels)

    def __call__(self, faces_bgr: Any, mels: Any) -> Any:
        self.handed += len(faces_bgr)
        return super().__call__(faces_bgr, mels)


def _network(checkpoint: Path) -> Counted:
    return Counted(checkpoint, device="cpu", precision="float32", batch_faces=BATCH)


def _faces(count: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(count)
    return rng.random((count, 96, 96, 3)).astype(np.float32), rng.uniform(-4, 4, (count, 80, 16)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 3, BATCH])
def test_faces_on_a_device_become_what_others_become(checkpoint: Path, count: int) -> None:
    """Handed over as images of the device or in this machine's memory, few or a batch, faces give the same pixels."""
    network, (crops, mels) = _network(checkpoint), _faces(count)
    there = new_faces(network, device_images(torch.from_numpy(crops)), mels)
    here = new_faces(network, [HostImage(crop) for crop in crops], mels)
    assert (network.stayed, network.handed) == (count, BATCH)
    assert len(there) == len(here) == count
    for one, other in zip(there, here, strict=True):
        assert np.array_equal(one.host(), other.host())
    assert not np.array_equal(here[0].host(), crops[0])


def test_a_network_of_this_machine_takes_faces_from_a_device() -> None:
    """A network without a device is given arrays, wherever faces come from."""
    crops, mels = _faces(2)
    network = Passthrough(96, BATCH)
    assert not isinstance(network, DeviceLipSync)
    for crop, image in zip(crops, new_faces(network, device_images(torch.from_numpy(crops)), mels), strict=True):
        assert np.array_equal(image.host(), crop)


def test_images_of_a_device_and_of_this_machine_come_together() -> None:
    """Whatever their sizes and wherever they are, images are gathered in their order."""
    small, large = _faces(2)[0][:, :8, :8], _faces(2)[0]
    images = [HostImage(large[0]), *device_images(torch.from_numpy(small)), HostImage(large[1])]
    found = DeviceCopies(torch.device("cpu")).gathered(images)
    for one, other in zip(found, (large[0], *small, large[1]), strict=True):
        assert np.array_equal(one.numpy(), other)


def test_the_renderer_leaves_faces_on_the_device(checkpoint: Path) -> None:
    """From crop to paste no face is handed to the network in this machine's memory; frames are the same to a level."""
    shape = planar_format("yuv420p")
    assert shape is not None
    spec = ClipSpec(size=Size(320, 240))
    canvas = Canvas(spec.size, shape, ColorTags(matrix=6))
    blend = Blend("soft", 0.1, "cubic", match_light=True, linear_light=True, grain=True, align=False)
    box, mel = np.array([60, 40, 200, 180], np.float32), _faces(1)[1][0]
    points = np.array([[100, 80], [160, 80], [130, 110], [105, 140], [155, 140]], np.float32)
    rendered = []
    for planes in ({}, {"planes": DevicePlanes("cpu", 3), "lights": DeviceLights("cpu", 2)}):
        network = _network(checkpoint)
        jobs = (FrameJob(draw_frame(spec, n), (FaceTarget(0, box + n, points + n, mel),), n, n) for n in range(7))
        renderer = Renderer(network, canvas, blend, **planes)
        rendered.append([[plane_array(frame, n).copy() for n in range(3)] for frame in renderer.render(jobs)])
        assert (network.stayed, network.handed) == ((7, 0) if planes else (0, 8))
        assert renderer.measures.flicker.faces == 1
        assert renderer.measures.smoothness.faces == 1
    for ones, others in zip(*rendered, strict=True):
        for one, other in zip(ones, others, strict=True):
            assert np.abs(one.astype(int) - other.astype(int)).max() <= 1
