"""What stays of a job once it is published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lipwise_ray.pipeline.delivery.assemble import record_published, sweep_segments
from lipwise_ray.pipeline.dubbing.job import KeptParts
from lipwise_ray.state import layout
from lipwise_ray.state.job_result import DubResult, FailedAttempt, MeasuredAttempt
from lipwise_ray.state.shapes import read_typed, record_of
from lipwise_ray.state.store import LocalStore

RESULT = DubResult(job_id="best", output="o.mp4", frames=9, chunks=1, bytes_total=5, sha256="d" * 64)


def _made(store: LocalStore, job_id: str) -> list[str]:
    """Write what a job leaves on its way; return its keys."""
    keys = [
        layout.segment(job_id, 0, "a1"),
        layout.segment(job_id, 0, "never-committed"),
        f"{layout.soundtrack(job_id)}/encoded/x.mp4",
        f"{layout.mix(job_id)}/x.mka",
        layout.score(job_id, "judge", 0),
    ]
    for key in keys:
        store.write(key, b"made")
    store.write(layout.plan(job_id), b"{}")
    return keys


@pytest.mark.parametrize(("kept", "stay"), [("everything", 5), ("segments", 2), ("nothing", 0)])
def test_what_led_to_a_file_goes_and_its_records_stay(tmp_path: Path, kept: KeptParts, stay: int) -> None:
    """Segments of attempts that never committed go too; segments, or all, stay where somebody asked to keep them."""
    store = LocalStore(tmp_path)
    keys = _made(store, "best")
    sweep_segments(store, "best", kept)
    assert [key for key in keys if store.size(key) is not None] == keys[:stay]
    assert store.read(layout.plan("best"))


def test_a_result_is_found_under_the_rows_own_job(tmp_path: Path) -> None:
    """Of several attempts the best is recorded where a later run looks; what they made on their way is gone."""
    store = LocalStore(tmp_path)
    keys = [*_made(store, "first"), *_made(store, "best")]
    attempts = (
        MeasuredAttempt(settings={}, verdict="check", job_id="first"),
        FailedAttempt(settings={}, code="crash", message="it broke"),
        MeasuredAttempt(settings={}, verdict="passed", job_id="best"),
    )
    result = replace(RESULT, attempts=attempts)
    record_published(store, result, record_of(result), "first", "nothing")
    found = [read_typed(store, layout.result(job_id), DubResult) for job_id in ("first", "best")]
    assert found == [result, result]
    assert [key for key in keys if store.size(key) is not None] == []
