"""One suite over every face detector that can be made here."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from lipwise_ray.errors import WeightsError
from lipwise_ray.faces.detections import FaceDetector
from lipwise_ray.faces.yunet import YuNet


@pytest.fixture
def yunet(yunet_file: Path) -> FaceDetector:
    return YuNet(yunet_file, min_score=0.7)


def _picture(shared: Path, name: str, number: int = 0) -> np.ndarray:
    with av.open(str(shared / "clips" / name)) as container:
        for n, frame in enumerate(container.decode(video=0)):
            if n == number:
                return frame.to_ndarray(format="bgr24")
    raise AssertionError(name)


def test_a_real_face_is_found_with_its_landmarks(yunet: FaceDetector, shared: Path) -> None:
    """One box around the face; eyes above nose above mouth, left ones left."""
    for found in yunet.detect([_picture(shared, n) for n in ("grid_man.mpg", "grid_woman.mpg")]):
        assert len(found.score) == 1
        left, top, right, bottom = found.box[0]
        points = found.landmarks[0]
        assert (points[:, 0] > left).all()
        assert (points[:, 0] < right).all()
        assert top < points[:2, 1].mean() < points[2, 1] < points[3:, 1].mean() < bottom
        assert points[0, 0] < points[1, 0]
        assert points[3, 0] < points[4, 0]


def test_no_face_gives_empty_arrays(yunet: FaceDetector) -> None:
    """A blank picture gives arrays of length 0 in the right shapes."""
    (found,) = yunet.detect([np.zeros((90, 160, 3), np.uint8)])
    assert (found.box.shape, found.landmarks.shape, found.score.shape) == ((0, 4), (0, 5, 2), (0,))


def test_faces_are_those_of_opencvs_reader(yunet_file: Path, shared: Path) -> None:
    """OpenCV runs the same file: it finds the same faces, of the same places and scores, whatever the image's sides."""
    ours, theirs = (
        YuNet(yunet_file, min_score=0.3),
        cv2.FaceDetectorYN.create(str(yunet_file), "", (9, 9), 0.3, 0.3, 500),
    )
    picture = _picture(shared, "two_speakers_720.mp4")
    for image in (picture[:1], picture[:7, :9], picture[:701, :1011], cv2.resize(picture, (160, 160))):
        theirs.setInputSize((image.shape[1], image.shape[0]))
        rows = theirs.detect(np.ascontiguousarray(image))[1]
        (found,) = ours.detect([image])
        expected = np.zeros((0, 15), np.float32) if rows is None else rows
        box = np.concatenate([expected[:, :2], expected[:, :2] + expected[:, 2:4]], axis=1)
        np.testing.assert_allclose(found.box, box, atol=0.05)
        np.testing.assert_allclose(found.landmarks.reshape(-1, 10), expected[:, 4:14], atol=0.05)
        np.testing.assert_allclose(found.score, expected[:, 14], atol=1e-3)
    assert len(found.score) == 2  # two people are there


def test_pictures_of_any_size_in_any_order(yunet: FaceDetector, shared: Path) -> None:
    """The size may change between calls, and a result does not depend on the call before."""
    picture = _picture(shared, "grid_man.mpg")
    (alone,) = yunet.detect([picture])
    yunet.detect([np.zeros((64, 48, 3), np.uint8)])
    (again,) = yunet.detect([picture])
    assert np.array_equal(alone.box, again.box)


def test_another_file_is_refused(tmp_path: Path) -> None:
    """What is no YuNet model is a weights error."""
    (tmp_path / "x.onnx").write_bytes(b"\x08\x07" * 500)
    with pytest.raises(WeightsError, match=r"x\.onnx"):
        YuNet(tmp_path / "x.onnx", min_score=0.7)


@pytest.mark.slow
def test_a_damaged_file_is_refused_or_used(yunet_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever bytes are wrong, nothing but its error tells of it; damaged numbers are numbers."""
    whole, rng = yunet_file.read_bytes(), np.random.default_rng(5)
    refused = 0
    for number in range(6):
        data = bytearray(whole[: rng.integers(len(whole))] if number % 4 == 0 else whole)
        for place in rng.integers(0, min(len(data), 30_000), 0 if number % 4 == 0 else 3):
            data[place] = rng.integers(256)
        (tmp_path / "damaged.onnx").write_bytes(data)
        try:
            YuNet(tmp_path / "damaged.onnx", min_score=0.7)
        except WeightsError:
            refused += 1
    assert refused > 2
    assert capfd.readouterr() == ("", "")


def _presenters(width: int, height: int):
    """Return a picture of two drawn people whose faces are known."""
    pytest.importorskip("skia", reason="extra train is not installed")
    from lipwise_ray.synth.scene import Camera, DrawnPerson, Scene, Shot, draw_scene
    from lipwise_ray.values import Size

    pair = (
        DrawnPerson(91, x=0.3, y=0.45, scale=0.13, motion_seed=1),
        DrawnPerson(92, x=0.7, y=0.5, scale=0.1, motion_seed=2),
    )
    nothing = np.zeros(0, np.float32)
    scene = Scene(Size(width, height), 0.04, (Shot(0.0, pair, 93),), nothing, Camera(noise=0))
    picture = next(draw_scene(scene))
    return picture.rgb[:, :, ::-1], sorted((face.truth for face in picture.faces), key=lambda truth: truth.box[0])


@pytest.mark.parametrize("size", [(640, 360), (320, 180), (360, 640), (151, 211)])
def test_the_bundled_detector_finds_drawn_people(size: tuple[int, int]) -> None:
    """Both faces are found at any size and shape of picture, boxes and landmarks near the truth."""
    from lipwise_ray.faces.tiny import TinyDetector
    from lipwise_ray.models.registry import Registry
    from lipwise_ray.resources import models_folder

    weights = Registry(models_folder() / "registry.toml", Path()).resolve("tiny_detector", "tiny_detector")
    detector = TinyDetector(weights.path, min_score=0.7, device="cpu")
    image, truth = _presenters(*size)
    (found,) = detector.detect([np.ascontiguousarray(image)])
    assert len(found.score) == len(truth)
    for place, row in enumerate(np.argsort(found.box[:, 0])):
        wide = truth[place].box[2] - truth[place].box[0]
        assert np.abs(found.box[row] - truth[place].box).max() < 0.25 * wide
        assert np.abs(found.landmarks[row] - truth[place].landmarks).max() < 0.25 * wide
    (nothing,) = detector.detect([np.full((90, 160, 3), 90, np.uint8)])
    assert len(nothing.score) == 0


@pytest.mark.slow
def test_s3fd_batches_like_single_pictures(tmp_path: Path) -> None:
    """With random weights: a batch gives what single pictures give, in our form, offline."""
    face_alignment = pytest.importorskip("face_alignment", reason="extra s3fd is not installed")
    import torch
    from face_alignment.detection.sfd.net_s3fd import s3fd
    from face_alignment.models import FAN

    from lipwise_ray.faces.s3fd import S3fd

    assert face_alignment.__version__
    torch.manual_seed(3)
    torch.save(s3fd().state_dict(), tmp_path / "s3fd.pth")
    torch.save(FAN(4).state_dict(), tmp_path / "fan.pth")
    detector = S3fd(tmp_path / "s3fd.pth", tmp_path / "fan.pth", min_score=0.5, device="cpu")
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (64, 96, 3), dtype=np.uint8) for _ in range(2)]
    boxes = [np.array([8, 6, 60, 58, 0.9], np.float32)]
    # Random weights find hundreds of faces, and each costs a landmark network: one box a picture.
    detector._aligner.face_detector._filter_bboxes = lambda found: (seen.append(found), boxes)[1]
    seen: list[np.ndarray] = []
    together = detector.detect(pictures)
    for number, picture in enumerate(pictures):
        (alone,) = detector.detect([picture])
        assert np.allclose(alone.landmarks, together[number].landmarks, atol=1e-2)
        # A place that any picture of a batch raises is decoded once more for all of them; the
        # suppression that follows takes the doubles out.
        strong = [{tuple(row.round(1)) for row in rows if row[4] > 0.55} for rows in (seen[number], seen[2 + number])]
        assert len(strong[0]) > 10
        assert strong[0] == strong[1]
    assert together[0].box.tolist() == [[8, 6, 60, 58]]
    assert together[0].landmarks.shape == (1, 5, 2)
    (tmp_path / "bad.pth").write_bytes(b"junk" * 100)
    with pytest.raises(WeightsError):
        S3fd(tmp_path / "bad.pth", tmp_path / "fan.pth", min_score=0.5, device="cpu")
