"""A worker's look at rows that were done before: which of them are not what they were."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from lipwise_ray.errors import MediaError
from lipwise_ray.pipeline.delivery.outputs import FileOutput
from lipwise_ray.pipeline.flows.task_kinds import KnownRow, ProbePayload, RecheckPayload
from lipwise_ray.pipeline.inputs.stamps import settled_stamps, stamp
from lipwise_ray.pipeline.tasks.probe import probe
from lipwise_ray.pipeline.tasks.recheck import changed_rows, recheck
from tests.support.task_context import NOTHING_KNOWN, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A clip and a sound."""
    return Bench(tmp_path)


def _row(bench: Bench, name: str) -> KnownRow:
    """Return a row of the clip whose output is there."""
    output = bench.folder / name
    output.write_bytes(b"video")
    seen = FileOutput(output).seen()
    assert seen is not None
    inputs = [str(bench.folder / file) for file in ("v.mkv", "s.wav")]
    return KnownRow(str(output), seen, tuple((one, stamp(bench.context.media, one)) for one in inputs))


def _changed_in_four_ways(bench: Bench) -> list[KnownRow]:
    """Return forty rows: 3, 17, 20 and 31 are not what they were."""
    rows = [_row(bench, f"{number}.mp4") for number in range(40)]
    Path(rows[3].output).unlink()
    Path(rows[17].output).write_bytes(b"other")
    (_, known), audio = rows[20].inputs
    other = bench.folder / "other.mkv"
    other.write_bytes((bench.folder / "v.mkv").read_bytes())
    rows[20] = replace(rows[20], inputs=((str(other), known), audio))
    rows[31] = replace(rows[31], inputs=(("ftp://host/v.mkv", known), audio))  # raises
    return rows


def test_only_rows_of_which_something_changed_are_named(bench: Bench) -> None:
    """An output that is gone, one that was touched, another input, and one that may not be read: each for itself."""
    rows = _changed_in_four_ways(bench)
    found = recheck(bench.context, RecheckPayload(bench.row, tuple(rows)), NOTHING_KNOWN)
    assert found.changed == (3, 17, 20, 31)


@pytest.mark.parametrize("seconds_a_look", [0.0, 0.5], ids=["disk", "bucket"])
def test_looks_are_side_by_side_where_they_take_long(bench: Bench, seconds_a_look: float) -> None:
    """The same rows are named, in order, whether one thread looks at all or others go on after the first few."""
    rows, threads, here = _changed_in_four_ways(bench), list[int](), threading.get_ident()

    def on_block() -> None:
        threads.append(threading.get_ident())

    context = replace(bench.context, on_block=on_block)
    found = changed_rows(context, rows, lambda: seconds_a_look * len(threads))
    assert found == (3, 17, 20, 31)
    assert len(threads) == 40
    assert set(threads[:8]) == {here}
    assert [one == here for one in threads[8:]] == [seconds_a_look == 0] * 32


@pytest.mark.parametrize("end_s", [0.0, 9.0])
def test_rows_that_are_no_more_than_the_first_few(bench: Bench, end_s: float) -> None:
    """They are done with whatever the clock says, and so is a batch without any."""
    rows = [_row(bench, "a.mp4"), replace(_row(bench, "b.mp4"), output="/gone.mp4")]
    assert changed_rows(bench.context, rows, iter((0.0, end_s)).__next__) == (1,)
    assert changed_rows(bench.context, [], iter((0.0, end_s)).__next__) == ()


def test_a_file_that_has_only_just_changed_gets_no_stamp(bench: Bench) -> None:
    """It may change again within the same tick of its disk's clock; a missing one is told of, and a folder has none."""
    media, clip = bench.context.media, str(bench.folder / "v.mkv")
    assert settled_stamps(media, [clip]) is None
    assert settled_stamps(media, [str(bench.folder)]) is None
    assert settled_stamps(media, [__file__]) == (stamp(media, __file__),)
    with pytest.raises(MediaError, match="file not found"):
        probe(bench.context, ProbePayload(bench.with_spec(video="/nothing.mkv")), NOTHING_KNOWN)
