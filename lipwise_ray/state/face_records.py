"""Records of the look of dubbed faces beside the original ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

from lipwise_ray.state.shapes import STRICT, Count, Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class FlickerMeans:
    """Mean flicker of the dubbed and the original faces, None where nothing was compared.

    Attributes:
        dubbed: Of the dubbed faces, in levels of 255.
        filmed: The same of the original faces at these places.
        faces: Number of faces that were compared.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    dubbed: Figure | None = None
    filmed: Figure | None = None
    faces: Count = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SharpnessMeans:
    """Mean sharpness of the dubbed mouths, None where no face could be measured; see `lipsync.sharpness`.

    Attributes:
        sharpness: Edges of the dubbed mouths over those of the original ones: 1 for as sharp, less for softer.
        texture: The same of their texture, which grain has too.
        dubbed, filmed: Edges of the dubbed and of the original mouths over those of the face around them.
        faces: Number of faces that were measured.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    sharpness: Figure | None = None
    texture: Figure | None = None
    dubbed: Figure | None = None
    filmed: Figure | None = None
    faces: Count = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OcclusionMeans:
    """Figures of what was in front of dubbed faces, None where no frame was dubbed.

    Attributes:
        by: Names of the networks that looked for it, or ``neighbours`` where frames were compared.
        frames: Share of the dubbed frames in which something was.
        mask: Mean share of a mask that was covered in those; 0 without any.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    by: tuple[str, ...] = ()
    frames: Figure | None = None
    mask: Figure | None = None
