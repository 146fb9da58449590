"""Voices are taken out of audio of any length as demucs does it on all of it at once; files are read safely."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwise_ray.errors import WeightsError
from lipwise_ray.nets.demucs_network import load_demucs
from lipwise_ray.nets.separation import ChannelPair, Separator
from tests.support.demucs import seeded_network, write_pickle, write_safetensors


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published file's like."""
    return write_pickle(tmp_path_factory.mktemp("demucs") / "955717e8.th", seeded_network())


@pytest.mark.slow
def test_a_long_wave_is_separated_as_demucs_does_it_at_once(file: Path) -> None:
    """Segments overlap and fade as its own do, a shorter last one included."""
    import torch
    from demucs.apply import apply_model

    separator = Separator(file, "cpu")
    rng = np.random.default_rng(1)
    mix = (rng.standard_normal((round(2.3 * separator.rate_hz), 2)) * 0.2).astype(np.float32)
    mean = mix.mean(axis=1)
    pair = ChannelPair(0, 1, float(mean.mean()), float(mean.std()))
    segments: list[None] = []
    found = np.concatenate(list(separator.without_voices(mix, [pair], lambda: segments.append(None))), axis=1)
    wave = (torch.from_numpy(mix.T.copy())[None] - pair.mean) / pair.deviation
    wanted = apply_model(load_demucs(file), wave, shifts=0, split=True)[0, 3].numpy() * pair.deviation
    assert len(segments) == 4
    assert np.abs(wanted).max() > 0.01
    assert np.abs(mix.T - found - wanted).max() < 1e-5


def test_silence_and_channels_of_no_pair_stay_as_they_are(file: Path) -> None:
    """The bass channel of a film passes through, and silence asks no network."""
    separator = Separator(file, "cpu")
    mix = np.zeros((1000, 3), np.float32)
    mix[:, 2] = np.linspace(-1, 1, 1000)
    (found,) = separator.without_voices(mix, [ChannelPair(0, 1, 0.0, 0.0)], lambda: None)
    assert np.array_equal(found, mix.T)


def test_both_kinds_of_file_give_one_network(file: Path, tmp_path: Path) -> None:
    """The pickle of the authors' server and the safetensors of their hub, halves and fractions included."""
    import torch

    other = load_demucs(write_safetensors(tmp_path / "955717e8.safetensors", seeded_network()))
    network = load_demucs(file)
    assert network.segment == other.segment
    for name, value in network.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, other.state_dict()[name].half().float())


class _Command:
    """What a harmful pickle names."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._target),)


@pytest.mark.parametrize("part", ["klass", "kwargs", "state"])
def test_nothing_that_a_file_names_is_run(file: Path, tmp_path: Path, part: str) -> None:
    """Wherever it stands, and the message says what it was."""
    import torch

    with torch.serialization.safe_globals([]):
        package = torch.load(file, weights_only=False)  # the test's own
    package[part] = _Command(tmp_path / "made")
    torch.save(package, tmp_path / "bad.th")
    with pytest.raises(WeightsError) as caught:
        load_demucs(tmp_path / "bad.th")
    assert caught.value.code == "unsafe_weights"
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"kwargs": {"channels": 1 << 20}},
        {"kwargs": {"channels": 12}},
        {"kwargs": {"channels": "many"}},
        {"args": [["drums", "bass", "other", "choir"]]},
        {"args": [["vocals"], 2]},
        {"state": {}},
        {"state": {"__quantized": True}},
        {"klass": dict},
    ],
)
def test_other_files_are_refused(file: Path, tmp_path: Path, changed: dict[str, Any]) -> None:
    """Arguments that make another network or none, quantised weights, another class."""
    import torch

    package = torch.load(file, weights_only=False)
    kwargs = {**package["kwargs"], **changed.get("kwargs", {})}
    torch.save({**package, **changed, "kwargs": kwargs}, tmp_path / "other.th")
    with pytest.raises(WeightsError) as caught:
        load_demucs(tmp_path / "other.th")
    assert caught.value.code in ("other_network", "unsafe_weights")
