"""Frames and price of a generation, before it is made."""

from __future__ import annotations

from collections.abc import Callable

from lipwise_ray.pipeline.manifest.row_table import Row
from lipwise_ray.runs.costs import Prices
from lipwise_ray.runs.estimate import Speeds
from lipwise_ray.runs.settings_source import SettingsSource
from lipwise_ray.service.row_estimate import RowEstimate
from lipwise_ray.service.sync_api.answers import EstimatedCost
from lipwise_ray.settings.model import Settings


class GenerationCosts:
    """Estimates by containers' headers, as `lipwise-ray plan` does; safe to call from several threads.

    Args:
        source: The service's settings.
        state: Its state, in which earlier jobs left their speeds.
        estimate: Estimates a row; it reads files of strangers, and does so elsewhere.
        prices: What machines cost; None without, where nothing has a price.
    """

    def __init__(
        self,
        source: SettingsSource,
        state: str,
        estimate: Callable[[Row, Settings], RowEstimate],
        prices: Prices | None = None,
    ) -> None:
        self._source = source
        self._state = state
        self._estimate = estimate
        self._prices = prices

    def of(self, row: Row) -> EstimatedCost:
        """Return the frames of a row's output, and the price of the slowest likely way on the list's first machine.

        Raises:
            InputError: A file cannot be used, or an address may not be asked for.
            TransientError: Others are being made already, or a store refused.
        """
        estimate = self._estimate(row, self._source.for_row(row))
        speeds = Speeds.measured(self._state)
        price = 0.0
        if self._prices is not None:
            slowest_s = estimate.frames / speeds.slowest + estimate.scan_frames / speeds.scan
            price = self._prices.most(slowest_s)
        return EstimatedCost(estimated_frame_count=float(estimate.frames), estimated_generation_cost=round(price, 4))
