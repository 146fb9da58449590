"""What only a CUDA device shows. Without one these tests are skipped."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from lipwise_ray.lipsync.device_copies import DeviceCopies, DeviceImage, device_images
from lipwise_ray.lipsync.device_planes import DevicePlanes
from lipwise_ray.lipsync.device_resident import ResidentPlanes
from lipwise_ray.lipsync.device_sampling import Rectangles
from lipwise_ray.lipsync.model import Wav2LipSync
from lipwise_ray.lipsync.restore import ModelFaces
from lipwise_ray.lipsync.video_engine import hardware_encoding, video_engine
from lipwise_ray.media.encode import HARDWARE_CODECS, opening_encoders
from lipwise_ray.media.frames import make_recipe
from lipwise_ray.media.hardware import StreamKind
from lipwise_ray.media.hardware_check import KINDS, HardwareFrames
from lipwise_ray.media.index import build_index
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.media.planes import FaceLayer, View
from lipwise_ray.media.probe import probe_video
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.media.region import box_to_shown
from lipwise_ray.nets.image_models import load_image_model
from lipwise_ray.synth.clips import ClipSpec, write_clip
from lipwise_ray.values import Size
from tests.conftest import ROOT
from tests.support.dub import run, write_manifest
from tests.support.seeded import seeded_input, seeded_weights

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

DEMO = ROOT / "manifests" / "demo"


@pytest.fixture(scope="module")
def gfpgan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "gfpgan.pth"
    torch.save({"params_ema": seeded_weights("gfpgan_v1_clean")}, path)
    return path


@pytest.mark.parametrize(("precision", "most"), [("float32", 2e-3), ("bfloat16", 0.03), ("float16", 0.01)])
def test_mouths_are_those_of_the_cpu(precision: str, most: float, tmp_path: Path) -> None:
    """Seeded Wav2Lip gives on the GPU what it gives on the CPU in float32, as near as its precision allows."""
    torch.save(seeded_weights("wav2lip"), tmp_path / "w.pth")
    crops, mels = seeded_input("c", (4, 96, 96, 3)), seeded_input("m", (4, 80, 16), -4, 4)
    true = Wav2LipSync(tmp_path / "w.pth", device="cpu", precision="float32", batch_faces=4)(crops, mels)
    found = Wav2LipSync(tmp_path / "w.pth", device="cuda", precision=precision, batch_faces=4)(crops, mels)
    assert np.abs(found - true).max() < most


@pytest.mark.parametrize(("precision", "most"), [("float32", 5e-3), ("bfloat16", 0.1)])
def test_restored_faces_are_those_of_the_cpu(gfpgan: Path, precision: str, most: float) -> None:
    """Seeded GFPGAN gives on the GPU what it gives on the CPU in float32; twice the same."""
    faces = np.ascontiguousarray(seeded_input("face512", (1, 3, 512, 512), 0, 1).transpose(0, 2, 3, 1))
    true = ModelFaces(load_image_model(gfpgan), device="cpu", precision="float32", batch_faces=1)(faces)
    role = ModelFaces(load_image_model(gfpgan), device="cuda", precision=precision, batch_faces=1)
    found = role(faces)
    assert np.abs(found - true).max() < most
    assert np.array_equal(found, role(faces))


def test_restored_faces_may_stay_on_the_gpu(gfpgan: Path) -> None:
    """Faces that come from the device and are left there are those that come from this machine's memory, to the bit."""
    faces = np.ascontiguousarray(seeded_input("face512", (2, 3, 512, 512), 0, 1).transpose(0, 2, 3, 1))
    role = ModelFaces(load_image_model(gfpgan), device="cuda", precision="float32", batch_faces=2)
    kept = role.redrawn(device_images(torch.from_numpy(faces).to("cuda")))
    assert all(isinstance(face, DeviceImage) and face.on_device().is_cuda for face in kept)
    assert np.array_equal(np.stack([face.host() for face in kept]), role(faces))


def test_a_full_gpu_halves_the_batch(gfpgan: Path) -> None:
    """A batch that does not fit the device is halved until it does, and all faces come out."""
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(4e9 / total)
    try:
        faces = np.random.default_rng(0).uniform(0, 1, (32, 512, 512, 3)).astype(np.float32)
        role = ModelFaces(load_image_model(gfpgan), device="cuda", precision="float32", batch_faces=32)
        found = role(faces)
        assert role._run._most < 32
        one = ModelFaces(load_image_model(gfpgan), device="cuda", precision="float32", batch_faces=1)
        assert np.abs(found[[0, 31]] - one(faces[[0, 31]])).max() < 5e-3
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


def test_ray_dubs_on_the_gpu(tmp_path: Path) -> None:
    """The embedded Ray gives its worker the GPU, the record says so, and the picture is the CPU's."""
    row = {"id": "a", "video": DEMO / "presenter.mp4", "audio": DEMO / "presenter.m4a", "output": "a.mkv"}
    manifest = write_manifest(tmp_path / "m.csv", [row])
    frames = {}
    for device in ("cuda", "cpu"):
        out = tmp_path / device
        options = ["--set", f"engine.device={device}", "--set", 'encode.codec="ffv1"', "--set", 'score.judge="none"']
        if device == "cpu":
            options += ["--set", 'engine.kind="inline"', "--set", 'engine.place="cpu"']
        done = run("submit", manifest, "--job", ROOT / "jobs" / "demo.toml", "--out", out, *options)
        assert done.returncode == 0, done.stdout + done.stderr
        record = json.loads(next((tmp_path / f"{device}.state").glob("jobs/*/result.json")).read_text())
        frames[device] = _luma(out / "a.mkv")
        if device == "cuda":
            assert record["identity"]["device"] == "cuda"
    assert frames["cuda"].shape == frames["cpu"].shape
    assert np.abs(frames["cuda"] - frames["cpu"]).mean() < 0.5


@pytest.fixture(scope="module")
def engine() -> HardwareFrames:
    try:
        ctypes.CDLL("libnvcuvid.so.1")
    except OSError:
        pytest.skip("the driver's video library is not passed on to this machine")
    found = video_engine("cuda", stays=True)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_engine_decodes_as_software_does(kind: StreamKind, engine: HardwareFrames) -> None:
    """Every plane of every frame of a clip of each codec has software's checksum."""
    assert engine.problem(kind) == ""


def test_frames_of_the_engine_come_in_any_order(engine: HardwareFrames, tmp_path: Path) -> None:
    """Forward, backward and after seeks an HD video's frames are bit by bit software's, and the engine never fails."""
    path = tmp_path / "a.mp4"
    write_clip(path, ClipSpec(size=Size(1920, 1080), frames=40, options={"preset": "veryfast", "bf": "2"}))
    info = probe_video(path)
    index = build_index(info)
    decoder = engine.decoder(info, index)
    assert decoder is not None
    order = [*range(40), 30, 7, 19, *range(25, 12, -1)]
    with VideoReader(path, 0, index, hardware=decoder) as reader, VideoReader(path, 0, index) as plain:
        for ours, theirs in zip(reader.read_order(order), plain.read_order(order), strict=True):
            for plane in range(3):
                assert np.array_equal(plane_array(ours, plane), plane_array(theirs, plane))
        assert reader._hardware is decoder


def test_frames_of_the_engine_stay_on_the_card(
    engine: HardwareFrames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A face is read, laid over and read again without an upload, to the bit as where its frame is uploaded."""
    path = tmp_path / "a.mp4"
    write_clip(path, ClipSpec(size=Size(1280, 720), frames=12, options={"preset": "veryfast"}))
    info = probe_video(path)
    index, recipe = build_index(info), make_recipe(info)
    uploads, upload = list[int](), DeviceCopies.uploaded

    def counted(self: DeviceCopies, planes: list[np.ndarray], rectangles: list[tuple[slice, slice]]) -> Rectangles:
        uploads.append(len(planes))
        return upload(self, planes, rectangles)

    monkeypatch.setattr(DeviceCopies, "uploaded", counted)
    planes = DevicePlanes("cuda")
    found: list[list[np.ndarray]] = []
    for stays in (True, False):
        uploads.clear()
        with VideoReader(path, 0, index, hardware=engine.decoder(info, index)) as reader:
            frames = [recipe.apply(frame) for frame in reader.read(0, 12)]
        if not stays:
            for frame in frames:
                frame.opaque = None
        boxes = [np.array([400.5 + n, 200, 700.5 + n, 500]) for n in range(12)]
        views = [View(frame, box_to_shown(box, 96)) for frame, box in zip(frames, boxes, strict=True)]
        images = planes.read(recipe.canvas, views, 96)
        planes.write(
            recipe.canvas, [FaceLayer(view, image, None, None) for view, image in zip(views, images, strict=True)]
        )
        again = planes.read(recipe.canvas, views, 96)
        assert bool(uploads) != stays
        samples = [plane_array(frame, n).copy() for frame in frames for n in range(3)]
        found.append([*(one.host() for one in (*images, *again)), *samples])
        for frame in frames if stays else ():
            assert isinstance(frame.opaque, ResidentPlanes)
            for n, plane in enumerate(frame.opaque.planes):
                assert np.array_equal(plane.cpu().numpy(), plane_array(frame, n))
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("codec", HARDWARE_CODECS)
def test_the_encoder_reads_from_the_card(codec: str) -> None:
    """A clip whose frames stay on the card is the one that it encodes from this machine's memory."""
    if codec not in opening_encoders():
        pytest.skip(f"the card has no {codec}")
    encoding = hardware_encoding("cuda")
    assert encoding is not None
    assert encoding.problem(codec) == ""


def test_a_dub_from_the_engine_is_the_same(engine: HardwareFrames, tmp_path: Path) -> None:
    """A losslessly encoded dub has the same frames whether the engine decoded the video or software did."""
    row = {"id": "a", "video": DEMO / "presenter.mp4", "audio": DEMO / "presenter.m4a", "output": "a.mkv"}
    manifest = write_manifest(tmp_path / "m.csv", [row])
    frames = []
    for told in ("on", "off"):
        options = ["--set", "engine.device=cuda", "--set", "engine.kind=inline", "--set", 'encode.codec="ffv1"']
        options += ["--set", 'score.judge="none"', "--set", f"engine.hardware_frames={told}"]
        done = run("submit", manifest, "--job", ROOT / "jobs" / "demo.toml", "--out", tmp_path / told, *options)
        assert done.returncode == 0, done.stdout + done.stderr
        frames.append(_luma(tmp_path / told / "a.mkv"))
    assert np.array_equal(*frames)


def _luma(video: Path) -> np.ndarray:
    with av.open(str(video)) as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)]).astype(np.float32)
