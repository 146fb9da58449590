"""The role of whatever reads regions of frames as small images and lays small images over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from lipwise_ray.media.overlay import RegionLayer, noise_around, write_regions
from lipwise_ray.media.region import read_lumas, read_regions

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from lipwise_ray.media.grain import Grain
    from lipwise_ray.media.region import Canvas, Kernel
    from lipwise_ray.values import F32Array, F64Array


class FaceImage(Protocol):
    """A small image that may still be under way, or on another device."""

    def host(self) -> F32Array:
        """Return it in this machine's memory, waiting for it if need be; nobody may write to it."""
        ...


@dataclass(frozen=True, slots=True)
class HostImage:
    """An image that is in this machine's memory."""

    image: F32Array

    def host(self) -> F32Array:
        """Return the image itself."""
        return self.image


@dataclass(frozen=True, slots=True)
class View:
    """A region of a frame.

    Attributes:
        frame: A planar YUV frame of the canvas's format.
        to_shown: Affine map from a square image to the shown frame, shape (2, 3).
    """

    frame: VideoFrame
    to_shown: F64Array


@dataclass(frozen=True, slots=True)
class FaceLayer:
    """An image to lay over a region of a frame.

    Attributes:
        view: The region; nobody else refers to its frame.
        image: BGR in [0, 1], shape (S, S, 3).
        weight: Opacity in [0, 1], shape (S, S); None overwrites the whole region.
        grain: Grain that the new luma is to have.
    """

    view: View
    image: FaceImage
    weight: F32Array | None
    grain: Grain | None


class Planes(Protocol):
    """Reads regions of frames and lays images over them, many in a call.

    What becomes of one does not depend, by a bit, on the others that come in the same call. Nothing outside a region
    is written. All implementations agree within one level of the frame's samples.

    Attributes:
        faces_a_call: Regions that are best given to it together.
    """

    faces_a_call: int

    def read(
        self,
        canvas: Canvas,
        views: Sequence[View],
        size_px: int,
        *,
        quantize_8bit: bool = False,
        kernel: Kernel = "cubic",
    ) -> Sequence[FaceImage]:
        """Return regions as small images: BGR in [0, 1], shape (size_px, size_px, 3), float32.

        Args:
            canvas: The video's geometry and colours.
            views: The regions. Past the frame's edge the edge repeats.
            size_px: Side of the images.
            quantize_8bit: Round to 256 levels, as a network fed with 8-bit images has seen in training.
            kernel: Kernel by which planes are resampled.
        """
        ...

    def read_luma(self, canvas: Canvas, views: Sequence[View], size_px: int) -> Sequence[FaceImage]:
        """Return the luma of regions in levels of 255, shape (size_px, size_px); the arguments are `read`'s."""
        ...

    def noise_around(
        self, canvas: Canvas, views: Sequence[View], weights: Sequence[F32Array]
    ) -> Sequence[float | None]:
        """Return the deviation of the fine noise of luma where each mask fades out, None where that is too small.

        Args:
            canvas: The video's geometry and colours.
            views: The regions.
            weights: Opacity in [0, 1] for each, shape (S, S).
        """
        ...

    def write(
        self, canvas: Canvas, layers: Sequence[FaceLayer], *, kernel: Kernel = "cubic", linear_light: bool = False
    ) -> None:
        """Blend images into their frames, in place; of one frame in the order in which they come.

        Args:
            canvas: The videos' geometry and colours.
            layers: The images. Opacities are always resampled linearly.
            kernel: Kernel by which images are resampled.
            linear_light: Mix luma as light adds up, not as it is stored.
        """
        ...


class HostPlanes:
    """Works with OpenCV, one region after the other.

    A few come in a call all the same: threads take turns less often then.
    """

    faces_a_call = 4

    def read(
        self,
        canvas: Canvas,
        views: Sequence[View],
        size_px: int,
        *,
        quantize_8bit: bool = False,
        kernel: Kernel = "cubic",
    ) -> Sequence[FaceImage]:
        """Return regions as small images."""
        frames, maps = [one.frame for one in views], [one.to_shown for one in views]
        crops = read_regions(frames, canvas, maps, size_px, quantize_8bit=quantize_8bit, kernel=kernel)
        return list(map(HostImage, crops))

    def read_luma(self, canvas: Canvas, views: Sequence[View], size_px: int) -> Sequence[FaceImage]:
        """Return the luma of regions."""
        frames, maps = [one.frame for one in views], [one.to_shown for one in views]
        return list(map(HostImage, read_lumas(frames, canvas, maps, size_px)))

    def noise_around(
        self, canvas: Canvas, views: Sequence[View], weights: Sequence[F32Array]
    ) -> Sequence[float | None]:
        """Return the deviation of the fine noise where each mask fades out."""
        return [
            noise_around(one.frame, canvas, one.to_shown, weight) for one, weight in zip(views, weights, strict=True)
        ]

    def write(
        self, canvas: Canvas, layers: Sequence[FaceLayer], *, kernel: Kernel = "cubic", linear_light: bool = False
    ) -> None:
        """Blend images into their frames."""
        regions = [
            RegionLayer(one.view.frame, one.view.to_shown, one.image.host(), one.weight, one.grain) for one in layers
        ]
        write_regions(canvas, regions, kernel=kernel, linear_light=linear_light)
