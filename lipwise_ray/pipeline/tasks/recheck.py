"""Finding out which of many rows that were done before are unchanged: inputs and outputs, a look at each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from lipwise_ray.errors import LipwiseError
from lipwise_ray.pipeline.delivery.outputs import output_at
from lipwise_ray.pipeline.flows.task_kinds import RECHECK, KnownRow, RecheckPayload, RecheckResult
from lipwise_ray.pipeline.inputs.stamps import stamp
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.pipeline.tasks.handlers import handles
from lipwise_ray.scheduler.task import Hints

_HANDS = 16
_FEW, _QUICK_S = 8, 0.0005


@handles(RECHECK)
def recheck(context: TaskContext, payload: RecheckPayload, hints: Hints) -> RecheckResult:
    """Return the numbers of the rows of a batch of which something is not what it was."""
    del hints  # there is nothing to be left
    return RecheckResult(changed=changed_rows(context, payload.rows, time.monotonic))


def changed_rows(context: TaskContext, rows: Sequence[KnownRow], clock_s: Callable[[], float]) -> tuple[int, ...]:
    """Return the numbers of rows of which something is not what it was, in order.

    Args:
        context: The worker's.
        rows: The rows as they were when they were done.
        clock_s: Seconds since some moment: where looks at the first rows take long, the others are side by side.
    """

    @cache  # rows share inputs
    def stamp_of(address: str) -> str:
        return stamp(context.media, address)

    def is_unchanged(row: KnownRow) -> bool:
        try:
            if output_at(row.output, context.scratch).seen() != row.seen:
                return False
            return all(stamp_of(address) == known for address, known in row.inputs)
        except (LipwiseError, OSError, ValueError):  # the row's own tasks meet it again, and that row fails alone
            return False
        finally:
            context.on_block()

    def changed(numbers: Sequence[int]) -> list[int]:
        return [number for number in numbers if not is_unchanged(rows[number])]

    few, numbers = range(min(_FEW, len(rows))), range(min(_FEW, len(rows)), len(rows))
    begun_s = clock_s()
    found = changed(few)
    if clock_s() - begun_s < _QUICK_S * len(few):  # files of this machine: threads would take more than looks do
        return (*found, *changed(numbers))
    with ThreadPoolExecutor(_HANDS) as hands:  # a look at what lies in a bucket is mostly waiting
        parts = hands.map(changed, [numbers[hand::_HANDS] for hand in range(_HANDS)])
        return (*found, *sorted(number for part in parts for number in part))
