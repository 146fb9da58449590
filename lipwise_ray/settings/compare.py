"""The section `compare` of the settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lipwise_ray.settings.execution import Section

Fit = Literal["scale", "crop", "off"]


class CompareSettings(Section):
    """A finished video and its reference are paired by `evaluate`."""

    fit: Fit = "scale"
    """A video of another size than its reference's: ``scale`` brings it to the reference's size where both have one
    shape, ``crop`` compares it with the middle of a reference of another shape, ``off`` leaves figures of pixels
    out."""
    max_lag_s: Annotated[float, Field(ge=0, le=10)] = 2.0
    """By so much a video may be late or early: its lag is searched by what moves in both, and frames are paired by it;
    0 searches none."""
