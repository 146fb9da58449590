"""Networks that outline faces: MediaPipe's on real ones, FAN's in its layout; and files that are none."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from lipwise_ray.errors import SetupError, WeightsError
from lipwise_ray.faces.fan import FanLandmarker, mesh_of, places
from lipwise_ray.faces.landmarker import FaceLandmarker, face_view
from lipwise_ray.faces.landmarkers import load_landmarker
from lipwise_ray.faces.lower_face import LOWER_FACE, typical_lower_face
from lipwise_ray.faces.mediapipe import MESH, MediaPipeLandmarker, OnnxLandmarker
from lipwise_ray.faces.shape import viewed, views
from lipwise_ray.faces.yunet import YuNet
from lipwise_ray.lipsync.align import inverse
from lipwise_ray.media.frames import make_recipe
from lipwise_ray.media.index import build_index
from lipwise_ray.media.probe import probe_video
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.media.region import read_region
from tests.support.boxes import turned


@pytest.fixture(scope="module")
def landmarker_file(shared: Path) -> Path:
    """The published task file."""
    pytest.importorskip("ai_edge_litert", reason="extra landmarks is not installed")
    path = shared / "weights" / "face_landmarker.task"
    if not path.is_file():
        pytest.skip(f"no Face Landmarker: {path} is not there")
    return path


@pytest.fixture(scope="module")
def landmarker(landmarker_file: Path) -> FaceLandmarker:
    """The network."""
    return MediaPipeLandmarker(landmarker_file)


@pytest.mark.parametrize("clip", ["grid_man.mpg", "grid_woman.mpg"])
def test_a_real_jaw_is_seen(shared: Path, yunet_file: Path, landmarker: FaceLandmarker, clip: str) -> None:
    """Its points are near those of a typical face, the mouth's corners and the nose near the detector's."""
    info = probe_video(shared / "clips" / clip)
    index = build_index(info)
    recipe = make_recipe(info, index.sizes)
    with VideoReader(info.path, info.stream_index, index) as reader:
        frame = recipe.apply(next(reader.read_order(iter([10]))))
    (found,) = YuNet(yunet_file, min_score=0.7).detect([frame.to_ndarray(format="bgr24")])
    five = found.landmarks[0] * np.float32([recipe.canvas.shown_size.width / frame.width, 1])
    to_shown = face_view(landmarker.view, five, landmarker.size_px)
    points = landmarker(read_region(frame, recipe.canvas, to_shown, landmarker.size_px))
    assert points is not None
    assert points.shape == (len(LOWER_FACE), 2)
    shown = points @ to_shown[:, :2].T + to_shown[:, 2]
    eyes_px = np.linalg.norm(five[1] - five[0])
    assert np.abs(shown - typical_lower_face(five)).mean() < 0.15 * eyes_px
    for place, known in ((10, five[3]), (-18, five[4]), (28, five[2])):
        assert np.linalg.norm(shown[place] - known) < 0.35 * eyes_px
    assert np.isfinite(inverse(to_shown)).all()


def test_no_face_is_none(landmarker: FaceLandmarker) -> None:
    """Noise and one colour show nobody."""
    noise = np.random.default_rng(3).random((256, 256, 3)).astype(np.float32)
    assert landmarker(noise) is None
    assert landmarker(np.full((256, 256, 3), 0.5, np.float32)) is None


def test_the_network_alone_will_do(landmarker_file: Path, tmp_path: Path) -> None:
    """What is in the task file can be given by itself."""
    with zipfile.ZipFile(landmarker_file) as archive:
        path = Path(archive.extract("face_landmarks_detector.tflite", tmp_path))
    assert MediaPipeLandmarker(path)(np.zeros((256, 256, 3), np.float32)) is None


@pytest.mark.parametrize("kind", ["text", "archive", "detector", "cut"])
def test_other_files_are_refused(landmarker_file: Path, tmp_path: Path, kind: str) -> None:
    """A network of another layout is named as one, and so is what is no network."""
    path = tmp_path / "file.task"
    with zipfile.ZipFile(landmarker_file) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    if kind == "archive":
        with zipfile.ZipFile(path, "w") as other:
            other.writestr("readme.txt", "no network")
    else:
        network = contents["face_landmarks_detector.tflite"]
        kinds = {"text": b"no network" * 99, "detector": contents["face_detector.tflite"], "cut": network[:9999]}
        path.write_bytes(kinds[kind])
    with pytest.raises(WeightsError, match="Face Landmarker") as refused:
        MediaPipeLandmarker(path)
    assert refused.value.code == "not_face_landmarker"
    if kind == "detector":
        assert "128" in str(refused.value)


@pytest.mark.parametrize(("data", "words"), [(b"<!doctype html>", "a web page"), (b"", "an empty file")])
def test_a_download_that_went_wrong_is_named(tmp_path: Path, data: bytes, words: str) -> None:
    """As for every other checkpoint."""
    pytest.importorskip("ai_edge_litert", reason="extra landmarks is not installed")
    (tmp_path / "file.task").write_bytes(data)
    with pytest.raises(WeightsError, match=words):
        MediaPipeLandmarker(tmp_path / "file.task")


def test_without_its_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for the network by its name is told what to install."""
    monkeypatch.setitem(__import__("sys").modules, "ai_edge_litert", None)
    monkeypatch.setitem(__import__("sys").modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(SetupError, match=r"lipwise-ray\[landmarks\]"):
        MediaPipeLandmarker(tmp_path / "any.task")


_PLANES, _PIXELS = (1, 3, 256, 256), (1, 256, 256, 3)


@pytest.mark.parametrize("takes", [_PIXELS, _PLANES, ("batch", 256, 256, 3), ("n", 3, 256, 256)])
@pytest.mark.parametrize("gives", [(1, 1434), (1, 1, 1, 1434), (1, 478, 3), (1, 1434, 1, 1)])
@pytest.mark.parametrize("presence", ["logit", "probability", ""])
def test_onnx_is_run_in_its_layout(
    tmp_path: Path, takes: tuple[int | str, ...], gives: tuple[int, ...], presence: str
) -> None:
    """Channels last or first, points flat or not, with a presence or without: the mesh's points come out, in pixels."""
    from tests.support.landmarker import BLUE_PX, RED_PX, mesh_points, write_landmarker

    path = write_landmarker(tmp_path / "own.onnx", takes=takes, gives=gives, presence=presence)
    landmarker = load_landmarker("face_landmarker_onnx", path)
    assert (landmarker.size_px, landmarker.view) == (256, MediaPipeLandmarker.view)
    bgr = np.broadcast_to(np.array([0.1, 0.4, 0.7], np.float32), (256, 256, 3))
    points = landmarker(bgr)
    assert points is not None
    assert points.dtype == np.float32
    np.testing.assert_allclose(points, mesh_points()[MESH, :2] + [0.7 * RED_PX, 0.1 * BLUE_PX], atol=0.02)
    assert (landmarker(np.full((256, 256, 3), 0.1, np.float32)) is None) == bool(presence)


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        ({"takes": (1, 192, 192, 3)}, "takes 1 x 192 x 192 x 3"),
        ({"takes": (1, 3, 128, 128)}, "takes 1 x 3 x 128 x 128"),
        ({"takes": (2, 256, 256, 3)}, "takes 2 x 256 x 256 x 3"),
        ({"gives": (1, 1404)}, "gives 1 x 1404, 1 x 1"),
        ({"gives": (1, 3, 478)}, "gives 1 x 3 x 478"),
        ({"scale": 1 / 256}, "points within 0.69 px of each other"),
        ({"scale": float("nan")}, "points within nan px of each other"),
    ],
)
def test_onnx_of_another_layout_is_refused(tmp_path: Path, layout: dict[str, object], words: str) -> None:
    """The message says what the file takes and gives, and what is needed."""
    from tests.support.landmarker import write_landmarker

    path = write_landmarker(tmp_path / "own.onnx", **layout)  # type: ignore[arg-type]  # parametrized
    with pytest.raises(WeightsError, match=words) as refused:
        OnnxLandmarker(path)
    assert refused.value.code == "not_face_landmarker"
    assert "478" in str(refused.value)


def test_files_that_are_no_onnx_are_refused(shared: Path, tmp_path: Path) -> None:
    """Text, half a file, and an ONNX file of something else are named as what they are."""
    from tests.support.landmarker import write_landmarker
    from tests.support.occluder import write_occluder

    whole = write_landmarker(tmp_path / "own.onnx").read_bytes()
    for data in (b"no network" * 99, whole[: len(whole) // 2]):
        (tmp_path / "bad.onnx").write_bytes(data)
        with pytest.raises(WeightsError, match=r"bad\.onnx"):
            OnnxLandmarker(tmp_path / "bad.onnx")
    write_occluder(tmp_path / "occluder.onnx", batch=1)
    with pytest.raises(WeightsError, match="gives 1 x 256 x 256 x 1"):
        OnnxLandmarker(tmp_path / "occluder.onnx")
    detector = shared / "weights" / "face_detection_yunet_2023mar.onnx"
    if detector.is_file():
        with pytest.raises(WeightsError, match="takes 1 x 3 x 640 x 640"):
            OnnxLandmarker(detector)


@pytest.mark.slow
def test_heat_maps_are_read_as_the_package_reads_them() -> None:
    """The maximum, a quarter of a cell towards its larger neighbours, in pixels of the image."""
    face_alignment = pytest.importorskip("face_alignment.utils", reason="extra s3fd is not installed")
    heat = np.random.default_rng(5).random((68, 64, 64)).astype(np.float32)
    heat[np.arange(68), np.arange(68) % 60 + 2, np.arange(68)[::-1] % 60 + 2] = 2
    theirs, _, _ = face_alignment.get_preds_fromhm(heat[None])
    assert np.allclose(places(heat), theirs[0] * 4, atol=1e-4)


@pytest.mark.parametrize("yaw", [-50.0, 0.0, 25.0])
def test_fans_points_become_the_mesh(yaw: float) -> None:
    """Of a typical head seen from anywhere they give its mesh; a chin that hangs takes the jaw along, not the nose."""
    from lipwise_ray.faces import fan

    seen = views(turned(yaw, 20.0, side=300)[None])
    points, mesh = viewed(seen, fan._TYPICAL)[0], viewed(seen, LOWER_FACE)[0]
    assert np.allclose(mesh_of(points.astype(np.float32)), mesh, atol=0.05)
    hanging = points.copy()
    hanging[15, 1] += 20  # the chin
    moved = (mesh_of(hanging.astype(np.float32)) - mesh)[:, 1]
    assert moved[37] > 10, "the mesh's chin"
    assert np.abs(moved[28:32]).max() < 4, "the nose"


def test_fan_is_run_in_its_layout(tmp_path: Path) -> None:
    """What comes out of random weights has the mesh's shape, and other files are refused."""
    pytest.importorskip("face_alignment", reason="extra s3fd is not installed")
    import torch
    from face_alignment.models import FAN

    torch.manual_seed(3)
    torch.save(FAN(4).state_dict(), tmp_path / "fan.pth")
    landmarker = FanLandmarker(tmp_path / "fan.pth")
    image = np.random.default_rng(1).random((256, 256, 3)).astype(np.float32)
    found = landmarker(image)
    assert found is None or found.shape == (len(LOWER_FACE), 2)
    torch.save(FAN(1).state_dict(), tmp_path / "small.pth")
    with pytest.raises(WeightsError, match="fan_2d"):
        FanLandmarker(tmp_path / "small.pth")
