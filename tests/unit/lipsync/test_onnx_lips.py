"""Lip-sync networks that are ONNX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.external_data_helper import set_external_data

from lipwise_ray.errors import SetupError, WeightsError
from lipwise_ray.lipsync.model import LipSync, Wav2LipSync, new_faces
from lipwise_ray.lipsync.onnx_lips import layout_of, open_onnx_lips
from lipwise_ray.media.planes import HostImage
from lipwise_ray.nets.onnx_layout import is_onnx
from lipwise_ray.nets.runtimes import ONNXRUNTIME, OPENVINO, RUNTIME_REFUSED, Runtime, is_installed
from lipwise_ray.resources import models_folder
from lipwise_ray.scheduler.engine import failure_of
from tests.support.occluder import write_occluder
from tests.support.onnx_lips import write_edtalk, write_exported, write_network, write_pair_lips

TINY = models_folder() / "tiny" / "tiny_generator.safetensors"
RUNTIMES = [
    ONNXRUNTIME,
    pytest.param(OPENVINO, marks=pytest.mark.skipif(not is_installed(OPENVINO), reason="needs the extra cpu")),
]


def _opened(path: Path, *, runtime: Runtime = ONNXRUNTIME, batch: int = 4, strength: float = 1.0) -> LipSync:
    return open_onnx_lips(path, runtime=runtime, device="cpu", threads=1, batch_faces=batch, strength=strength)


def _given(model: LipSync, count: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    side = model.size_px
    faces = random.random((count, side, side, 3)).astype(np.float32)
    return faces, random.uniform(-4, 4, (count, 80, 16)).astype(np.float32)


def _pair_drawn(faces: np.ndarray, mels: np.ndarray) -> np.ndarray:
    """Return what the made-up pair network draws: the lower half is hidden from it in the masked image."""
    masked = faces.copy()
    masked[:, faces.shape[1] // 2 :] = 0
    loudness = (mels.mean((1, 2)) + 4) / 32
    return np.asarray(masked / 2 + faces / 4 + loudness[:, None, None, None], np.float32)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("side", [96, 256])
def test_pairs_are_the_masked_image_then_the_whole_one(runtime: Runtime, side: int, tmp_path: Path) -> None:
    """Channels are BGR in [0, 1], the mel is Wav2Lip's own, and the side is the file's."""
    model = _opened(write_pair_lips(tmp_path / "any.bin", side), runtime=runtime, batch=2)
    assert (model.size_px, model.batch_faces) == (side, 2)
    faces, mels = _given(model, 2)
    assert np.abs(model(faces, mels) - _pair_drawn(faces, mels)).max() < 1e-5


def test_a_network_of_a_fixed_batch_gets_that(tmp_path: Path) -> None:
    """Five faces go in calls of three, whatever batch was asked for."""
    model = _opened(write_pair_lips(tmp_path / "w.onnx", batch=3), batch=16)
    assert model.batch_faces == 3
    faces, mels = _given(model, 2)
    made = new_faces(model, [HostImage(face) for face in faces], mels)
    assert np.abs(np.stack([one.host() for one in made]) - _pair_drawn(faces, mels)).max() < 1e-5


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_edtalk_takes_rgb_one_by_one(runtime: Runtime, tmp_path: Path) -> None:
    """Its crop is aligned as for restorers, its usual weight is a half, and it hears the mel as it is."""
    model = _opened(write_edtalk(tmp_path / "e.onnx"), runtime=runtime)
    assert model.batch_faces == 1
    assert model.alignment == "ffhq"
    faces, mels = _given(model, 1)
    expected = faces / 2 + (mels.mean() + 4) / 32 + 0.5 / 16
    assert np.abs(model(faces, mels) - expected).max() < 1e-5


def test_edtalk_sees_rgb(tmp_path: Path) -> None:
    """A network that gives back only its first channel shows that it is red, and what it gives is taken for RGB."""
    nodes = [
        helper.make_node("Slice", ["target", "first", "channel", "channel"], ["red"]),
        helper.make_node("Mul", ["red", "zero"], ["none"]),
        helper.make_node("ReduceMean", ["source"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Mul", ["mean", "weight"], ["heard"]),
        helper.make_node("Mul", ["heard", "zero"], ["silent"]),
        helper.make_node("Add", ["red", "silent"], ["kept"]),
        helper.make_node("Concat", ["kept", "none", "none"], ["output"], axis=1),
    ]
    inputs = {"weight": (1,), "target": (1, 3, 64, 64), "source": (1, 1, 80, 16)}
    model = _opened(write_network(tmp_path / "e.onnx", inputs, nodes, (1, 3, 64, 64)))
    faces, mels = _given(model, 1)
    made = model(faces, mels)
    assert np.abs(made[..., 2] - faces[..., 2]).max() < 1e-6
    assert not made[..., :2].any()


def test_the_published_names_give_the_faces_of_torch(tmp_path: Path) -> None:
    """A checkpoint as an ONNX file draws what it draws by torch."""
    model = _opened(write_exported(tmp_path / "w.onnx", TINY))
    faces, mels = _given(model, 4)
    expected = Wav2LipSync(TINY, device="cpu", precision="float32", batch_faces=4)(faces, mels)
    assert np.abs(model(faces, mels) - expected).max() < 1e-4


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 2.0])
def test_strength_scales_the_mel_from_silence(strength: float, tmp_path: Path) -> None:
    """0 is silence in every band, 1 the mel itself, and nothing is louder than the scale."""
    model = _opened(write_pair_lips(tmp_path / "w.onnx"), batch=2, strength=strength)
    faces, mels = _given(model, 2)
    heard = mels if strength == 1 else np.minimum((mels + 4) * strength - 4, 4)
    assert np.abs(model(faces, mels) - _pair_drawn(faces, heard)).max() < 1e-5
    by_torch = Wav2LipSync(TINY, device="cpu", precision="float32", batch_faces=1, strength=strength)
    plain = Wav2LipSync(TINY, device="cpu", precision="float32", batch_faces=1)
    crops = faces[:1, :96, :96]
    assert np.array_equal(by_torch(crops, mels[:1]), plain(crops, np.asarray(heard[:1], np.float32)))


def test_strength_is_twice_the_weight_of_edtalk(tmp_path: Path) -> None:
    """The weight goes from 0 to 1, and the mel stays."""
    path = write_edtalk(tmp_path / "e.onnx")
    faces, mels = _given(_opened(path), 1)
    drawn = {strength: _opened(path, strength=strength)(faces, mels) for strength in (0.0, 1.0, 2.0)}
    assert np.abs(drawn[2.0] - drawn[0.0] - 1 / 16).max() < 1e-6
    assert np.abs(drawn[1.0] - drawn[0.0] - 1 / 32).max() < 1e-6


def test_another_networks_file_is_reported(tmp_path: Path) -> None:
    """The message says what it takes, and what a lip-sync network takes."""
    path = write_occluder(tmp_path / "wav2lip_96.onnx")
    with pytest.raises(WeightsError, match=r"takes input \(N x 256 x 256 x 3\).*lip-sync network takes") as error:
        _opened(path)
    assert error.value.code == "not_lips"


@pytest.mark.parametrize(
    "inputs",
    [
        {"source": (1, 1, 80, 16), "target": (2, 6, 96, 96)},
        {"source": ("b", 1, 80, 27), "target": ("b", 6, 96, 96)},
        {"source": ("b", 1, 80, 16), "target": ("b", 6, 96, 128)},
        {"source": ("b", 1, 80, 16), "target": ("b", 3, 96, 96)},
        {"source": (1, 1, 80, 16), "target": (1, 3, 256, 256), "weight": (2,)},
        {"source": (1, 1, 80, 16)},
        {"source": ("b", 1, 80, 16), "target": ("b", 6, 100_000, 100_000)},
    ],
)
def test_what_is_nearly_a_layout_is_none(inputs: dict[str, tuple[int | str, ...]], tmp_path: Path) -> None:
    """Batches that differ, other windows, other sides, sides beyond all memory, images without a pair or a weight."""
    path = write_network(tmp_path / "w.onnx", inputs, [helper.make_node("Identity", ["source"], ["output"])], (1,))
    with pytest.raises(WeightsError, match="a network that takes source"):
        layout_of(path)


@pytest.mark.parametrize(
    ("layers", "gives", "message"),
    [
        ([("Identity", ["source"], "output")], ("b", 1, 80, 16), "that gives 2 x 1 x 80 x 16"),
        (
            [
                ("Slice", ["target", "first", "third", "channel"], "masked"),
                ("Sub", ["masked", "half"], "negative"),
                ("Sqrt", ["negative"], "output"),
            ],
            ("b", 3, 96, 96),
            "numbers that are not finite",
        ),
    ],
)
def test_what_gives_no_images_is_none(
    layers: list[tuple[str, list[str], str]], gives: tuple[int | str, ...], message: str, tmp_path: Path
) -> None:
    """The inputs of a lip-sync network, and something else as output."""
    inputs = {"source": ("b", 1, 80, 16), "target": ("b", 6, 96, 96)}
    nodes = [helper.make_node(kind, taken, [made]) for kind, taken, made in layers]
    with pytest.raises(WeightsError, match=message):
        _opened(write_network(tmp_path / "w.onnx", inputs, nodes, gives), batch=2)


@pytest.mark.skipif(not is_installed(OPENVINO), reason="needs the extra cpu")
def test_a_network_that_openvino_cannot_run_is_that_runtimes_refusal(tmp_path: Path) -> None:
    """It knows no determinants, of which this network adds nothing: a worker that may choose takes ONNX Runtime."""
    inputs = {"source": ("b", 1, 80, 16), "target": ("b", 6, 96, 96)}
    nodes = [
        helper.make_node("Slice", ["target", "first", "third", "channel"], ["masked"]),
        helper.make_node("Det", ["target"], ["volumes"]),
        helper.make_node("Sign", ["volumes"], ["signs"]),
        helper.make_node("ReduceMax", ["signs"], ["sign"]),
        helper.make_node("Mul", ["sign", "zero"], ["nothing"]),
        helper.make_node("Add", ["masked", "nothing"], ["output"]),
    ]
    path = write_network(tmp_path / "w.onnx", inputs, nodes, ("b", 3, 96, 96))
    with pytest.raises(SetupError) as refused:
        _opened(path, runtime=OPENVINO)
    assert refused.value.code == RUNTIME_REFUSED
    assert _opened(path).size_px == 96


def test_want_of_memory_is_not_the_files_fault(tmp_path: Path) -> None:
    """A batch that does not fit is an error for which the task is done again with a smaller one."""
    large = numpy_helper.from_array(np.array([1, 1 << 14, 1 << 14, 1 << 14], np.int64))
    nodes = [
        helper.make_node("ReduceMean", ["source"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Constant", [], ["shape"], value=large),
        helper.make_node("Expand", ["mean", "shape"], ["many"]),
        helper.make_node("ReduceMean", ["many"], ["loud"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Slice", ["target", "first", "third", "channel"], ["masked"]),
        helper.make_node("Add", ["masked", "loud"], ["output"]),
    ]
    inputs = {"source": ("b", 1, 80, 16), "target": ("b", 6, 96, 96)}
    path = write_network(tmp_path / "w.onnx", inputs, nodes, ("b", 3, 96, 96))
    with pytest.raises(Exception, match=r"allocate|alloc") as caught:
        _opened(path)
    assert failure_of(caught.value).blame == "memory"


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_reported(part: float, tmp_path: Path) -> None:
    """Wherever the download ended, the message says that it is no whole file."""
    whole = write_exported(tmp_path / "w.onnx", TINY).read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(WeightsError, match=r"cut\.onnx: .*a whole ONNX file is needed. Download it again"):
        _opened(tmp_path / "cut.onnx")


def _apart(tensor: onnx.TensorProto, folder: Path) -> None:
    (folder / "w.data").write_bytes(numpy_helper.to_array(tensor).tobytes())
    set_external_data(tensor, "w.data")
    tensor.ClearField("raw_data")


@pytest.mark.parametrize("is_constant", [False, True])
def test_weights_in_a_file_beside_it_are_refused(*, is_constant: bool, tmp_path: Path) -> None:
    """Its digest would not cover them: frames of other weights would be taken for this network's."""
    path = write_pair_lips(tmp_path / "w.onnx")
    model = onnx.load(path)
    (half,) = (tensor for tensor in model.graph.initializer if tensor.name == "half")
    _apart(half, tmp_path)
    if is_constant:
        model.graph.node.insert(0, helper.make_node("Constant", [], ["half"], value=half))
        model.graph.initializer.remove(half)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match=r"w\.onnx: keeps its weights in another file; .* Make it one file"):
        _opened(path)
    onnx.save(onnx.load(path), tmp_path / "one.onnx")
    assert _opened(tmp_path / "one.onnx").size_px == 96


def test_files_are_told_by_what_they_begin_with(tmp_path: Path) -> None:
    """ONNX files of any name are, safetensors, pickles and files that are not there are not."""
    assert is_onnx(write_pair_lips(tmp_path / "weights.pth"))
    assert not is_onnx(TINY)
    assert not is_onnx(tmp_path / "gone.onnx")
    (tmp_path / "odd.onnx").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ")
    assert not is_onnx(tmp_path / "odd.onnx")
