"""Training the small face detector on scenes whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lipwise_ray.errors import InputError
from lipwise_ray.faces.detections import DetectedFaces
from lipwise_ray.faces.tiny import LONGER_SIDE_PX, decode, fit
from lipwise_ray.media.container import open_input
from lipwise_ray.nets.tiny_detector import STRIDE, TinyDetectorNetwork, cell_middles
from lipwise_ray.synth.truth import read_truth
from lipwise_ray.training.dataset import read_list
from lipwise_ray.training.settings import TrainSettings
from lipwise_ray.training.sheets import grid
from lipwise_ray.training.task import Arrays, NetworkTask, Team, ValidationResult, generator_of, to_network
from lipwise_ray.values import F32Array, U8Array

_EVERY = 5
_MOST_FACES = 4
_WIDTH, _HEIGHT = LONGER_SIDE_PX, 256
_MIN_SCORE, _IOU = 0.7, 0.5
_BOX_WEIGHT, _POINT_WEIGHT = 1.0, 0.5
_FOCUS, _NEAR = 2.0, 4.0
_MIRRORED = 0.5  # share of the samples
_SHEET = 6


class Scenes:
    """Every fifth frame of a corpus of scenes, at the size that the network searches.

    Attributes:
        images: BGR, shape (N, 256, 384, 3), uint8, padded.
        faces: Box and five landmarks a face, shape (N, 4, 14); NaN where there is none.
    """

    def __init__(self, root: Path, list_name: str) -> None:
        names = read_list(root / f"{list_name}.txt")
        images: list[U8Array] = []
        faces: list[F32Array] = []
        for name in names:
            for image, truth in _frames(root, name):
                small, scale = fit(image)
                canvas = np.full((_HEIGHT, _WIDTH, 3), 114, np.uint8)
                canvas[: small.shape[0], : small.shape[1]] = small
                row = np.full((_MOST_FACES, 14), np.nan, np.float32)
                for place, face in enumerate(truth[:_MOST_FACES]):
                    row[place] = scale * np.array([*face["box"], *np.ravel(face["landmarks"])])
                images.append(canvas)
                faces.append(row)
        if not images:
            raise InputError(
                "small_corpus", str(root / f"{list_name}.txt"), got="no scene has its truth beside it",
                do="Run `lipwise-ray synth corpus --kind scenes`",
            )  # fmt: skip
        self.images, self.faces = np.stack(images), np.stack(faces)


def _frames(root: Path, name: str) -> list[tuple[U8Array, list[Any]]]:
    video = root / f"{name}.mp4"
    truth = read_truth(video)
    if truth is None:
        return []
    rows = truth["frames"]
    with open_input(video) as container:
        return [
            (cast("U8Array", frame.to_ndarray(format="bgr24")), rows[number]["faces"])
            for number, frame in enumerate(container.decode(video=0))
            if number % _EVERY == 0
        ]


class DetectorTask(NetworkTask):
    """Find the middles of faces, and from there their boxes and landmarks."""

    def __init__(self, settings: TrainSettings, team: Team) -> None:
        super().__init__(settings, team, TinyDetectorNetwork())
        root = Path(settings.data)
        self._train, self._val = Scenes(root, "train"), Scenes(root, "val")

    def batch(self, step: int) -> Arrays:
        """Return images and faces, mirrored, moved, scaled and relit."""
        rng = generator_of(self._settings, step)
        count = self._settings.batch * self._team.size
        chosen = rng.integers(len(self._train.images), size=count)
        seeds = rng.integers(1 << 31, size=count)
        part = self._team.share(count)
        pairs = [
            _varied(self._train.images[n], self._train.faces[n], np.random.default_rng(int(seed)))
            for n, seed in zip(chosen[part], seeds[part], strict=True)
        ]
        return {"images": np.stack([p for p, _ in pairs]), "faces": np.stack([f for _, f in pairs])}

    def train(self, batch: Mapping[str, Tensor], step: int) -> dict[str, float | Tensor]:
        """Do one step."""
        images = to_network(batch["images"]).contiguous(memory_format=torch.channels_last)
        with self._stepper.autocast():
            out = self._joined(images)
        score, box, points = _losses(out.float(), batch["faces"])
        loss = score + _BOX_WEIGHT * box + _POINT_WEIGHT * points
        self._stepper.step(loss, step)
        return {"loss": loss.detach(), "score": score.detach(), "box": box.detach(), "landmarks": points.detach()}

    @torch.no_grad()
    def evaluate(self) -> ValidationResult:
        """Return recall at IoU 0.5, false alarms a frame, and the landmarks' error."""
        self.network.eval()
        detections: list[DetectedFaces] = []
        for start in range(0, len(self._val.images), 16):
            images = torch.from_numpy(self._val.images[start : start + 16]).to(self._team.device)
            detections += [decode(output, _MIN_SCORE) for output in self.network(to_network(images)).float()]
        self.train_mode()
        metrics = measure(detections, self._val.faces)
        score = (1 - metrics["recall"]) + metrics["false_alarms"] + metrics["landmark_error"]
        chosen = np.linspace(0, len(detections) - 1, _SHEET).astype(int)
        sheet = [[_marked(self._val.images[n], detections[n])] for n in chosen]
        return ValidationResult(metrics, score, grid(sheet, ["found"] * len(sheet)))


def measure(detections: list[DetectedFaces], truth: F32Array) -> dict[str, float]:
    """Compare what was found with the truth.

    Args:
        detections: Faces of N images.
        truth: Shape (N, 4, 14), NaN where there is none.

    Returns:
        ``recall`` at IoU 0.5; ``false_alarms``: share of the images with a face that is none;
        ``landmark_error``: mean distance over the face's width.
    """
    hits = total = alarms = 0
    errors: list[float] = []
    for faces, rows in zip(detections, truth, strict=True):
        real = rows[~np.isnan(rows[:, 0])]
        total += len(real)
        taken: set[int] = set()
        for row in real:
            overlaps = [_iou(box, row[:4]) if n not in taken else 0.0 for n, box in enumerate(faces.box)]
            if overlaps and max(overlaps) >= _IOU:
                best = int(np.argmax(overlaps))
                taken.add(best)
                hits += 1
                apart = np.linalg.norm(faces.landmarks[best] - row[4:].reshape(5, 2), axis=1)
                errors.append(float(apart.mean() / (row[2] - row[0])))
        alarms += len(taken) < len(faces.box)
    return {
        "recall": hits / max(1, total),
        "false_alarms": alarms / max(1, len(detections)),
        "landmark_error": float(np.mean(errors)) if errors else 1.0,
    }


def _iou(first: F32Array, second: F32Array) -> float:
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    overlap = float(np.prod(np.maximum(high - low, 0)))
    areas = float(np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2]))
    return overlap / max(1e-9, areas - overlap)


def _losses(out: Tensor, faces: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the losses of score, box and landmarks.

    The score's is the focal loss of CenterNet: cells near a middle count as less wrong.
    """
    rows, columns = out.shape[2:]
    cells = cell_middles(rows, columns).to(out.device)
    has_face = ~faces[:, :, 0].isnan()
    clean = torch.nan_to_num(faces) / STRIDE
    middle = (clean[..., 0:2] + clean[..., 2:4]) / 2
    side = (clean[..., 2:4] - clean[..., 0:2]).mean(-1).clamp(min=1e-3)
    apart = cells[None, None] - middle[..., None, None]
    sigma = (0.12 * side).clamp(min=0.5)[..., None, None]
    heat = torch.exp(-apart.square().sum(2) / (2 * sigma.square())) * has_face[..., None, None]
    heat = heat.amax(1)
    peak = _peaks(middle, has_face, rows, columns)
    logit = out[:, 0]
    chance = logit.sigmoid()
    hit = -(functional.logsigmoid(logit) * (1 - chance) ** _FOCUS)[peak]
    miss = -(functional.logsigmoid(-logit) * chance**_FOCUS * (1 - heat) ** _NEAR)[~peak]
    count = has_face.sum().clamp(min=1)
    score = (hit.sum() + miss.sum()) / count
    image, face = has_face.nonzero(as_tuple=True)
    if not len(image):
        return score, out.sum() * 0, out.sum() * 0
    # The cells around a middle learn the geometry too: the best-scored one may be a neighbour.
    box_losses, point_losses = list[Tensor](), list[Tensor]()
    for dx, dy in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)):
        at = middle[image, face] + torch.tensor([dx, dy], device=out.device)
        x = at[:, 0].long().clamp(0, columns - 1)
        y = at[:, 1].long().clamp(0, rows - 1)
        here = cells[:, y, x].T
        values = out[image, 1:, y, x]
        scale = side[image, face][:, None]
        target = clean[image, face]
        wanted_box = torch.cat((here - target[:, 0:2], target[:, 2:4] - here), 1)
        wanted_points = target[:, 4:] - here.repeat(1, 5)
        box_losses.append(functional.smooth_l1_loss(values[:, :4] / scale, wanted_box / scale, beta=0.02))
        point_losses.append(functional.smooth_l1_loss(values[:, 4:] / scale, wanted_points / scale, beta=0.02))
    return score, torch.stack(box_losses).mean() * 10, torch.stack(point_losses).mean() * 10


def _peaks(middle: Tensor, there: Tensor, rows: int, columns: int) -> Tensor:
    peak = torch.zeros((len(middle), rows, columns), dtype=torch.bool, device=middle.device)
    image, face = there.nonzero(as_tuple=True)
    x = middle[image, face, 0].long().clamp(0, columns - 1)
    y = middle[image, face, 1].long().clamp(0, rows - 1)
    peak[image, y, x] = True
    return peak


def _varied(image: U8Array, faces: F32Array, rng: np.random.Generator) -> tuple[U8Array, F32Array]:
    """Return the image mirrored, scaled, moved and relit by chance, and the faces likewise."""
    points = faces.reshape(_MOST_FACES, 7, 2).copy()
    mirror = rng.random() < _MIRRORED
    scale = float(np.exp(rng.uniform(-0.35, 0.35)))
    shift = rng.uniform(-0.12, 0.12, 2) * (_WIDTH, _HEIGHT)
    flip = -1.0 if mirror else 1.0
    matrix = np.array([[flip * scale, 0, (_WIDTH if mirror else 0) * scale + shift[0]], [0, scale, shift[1]]])
    moved = cv2.warpAffine(
        image, matrix, (_WIDTH, _HEIGHT), borderMode=cv2.BORDER_CONSTANT, borderValue=(114, 114, 114)
    )
    points = points * (flip * scale, scale) + matrix[:, 2]
    if mirror:
        points[:, [0, 1], 0] = points[:, [1, 0], 0]  # left and right of the box
        points[:, 2:] = points[:, [3, 2, 4, 6, 5]]
    row = points.reshape(_MOST_FACES, 14).astype(np.float32)
    middle = (row[:, 0:2] + row[:, 2:4]) / 2
    outside = (middle < 0).any(1) | (middle[:, 0] >= _WIDTH) | (middle[:, 1] >= _HEIGHT)
    row[outside] = np.nan
    light = rng.uniform(0.7, 1.3, (1, 1, 3)) * rng.uniform(0.8, 1.2)
    return np.clip(moved.astype(np.float32) * light + rng.uniform(-15, 15), 0, 255).astype(np.uint8), row


def _marked(image: U8Array, faces: DetectedFaces) -> U8Array:
    out = image.copy()
    for box, points in zip(faces.box, faces.landmarks, strict=True):
        x0, y0, x1, y1 = (round(float(value)) for value in box)
        cv2.rectangle(out, (x0, y0), (x1, y1), (0, 220, 0), 1)
        for x, y in points:
            cv2.circle(out, (round(float(x)), round(float(y))), 2, (0, 0, 255), -1)
    return out
