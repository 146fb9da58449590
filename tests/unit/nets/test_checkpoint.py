from __future__ import annotations

import importlib
import os
import pickle
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from lipwise_ray.errors import WeightsError
from lipwise_ray.nets.checkpoint import load_into, load_network, load_state_dict
from tests.support.seeded import seeded_weights

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


@pytest.mark.parametrize(
    ("data", "reason"), [(b"\0\0\0\x20ftypisom", "Unsupported operand 0"), (b"hello", "KeyError: 101")]
)
def test_another_kind_of_file_is_refused_without_torchs_advice(data: bytes, reason: str, tmp_path: Path) -> None:
    """Nobody is told to load a strange file in the way that runs what it names."""
    path = tmp_path / "video.pth"
    path.write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        load_state_dict(path)
    assert f"{len(data)} bytes that do not load ({reason})" in str(caught.value)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_download_that_was_cut_off_is_refused(*, legacy: bool, tmp_path: Path) -> None:
    """A truncated zip archive and a truncated pickle are both found."""
    path = tmp_path / "cut.pth"
    torch.save({"state_dict": {"a": torch.zeros(1000)}}, path, _use_new_zipfile_serialization=not legacy)
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(WeightsError, match="whole checkpoint"):
        load_state_dict(path)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_plain_pickle_is_told_as_one(protocol: int, tmp_path: Path) -> None:
    """Not as a download that was cut off, and without torch's own warning, which asks for reports to its makers."""
    path = tmp_path / "w.pth"
    path.write_bytes(pickle.dumps({"state_dict": {"layer": [1.0, 2.0]}}, protocol=protocol))
    with pytest.raises(WeightsError, match=rf"a plain pickle of protocol {protocol}, which torch.save does not write"):
        load_state_dict(path)


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    """A pickle that would call a function is refused and the function is not called."""
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


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("how", ["setstate", "renamed"])
def test_code_in_a_torchscript_archive_is_not_run(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that writes a file when it is unpickled writes none, wherever its archive says that code lies."""
    victim, archive = tmp_path / "written", tmp_path / "evil.pth"
    source = f"""
import torch

class Evil(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.ones(3))

    @torch.jit.export
    def __getstate__(self):
        return (self.w, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]):
        self.w = state[0]
        self.training = state[1]
        torch.save("line", {str(victim)!r})

    def forward(self, x):
        return x
"""
    (tmp_path / f"evil_{how}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    evil = importlib.import_module(f"evil_{how}")
    torch.jit.script(evil.Evil()).save(str(archive))
    victim.unlink(missing_ok=True)
    if how == "renamed":  # code elsewhere than in /code/
        with zipfile.ZipFile(archive) as whole, zipfile.ZipFile(tmp_path / "moved.pth", "w") as moved:
            for name in whole.namelist():
                moved.writestr(name.replace("/code/", "/Code/"), whole.read(name))
        archive = tmp_path / "moved.pth"
    with suppress(WeightsError):
        assert "w" not in load_state_dict(archive)  # only the code could tell its name
    assert not victim.exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensors_of_nested_torchscript_modules_keep_their_names(tmp_path: Path) -> None:
    """Scripted modules within modules, transposed tensors and half precision are read as torch reads them."""

    class Inner(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3).t().half())
            self.register_buffer("steps", torch.tensor(7))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.steps

    class Outer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = Inner()
            self.b = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
            self.empty = torch.nn.Parameter(torch.zeros(0, 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x))

    path = tmp_path / "nested.pt"
    torch.jit.script(Outer().eval()).save(str(path))
    wanted = torch.jit.load(str(path)).state_dict()
    found = load_state_dict(path)
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name


def _attack(payload: object, path: Path, form: str) -> Path:
    if form == "pickle":
        path.write_bytes(pickle.dumps({"state_dict": payload}, protocol=2))
        return path
    if form == "legacy":
        torch.save({"a": payload}, path, _use_new_zipfile_serialization=False)
        return path
    if form == "zip":
        torch.save({"a": payload}, path)
        return path
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", pickle.dumps({"a": payload}, protocol=2))
        archive.writestr("m/code/__torch__/m.py", "")
        archive.writestr("m/constants.pkl", pickle.dumps(()))
    return path


class _System:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


class _Evaluated(_System):
    def __reduce__(self):
        return eval, (f"__import__('os').system({self.command!r})",)


@pytest.mark.parametrize("form", ["pickle", "legacy", "zip", "torchscript"])
@pytest.mark.parametrize("kind", [_System, _Evaluated])
def test_a_pickle_that_names_a_function_is_refused_by_its_name(kind: type[_System], form: str, tmp_path: Path) -> None:
    """The error says what would have been run, in every layout, and nothing is run."""
    flag = tmp_path / "ran"
    path = _attack(kind(f"touch {flag}"), tmp_path / "evil.pth", form)
    with pytest.raises(WeightsError) as caught:
        load_state_dict(path)
    assert caught.value.code == "unsafe_weights"
    assert ("system" if kind is _System else "eval") in str(caught.value)
    assert not flag.exists()


def _rewritten(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    target = path.with_name(f"changed-{path.name}")
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(target, "w") as other:
        for name in whole.namelist():
            other.writestr(name, change(name, whole.read(name)))
    return target


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("form", ["dict", "torchscript"])
def test_a_checkpoint_that_asks_for_more_memory_than_it_has_bytes_is_refused(form: str, tmp_path: Path) -> None:
    """Expanded tensors, compressed zeros and pickles that reserve room end in an error before they take memory."""
    path = tmp_path / "small.pth"
    if form == "dict":
        torch.save({"w": torch.zeros(1).expand(1 << 40)}, path)
        bad = [path]
    else:
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))
        bad = [
            _rewritten(
                path,
                lambda name, data: b"\x80\x02Nr\xff\xff\xff\x7f0" + data[2:] if name.endswith("data.pkl") else data,
            ),
            _rewritten(path, lambda name, data: data.replace(b"(K\x02K\x02t", b"(J\xff\xff\xff\x7fK\x02t")),
        ]
    bomb = tmp_path / "bomb.pth"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", pickle.dumps({}, protocol=2))
        archive.writestr("m/data/0", bytes(64 << 20))
        archive.writestr("m/version", "3")
    for file in (*bad, bomb):
        with pytest.raises(WeightsError) as caught:
            load_state_dict(file)
        assert caught.value.code == "unreadable_weights"


def test_a_checkpoints_shapes_do_not_decide_how_much_memory_is_taken(tmp_path: Path) -> None:
    """An absurd width, or a number where weights belong, is another network's, whatever else fits."""
    from lipwise_ray.nets.wav2lip import Wav2Lip

    for shape in ((1 << 40, 0), (8192, 0), (), (0, 3)):
        torch.save(
            {
                "output_block.0.conv_block.0.weight": torch.zeros(1),
                "face_encoder_blocks.6.0.conv_block.0.weight": torch.zeros(shape),
                "audio_encoder.12.conv_block.0.weight": torch.zeros(shape),
            },
            tmp_path / "w.pth",
        )
        with pytest.raises(WeightsError) as caught:
            load_network(Wav2Lip, tmp_path / "w.pth", "Wav2Lip")
        assert caught.value.code == "other_network"
