"""The work of a renderer: a frame, the faces to dub in it, and how they are laid over the old ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lipwise_ray.lipsync.compose import MaskKind
from lipwise_ray.media.region import Kernel
from lipwise_ray.values import F32Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from lipwise_ray.media.frame_copies import FrameCopies


@dataclass(frozen=True, slots=True)
class FaceTarget:
    """A face to dub in a frame, in pixels of the shown image.

    Attributes:
        track: Track whose face it is.
        crop_box: The network's crop: left, top, right, bottom.
        landmarks: Eyes, nose, mouth corners, shape (5, 2).
        sound: Window of what the face says, of the shape that the network hears (`AudioFeature`).
        opacity: Of the new lips, above 0; below 1 they fade into the original ones.
    """

    track: int
    crop_box: F32Array
    landmarks: F32Array
    sound: F32Array
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class FrameJob:
    """One output frame before dubbing.

    Attributes:
        frame: A frame of the canvas.
        targets: The faces to dub; may be none.
        source: Number of the source frame; its grain goes by it.
        number: Number of the output frame in its video; by it faces are picked for measuring.
        outside: Frames between it and those that are to be shown, itself counted: 0 for one of them, else it only tells
            what faces are like around.
        fills_window: However far outside, it is of a window of frames that a network takes together.
        is_shared: Others refer to the frame, such as its decoder: it is copied before it is written to.
    """

    frame: VideoFrame
    targets: tuple[FaceTarget, ...]
    source: int = 0
    number: int = 0
    outside: int = 0
    fills_window: bool = False
    is_shared: bool = False

    def with_own_frame(self, copies: FrameCopies) -> FrameJob:
        """Return the work with a frame that nobody else refers to.

        Args:
            copies: Copies it where others do.
        """
        return replace(self, frame=copies(self.frame), is_shared=False) if self.is_shared else self


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
