"""Rows that a run knows again: by which digest, and what of a batch has to be begun."""

from __future__ import annotations

from dataclasses import replace

from lipwise_ray.models.checkpoints import Checkpoints
from lipwise_ray.pipeline.dubbing.row_digest import RowDigests
from lipwise_ray.pipeline.flows.known_rows import KnownRows, RecheckedRow
from lipwise_ray.pipeline.flows.task_kinds import KnownRow, RecheckResult
from lipwise_ray.pipeline.manifest.row_table import Row
from lipwise_ray.settings.layers import resolve
from lipwise_ray.state.done_rows import DoneRow
from lipwise_ray.state.job_result import DubResult, Seen
from tests.support.tasks import row_part


def test_all_that_a_row_is_told_counts_but_how_the_engine_works() -> None:
    """Its output, tags, settings, checkpoints and device; workers and attempts do not."""
    part, digests = row_part("r"), RowDigests()

    def of(**changes: object) -> str:
        return digests.of(replace(part, job=replace(part.job, **changes)))

    same = {of(), of(settings=resolve([("test", {"engine": {"workers": 7}})]))}
    assert len(same) == 1
    gated = resolve([("test", {"gate": {"max_flicker": 2.0}, "score": {"judge": "none"}})])
    others = [of(output="p.mp4"), of(tags=("x",)), of(audio="/b.wav"), of(settings=gated), of(start_s=1.0)]
    others.append(digests.of(replace(part, device="cuda")))
    assert len({*same, *others}) == 1 + len(others)
    assert isinstance(part.weights, Checkpoints)


def test_a_batch_gives_back_what_has_changed_and_what_nobody_wants() -> None:
    """Or all of it, where its task was given up; what is done has the lines that its rows have today."""
    back: list[str] = []
    batch = KnownRows(row_part("r"), 0, "", lambda rows: back.extend(row.id for row in rows))
    for number in range(4):
        row = Row(number + 10, f"r{number}", "v", "a", "o", extra={"note": "kept"})
        result = DubResult(job_id="j", output="o", frames=9, chunks=3, bytes_total=5, sha256="d" * 64)
        done = DoneRow(digest=f"d{number}", inputs=("s",), row=2, row_id="old", result=result)
        batch.rows.append(RecheckedRow(row, KnownRow("o", Seen(5, "7"), (("v", "s"),)), done))
    rows = batch.unchanged(RecheckResult(changed=(2,)), lambda name: name == "r0")
    assert back == ["r0", "r2"]
    assert [(one.row, one.row_id, one.extra) for one in rows] == [
        (11, "r1", {"note": "kept"}),
        (13, "r3", {"note": "kept"}),
    ]
    assert all(one.outcome.result.status == "done" and one.result.reused for one in rows)
    assert all(one.tally and one.tally.chunks_reused == 3 for one in rows)
    assert batch.unchanged(None, lambda _: False) == []
    assert back[2:] == ["r0", "r1", "r2", "r3"]
