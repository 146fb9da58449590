"""From new lips to a restored face: one warp in, the restorer, one warp out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.lipsync.align import aligned_to_shown, at_size, between
from lipwise_ray.lipsync.compose import rim_mask
from lipwise_ray.lipsync.compositor import ImageLayer, enlarged, lay_over, opacity_in
from lipwise_ray.lipsync.restore import restored_faces
from lipwise_ray.lipsync.steadying import Edges, Sample, Strength, edges_of, matched_strength, radius_of
from lipwise_ray.media.planes import FaceImage, View
from lipwise_ray.media.region import Canvas, Kernel, pixel_map, scale_of
from lipwise_ray.values import F32Array, F64Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from lipwise_ray.lipsync.compositor import Compositor
    from lipwise_ray.lipsync.restore import Restorer
    from lipwise_ray.media.planes import Planes

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

    @property
    def opacity(self) -> F32Array:
        """The mask; ones where there is none."""
        return np.ones((self.side_px, self.side_px), np.float32) if self.mask is None else self.mask


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
    def place(self) -> PatchPlace:
        """The patch without its image."""
        return PatchPlace(len(self.image), self.mask, self.to_shown)


@dataclass(frozen=True, slots=True)
class NewFace:
    """A new face that is to be restored.

    Attributes:
        frame: Its frame, in which the old face still is.
        landmarks: Of the old face, shape (5, 2).
        image: BGR in [0, 1], shape (S, S, 3).
        place: Its place in the frame.
    """

    frame: VideoFrame
    landmarks: F32Array
    image: FaceImage
    place: PatchPlace


@dataclass(frozen=True, slots=True)
class RestorerInput:
    """A restorer's input: a new face with its surroundings in the frame.

    Attributes:
        image: BGR in [0, 1], shape (S, S, 3).
        opacity: Of the new face in it, shape (S, S).
        to_shown: Map from the image to the shown frame.
        filmed: Luma of the original face in levels of 255, as large as the restored one; None where nobody asks.
    """

    image: FaceImage
    opacity: F32Array
    to_shown: F64Array
    filmed: FaceImage | None = None


@dataclass(frozen=True, slots=True)
class RestoredFace:
    """A restorer's input and output.

    Attributes:
        source: The input, of `Restoration.inputs`.
        image: The output, BGR in [0, 1], shape (R, R, 3).
        share: Opacity of it, of `Restoration.steadied`; None for the strength that was set.
    """

    source: RestorerInput
    image: FaceImage
    share: float | None = None


class Restoration:
    """Restores new faces, in steps that may run side by side: inputs, network, samples and steadying, outputs.

    Args:
        restorer: The network; every call gets a full batch, the last one padded.
        canvas: Geometry and colours of the frames.
        kernel: Kernel by which images are resampled.
        strength: Share of the restored face, the rest is unrestored; ``auto`` goes by the original's sharpness.
        smooth: Weight of the frames around in its fine detail.
        min_face_px: Side that a new face must have in the frame; smaller ones stay unrestored.
        planes: Reads faces from frames.
        compositor: Works on their images.
    """

    def __init__(
        self,
        restorer: Restorer,
        canvas: Canvas,
        kernel: Kernel,
        strength: Strength,
        smooth: float,
        min_face_px: float,
        *,
        planes: Planes,
        compositor: Compositor,
    ) -> None:
        self._restorer = restorer
        self._canvas = canvas
        self._kernel: Kernel = kernel
        self._fixed, self._smooth = None if isinstance(strength, str) else strength, smooth
        self.radius = radius_of(strength, smooth)
        """Frames before and after a face that have a say in how it is restored; 0 where each is by itself."""
        self._rim = rim_mask(restorer.size_px, _RIM)
        self._min_face_px = min_face_px
        self._planes = planes
        self._compositor = compositor

    @property
    def batch_faces(self) -> int:
        """Faces a call of the network."""
        return self._restorer.batch_faces

    @property
    def faces_a_call(self) -> int:
        """Faces that the other steps are best given together."""
        return self._compositor.faces_a_call

    @property
    def face_bytes(self) -> int:
        """Bytes of a restored face."""
        return (self._restorer.size_px * self._restorer.scale) ** 2 * 3 * 4

    def is_seen(self, place: PatchPlace) -> bool:
        """Tell whether something of a restored face would be seen: its mask is not empty, and it is large enough."""
        is_large = place.side_px * scale_of(place.to_shown) >= self._min_face_px
        return is_large and (place.mask is None or bool(place.mask.any()))

    def inputs(self, faces: Sequence[NewFace]) -> list[RestorerInput]:
        """Return the restorer's inputs: new faces with their surroundings in their frames."""
        side = self._restorer.size_px
        views = [View(face.frame, self._to_shown(face)) for face in faces]
        images = self._planes.read(self._canvas, views, side, kernel=self._kernel)
        filmed = self._filmed(views, images) if self._fixed is None else [None] * len(faces)
        maps = [pixel_map(between(face.place.to_shown, view.to_shown)) for face, view in zip(faces, views, strict=True)]
        masks = [opacity_in(face.place.opacity, there, side) for face, there in zip(faces, maps, strict=True)]
        layers = [ImageLayer(face.image, there, mask) for face, there, mask in zip(faces, maps, masks, strict=True)]
        laid = self._compositor.laid_over(images, layers)
        return [
            RestorerInput(image, mask, view.to_shown, luma)
            for image, mask, view, luma in zip(laid, masks, views, filmed, strict=True)
        ]

    def _filmed(self, views: Sequence[View], images: Sequence[FaceImage]) -> Sequence[FaceImage]:
        """Return the luma of original faces at the size of restored ones, given them at that of their inputs."""
        size_px, scale = self._restorer.size_px, self._restorer.scale
        if scale > 1:
            side = scale * size_px
            finer = [View(view.frame, at_size(view.to_shown, size_px, side)) for view in views]
            images = self._planes.read(self._canvas, finer, side, kernel=self._kernel)
        return self._compositor.luma(images)

    def _to_shown(self, face: NewFace) -> F64Array:
        side = self._restorer.size_px
        if self._restorer.space == "aligned":
            return aligned_to_shown(face.landmarks, side, self._canvas.aspect)
        return at_size(face.place.to_shown, face.place.side_px, side)

    def __call__(self, inputs: Sequence[RestorerInput]) -> Sequence[FaceImage]:
        """Return the restored images of a batch."""
        return restored_faces(self._restorer, [one.image for one in inputs])

    def samples(self, faces: Sequence[RestoredFace]) -> list[Sample]:
        """Return the samples of restored faces that the frames around are to know."""
        lumas, edges = self._compositor.luma([face.image for face in faces]), [None] * len(faces)
        details = self._compositor.detail(lumas, self._restorer.size_px) if self._smooth else [None] * len(faces)
        if self._fixed is None:
            edges = self._edges(faces, lumas)
        return [Sample(*both) for both in zip(edges, details, strict=True)]

    def _edges(self, faces: Sequence[RestoredFace], lumas: Sequence[FaceImage]) -> list[Edges | None]:
        unrestored = self._compositor.luma([face.source.image for face in faces])
        return [
            edges_of(source.filmed.host(), new.host(), luma.host(), source.opacity, source.to_shown)
            if (source := face.source).filmed is not None
            else None
            for face, new, luma in zip(faces, unrestored, lumas, strict=True)
        ]

    def steadied(
        self, faces: Sequence[RestoredFace], around: Sequence[Sequence[tuple[int, Sample]]]
    ) -> list[RestoredFace]:
        """Return restored faces as they are to be shown.

        Args:
            faces: The restored faces.
            around: For each the distances in frames, and samples there, of the same face; its own is among them.
        """
        images = [face.image for face in faces]
        if self._smooth:
            details = [
                [(distance, sample.detail) for distance, sample in near if sample.detail is not None] for near in around
            ]
            images = self._compositor.steadied(images, details, self._smooth)
        shares = [self._share(near) for near in around]
        return [
            RestoredFace(face.source, image, share) for face, image, share in zip(faces, images, shares, strict=True)
        ]

    def _share(self, around: Sequence[tuple[int, Sample]]) -> float:
        if self._fixed is not None:
            return self._fixed
        edges = [(distance, sample.edges) for distance, sample in around if sample.edges is not None]
        return matched_strength(edges) if edges else 1.0

    def outputs(self, faces: Sequence[RestoredFace]) -> list[tuple[FaceImage, PatchPlace]]:
        """Return the images that go over new faces once these are in their frames, and their places.

        They go over into the unrestored faces inside the masks' edges.
        """
        side = self._restorer.size_px
        large = side * self._restorer.scale
        images = self._compositor.with_colours_of([face.image for face in faces], [face.source.image for face in faces])
        places: list[PatchPlace] = []
        for face in faces:
            opacity = np.float32(next(one for one in (face.share, self._fixed, 1.0) if one is not None))
            mask = opacity * self._rim * np.minimum(1, _INSIDE * face.source.opacity)
            places.append(PatchPlace(large, enlarged(mask, large), at_size(face.source.to_shown, side, large)))
        return list(zip(images, places, strict=True))


def laid_over(image: F32Array, to_shown: F64Array, patch: Patch) -> None:
    """Lay a patch over another square image of the shown frame, in place."""
    there = pixel_map(between(patch.to_shown, to_shown))
    lay_over(image, patch.image, there, opacity_in(patch.place.opacity, there, len(image)))
