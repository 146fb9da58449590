"""Frames and price of a generation, before it is made."""

from __future__ import annotations

import threading

from lipwise_ray.errors import RequestError
from lipwise_ray.pipeline.inputs.resolver import cache_of, media_of
from lipwise_ray.pipeline.manifest.row_table import Row
from lipwise_ray.runs.costs import Prices
from lipwise_ray.runs.estimate import Speeds, estimate_row
from lipwise_ray.runs.settings_source import SettingsSource
from lipwise_ray.service.sync_api.answers import EstimatedCost

_AT_ONCE = 4
"""An address may keep one waiting for a while, and a thread with it: so many of the threads that answer everything."""


class GenerationCosts:
    """Estimates by containers' headers, as `lipwise-ray plan` does; safe to call from several threads.

    Args:
        source: The service's settings.
        state: Its state, in which earlier jobs left their speeds.
        prices: What machines cost; None without, where nothing has a price.
    """

    def __init__(self, source: SettingsSource, state: str, prices: Prices | None = None) -> None:
        self._source = source
        self._state = state
        self._prices = prices
        self._room = threading.BoundedSemaphore(_AT_ONCE)
        self._lock = threading.Lock()

    def of(self, row: Row) -> EstimatedCost:
        """Return the frames of a row's output, and the price of the slowest likely way on the list's first machine.

        Raises:
            RequestError: Others are being made already.
            InputError: A file cannot be used, or an address may not be asked for.
            StorageError: A store refused.
        """
        if not self._room.acquire(blocking=False):
            got = "others are being made already, which wait for slow addresses"
            raise RequestError("rate_limited", "the estimate", got=got, do="Ask again in a while")
        try:
            return self._estimated(row)
        finally:
            self._room.release()

    def _estimated(self, row: Row) -> EstimatedCost:
        settings = self._source.for_row(row)
        with self._lock:  # an address is fetched once, whoever asks
            media = media_of(settings, cache_of(settings.paths))
            speeds = Speeds.measured(self._state)
            estimate = estimate_row(row, settings, speeds, media)
        price = 0.0
        if self._prices is not None:
            slowest_s = estimate.frames / speeds.slowest + estimate.scan_frames / speeds.scan
            price = self._prices.most(slowest_s)
        return EstimatedCost(estimated_frame_count=float(estimate.frames), estimated_generation_cost=round(price, 4))
