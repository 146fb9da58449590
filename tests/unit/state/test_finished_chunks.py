"""Chunks that another job has finished: copied where they are there, and whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lipwise_ray.errors import StorageError
from lipwise_ray.state import layout
from lipwise_ray.state.finished_chunks import FinishedChunks
from lipwise_ray.state.markers import ChunkMarker, commit, done_chunks, marker_of
from lipwise_ray.state.store import LocalStore

IDS = ["one", "two", "three"]
MARKER = ChunkMarker("", 10, 2, 7, "0" * 64, 0, 0, "1", "a", 1.0, {})


def _finished(store: LocalStore, library: str = "1") -> FinishedChunks:
    return FinishedChunks(store, "video", "rendering", library)


def _render(store: LocalStore, job_id: str, ids: list[str], **changes: object) -> None:
    """Leave the chunks of a job, whose segments hold its name."""
    _finished(store).keep(job_id, ids)
    for chunk in range(len(ids)):
        segment = layout.segment(job_id, chunk, "a")
        store.write(segment, job_id.ljust(7).encode())
        commit(store, job_id, chunk, replace(MARKER, segment=segment, **changes))


def _shown(store: LocalStore, chunk: int) -> str:
    marker = marker_of(store, "new", chunk)
    assert marker is not None
    return (store.read(marker.segment) or b"").decode().strip()


def test_chunks_that_show_the_same_are_taken_over(tmp_path: Path) -> None:
    """From whichever jobs have them, whatever their numbers there; they stay when those jobs are removed."""
    store = LocalStore(tmp_path)
    _render(store, "earlier", ["one", "other"])
    _render(store, "shifted", ["else", "three"])
    assert sorted(_finished(store).take_over("new", IDS, ())) == [0, 2]
    store.remove_all([*store.names(layout.job("earlier")), *store.names(layout.job("shifted"))])
    assert done_chunks(store, "new", 3) == [0, 2]
    assert (_shown(store, 0), _shown(store, 2)) == ("earlier", "shifted")
    assert _finished(store).take_over("new", IDS, {0, 2}) == []


def test_what_a_job_has_is_left_alone(tmp_path: Path) -> None:
    """Its own chunks are not copied again, nor are chunks of jobs that are rendered otherwise."""
    store = LocalStore(tmp_path)
    _render(store, "earlier", IDS)
    assert FinishedChunks(store, "video", "other", "1").take_over("new", IDS, ()) == []
    assert FinishedChunks(store, "film", "rendering", "1").take_over("new", IDS, ()) == []
    assert _finished(store).take_over("earlier", IDS, ()) == []
    assert _finished(store).take_over("new", IDS, {0, 1}) == [2]
    assert len(store.names(layout.segments("new"))) == 1


def _gone(store: LocalStore, segment: str) -> None:
    store.remove(segment)


def _cut(store: LocalStore, segment: str) -> None:
    store.write(segment, b"cut")


def _unnamed(store: LocalStore, segment: str) -> None:
    store.remove(layout.marker("earlier", 1))
    assert store.size(segment)


@pytest.mark.parametrize("harm", [_gone, _cut, _unnamed])
def test_only_whole_segments_are_taken(harm: Callable[[LocalStore, str], None], tmp_path: Path) -> None:
    """A chunk whose segment or marker is not there, or not whole, is left to be rendered."""
    store = LocalStore(tmp_path)
    _render(store, "earlier", IDS)
    harm(store, layout.segment("earlier", 1, "a"))
    assert _finished(store).take_over("new", IDS, ()) == [0, 2]


def test_originals_and_other_libraries_do_not_count(tmp_path: Path) -> None:
    """A chunk that was left undubbed, and one whose decoder parameters might not fit the others."""
    store = LocalStore(tmp_path)
    _render(store, "earlier", IDS, original=True)
    assert _finished(store).take_over("new", IDS, ()) == []
    _render(store, "later", IDS)
    assert _finished(store, "2").take_over("new", IDS, ()) == []
    assert _finished(store).take_over("new", IDS, ()) == [0, 1, 2]


def test_damaged_records_cost_a_rendering(tmp_path: Path) -> None:
    """Whatever lies where chunks are looked up."""
    store = LocalStore(tmp_path)
    _render(store, "earlier", IDS)
    store.write(f"{layout.rendered('video', 'rendering')}/earlier.json", b'{"chunks": [1, 2]}')
    store.write(f"{layout.rendered('video', 'rendering')}/nobody.json", b"\xff")
    assert _finished(store).ids("earlier") is None
    assert _finished(store).take_over("new", IDS, ()) == []


def test_a_store_that_refuses_copies_costs_a_rendering(tmp_path: Path) -> None:
    """Some let us write what they do not let us copy."""

    class Refusing(LocalStore):
        def copy(self, key: str, target: str) -> bool:
            raise StorageError("store_refused", key, got=f"cannot be copied to {target}", do="Check the store")

    store = Refusing(tmp_path)
    _render(store, "earlier", IDS)
    assert _finished(store).take_over("new", IDS, ()) == []
    assert done_chunks(store, "new", 3) == []
