"""Checkpoints that leave training as files of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lipwise_ray.errors import LipwiseError, WeightsError
from lipwise_ray.nets.checkpoint import load_network, load_state_dict
from lipwise_ray.nets.expert import LipSyncExpert
from lipwise_ray.nets.wav2lip import Wav2Lip
from lipwise_ray.training import checkpoints
from tests.unit.training.conftest import train

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("ending", ["safetensors", pytest.param("pth", marks=pytest.mark.slow)])
def test_exports_load_as_the_networks_they_are(ending: str, prepared: Path, tmp_path: Path) -> None:
    """Both layouts give back every tensor, at the width that was trained; .pth has the original's keys."""
    train("generator", prepared, tmp_path / "run", steps=3)
    target = tmp_path / f"export.{ending}"
    checkpoints.export(tmp_path / "run" / "last.pth", target, half=False)
    trained, exported = load_state_dict(tmp_path / "run" / "last.pth"), load_state_dict(target)
    assert all(torch.equal(value, exported[key]) for key, value in trained.items())
    assert load_network(Wav2Lip, target, "Wav2Lip").output_block[1].in_channels == 16
    if ending == "pth":
        assert {"state_dict", "optimizer", "global_step", "global_epoch"} <= set(torch.load(target, weights_only=True))


def test_an_export_may_blend_two_checkpoints(prepared: Path, tmp_path: Path) -> None:
    """Every weight lies between the two; a checkpoint of another width is refused."""
    for name, seed, width in (("a", 1, 0.125), ("b", 2, 0.125), ("c", 2, 0.25)):
        train("expert", prepared, tmp_path / name, steps=2, seed=seed, width=width)
    one, other, wide = (tmp_path / name / "last.pth" for name in "abc")
    checkpoints.export(one, tmp_path / "x.safetensors", half=False, blend=other, share=0.25)
    found, first, second = (load_state_dict(path) for path in (tmp_path / "x.safetensors", one, other))
    key = "face_encoder.0.conv_block.0.weight"
    assert torch.allclose(found[key], 0.75 * first[key] + 0.25 * second[key])
    assert found.keys() == first.keys()
    with pytest.raises(WeightsError, match="width"):
        checkpoints.export(one, tmp_path / "y.safetensors", half=False, blend=wide, share=0.5)


def test_half_precision_exports_are_half_as_large(prepared: Path, tmp_path: Path) -> None:
    """--half writes float16, which loads again."""
    train("expert", prepared, tmp_path / "run", steps=3)
    for half in (False, True):
        checkpoints.export(tmp_path / "run" / "last.pth", tmp_path / f"{half}.safetensors", half=half)
    sizes = [(tmp_path / f"{half}.safetensors").stat().st_size for half in (True, False)]
    assert sizes[0] < 0.6 * sizes[1]
    load_network(LipSyncExpert, tmp_path / "True.safetensors", "the lip-sync expert")


def test_an_export_that_fails_leaves_the_file_before(expert_run: Path, prepared: Path, tmp_path: Path) -> None:
    """With the disk full, or a folder in the way, what was exported before is still whole."""
    import resource
    import signal

    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for ending in ("pth", "safetensors"):
        target = tmp_path / f"kept.{ending}"
        checkpoints.export(expert_run / "last.pth", target, half=True)
        before = target.read_bytes()
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        try:
            with pytest.raises(LipwiseError, match="kept"):
                checkpoints.export(expert_run / "last.pth", target, half=False)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert target.read_bytes() == before
    signal.signal(signal.SIGXFSZ, old)
    (tmp_path / "folder.pth").mkdir()
    with pytest.raises(LipwiseError, match=r"folder\.pth"):
        checkpoints.export(expert_run / "last.pth", tmp_path / "folder.pth", half=False)
