"""Costs of GPU hours: a price list of the user's, and the range that follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lipwise_ray.errors import SettingsError
from lipwise_ray.settings.layers import in_words, read_toml

_SECONDS_AN_HOUR = 3600
Price = Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)]


class Machine(BaseModel):
    """A kind of machine and its prices an hour."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    gpus: Annotated[int, Field(ge=1, le=64)] = 1
    spot: Price
    on_demand: Price

    @model_validator(mode="after")
    def _spot_is_cheaper(self) -> Self:
        if self.spot > self.on_demand:
            raise ValueError("spot must not cost more than on_demand")
        return self


class Prices(BaseModel):
    """A price list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    currency: str
    as_of: str
    machine: Annotated[tuple[Machine, ...], Field(min_length=1)]

    def most(self, most_s: float) -> float:
        """Return the costs of so many GPU seconds on demand, on the list's first machine.

        Args:
            most_s: GPU seconds at worst.
        """
        first = self.machine[0]
        return most_s / _SECONDS_AN_HOUR * first.on_demand / first.gpus

    def lines(self, least_s: float, most_s: float) -> list[str]:
        """Return the costs of so many GPU seconds on each machine: at best on spot, at worst on demand.

        Args:
            least_s: GPU seconds at best.
            most_s: GPU seconds at worst.
        """
        return [
            f"{one.name}: {least_s / _SECONDS_AN_HOUR * one.spot / one.gpus:,.2f} to "
            f"{most_s / _SECONDS_AN_HOUR * one.on_demand / one.gpus:,.2f} {self.currency}"
            for one in self.machine
        ]


def read_prices(path: Path) -> Prices:
    """Read a price list.

    Raises:
        SettingsError: It is missing, not TOML, or a key is unknown or impossible.
    """
    try:
        return Prices.model_validate(read_toml(path, "prices"))
    except ValidationError as error:
        problems = [in_words(dict(item), ".".join(map(str, item["loc"]))) for item in error.errors()]
        raise SettingsError("bad_prices", str(path), got=f"not a price list: {'; '.join(problems)}") from error
