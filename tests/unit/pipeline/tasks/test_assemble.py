"""The end of a row: what is published, and what has to be made again first."""

from __future__ import annotations

import os
from pathlib import Path

import av
import pytest

from lipwise_ray.errors import StorageError
from lipwise_ray.pipeline.dubbing.task_parts import Attempts
from lipwise_ray.pipeline.flows.task_kinds import (
    AssemblePayload,
    ProbePayload,
    SettlePayload,
    SoundPayload,
    WeighPayload,
)
from lipwise_ray.pipeline.tasks.assemble import assemble, finalise, measure_attempt
from lipwise_ray.pipeline.tasks.probe import probe
from lipwise_ray.pipeline.tasks.sound import prepare_audio
from lipwise_ray.scheduler.task import Hints
from lipwise_ray.state import layout
from lipwise_ray.state.job_result import FailedAttempt
from lipwise_ray.state.markers import read_marker
from lipwise_ray.state.store import read_json, to_json
from tests.support.task_context import FRAMES, NOTHING_KNOWN, Bench


def test_segments_and_audio_become_one_file_that_a_rerun_finds(tmp_path: Path) -> None:
    """The file has all frames and the row's audio; its segments are gone; probing the row again gives its result."""
    bench = Bench(tmp_path)
    probed = bench.rendered()
    found = assemble(bench.context, AssemblePayload(bench.row, probed), NOTHING_KNOWN)
    assert found.published is not None
    with av.open(str(bench.output)) as container:
        assert sum(1 for _ in container.decode(video=0)) == FRAMES
        assert len(container.streams.audio) == 1
    assert found.published.bytes_total == bench.output.stat().st_size
    assert bench.store.names(layout.segments(probed.job_id)) == []
    again = probe(bench.context, ProbePayload(bench.row), NOTHING_KNOWN)
    assert again.to_do is None
    assert again.published is not None
    assert again.published.sha256 == found.published.sha256
    bench.output.write_bytes(b"another file")
    assert "is not the file that was published" in probe(bench.context, ProbePayload(bench.row), NOTHING_KNOWN).problem


def test_a_segment_that_is_not_what_its_marker_says_is_rendered_again(tmp_path: Path) -> None:
    """Nothing is published of a damaged chunk, whether the video is measured first or not."""
    bench = Bench(tmp_path)
    probed = bench.rendered()
    marker = read_marker(bench.store, probed.job_id, 1)
    assert marker is not None
    data = bench.store.read(marker.segment) or b""
    bench.store.write(marker.segment, data[:-1] + bytes([data[-1] ^ 1]))
    weighed = measure_attempt(bench.context, WeighPayload(bench.row, probed), NOTHING_KNOWN)
    assert (weighed.measures, weighed.repairs.render) == (None, (1,))
    found = assemble(bench.context, AssemblePayload(bench.row, probed), NOTHING_KNOWN)
    assert (found.published, found.repairs.render) == (None, (1,))
    assert not bench.output.exists()


@pytest.mark.parametrize("may_be_done", [False, True])
def test_prepared_audio_is_looked_for_where_an_attempt_may_have_removed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, may_be_done: bool
) -> None:
    """A first attempt takes it by its key and asks nothing; a later one looks what is there."""
    bench = Bench(tmp_path, encode={"audio": {"codec": "aac"}})
    probed, listed = bench.rendered(), list[str]()
    prepared = prepare_audio(bench.context, SoundPayload(bench.row, probed), NOTHING_KNOWN)
    names = bench.store.names
    monkeypatch.setattr(bench.store, "names", lambda folder: (listed.append(folder), names(folder))[1])
    payload = AssemblePayload(bench.row, probed, sound=prepared.sound)
    assert assemble(bench.context, payload, Hints(may_be_done=may_be_done)).published is not None
    assert (f"{layout.soundtrack(probed.job_id)}/encoded" in listed) == may_be_done


def test_an_attempt_is_measured_before_it_is_published(tmp_path: Path) -> None:
    """What the gate goes by is known while nobody can see the file yet."""
    bench = Bench(tmp_path)
    measures = measure_attempt(bench.context, WeighPayload(bench.row, bench.rendered()), NOTHING_KNOWN).measures
    assert measures is not None
    assert (measures.video_s, measures.audio_s) == (0.8, 0.8)
    assert measures.counts is not None
    assert measures.counts.frames_with_face == FRAMES
    assert not bench.output.exists()


def test_a_row_whose_best_attempt_is_published_already_keeps_it(tmp_path: Path) -> None:
    """Its result stands under the row's own job too, where a later run looks; without that result the row fails."""
    bench = Bench(tmp_path)
    probed = bench.rendered()
    assemble(bench.context, AssemblePayload(bench.row, probed), NOTHING_KNOWN)
    payload = SettlePayload(bench.row, Attempts(first_id="first"), probed.job_id)
    found = finalise(bench.context, payload, NOTHING_KNOWN)
    assert found.published.reused
    assert bench.store.read(layout.result("first"))
    bench.store.remove_all([layout.result("first"), layout.result(probed.job_id)])
    with pytest.raises(StorageError) as caught:
        finalise(bench.context, payload, NOTHING_KNOWN)
    assert caught.value.code == "result_gone"


def test_what_another_version_keeps_of_a_result_stays(tmp_path: Path) -> None:
    """Where its file has moved, and where the row's attempts are recorded anew, the rest of the record is as it was."""
    bench = Bench(tmp_path)
    probed = bench.rendered()
    assemble(bench.context, AssemblePayload(bench.row, probed), NOTHING_KNOWN)
    key = layout.result(probed.job_id)
    record = {**(read_json(bench.store, key) or {}), "of_tomorrow": {"a": 1}}
    record["counts"]["of_tomorrow"] = 2
    bench.store.write(key, to_json(record))
    os.utime(bench.output, (1, 1))
    assert probe(bench.context, ProbePayload(bench.row), NOTHING_KNOWN).published is not None
    seen_again = read_json(bench.store, key) or {}
    assert seen_again["seen"] != record["seen"]
    assert {**seen_again, "seen": None} == {**record, "seen": None}
    history = Attempts((FailedAttempt(settings={}, code="crash", message="it broke"),), "first")
    finalise(bench.context, SettlePayload(bench.row, history, probed.job_id), NOTHING_KNOWN)
    for job_id in ("first", probed.job_id):
        found = read_json(bench.store, layout.result(job_id)) or {}
        assert [one["code"] for one in found.pop("attempts")] == ["crash"]
        assert found == seen_again
