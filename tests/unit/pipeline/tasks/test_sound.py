"""Audio that is prepared while chunks are rendered."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.media.probe import probe_audio
from lipwise_ray.pipeline.flows.task_kinds import SoundPayload
from lipwise_ray.pipeline.tasks.sound import prepare_audio
from lipwise_ray.scheduler.task import Hints
from lipwise_ray.state import layout
from tests.support.task_context import NOTHING_KNOWN, Bench


def test_lossless_audio_is_copied_from_the_rows_own_file(tmp_path: Path) -> None:
    """Nothing is put into the state for it."""
    bench = Bench(tmp_path)
    found = prepare_audio(bench.context, SoundPayload(bench.row, bench.planned()), NOTHING_KNOWN)
    assert (found.copied, found.sound) == (True, "")


def test_encoded_audio_is_made_once_and_again_where_it_is_damaged(tmp_path: Path) -> None:
    """Its key names its bytes, by which an encoded file that became another is noticed and replaced."""
    bench = Bench(tmp_path, encode={"audio": {"codec": "aac"}})
    payload = SoundPayload(bench.row, bench.planned())
    found = prepare_audio(bench.context, payload, NOTHING_KNOWN)
    path = bench.store.fetch(found.sound)
    assert path is not None
    assert (found.copied, probe_audio(path).codec) == (False, "aac")
    folder = layout.soundtrack(payload.probed.job_id)
    prepare_audio(bench.context, payload, NOTHING_KNOWN)
    assert bench.store.names(folder) == [found.sound]
    path.write_bytes(path.read_bytes()[:-20])
    again = prepare_audio(bench.context, payload, NOTHING_KNOWN)
    assert not again.copied
    (key,) = bench.store.names(folder)
    assert key == again.sound != found.sound
    assert probe_audio(bench.store.fetch(key) or path).codec == "aac"


@pytest.mark.parametrize("may_be_done", [False, True])
def test_audio_of_a_job_that_nobody_began_is_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, may_be_done: bool
) -> None:
    """A store is asked for it only where an earlier attempt may have left it."""
    bench = Bench(tmp_path, encode={"audio": {"codec": "aac"}})
    payload, listed = SoundPayload(bench.row, bench.planned()), list[str]()
    names = bench.store.names
    monkeypatch.setattr(bench.store, "names", lambda folder: (listed.append(folder), names(folder))[1])
    assert prepare_audio(bench.context, payload, Hints(is_missing=True, may_be_done=may_be_done)).sound
    assert bool(listed) == may_be_done
