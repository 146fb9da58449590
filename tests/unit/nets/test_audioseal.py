"""AudioSeal: the published networks, and their files, of which nothing is run."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lipwise_ray.errors import WeightsError
from lipwise_ray.nets.audioseal import AudioSealDetector, AudioSealGenerator, load_audioseal
from lipwise_ray.nets.checkpoint import load_state_dict
from tests.support.audioseal import write_detector, write_generator
from tests.support.seeded import GOLDEN, seeded_weights, speech_like_wave

_WAVE = torch.from_numpy(speech_like_wave(0.2)[:2500])[None, None]
_BITS = torch.tensor([[int(bit) for bit in f"{0xA53C:016b}"]])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A generator and a detector as they are published."""
    folder = tmp_path_factory.mktemp("audioseal")
    return write_generator(folder / "generator.pth"), write_detector(folder / "detector.pth")


def test_a_mark_is_the_packages(files: tuple[Path, Path]) -> None:
    """To the rounding of float32, at a length that is no multiple of the network's step."""
    with torch.inference_mode():
        mark = load_audioseal(AudioSealGenerator, files[0])(_WAVE, _BITS)
    wanted = np.load(GOLDEN / "audioseal.npz")["mark"]
    assert np.abs(wanted).max() > 0.1
    np.testing.assert_allclose(mark[0, 0].numpy(), wanted, atol=2e-5)


def test_a_reading_is_the_packages(files: tuple[Path, Path]) -> None:
    """The probability of each sample, and the message."""
    with torch.inference_mode():
        probability, logits = load_audioseal(AudioSealDetector, files[1])(_WAVE)
    wanted = np.load(GOLDEN / "audioseal_detector.npz")
    np.testing.assert_allclose(probability[0].numpy(), wanted["probability"], atol=2e-5)
    np.testing.assert_allclose(logits.mean(-1).sigmoid()[0].numpy(), wanted["message"], atol=2e-5)


def test_other_spellings_of_a_file_give_the_same_network(files: tuple[Path, Path], tmp_path: Path) -> None:
    """Weights as newer versions normalise and nest them, in a plain state dict or within the best state."""
    known = load_audioseal(AudioSealGenerator, files[0]).state_dict()
    newer = {
        name.replace(".weight_g", ".parametrizations.weight.original0")
        .replace(".weight_v", ".parametrizations.weight.original1")
        .replace(".conv.conv.", ".conv.conv.inner_conv."): value
        for name, value in seeded_weights("audioseal").items()
    }
    for number, contents in enumerate((known, {"best_state": {"model": newer}})):
        torch.save(contents, tmp_path / f"{number}.pth")
        found = load_audioseal(AudioSealGenerator, tmp_path / f"{number}.pth").state_dict()
        assert all(torch.equal(found[name], value) for name, value in known.items())


def test_a_files_settings_are_neither_run_nor_needed(files: tuple[Path, Path]) -> None:
    """No module is imported for them; for all other networks such a file is refused as ever."""
    load_audioseal(AudioSealGenerator, files[0])
    assert "omegaconf" not in sys.modules
    with pytest.raises(WeightsError) as caught:
        load_state_dict(files[0])
    assert caught.value.code == "unsafe_weights"


class _Run:
    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("raise SystemExit",)


def test_a_file_that_names_code_is_refused(tmp_path: Path) -> None:
    """In the settings, too, nothing but settings may be named."""
    torch.save({"xp.cfg": _Run(), "model": {"x": torch.zeros(1)}}, tmp_path / "x.pth")
    with pytest.raises(WeightsError) as caught:
        load_audioseal(AudioSealGenerator, tmp_path / "x.pth")
    assert caught.value.code == "unsafe_weights"


def test_the_other_networks_file_is_refused(files: tuple[Path, Path]) -> None:
    """Who mixes the two files up is told which one was expected."""
    for kind, file in ((AudioSealGenerator, files[1]), (AudioSealDetector, files[0])):
        with pytest.raises(WeightsError, match=f"not a checkpoint of {kind.__name__}"):
            load_audioseal(kind, file)
