"""From decoded frames to dubbed frames: crops, network, light, restorer, composite. A stream in bounded memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lipwise_ray.lipsync.align import aligned_to_shown, between, roll_degrees
from lipwise_ray.lipsync.background import Background, Stage, in_batches, timed
from lipwise_ray.lipsync.compose import MaskKind, light_shift, lower_face, paste_mask, relit
from lipwise_ray.lipsync.flicker import SIDE_PX as SMALL_PX
from lipwise_ray.lipsync.flicker import Flicker
from lipwise_ray.lipsync.restoration import Patch, Restoration
from lipwise_ray.lipsync.texture import Smoothness
from lipwise_ray.lipsync.windows import WINDOW_COLUMNS
from lipwise_ray.media.grain import Grain
from lipwise_ray.media.pixels import plane_array, sample_bytes
from lipwise_ray.media.region import (
    Canvas,
    Kernel,
    box_to_shown,
    noise_around,
    pixel_map,
    read_luma,
    read_region,
    write_region,
)
from lipwise_ray.values import F32Array, F64Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from lipwise_ray.lipsync.model import LipSync
    from lipwise_ray.lipsync.parsing import FaceParser
    from lipwise_ray.lipsync.restore import Restorer

LIGHT_RADIUS = 3
"""The light of a face is smoothed over so many frames before and after it, of the same track."""

_MOST_CHANGE, _PENDING_BATCHES = 0.12, 2
_WAITING_BYTES, _QUEUE_BYTES = 512 << 20, 64 << 20


@dataclass(frozen=True, slots=True)
class FaceTarget:
    """A face to dub in a frame, in pixels of the shown image.

    Attributes:
        track: Track whose face it is.
        crop_box: The network's crop: left, top, right, bottom.
        landmarks: Eyes, nose, mouth corners, shape (5, 2).
        mel: Mel window of what the face says, shape (80, 16).
        opacity: Of the new lips, above 0; below 1 they fade into the original ones.
    """

    track: int
    crop_box: F32Array
    landmarks: F32Array
    mel: F32Array
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class FrameJob:
    """One output frame before dubbing.

    Attributes:
        frame: A writable frame of the canvas.
        targets: The faces to dub; may be none.
        source: Number of the source frame; its grain goes by it.
        wanted: False for a neighbour of the chunk, which only tells how the light is there.
    """

    frame: VideoFrame
    targets: tuple[FaceTarget, ...]
    source: int = 0
    wanted: bool = True


@dataclass(frozen=True, slots=True)
class Blend:
    """Rules by which new faces are laid over the old ones.

    Attributes:
        mask: ``face`` follows the lower face, ``soft`` fades within the box, ``box`` overwrites it.
        feather: Share of the box over which the mask fades at its rim.
        kernel: Kernel by which faces are resampled on their way to the network and back.
        match_light: Give the new face the light and colour of its surroundings.
        linear_light: Mix luma as light adds up.
        grain: Give the new face the grain of its surroundings.
        align: Rotate the network's crop with a head that leans.
    """

    mask: MaskKind
    feather: float
    kernel: Kernel
    match_light: bool
    linear_light: bool
    grain: bool
    align: bool


@dataclass(slots=True)
class StageTimes:
    """Busy seconds a stage."""

    decode: Stage = field(default_factory=Stage)
    crop: Stage = field(default_factory=Stage)
    network: Stage = field(default_factory=Stage)
    restore: Stage = field(default_factory=Stage)
    composite: Stage = field(default_factory=Stage)
    upscale: Stage = field(default_factory=Stage)
    encode: Stage = field(default_factory=Stage)


@dataclass(slots=True)
class _Face:
    """A face under way: its crop, what the networks make of it, and how it is to be laid over the frame.

    ``outline`` is its mask with the things in front of it; ``restorer_input`` and ``restored`` are a restorer's input
    and output.
    """

    job: FrameJob
    target: FaceTarget
    to_shown: F64Array
    crop: F32Array
    mask: F32Array | None
    outline: F32Array | None
    new: F32Array
    shift: F32Array | None = None
    restorer_input: Patch | None = None
    restored: F32Array | None = None

    @property
    def small_to_shown(self) -> F64Array:
        """The map from the small image by which flicker is measured."""
        share = len(self.crop) / SMALL_PX
        return self.to_shown * np.array([share, share, 1])


@dataclass(frozen=True, slots=True)
class _Item:
    job: FrameJob
    faces: list[_Face]


class Renderer:
    """Dubs a stream of frames.

    Args:
        lipsync: The network; every call gets a full batch, the last one padded.
        canvas: Geometry and colours of the frames.
        blend: Rules by which new faces are laid over the old ones.
        quantize_8bit: Round crops to 256 levels, as the original implementation does.
        restorer: Makes the new faces sharper.
        strength: Share of the restored face, the rest is unrestored.
        parser: Keeps things in front of a face out of its mask.
    """

    def __init__(
        self,
        lipsync: LipSync,
        canvas: Canvas,
        blend: Blend,
        *,
        quantize_8bit: bool = False,
        restorer: Restorer | None = None,
        strength: float = 1.0,
        parser: FaceParser | None = None,
    ) -> None:
        self._lipsync = lipsync
        self._canvas = canvas
        self._blend = blend
        self._quantize_8bit = quantize_8bit
        self._parser = parser if blend.mask != "box" else None
        self._restoration = Restoration(restorer, canvas, blend.kernel, strength) if restorer else None
        self._rim = None if blend.mask == "box" else paste_mask(lipsync.size_px, blend.feather)
        self.times = StageTimes()
        self.flicker = Flicker()
        """Of the frames that were rendered."""
        self.smoothness = Smoothness()

    def render(self, jobs: Iterator[FrameJob]) -> Iterator[VideoFrame]:
        """Yield the dubbed frames that are wanted, in order.

        Its stages and the caller's encoding run side by side; at most a few batches of frames are in memory.
        """
        depth = min(self._lipsync.batch_faces, max(2, self._frames_in(_QUEUE_BYTES)))
        with Background(lambda: self._cropped(timed(jobs, self.times.decode)), depth) as cropped:
            restoration = self._restoration
            if restoration is None:
                with Background(lambda: self._composed(self._dubbed(iter(cropped))), depth) as composed:
                    yield from composed
                return
            # Less than a batch ahead, the network would wait for its next one.
            ahead = max(2, min(restoration.batch_faces, _QUEUE_BYTES // restoration.face_bytes))
            with (
                Background(
                    lambda: self._with_restorer_input(self._dubbed(iter(cropped)), restoration), ahead
                ) as inputs,
                Background(lambda: self._restored(iter(inputs), restoration), ahead) as restored,
                Background(lambda: self._composed(iter(restored)), 2) as composed,
            ):
                yield from composed

    def _frames_in(self, bytes_total: int) -> int:
        size, shape = self._canvas.size, self._canvas.format
        frame_bytes = size.width * size.height * (1 + 2 / (1 << (shape.shift_x + shape.shift_y)))
        return int(bytes_total / (frame_bytes * sample_bytes(shape.bits)))

    def _waiting(self, size: int) -> int:
        """Return the most frames that may wait for a batch: those without a face wait with the others."""
        return max(size, min(_PENDING_BATCHES * size, self._frames_in(_WAITING_BYTES)))

    # crop ------------------------------------------------------------------------------------------

    def _cropped(self, jobs: Iterator[FrameJob]) -> Iterator[_Item]:
        for job in jobs:
            begin = time.perf_counter()
            faces = [self._face(job, target) for target in job.targets]
            self.times.crop.add(time.perf_counter() - begin)
            yield _Item(job, faces)

    def _face(self, job: FrameJob, target: FaceTarget) -> _Face:
        side = self._lipsync.size_px
        aspect = self._canvas.aspect
        roll = roll_degrees(target.landmarks, aspect) if self._blend.align else 0.0
        to_shown = box_to_shown(target.crop_box, side, roll, aspect)
        crop = read_region(
            job.frame, self._canvas, to_shown, side, quantize_8bit=self._quantize_8bit, kernel=self._blend.kernel
        )
        self.smoothness.add(crop)
        mask = self._rim
        if mask is not None and self._blend.mask == "face":
            mask = mask * lower_face(target.landmarks, to_shown, side, aspect)
        return _Face(job, target, to_shown, crop, mask, mask, crop)

    # lips and light ----------------------------------------------------------------------------------

    def _dubbed(self, cropped: Iterator[_Item]) -> Iterator[_Item]:
        if self._parser is not None:
            cropped = self._cleared(cropped, self._parser)
        size = self._lipsync.batch_faces
        dubbed = in_batches(
            cropped, lambda item: item.faces, self._run_lips, size=size, most_waiting=self._waiting(size)
        )
        yield from self._relit(dubbed) if self._blend.match_light else self._wanted(dubbed)

    def _cleared(self, cropped: Iterator[_Item], parser: FaceParser) -> Iterator[_Item]:
        """Yield items whose faces' masks leave out what is in front of the faces."""
        size, side = parser.batch_faces, parser.size_px

        def run(batch: list[_Face]) -> None:
            begin = time.perf_counter()
            faces = np.zeros((size, side, side, 3), np.float32)
            places = [aligned_to_shown(face.target.landmarks, side, self._canvas.aspect) for face in batch]
            for number, (face, to_shown) in enumerate(zip(batch, places, strict=True)):
                faces[number] = read_region(face.job.frame, self._canvas, to_shown, side, kernel=self._blend.kernel)
            for face, to_shown, free in zip(batch, places, parser(faces), strict=False):
                map_to_mask = pixel_map(between(face.to_shown, to_shown))
                flags, edge = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
                warped = cv2.warpAffine(free, map_to_mask, face.crop.shape[1::-1], flags=flags, borderMode=edge)
                if face.mask is not None:
                    face.mask = face.mask * np.asarray(warped, np.float32)
            self.times.network.add(time.perf_counter() - begin)

        return in_batches(cropped, lambda item: item.faces, run, size=size, most_waiting=self._waiting(size))

    def _run_lips(self, batch: list[_Face]) -> None:
        begin = time.perf_counter()
        size, side = self._lipsync.batch_faces, self._lipsync.size_px
        crops = np.zeros((size, side, side, 3), np.float32)
        mels = np.zeros((size, batch[0].target.mel.shape[0], WINDOW_COLUMNS), np.float32)
        for place, face in enumerate(batch):
            crops[place], mels[place] = face.crop, face.target.mel
        for face, result in zip(batch, self._lipsync(crops, mels), strict=False):
            face.new = result
        self.times.network.add(time.perf_counter() - begin)

    @staticmethod
    def _wanted(items: Iterator[_Item]) -> Iterator[_Item]:
        return (item for item in items if item.job.wanted)

    def _relit(self, items: Iterator[_Item]) -> Iterator[_Item]:
        """Yield the wanted items with their faces' light matched, smoothed over the frames around each."""
        near: deque[_Item] = deque()
        ahead = 0  # how many items of `near` lie after the one that is next
        for item in items:
            begin = time.perf_counter()
            for face in item.faces:
                if face.mask is not None:
                    face.shift = light_shift(face.crop, face.new, face.mask)
            self.times.composite.add(time.perf_counter() - begin)
            near.append(item)
            ahead += 1
            if ahead > LIGHT_RADIUS:
                ahead -= 1
                yield from self._relit_one(near, len(near) - 1 - ahead)
                if len(near) > 2 * LIGHT_RADIUS:
                    near.popleft()
        for left in range(ahead, 0, -1):
            yield from self._relit_one(near, len(near) - left)

    def _relit_one(self, near: deque[_Item], place: int) -> Iterator[_Item]:
        item = near[place]
        if not item.job.wanted:
            return
        begin = time.perf_counter()
        for face in item.faces:
            total, weight = np.zeros((3, 3), np.float32), 0.0
            for distance in range(-LIGHT_RADIUS, LIGHT_RADIUS + 1):
                if not 0 <= place + distance < len(near):
                    continue
                for other in near[place + distance].faces:
                    if other.shift is not None and _goes_on(face, other):
                        share = LIGHT_RADIUS + 1 - abs(distance)
                        total += np.float32(share) * other.shift
                        weight += share
            if weight:
                face.new = relit(face.new, total / np.float32(weight))
        self.times.composite.add(time.perf_counter() - begin)
        yield item

    # restorer and composite -----------------------------------------------------------------------------

    def _with_restorer_input(self, items: Iterator[_Item], restoration: Restoration) -> Iterator[_Item]:
        for item in items:
            begin = time.perf_counter()
            for face in item.faces:
                new = Patch(face.new, face.mask, face.to_shown)
                face.restorer_input = restoration.input_patch(item.job.frame, new, face.target.landmarks)
            self.times.composite.add(time.perf_counter() - begin)
            yield item

    def _restored(self, items: Iterator[_Item], restoration: Restoration) -> Iterator[_Item]:
        def run(batch: list[_Face]) -> None:
            begin = time.perf_counter()
            patches = [face.restorer_input for face in batch if face.restorer_input is not None]
            for face, image in zip(batch, restoration(patches), strict=True):
                face.restored = image
            self.times.restore.add(time.perf_counter() - begin)

        size = restoration.batch_faces
        return in_batches(items, lambda item: item.faces, run, size=size, most_waiting=self._waiting(size))

    def _composed(self, items: Iterator[_Item]) -> Iterator[VideoFrame]:
        for number, item in enumerate(items):
            begin = time.perf_counter()
            frame, canvas = item.job.frame, self._canvas
            filmed = [read_luma(frame, canvas, face.small_to_shown, SMALL_PX) for face in item.faces]
            for face in item.faces:
                self._lay(item.job, face)
            for face, before in zip(item.faces, filmed, strict=True):
                images = np.stack([read_luma(frame, canvas, face.small_to_shown, SMALL_PX), before])
                self.flicker.add(face.target.track, number, item.job.source, images, face.mask)
            self.times.composite.add(time.perf_counter() - begin)
            yield item.job.frame

    def _lay(self, job: FrameJob, face: _Face) -> None:
        """Lay a new face over the old one, and the restored one over that."""
        planes = [plane_array(job.frame, plane) for plane in range(self._canvas.format.planes)]
        filmed = [plane.copy() for plane in planes] if face.target.opacity < 1 else []
        noise = None
        if self._blend.grain and face.outline is not None:
            noise = noise_around(job.frame, self._canvas, face.to_shown, face.outline)
        grain = Grain(job.source, noise) if noise is not None else None
        patches = [Patch(face.new, face.mask, face.to_shown)]
        if self._restoration is not None and face.restorer_input is not None and face.restored is not None:
            patches.append(self._restoration.output_patch(face.restorer_input, face.restored))
            face.restorer_input = face.restored = None
        for patch in patches:
            write_region(
                job.frame,
                self._canvas,
                patch.to_shown,
                patch.image,
                patch.mask,
                kernel=self._blend.kernel,
                linear_light=self._blend.linear_light,
                grain=grain,
            )
        for plane, old in zip(planes, filmed, strict=bool(filmed)):
            mixed = old + np.float32(face.target.opacity) * (plane.astype(np.float32) - old)
            plane[:] = np.rint(mixed).astype(plane.dtype)


def _goes_on(face: _Face, other: _Face) -> bool:
    """Tell whether two faces near each other in the output are one in the same light: no cut, no jump of the source."""
    return (
        face.target.track == other.target.track
        and abs(face.job.source - other.job.source) <= LIGHT_RADIUS
        and float(np.abs(face.crop - other.crop).mean()) < _MOST_CHANGE
    )
