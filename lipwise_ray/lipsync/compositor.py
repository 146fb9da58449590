"""The role of whatever works on images of restored faces: lays others over them, keeps colours, steadies detail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from lipwise_ray.lipsync.compose import with_colours_of
from lipwise_ray.lipsync.sharpness import luma_of
from lipwise_ray.lipsync.steadying import FineDetail, fine_detail, steadied
from lipwise_ray.media.planes import FaceImage, HostImage

if TYPE_CHECKING:
    from lipwise_ray.values import F32Array, F64Array


@dataclass(frozen=True, slots=True)
class ImageLayer:
    """An image to lay over another one.

    Attributes:
        image: BGR in [0, 1], shape (S, S, 3).
        to_image: Map from its pixel numbers to the other image's, shape (2, 3).
        opacity: In the other image, shape (R, R) in [0, 1].
    """

    image: FaceImage
    to_image: F64Array
    opacity: F32Array


class Compositor(Protocol):
    """Works on images of faces, many in a call, all of one size; what becomes of one does not depend on the others.

    All implementations agree within one level of 255.

    Attributes:
        faces_a_call: Faces that are best given to it together.
    """

    faces_a_call: int

    def laid_over(self, images: Sequence[FaceImage], layers: Sequence[ImageLayer]) -> Sequence[FaceImage]:
        """Return images with others laid over them.

        Args:
            images: BGR in [0, 1], shape (R, R, 3); nobody else refers to them, and they may be overwritten.
            layers: One for each.
        """
        ...

    def luma(self, images: Sequence[FaceImage]) -> Sequence[FaceImage]:
        """Return the luma of images of BGR in levels of 255, shape (R, R)."""
        ...

    def detail(self, lumas: Sequence[FaceImage], side_px: int) -> Sequence[FineDetail]:
        """Return the fine detail of restored faces, by the rule of `steadying.fine_detail`.

        Args:
            lumas: Of `luma`.
            side_px: Side of the result, at most the faces'.
        """
        ...

    def steadied(
        self, restored: Sequence[FaceImage], around: Sequence[Sequence[tuple[int, FineDetail]]], smooth: float
    ) -> Sequence[FaceImage]:
        """Return restored faces whose fine detail is averaged with that of the frames around; see `steadying.steadied`.

        Args:
            restored: BGR in [0, 1], shape (R, R, 3).
            around: For each the distances in frames, and detail there, from the first on; its own is among them.
            smooth: Weight of the frames around, from 0 to 1.
        """
        ...

    def with_colours_of(self, restored: Sequence[FaceImage], given: Sequence[FaceImage]) -> Sequence[FaceImage]:
        """Return restored faces with the coarse colours of others, by the rule of `compose.with_colours_of`.

        Args:
            restored: BGR in [0, 1], shape (R, R, 3).
            given: What the restorer was given, shape (S, S, 3), no larger.
        """
        ...


class HostCompositor:
    """Works with OpenCV, one face after the other."""

    faces_a_call = 1

    def laid_over(self, images: Sequence[FaceImage], layers: Sequence[ImageLayer]) -> Sequence[FaceImage]:
        """Return images with others laid over them."""
        made = [image.host() for image in images]
        for image, layer in zip(made, layers, strict=True):
            lay_over(image, layer.image.host(), layer.to_image, layer.opacity)
        return [HostImage(image) for image in made]  # one of a device has other pixels there

    def luma(self, images: Sequence[FaceImage]) -> Sequence[FaceImage]:
        """Return the luma of images."""
        return [HostImage(luma_of(image.host())) for image in images]

    def detail(self, lumas: Sequence[FaceImage], side_px: int) -> Sequence[FineDetail]:
        """Return the fine detail of restored faces."""
        return [fine_detail(luma.host(), side_px) for luma in lumas]

    def steadied(
        self, restored: Sequence[FaceImage], around: Sequence[Sequence[tuple[int, FineDetail]]], smooth: float
    ) -> Sequence[FaceImage]:
        """Return restored faces whose fine detail is averaged with that of the frames around."""
        return [
            HostImage(steadied(face.host(), details, smooth)) for face, details in zip(restored, around, strict=True)
        ]

    def with_colours_of(self, restored: Sequence[FaceImage], given: Sequence[FaceImage]) -> Sequence[FaceImage]:
        """Return restored faces with the coarse colours of others."""
        return [
            HostImage(with_colours_of(face.host(), enlarged(other.host(), len(face.host()))))
            for face, other in zip(restored, given, strict=True)
        ]


def enlarged(image: F32Array, side_px: int) -> F32Array:
    """Return a square image or mask at a side no smaller than its own."""
    if side_px == len(image):
        return image
    return np.asarray(cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_LINEAR), np.float32)


def opacity_in(opacity: F32Array, to_image: F64Array, side_px: int) -> F32Array:
    """Return an opacity as it lies in another image.

    Args:
        opacity: Shape (S, S).
        to_image: Map from its pixel numbers to the image's, shape (2, 3).
        side_px: Side of the image.
    """
    size = (side_px, side_px)
    return np.asarray(cv2.warpAffine(opacity, to_image, size, flags=cv2.INTER_LINEAR, borderValue=0), np.float32)


def lay_over(image: F32Array, new: F32Array, to_image: F64Array, opacity: F32Array) -> None:
    """Lay an image over another one, in place.

    Args:
        image: BGR in [0, 1], shape (R, R, 3).
        new: The same, shape (S, S, 3).
        to_image: Map from its pixel numbers to the image's, shape (2, 3).
        opacity: In the image, shape (R, R).
    """
    left, top, width, height = cv2.boundingRect((opacity > 0).astype(np.uint8))
    if width:
        inside = slice(top, top + height), slice(left, left + width)
        shifted = to_image - np.array([[0, 0, left], [0, 0, top]])
        flags, border = cv2.INTER_CUBIC, cv2.BORDER_REPLICATE
        fresh = cv2.warpAffine(new, shifted, (width, height), flags=flags, borderMode=border)
        image[inside] += opacity[inside][..., None] * (np.clip(fresh, 0, 1) - image[inside])
