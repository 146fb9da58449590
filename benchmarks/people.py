"""The right person on real footage: how many of the frames in which somebody is seen are theirs to dub.

    python -m benchmarks.people SHARED [--embedder FILE] [--film NAME ...]

Films are made of the clips in SHARED (real recordings and the published YuNet): a speaker behind jump cuts of several
widths, one who is hidden for a while and comes out elsewhere, two who cross. Printed are, for each film,
the frames in which the person is seen by a detector that looks at every frame, the share of them that the job would
dub, and the largest error of their boxes around the jump in shares of the face.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from lipwise_ray.faces.detections import CANDIDATE_SHARE, FaceDetector
from lipwise_ray.faces.embedders import load_embedder
from lipwise_ray.faces.select import parse_selection_rule, select_tracks
from lipwise_ray.faces.smoothing import smooth
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.faces.yunet import YuNet
from lipwise_ray.media.frames import make_recipe
from lipwise_ray.media.index import build_index
from lipwise_ray.media.probe import probe_video
from lipwise_ray.pipeline.analysis.face_detection import linked, scan
from lipwise_ray.pipeline.analysis.face_recognition import embed_whole, followed_people
from lipwise_ray.settings.model import Settings
from lipwise_ray.values import F32Array, Span, U8Array

RATE = Fraction(25)
HEIGHT, WIDTH = 480, 960
_AROUND = 8
_LEAST_IOU = 0.3

Images = Iterator[U8Array]


@dataclass(frozen=True, slots=True)
class Film:
    """A film that is made of clips.

    Attributes:
        name: What it shows.
        clips: Names of the clips that it is made of.
        make: Makes its frames, RGB of (480, 960, 3), of those of the clips.
        jump: The first frame behind a jump; None without one.
        rule: Whom to dub.
        speaker: Tells in which part of a frame that person is: left and right column by the frame's number.
    """

    name: str
    clips: tuple[str, ...]
    make: Callable[[Sequence[list[U8Array]]], Images]
    jump: int | None = None
    rule: str = "largest"
    speaker: Callable[[int], tuple[float, float]] = lambda _: (0.0, float(WIDTH))


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a film.

    Attributes:
        seen: Frames in which the person is seen.
        dubbed: Those of them in which the job would dub that person.
        wrong: Frames in which it would dub something else.
        error: Largest distance of a box's edge from where a look at the very frame has it, around the jump, in shares
            of the face's width; nan without a jump.
    """

    seen: int
    dubbed: int
    wrong: int
    error: float


def _backdrop(frame: U8Array) -> U8Array:
    image = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    image[:] = np.median(frame[:40, :40].reshape(-1, 3), axis=0).astype(np.uint8)
    return image


def jump_cut(step_px: int, *, hidden: int = 0) -> Callable[[Sequence[list[U8Array]]], Images]:
    """Return a film of a speaker who goes on elsewhere: backwards in time, so that only the place jumps.

    Args:
        step_px: By how much he moves to the right.
        hidden: So many frames before the jump show the backdrop alone.
    """

    def make(clips: Sequence[list[U8Array]]) -> Images:
        (frames,) = clips
        height, width = frames[0].shape[:2]
        for number, frame in enumerate([*frames, *frames[::-1]]):
            image = _backdrop(frame)
            left = 60 if number < len(frames) else 60 + step_px
            if not len(frames) - hidden <= number < len(frames):
                image[HEIGHT - height :, left : left + width] = frame
            yield image

    return make


def crossing(step_px: float) -> Callable[[Sequence[list[U8Array]]], Images]:
    """Return a film of two who walk past each other, the first clip's speaker in front."""

    def make(clips: Sequence[list[U8Array]]) -> Images:
        heads = [[frame[20:260, 90:250] for frame in frames] for frames in clips]
        for number in range(150):
            image = np.full((HEIGHT, WIDTH, 3), (90, 120, 150), np.uint8)
            for who in (1, 0):
                head = heads[who][min(number, 149 - number)]
                left = round(_walks(who, step_px, number))
                image[HEIGHT - head.shape[0] :, left : left + head.shape[1]] = head
            yield image

    return make


def _walks(who: int, step_px: float, number: int) -> float:
    return min(max(0.0, 80 + step_px * number if who == 0 else 720 - step_px * number), WIDTH - 160.0)


def _beside(left: float, front: float) -> tuple[float, float]:
    """Return the columns of somebody; negative ones while another is in front of them."""
    return (left, left + 160) if abs(left - front) > 100 else (-1.0, -1.0)


def _as_it_is(clips: Sequence[list[U8Array]]) -> Images:
    yield from clips[0]


def _mirrored(clips: Sequence[list[U8Array]]) -> Images:
    for frame in clips[0]:
        yield np.ascontiguousarray(frame[:, ::-1])


FILMS = (
    *(Film(f"jump cut of {step} px", ("grid_man.mpg",), jump_cut(step), 75) for step in (200, 110, 50, 30, 10)),
    Film("jump cut of 200 px, woman", ("grid_woman.mpg",), jump_cut(200), 75),
    Film("hidden for 0.6 s, then elsewhere", ("grid_man.mpg",), jump_cut(300, hidden=15)),
    Film(
        "two cross, front",
        ("grid_man.mpg", "grid_woman.mpg"),
        crossing(3.0),
        rule="left",
        speaker=lambda number: (_walks(0, 3.0, number), _walks(0, 3.0, number) + 160),
    ),
    Film(
        "two cross, behind",
        ("grid_man.mpg", "grid_woman.mpg"),
        crossing(3.0),
        rule="right",
        speaker=lambda number: _beside(_walks(1, 3.0, number), _walks(0, 3.0, number)),
    ),
    Film("phone_and_hand, left", ("phone_and_hand.mp4",), _as_it_is, rule="left", speaker=lambda _: (200.0, 400.0)),
    Film(
        "phone_and_hand in a mirror", ("phone_and_hand.mp4",), _mirrored, rule="right", speaker=lambda _: (200.0, 400.0)
    ),
    Film(
        "turns_away_and_back",
        ("turns_away_and_back.mp4",),
        _as_it_is,
        speaker=lambda number: (195.0 if number < 60 else 230.0, 960.0),  # the other man stands further left
    ),
)


def read(path: Path) -> list[U8Array]:
    """Return the frames of a clip, RGB of (height, width, 3)."""
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)]


def write(path: Path, images: Images) -> list[U8Array]:
    """Write a film, and return its frames."""
    kept: list[U8Array] = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "14"})
        for image in images:
            if not kept:
                stream.height, stream.width, stream.pix_fmt = *image.shape[:2], "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            kept.append(image)
        container.mux(stream.encode(None))
    return kept


def measure(film: Film, shared: Path, embedder: Path | None = None) -> Found:
    """Find the people of a film as a job does, and compare them with a look at every frame.

    Args:
        film: One of `FILMS`.
        shared: Folder with the clips and weights.
        embedder: A checkpoint that tells people apart; without one, places do.
    """
    settings = Settings()
    detector = YuNet(
        shared / "weights" / "face_detection_yunet_2023mar.onnx", min_score=CANDIDATE_SHARE * settings.detect.min_score
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        images = write(path, film.make([read(shared / "clips" / name) for name in film.clips]))
        info = probe_video(path)
        index = build_index(info)
        recipe = make_recipe(info, index.sizes)
        found = scan(
            info,
            index,
            recipe,
            Span(0, len(index)),
            detector,
            settings.detect,
            threads=1,
            salvage=False,
            on_frame=lambda: None,
        )
        raw = linked(found, recipe.canvas.shown_size, float(index.mean_rate), settings)
        tracks = smooth(raw, round(settings.faces.smooth_s * float(index.mean_rate) / 2))
        network = "mobilefacenet" if embedder and embedder.suffix == ".pth" else "sface"
        embeddings = embed_whole(info, index, recipe, tracks, load_embedder(network, embedder)) if embedder else None
    people = followed_people(tracks, settings.faces, embeddings)
    chosen = select_tracks(people, parse_selection_rule(film.rule), tracks)
    return _compared(film, images, tracks, chosen, detector)


def _compared(
    film: Film, images: list[U8Array], tracks: Tracks, chosen: Sequence[int], detector: FaceDetector
) -> Found:
    here = np.isin(tracks.track, chosen)
    boxes = {int(tracks.frame[row]): tracks.box[row] for row in np.flatnonzero(here)}
    seen = dubbed = 0
    wrong, errors = 0, [np.nan]
    for number, image in enumerate(images):
        small = _small(image)
        scale = image.shape[1] / small.shape[1]
        faces = detector.detect([small])[0].scaled(scale, scale)
        left, right = film.speaker(number)
        middle = (faces.box[:, 0] + faces.box[:, 2]) / 2
        sure = faces.box[(faces.score >= Settings().detect.min_score) & (middle >= left) & (middle <= right)]
        true = sure[np.argmax((sure[:, 2:] - sure[:, :2]).prod(axis=1))] if len(sure) else None
        mine = boxes.get(number)
        seen += true is not None
        if mine is None:
            continue
        middle_x = float(mine[0] + mine[2]) / 2
        wrong += left >= 0 and not left <= middle_x <= right
        if true is not None and _iou(mine, true) >= _LEAST_IOU:
            dubbed += 1
        if true is not None and film.jump is not None and abs(number - film.jump) <= _AROUND:
            errors.append(float(np.abs(mine - true).max() / (true[2] - true[0])))
    return Found(seen, dubbed, wrong, float(np.nanmax(errors)) if len(errors) > 1 else float("nan"))


def _small(image: U8Array) -> U8Array:
    """Return an image as the job's own search sees it, BGR."""
    scale = min(1.0, Settings().detect.size_px / max(image.shape[:2]))
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA)[..., ::-1], np.uint8)


def _iou(one: F32Array, other: F32Array) -> float:
    overlap = np.clip(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0, None).prod()
    return float(overlap / ((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - overlap))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("shared", type=Path, help="folder with clips/ and weights/")
    parser.add_argument("--embedder", type=Path, help="a checkpoint of sface (.onnx) or mobilefacenet (.pth)")
    parser.add_argument("--film", action="append", help="films to measure, by name; all unless given")
    told = parser.parse_args()
    print(f"{'film':34} {'seen':>5} {'dubbed':>7} {'share':>7} {'wrong':>6} {'box error':>9}")
    for film in FILMS:
        if told.film and film.name not in told.film:
            continue
        found = measure(film, told.shared, told.embedder)
        share = found.dubbed / max(1, found.seen)
        error = "" if math.isnan(found.error) else f"{found.error:.1%}"
        print(f"{film.name:34} {found.seen:5} {found.dubbed:7} {share:7.1%} {found.wrong:6} {error:>9}")


if __name__ == "__main__":
    main()
