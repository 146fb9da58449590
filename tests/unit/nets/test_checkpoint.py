from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.errors import WeightsError
from lipwise_ray.nets.checkpoint import load_into, load_state_dict
from tests.seeded import seeded_weights

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return seeded_weights("wav2lip")


def _network():
    from lipwise_ray.nets.wav2lip import Wav2Lip

    return Wav2Lip()


def _save(form: str, weights, path: Path) -> Path:
    if form == "dict":
        torch.save({"state_dict": weights, "optimizer": None, "global_step": 7, "global_epoch": 1}, path)
    elif form == "module":
        torch.save({"state_dict": {f"module.{k}": v for k, v in weights.items()}, "global_step": 7}, path)
    elif form == "flat":
        torch.save(weights, path)
    elif form == "legacy":
        torch.save({"state_dict": weights}, path, _use_new_zipfile_serialization=False)
    elif form == "safetensors":
        from safetensors.torch import save_file

        path = path.with_suffix(".safetensors")
        save_file(weights, path)
    else:
        network = _network()
        network.load_state_dict(weights)
        inputs = (torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, 96, 96))
        torch.jit.save(torch.jit.trace(network.eval(), inputs, check_trace=False), path)
    return path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch deprecates the TorchScript that users still have
@pytest.mark.parametrize("form", ["dict", "module", "flat", "legacy", "safetensors", "torchscript"])
def test_every_form_in_the_wild_loads(form: str, weights, tmp_path: Path) -> None:
    """Each published layout of a Wav2Lip checkpoint gives the same network."""
    network = _network()
    load_into(network, _save(form, weights, tmp_path / "w.pth"), "Wav2Lip")
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("page.pth", b"<!DOCTYPE html><html>quota exceeded</html>", "html_weights"),
        ("pointer.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "lfs_pointer"),
        ("empty.pth", b"", "empty_weights"),
        ("junk.pth", bytes(range(256)) * 600, "unreadable_weights"),
        ("junk.safetensors", bytes(range(256)) * 600, "unreadable_weights"),
    ],
)
def test_what_is_no_checkpoint_is_named(name: str, data: bytes, code: str, tmp_path: Path) -> None:
    """Web pages, LFS pointers, empty and junk files each get their own error."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        load_state_dict(tmp_path / name)
    assert caught.value.code == code
    assert name in str(caught.value)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_download_that_was_cut_off_is_refused(legacy: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """A truncated zip archive and a truncated pickle are both found."""
    path = tmp_path / "cut.pth"
    torch.save({"state_dict": {"a": torch.zeros(1000)}}, path, _use_new_zipfile_serialization=not legacy)
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(WeightsError, match="whole checkpoint"):
        load_state_dict(path)


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    """A pickle that would call a function is refused and the function is not called."""
    import pickle

    flag = tmp_path / "called"

    class Attack:
        def __reduce__(self):
            return (Path.touch, (flag,))

    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"state_dict": Attack()}, protocol=2))
    with pytest.raises(WeightsError):
        load_state_dict(path)
    assert not flag.exists()


def test_another_networks_checkpoint_is_refused(weights, tmp_path: Path) -> None:
    """The error says how many tensors fit and leaves the network as it was."""
    other = {f"net.{name}": tensor for name, tensor in list(weights.items())[:5]}
    torch.save(other, tmp_path / "other.pth")
    network = _network()
    before = network.state_dict()["output_block.1.bias"].clone()
    with pytest.raises(WeightsError) as caught:
        load_into(network, tmp_path / "other.pth", "Wav2Lip")
    assert caught.value.code == "other_network"
    assert "5 tensors" in str(caught.value)
    assert torch.equal(network.state_dict()["output_block.1.bias"], before)
