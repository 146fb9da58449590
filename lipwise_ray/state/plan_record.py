"""A plan's record, `plan.json`: what is not an array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from lipwise_ray.state.fitted_record import FittedRecord
from lipwise_ray.state.job_result import Counts
from lipwise_ray.state.shapes import STRICT, Maybe
from lipwise_ray.state.speaking_record import SpeakingRecord
from lipwise_ray.values import Json

_Ratio = Annotated[str, Field(pattern=r"^\d{1,18}(/[1-9]\d{0,17})?$")]
_Rate = Annotated[str, Field(pattern=r"^[1-9]\d{0,17}(/[1-9]\d{0,17})?$")]
_Ticks = Annotated[int, Field(ge=1, le=1 << 62)]
_Pair = Field(min_length=2, max_length=2)


@dataclass(frozen=True, slots=True)
class PartRecord:
    """All that one face says: see `plan.Part`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    tracks: list[int]
    sound_id: Annotated[str, Field(pattern=r"^[\w-]{1,100}$")]
    times_s: list[Annotated[list[_Ratio], _Pair]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRecord:
    """Fields of a plan that are no arrays: see `plan.Plan`.

    Attributes:
        job_id, identity: The job, for whoever looks into a state; nobody reads them.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    end_pts: _Ticks
    time_base: _Rate
    rate: _Rate
    parts: Annotated[list[PartRecord], Field(min_length=1, max_length=100)]
    chunks: Annotated[list[Annotated[list[int], _Pair]], Field(min_length=1)]
    audio_s: _Ratio
    counts: Counts
    speaking: Maybe[SpeakingRecord] = None
    fitted: Maybe[FittedRecord] = None
    job_id: Maybe[str] = None
    identity: Maybe[Json] = None
