"""Who is like a portrait."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwise_ray.errors import FaceError
from lipwise_ray.faces.detections import DetectedFaces
from lipwise_ray.faces.sface import SFace
from lipwise_ray.media.frames import make_recipe
from lipwise_ray.media.index import build_index
from lipwise_ray.media.probe import probe_video
from lipwise_ray.pipeline.analysis.face_recognition import FaceEmbeddings, embed_portrait, embed_tracks
from lipwise_ray.settings.model import DetectSettings
from lipwise_ray.synth.clips import ClipSpec, write_clip
from lipwise_ray.values import Size, Span
from tests.support.boxes import link_boxes, make_detections
from tests.support.embedder import write_embedder

FRAMES = 12
LEFT, RIGHT = (40.0, 60.0, 120.0, 160.0), (460.0, 200.0, 540.0, 300.0)


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> SFace:
    return SFace(write_embedder(tmp_path_factory.mktemp("network") / "e.onnx"), threads=1)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("film") / "v.mkv"
    write_clip(path, ClipSpec(size=Size(640, 360), frames=FRAMES, codec="ffv1"))
    info = probe_video(path)
    return info, build_index(info)


def _looked(film: Any, embedder: SFace, span: Span) -> tuple[FaceEmbeddings, int]:
    info, index = film
    tracks = link_boxes(make_detections({n: [LEFT, RIGHT] for n in range(FRAMES)}, FRAMES))
    seen: list[None] = []
    recipe = make_recipe(info, index.sizes)
    told = {"threads": 1, "salvage": False, "on_frame": lambda: seen.append(None)}
    return embed_tracks(info, index, recipe, span, tracks, embedder, **told), len(seen)  # type: ignore[arg-type]  # by name


class _Detector:
    """Finds faces where the test says."""

    together = False

    def __init__(self, *boxes: tuple[float, float, float, float]) -> None:
        self._boxes = np.array(boxes, np.float32).reshape(-1, 4)

    def detect(self, images_bgr: list[Any]) -> list[DetectedFaces]:
        scale = images_bgr[0].shape[1] / 640
        found = make_detections({0: [tuple(box) for box in self._boxes * scale]}, 1)
        return [DetectedFaces(found.box, found.landmarks, found.score) for _ in images_bgr]


def _portrait(film: Any, embedder: SFace, *boxes: tuple[float, float, float, float]) -> FaceEmbeddings:
    settings = DetectSettings(size_px=640, min_size_px=1.0)
    return embed_portrait(*film, _Detector(*boxes), embedder, settings, "p.png")  # type: ignore[arg-type]  # made up


def test_a_portrait_is_like_the_one_whom_it_shows(film: Any, embedder: SFace) -> None:
    """The same face in a film is nearest; a face that is not near enough is not like it at all."""
    embeddings, _ = _looked(film, embedder, Span(0, FRAMES))
    right = embeddings.likeness(_portrait(film, embedder, RIGHT), 0.5)
    left = embeddings.likeness(_portrait(film, embedder, LEFT), 0.5)
    assert right([1]) > 0.9
    assert left([0]) > 0.9
    assert right([1]) > right([0])
    assert embeddings.likeness(_portrait(film, embedder, RIGHT), 1.1)([1]) == -np.inf
    assert right([5]) == -np.inf  # nobody looked at it


@pytest.mark.parametrize(("boxes", "got"), [([], "shows no face"), ([LEFT, RIGHT], "shows 2 faces")])
def test_a_portrait_shows_one_face(boxes: Any, got: str, film: Any, embedder: SFace) -> None:
    """None or several leave open who is meant: the row fails, and the message says how many there are."""
    with pytest.raises(FaceError) as caught:
        _portrait(film, embedder, *boxes)
    assert (caught.value.code, caught.value.got) == ("portrait", got)


def test_a_few_faces_of_each_track_are_embedded_whatever_its_length(film: Any, embedder: SFace) -> None:
    """A long film costs no more than a few decoded frames a person and chunk; a short chunk has what it has."""
    assert _looked(film, embedder, Span(0, FRAMES))[1] == 12
    embeddings, count = _looked(film, embedder, Span(4, 6))
    assert count == 4
    assert sorted(embeddings.track) == [0, 1]


def test_chunks_embeddings_add_up_and_are_kept(film: Any, embedder: SFace, tmp_path: Path) -> None:
    """Two chunks joined are like the whole; a damaged record is a ValueError."""
    whole, _ = _looked(film, embedder, Span(0, FRAMES))
    parts = [_looked(film, embedder, span)[0] for span in (Span(0, 6), Span(6, FRAMES))]
    parts[0].save(tmp_path / "embeddings.npz")
    joined = FaceEmbeddings.joined([FaceEmbeddings.load(tmp_path / "embeddings.npz"), parts[1]])
    one, other = whole.of([0]), joined.of([0])
    assert one is not None
    assert other is not None
    assert float(one @ other) > 0.99
    (tmp_path / "embeddings.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"embeddings\.npz"):
        FaceEmbeddings.load(tmp_path / "embeddings.npz")
