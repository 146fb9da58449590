"""Which chunks are left to do."""

from __future__ import annotations

from lipwise_ray.pipeline.dubbing.task_parts import NumberedSpan
from lipwise_ray.pipeline.tasks.missing_chunks import missing_chunks
from lipwise_ray.values import Span


def test_chunks_keep_their_numbers_where_others_have_a_record() -> None:
    """A trimmed row's chunks are numbered from the source's beginning; records of other chunks change nothing."""
    numbered = [(2, Span(20, 30)), (3, Span(30, 40)), (4, Span(40, 44))]
    found = missing_chunks(numbered, "scan/{}".format, ["scan/0", "scan/3", "scan/tracks"])
    assert found == (NumberedSpan(2, 20, 30), NumberedSpan(4, 40, 44))
