"""Who is like a portrait."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwise_ray.errors import FaceError
from lipwise_ray.faces.detections import DetectedFaces
from lipwise_ray.faces.embeddings import FaceEmbeddings
from lipwise_ray.faces.sface import SFace
from lipwise_ray.media.frames import make_recipe
from lipwise_ray.media.index import build_index
from lipwise_ray.media.probe import probe_video
from lipwise_ray.pipeline.analysis.face_recognition import embed_portrait, embed_tracks, followed_people
from lipwise_ray.settings.model import DetectSettings, Settings
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
    assert right([1]) > 0.85
    assert left([0]) > 0.85
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
    """A long film costs no more than a few decoded frames a person; a chunk has those of them that lie in it."""
    assert _looked(film, embedder, Span(0, FRAMES))[1] == 12
    embeddings, count = _looked(film, embedder, Span(4, 6))
    assert count == 2
    assert sorted(embeddings.track) == [0, 1]


def test_chunks_embeddings_add_up_and_are_kept(film: Any, embedder: SFace, tmp_path: Path) -> None:
    """Two chunks joined are the whole; a damaged record is a ValueError."""
    whole = FaceEmbeddings.joined([_looked(film, embedder, Span(0, FRAMES))[0]])
    parts = [_looked(film, embedder, span)[0] for span in (Span(0, 6), Span(6, FRAMES))]
    parts[0].save(tmp_path / "embeddings.npz")
    joined = FaceEmbeddings.joined([FaceEmbeddings.load(tmp_path / "embeddings.npz"), parts[1]])
    assert (joined.track == whole.track).all()
    assert (joined.total == whole.total).all()
    (tmp_path / "embeddings.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"embeddings\.npz"):
        FaceEmbeddings.load(tmp_path / "embeddings.npz")


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("film") / "v.mkv"
    write_clip(path, ClipSpec(size=Size(160, 90), frames=700, codec="libx264"))
    info = probe_video(path)
    return info, build_index(info)


@pytest.mark.parametrize("length", [50, 333])
def test_who_is_who_does_not_depend_on_chunks(length: int, long_film: Any, embedder: SFace) -> None:
    """The same faces are embedded, to the last bit, so the same people are found, however long chunks are."""
    info, index = long_film
    boxes = {n: [(20.0, 20.0, 60.0, 70.0)] + ([(100.0, 20.0, 140.0, 70.0)] if n > 90 else []) for n in range(700)}
    tracks = link_boxes(make_detections(boxes, 700), [Span(0, 300), Span(300, 700)])

    def embedded(every: int) -> FaceEmbeddings:
        told = {"threads": 1, "salvage": False, "on_frame": lambda: None}
        spans = [Span(start, min(start + every, 700)) for start in range(0, 700, every)]
        recipe = make_recipe(info, index.sizes)
        return FaceEmbeddings.joined(
            [embed_tracks(info, index, recipe, span, tracks, embedder, **told) for span in spans]  # type: ignore[arg-type]  # by name
        )

    whole, parts = embedded(700), embedded(length)
    assert (parts.track == whole.track).all()
    assert (parts.total == whole.total).all()
    one, other = (followed_people(tracks, Settings().faces, found) for found in (whole, parts))
    assert one.shots == other.shots
