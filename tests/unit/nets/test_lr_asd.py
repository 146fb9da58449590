"""LR-ASD: it is the published network, and sees what that sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lipwise_ray.errors import WeightsError
from lipwise_ray.nets.checkpoint import load_into
from lipwise_ray.nets.lr_asd import COLUMNS_A_FRAME, REACH_FRAMES, LrAsd


@pytest.fixture(scope="module")
def network() -> LrAsd:
    torch.manual_seed(0)
    return LrAsd().eval()


def test_it_scores_each_frame(network: LrAsd) -> None:
    """A logit a frame, of 112 x 112 pixels and four columns of cepstra each."""
    with torch.inference_mode():
        logits = network(torch.rand(2, 7, 112, 112) * 255, torch.rand(2, 28, 13))
    assert logits.shape == (2, 7)
    assert torch.isfinite(logits).all()


def test_features_depend_on_what_is_near(network: LrAsd) -> None:
    """Those of a stretch are those of the whole, but for the frames at its ends: so a video may be cut anywhere."""
    frames, start, stop = 40, 5, 38
    faces, cepstra = torch.rand(1, frames, 112, 112) * 255, torch.rand(1, frames * COLUMNS_A_FRAME, 13)
    inner = slice(start + REACH_FRAMES, stop - REACH_FRAMES)
    with torch.inference_mode():
        whole = network.embed_faces(faces), network.embed_audio(cepstra)
        part = (
            network.embed_faces(faces[:, start:stop]),
            network.embed_audio(cepstra[:, start * COLUMNS_A_FRAME : stop * COLUMNS_A_FRAME]),
        )
    for known, found in zip(whole, part, strict=True):
        torch.testing.assert_close(found[:, REACH_FRAMES:-REACH_FRAMES], known[:, inner], rtol=1e-4, atol=1e-5)


def test_another_networks_file_is_refused(tmp_path: Path) -> None:
    """A file whose tensors are others names the network that was expected."""
    torch.save({"model.fusion.bn.weight": torch.zeros(3)}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="LR-ASD"):
        load_into(LrAsd(), tmp_path / "x.pth", "LR-ASD")


def test_a_score_goes_by_face_and_audio(network: LrAsd) -> None:
    """Another face or another audio gives other scores: neither branch is left out."""
    rng = np.random.default_rng(0)
    faces = [torch.from_numpy(rng.uniform(0, 255, (1, 10, 112, 112)).astype(np.float32)) for _ in range(2)]
    cepstra = [torch.from_numpy(rng.normal(0, 9, (1, 40, 13)).astype(np.float32)) for _ in range(2)]
    with torch.inference_mode():
        base = network(faces[0], cepstra[0])
        assert not torch.allclose(base, network(faces[1], cepstra[0]))
        assert not torch.allclose(base, network(faces[0], cepstra[1]))
