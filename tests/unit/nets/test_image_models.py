"""Restorer and upscaler checkpoints, against the reference implementations."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from lipwise_ray.errors import SettingsError, WeightsError
from lipwise_ray.lipsync.restore import ModelFaces, check_restorer
from lipwise_ray.nets.image_models import ImageModel, load_image_model
from lipwise_ray.nets.torchvision_compat import declare_torchvision_operators
from tests.conftest import ROOT
from tests.support.seeded import GOLDEN, seeded_input, seeded_weights


@pytest.fixture(scope="module")
def gfpgan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "gfpgan.pth"
    torch.save({"params_ema": seeded_weights("gfpgan_v1_clean")}, path)
    return path


def _seeded(folder: Path, name: str) -> ImageModel:
    torch.save({"params": seeded_weights(name)}, folder / f"{name}.pth")
    return load_image_model(folder / f"{name}.pth")


@pytest.mark.parametrize("name", ["rrdbnet_x2", "rrdbnet_x4", "srvgg_x4"])
def test_upscalers_give_the_reference_numbers(tmp_path: Path, name: str) -> None:
    """Seeded RRDBNet and SRVGG weights give what Real-ESRGAN's own networks give."""
    model = _seeded(tmp_path, name)
    assert (model.purpose, model.scale) == ("upscaler", int(name[-1]))
    with torch.inference_mode():
        ours = model.network(torch.from_numpy(seeded_input("image", (1, 3, 32, 40)))).numpy()
    reference = np.load(GOLDEN / f"{name}.npz")["image"]
    assert np.abs(ours - reference).max() < 1e-3


@pytest.mark.slow
def test_gfpgan_gives_the_reference_numbers(gfpgan: Path) -> None:
    """Seeded GFPGANv1Clean weights give what the original gives with its stored noise: RGB, twice the same."""
    model = load_image_model(gfpgan)
    assert (model.architecture, model.purpose, model.scale) == ("GFPGAN", "face", 1)
    faces = torch.from_numpy(seeded_input("face512", (1, 3, 512, 512), -1, 1))
    with torch.inference_mode():
        ours, again = (model.call((faces + 1) / 2) * 2 - 1 for _ in range(2))
    assert torch.equal(ours, again)
    reference = np.load(GOLDEN / "gfpgan_v1_clean.npz")["restored_every_8th"]
    assert np.abs(ours[:, :, ::8, ::8].numpy() - reference).max() < 1e-3


def test_float16_is_refused_where_it_overflows(gfpgan: Path) -> None:
    """GFPGAN is computed in bfloat16 or float32, whatever the device; asking for float16 is an error that says so."""
    model = load_image_model(gfpgan)
    with pytest.raises(SettingsError, match="too narrow for GFPGAN"):
        model.dtype("float16", "cuda", "restore.precision")
    assert model.dtype("auto", "cpu", "restore.precision") in (torch.float32, torch.bfloat16)


@pytest.mark.slow
def test_files_that_are_no_image_model(tmp_path: Path, gfpgan: Path) -> None:
    """A checkpoint of something else is refused with the known architectures; half a network is refused too."""
    torch.save(seeded_weights("wav2lip"), tmp_path / "other.pth")
    with pytest.raises(
        WeightsError, match=r"its architecture is unknown; known are .*ESRGAN.*GFPGAN.*RestoreFormer"
    ) as error:
        load_image_model(tmp_path / "other.pth")
    assert error.value.code == "unknown_architecture"
    half = dict(list(seeded_weights("gfpgan_v1_clean").items())[:-40])
    torch.save(half, tmp_path / "half.pth")
    with pytest.raises(WeightsError):
        load_image_model(tmp_path / "half.pth")
    (tmp_path / "page.pth").write_text("<html>not found</html>")
    with pytest.raises(WeightsError, match="web page"):
        load_image_model(tmp_path / "page.pth")


@pytest.mark.slow
def test_restoreformer_gives_its_networks_numbers(tmp_path: Path) -> None:
    """What the role gives is the network's own output on [-1, 1], in every run the same. Made-up weights."""
    declare_torchvision_operators()
    from spandrel.architectures.RestoreFormer import RestoreFormer

    torch.manual_seed(3)
    network = RestoreFormer().eval()
    torch.save({"params": network.state_dict()}, tmp_path / "r.pth")
    model = check_restorer(load_image_model(tmp_path / "r.pth"), "r.pth")
    assert (model.architecture, model.purpose) == ("RestoreFormer", "face")
    role = ModelFaces(model, device="cpu", precision="float32", batch_faces=1)
    face = np.random.default_rng(3).uniform(0, 1, (1, 512, 512, 3)).astype(np.float32)
    with torch.inference_mode():
        given = torch.from_numpy(face[..., ::-1].copy()).permute(0, 3, 1, 2)
        wanted = (network(given * 2 - 1)[0] + 1) / 2
    found = role(face)
    assert np.abs(found[0, ..., ::-1] - wanted[0].permute(1, 2, 0).clamp(0, 1).numpy()).max() < 1e-3
    assert np.array_equal(role(face), found)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the extra scripts a function while it is imported
@pytest.mark.skipif(find_spec("spandrel_extra_arches") is None, reason="extra codeformer is not installed")
def test_codeformer_follows_its_fidelity(tmp_path: Path) -> None:
    """Its weight changes what comes out; the same weight gives the same pixels again. Made-up weights."""
    declare_torchvision_operators()
    from spandrel_extra_arches.architectures.CodeFormer import CodeFormer

    torch.manual_seed(3)
    torch.save({"params_ema": CodeFormer().state_dict()}, tmp_path / "c.pth")
    faces = torch.from_numpy(seeded_input("face512", (1, 3, 512, 512)))
    found: list[torch.Tensor] = []
    for fidelity in (0.0, 0.0, 1.0):
        model = load_image_model(tmp_path / "c.pth", fidelity)
        assert (model.architecture, model.purpose) == ("CodeFormer", "face")
        with torch.inference_mode():
            found.append(model.call(faces))
    assert found[0].shape == faces.shape
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_codeformer_names_its_extra(tmp_path: Path) -> None:
    """Without the extra a CodeFormer checkpoint says what to install, and that its licence is non-commercial."""
    if find_spec("spandrel_extra_arches"):
        pytest.skip("extra codeformer is installed")
    torch.save({name: torch.zeros(1) for name in ("position_emb", "idx_pred_layer.1.weight")}, tmp_path / "c.pth")
    with pytest.raises(WeightsError, match=r"non-commercial.*lipwise-ray\[codeformer\]"):
        load_image_model(tmp_path / "c.pth")


@pytest.mark.slow
def test_nothing_needs_the_reference_packages() -> None:
    """Loading a restorer imports none of gfpgan, realesrgan and basicsr, which break with a current torchvision."""
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from lipwise_ray.nets.torchvision_compat import declare_torchvision_operators\n"
        "declare_torchvision_operators(); declare_torchvision_operators()\n"
        "import spandrel, torchvision\n"
        "print([n for n in ('gfpgan', 'realesrgan', 'basicsr') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
