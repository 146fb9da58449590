"""From new lips to a restored face: one warp in, the restorer, one warp out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lipwise_ray.lipsync.align import aligned_to_shown, at_size, between
from lipwise_ray.lipsync.compose import rim_mask, with_colours_of
from lipwise_ray.lipsync.restore import Restorer
from lipwise_ray.lipsync.sharpness import luma_of
from lipwise_ray.lipsync.steadying import (
    Sample,
    Strength,
    edges_of,
    fine_detail,
    matched_strength,
    radius_of,
    steadied,
)
from lipwise_ray.media.region import Canvas, Kernel, pixel_map, read_region, scale_of
from lipwise_ray.values import F32Array, F64Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_RIM = 0.04
_INSIDE = 2  # a mask's opacity at which only the restored face shows is the reciprocal


@dataclass(frozen=True, slots=True)
class PatchPlace:
    """The place in a frame of a square image, wherever the image itself is.

    Attributes:
        side_px: Side of the image.
        mask: Opacity of the new face in it, shape (side_px, side_px); None where it overwrites the frame.
        to_shown: Map from the image to the shown frame.
    """

    side_px: int
    mask: F32Array | None
    to_shown: F64Array


@dataclass(frozen=True, slots=True)
class Patch:
    """A square image with a place in a frame.

    Attributes:
        image: BGR in [0, 1], shape (S, S, 3).
        mask: Opacity of the new face in it, shape (S, S); None where it overwrites the frame.
        to_shown: Map from the image to the shown frame.
    """

    image: F32Array
    mask: F32Array | None
    to_shown: F64Array

    @property
    def opacity(self) -> F32Array:
        """The mask; ones where there is none."""
        return np.ones(self.image.shape[:2], np.float32) if self.mask is None else self.mask

    @property
    def place(self) -> PatchPlace:
        """The patch without its image."""
        return PatchPlace(len(self.image), self.mask, self.to_shown)


@dataclass(frozen=True, slots=True)
class RestorerInput(Patch):
    """A restorer's input.

    Attributes:
        filmed: Luma of the original face in levels of 255, as large as the restored one; None where nobody asks.
    """

    filmed: F32Array | None = None


class Restoration:
    """Restores new faces, in three steps that may run side by side: input patch, network, output patch.

    Args:
        restorer: The network; every call gets a full batch, the last one padded.
        canvas: Geometry and colours of the frames.
        kernel: Kernel by which images are resampled.
        strength: Share of the restored face, the rest is unrestored; ``auto`` goes by the original's sharpness.
        smooth: Weight of the frames around in its fine detail.
        min_face_px: Side that a new face must have in the frame; smaller ones stay unrestored.
    """

    def __init__(
        self,
        restorer: Restorer,
        canvas: Canvas,
        kernel: Kernel,
        strength: Strength,
        smooth: float = 0.0,
        min_face_px: float = 0.0,
    ) -> None:
        self._restorer = restorer
        self._canvas = canvas
        self._kernel: Kernel = kernel
        self._fixed, self._smooth = None if isinstance(strength, str) else strength, smooth
        self.radius = radius_of(strength, smooth)
        """Frames before and after a face that have a say in how it is restored; 0 where each is by itself."""
        self._rim = rim_mask(restorer.size_px, _RIM)
        self._min_face_px = min_face_px

    @property
    def batch_faces(self) -> int:
        """Faces a call of the network."""
        return self._restorer.batch_faces

    @property
    def face_bytes(self) -> int:
        """Bytes of a restored face."""
        return (self._restorer.size_px * self._restorer.scale) ** 2 * 3 * 4

    def is_seen(self, place: PatchPlace) -> bool:
        """Tell whether something of a restored face would be seen: its mask is not empty, and it is large enough."""
        is_large = place.side_px * scale_of(place.to_shown) >= self._min_face_px
        return is_large and (place.mask is None or bool(place.mask.any()))

    def input_patch(self, frame: VideoFrame, patch: Patch, landmarks: F32Array) -> RestorerInput:
        """Return the restorer's input: the new face with its surroundings in the frame.

        Args:
            frame: Its frame, in which the old face still is.
            patch: The new face.
            landmarks: Shape (5, 2).
        """
        to_shown = self._to_shown(patch, landmarks)
        image = read_region(frame, self._canvas, to_shown, self._restorer.size_px, kernel=self._kernel)
        filmed = self._filmed(frame, image, to_shown) if self._fixed is None else None
        return RestorerInput(image, laid_over(image, to_shown, patch), to_shown, filmed)

    def _filmed(self, frame: VideoFrame, image: F32Array, to_shown: F64Array) -> F32Array:
        """Return the luma of an original face at the size of restored ones, given it at that of their inputs."""
        scale = self._restorer.scale
        if scale > 1:
            side = scale * len(image)
            finer = at_size(to_shown, len(image), side)
            image = read_region(frame, self._canvas, finer, side, kernel=self._kernel)
        return luma_of(image)

    def __call__(self, inputs: Sequence[Patch]) -> list[F32Array]:
        """Return the restored images of a batch."""
        side = self._restorer.size_px
        batch = np.zeros((self.batch_faces, side, side, 3), np.float32)
        for number, patch in enumerate(inputs):
            batch[number] = patch.image
        restored = self._restorer(batch)[: len(inputs)]
        # A face's image goes as soon as it is laid over its frame: large ones must not hold the whole batch.
        return [face.copy() for face in restored] if self._restorer.scale > 1 else list(restored)

    def _to_shown(self, patch: Patch, landmarks: F32Array) -> F64Array:
        side = self._restorer.size_px
        if self._restorer.space == "aligned":
            return aligned_to_shown(landmarks, side, self._canvas.aspect)
        return at_size(patch.to_shown, len(patch.image), side)

    def sample(self, source: RestorerInput, restored: F32Array) -> Sample:
        """Return the sample of a restored face that the frames around are to know.

        Args:
            source: The restorer's input, of `input_patch`.
            restored: Its output.
        """
        luma, edges = luma_of(restored), None
        if source.filmed is not None:
            edges = edges_of(source.filmed, luma_of(source.image), luma, source.opacity, source.to_shown)
        return Sample(edges, fine_detail(luma, self._restorer.size_px) if self._smooth else None)

    def steadied(self, restored: F32Array, around: Sequence[tuple[int, Sample]]) -> tuple[F32Array, float]:
        """Return a restored face as it is to be shown, and its opacity.

        Args:
            restored: The restorer's output.
            around: Distance in frames, and sample there, of the same face; its own is among them.
        """
        details = [(distance, sample.detail) for distance, sample in around if sample.detail is not None]
        edges = [(distance, sample.edges) for distance, sample in around if sample.edges is not None]
        if details:
            restored = steadied(restored, details, self._smooth)
        if self._fixed is not None:
            return restored, self._fixed
        return restored, matched_strength(edges) if edges else 1.0

    def output_patch(self, source: Patch, restored: F32Array, share: float | None = None) -> Patch:
        """Return the patch that goes over a new face once it is in its frame.

        It goes over into the unrestored face inside the mask's edge.

        Args:
            source: The restorer's input, of `input_patch`.
            restored: Its output.
            share: Opacity of it, of `steadied`; None for the strength that was set.
        """
        opacity = np.float32(next(one for one in (share, self._fixed, 1.0) if one is not None))
        image, mask = source.image, opacity * self._rim * np.minimum(1, _INSIDE * source.opacity)
        side = len(restored)
        if side > len(image):
            image, mask = (
                np.asarray(cv2.resize(plane, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)
                for plane in (image, mask)
            )
        return Patch(with_colours_of(restored, image), mask, at_size(source.to_shown, self._restorer.size_px, side))


def laid_over(image: F32Array, to_shown: F64Array, patch: Patch) -> F32Array:
    """Lay a patch over another square image of the shown frame, in place; return its opacity there."""
    side = len(image)
    there = pixel_map(between(patch.to_shown, to_shown))
    mask = np.asarray(
        cv2.warpAffine(patch.opacity, there, (side, side), flags=cv2.INTER_LINEAR, borderValue=0), np.float32
    )
    left, top, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    if width:
        inside = slice(top, top + height), slice(left, left + width)
        shifted = there - np.array([[0, 0, left], [0, 0, top]])
        flags, border = cv2.INTER_CUBIC, cv2.BORDER_REPLICATE
        new = cv2.warpAffine(patch.image, shifted, (width, height), flags=flags, borderMode=border)
        image[inside] += mask[inside][..., None] * (np.clip(new, 0, 1) - image[inside])
    return mask
