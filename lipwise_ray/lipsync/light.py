"""The role of whatever finds the light of new faces' surroundings and gives it to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

from lipwise_ray.lipsync.compose import light_shifts, relit
from lipwise_ray.media.planes import FaceImage, HostImage

if TYPE_CHECKING:
    from lipwise_ray.values import F32Array


@dataclass(frozen=True, slots=True)
class FacePair:
    """An original face and the new one in its place, both BGR in [0, 1], shape (S, S, 3).

    Attributes:
        old: The original one.
        new: The new one.
        mask: Opacity of the new one, shape (S, S).
    """

    old: FaceImage
    new: FaceImage
    mask: F32Array


class Lights(Protocol):
    """Matches the light of new faces, many in a call; what becomes of one does not depend, by a bit, on the others.

    All implementations follow the rule of `compose.light_shifts` and agree within a thousandth.

    Attributes:
        faces_a_call: Faces that are best given to it together.
    """

    faces_a_call: int

    def shifts(self, pairs: Sequence[FacePair]) -> Sequence[F32Array | None]:
        """Return the shift of colours for each new face, shape (3, 3); None where too little skin can be compared."""
        ...

    def relit(self, faces: Sequence[FaceImage], shifts: Sequence[F32Array]) -> Sequence[FaceImage]:
        """Return faces with shifts added.

        Args:
            faces: BGR in [0, 1], all of one size.
            shifts: One for each.
        """
        ...


class HostLights:
    """Works with numpy; faces under one mask are compared together."""

    faces_a_call = 4

    def shifts(self, pairs: Sequence[FacePair]) -> Sequence[F32Array | None]:
        """Return the shift of colours for each new face."""
        found: list[F32Array | None] = []
        for _, group in groupby(pairs, lambda one: id(one.mask)):  # most have the same
            alike = list(group)
            olds, news = [one.old.host() for one in alike], [one.new.host() for one in alike]
            found += light_shifts(olds, news, alike[0].mask)
        return found

    def relit(self, faces: Sequence[FaceImage], shifts: Sequence[F32Array]) -> Sequence[FaceImage]:
        """Return faces with shifts added."""
        return [HostImage(relit(face.host(), shift)) for face, shift in zip(faces, shifts, strict=True)]
