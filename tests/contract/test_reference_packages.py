"""Our networks beside the packages that they were published with, on the same seeded weights."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from lipwise_ray.nets.image_models import load_image_model
from lipwise_ray.nets.torchvision_compat import declare_torchvision_operators
from tests.support.seeded import seeded_input, seeded_weights

pytestmark = [
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("gfpgan", "realesrgan", "basicsr", "facexlib")),
        reason="extra reference is not installed (gfpgan, realesrgan, basicsr, and facexlib with them)",
    ),
    pytest.mark.filterwarnings("ignore"),
]
_MOVED = "torchvision.transforms.functional_tensor"


@pytest.fixture(autouse=True)
def _old_torchvision() -> Iterator[None]:
    """Give basicsr the module that torchvision no longer has."""
    declare_torchvision_operators()
    from torchvision.transforms import functional

    moved: Any = types.ModuleType(_MOVED)
    moved.rgb_to_grayscale = functional.rgb_to_grayscale
    sys.modules[_MOVED] = moved
    yield
    del sys.modules[_MOVED]


def _compare(folder: Path, golden: str, reference: torch.nn.Module, picture: torch.Tensor, **options: Any) -> float:
    weights = seeded_weights(golden)
    torch.save({"params_ema": weights}, folder / "w.pth")
    ours = load_image_model(folder / "w.pth").network
    reference.load_state_dict(weights)
    with torch.inference_mode():
        found = [one(picture, **options) for one in (ours, reference.eval())]
    return float((_first(found[0]) - _first(found[1])).abs().max())


def _first(result: Any) -> torch.Tensor:
    return result[0] if isinstance(result, tuple) else result


def test_gfpgan(tmp_path: Path) -> None:
    """GFPGANv1Clean gives the same face to 1e-3."""
    from gfpgan.archs.gfpganv1_clean_arch import GFPGANv1Clean

    reference = GFPGANv1Clean(
        out_size=512, num_style_feat=512, channel_multiplier=2, num_mlp=8, input_is_latent=True, different_w=True,
        narrow=1, sft_half=True,
    )  # fmt: skip
    face = torch.from_numpy(seeded_input("face512", (1, 3, 512, 512), -1, 1))
    assert _compare(tmp_path, "gfpgan_v1_clean", reference, face, return_rgb=False, randomize_noise=False) < 1e-3


@pytest.mark.parametrize("scale", [2, 4])
def test_rrdbnet(tmp_path: Path, scale: int) -> None:
    """RRDBNet gives the same picture to 1e-3."""
    from basicsr.archs.rrdbnet_arch import RRDBNet

    reference = RRDBNet(num_in_ch=3, num_out_ch=3, num_feat=64, num_block=23, num_grow_ch=32, scale=scale)
    picture = torch.from_numpy(seeded_input("image", (1, 3, 32, 40)))
    assert _compare(tmp_path, f"rrdbnet_x{scale}", reference, picture) < 1e-3


def test_srvgg(tmp_path: Path) -> None:
    """SRVGGNetCompact gives the same picture to 1e-3."""
    from realesrgan.archs.srvgg_arch import SRVGGNetCompact

    reference = SRVGGNetCompact(num_in_ch=3, num_out_ch=3, num_feat=64, num_conv=32, upscale=4, act_type="prelu")
    picture = torch.from_numpy(seeded_input("image", (1, 3, 32, 40)))
    assert _compare(tmp_path, "srvgg_x4", reference, picture) < 1e-3


def test_face_parser(tmp_path: Path) -> None:
    """BiSeNet gives the same scores to 1e-3, on weights and statistics of a fair size."""
    from facexlib.parsing.bisenet import BiSeNet as Reference

    from lipwise_ray.nets.bisenet import CLASSES, BiSeNet
    from lipwise_ray.nets.checkpoint import load_into

    torch.manual_seed(4)
    reference = Reference(num_class=CLASSES).eval()
    for module in reference.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    torch.save(reference.state_dict(), tmp_path / "w.pth")
    ours = BiSeNet().eval()
    load_into(ours, tmp_path / "w.pth", "the face parser")
    faces = torch.from_numpy(seeded_input("faces", (1, 3, 512, 512)))
    with torch.inference_mode():
        scores = reference((faces - ours.mean) / ours.deviation)[0]
        assert (ours(faces) - scores).abs().max() < 1e-3
