"""Estimating a row that a client asks about: its files are opened, and read to find their frames."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal

from pydantic import ConfigDict

from lipwise_ray.pipeline.manifest.row_table import Row
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.shapes import STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateWanted:
    """A row is to be estimated.

    Attributes:
        row: The row.
        settings: Its settings.
        limit_s: Bound on the time of it, in whole seconds.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    row: Row
    settings: Settings
    limit_s: int
    kind: Literal["estimate"] = "estimate"


@dataclass(frozen=True, slots=True)
class RowEstimate:
    """Estimated work of a row.

    Attributes:
        frames: Frames of the output.
        seconds: Length of the output.
        scan_frames: Frames of the source that faces are looked for in.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    frames: int
    seconds: float
    scan_frames: int
    kind: Literal["estimate"] = "estimate"


def estimate_wanted(wanted: EstimateWanted) -> RowEstimate:
    """Return the work of a row; what lies elsewhere is fetched, as its job would fetch it.

    Raises:
        InputError: A file cannot be used, or an address may not be asked for.
        StorageError: A store refused.
    """
    from lipwise_ray.pipeline.inputs.resolver import cache_of, media_of
    from lipwise_ray.runs.estimate import Speeds, estimate_row

    settings = wanted.settings
    media = media_of(settings, cache_of(settings.paths))
    found = estimate_row(wanted.row, settings, Speeds(), media)
    return RowEstimate(found.frames, float(found.frames / Fraction(found.rate)), found.scan_frames)
