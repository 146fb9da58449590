"""What is rendered of a job at work, as a playlist and parts: over the state of a run that was really done."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import av
import pytest

from lipwise_ray.errors import RequestError
from lipwise_ray.service.job_record import ServiceJob
from lipwise_ray.service.live_video import LiveVideo
from lipwise_ray.state import layout
from lipwise_ray.state.store import LocalStore
from tests.support.dub import PASSTHROUGH, QUICK, dub
from tests.support.service import write_footage
from tests.support.studio_runs import FACE

_FRAMES, _CHUNK = 20, 8


@dataclass
class AtWork:
    """A job whose chunks are all there, as it is just before its end."""

    job: ServiceJob
    records: str
    store: LocalStore


@pytest.fixture
def at_work(tmp_path: Path) -> AtWork:
    write_footage(tmp_path / "f", _FRAMES)
    rows = [{"id": "a", "video": tmp_path / "f" / "v.mp4", "audio": tmp_path / "f" / "s.wav", "output": "a.mp4"}]
    sets = ("engine.keep_segments=true", f"chunk.length_s={_CHUNK / 25}")
    dub(tmp_path, rows, PASSTHROUGH, QUICK, FACE, *sets, state=str(tmp_path / "state"))
    store = LocalStore(tmp_path / "state")
    (records,) = [folder.rpartition("/")[2] for folder in store.folders(layout.JOBS)]
    job = ServiceJob(
        id="a", created=0.0, changed=0.0, status="processing", columns={}, door="d", name="a", number=0, job_id=records
    )
    return AtWork(job, records, store)


def _parts(video: LiveVideo, at_work: AtWork) -> bytes:
    """What a player gets that follows the playlist from its beginning."""
    lines = video.playlist(at_work.job).splitlines()
    assert f'#EXT-X-MAP:URI="live/{at_work.records}/head.mp4"' in lines
    wanted = [line.rpartition("/")[2] for line in lines if not line.startswith("#")]
    parts = [video.part(at_work.job, at_work.records, int(name.removesuffix(".m4s"))) for name in wanted]
    return parts[0].head + b"".join(part.media for part in parts)


def test_the_playlist_plays_the_whole_video_once_all_is_rendered(at_work: AtWork) -> None:
    """It says that it has ended, how long each part lasts, and its parts hold every frame and the audio."""
    video = LiveVideo(at_work.store)
    lines = video.playlist(at_work.job).splitlines()
    lasting = [float(line.removeprefix("#EXTINF:").rstrip(",")) for line in lines if line.startswith("#EXTINF:")]
    assert lasting == [_CHUNK / 25, _CHUNK / 25, (_FRAMES - 2 * _CHUNK) / 25]
    assert lines[-1] == "#EXT-X-ENDLIST"
    with av.open(io.BytesIO(_parts(video, at_work))) as container:
        assert sum(1 for _ in container.decode(video=0)) == _FRAMES
        assert len(container.streams.audio) == 1


def test_the_playlist_ends_before_the_first_chunk_that_is_missing(at_work: AtWork) -> None:
    """A later one that is done already waits: a player goes on in order, and asks again."""
    at_work.store.remove(layout.marker(at_work.records, 1))
    lines = LiveVideo(at_work.store).playlist(at_work.job).splitlines()
    assert [line for line in lines if line.endswith(".m4s")] == [f"live/{at_work.records}/0.m4s"]
    assert "#EXT-X-ENDLIST" not in lines


def test_what_is_not_rendered_is_not_there(at_work: AtWork) -> None:
    """Each absence is the same refusal: of a job that waits, another attempt, a chunk that is none, or not yet."""
    video, job, records = LiveVideo(at_work.store), at_work.job, at_work.records
    for other in (replace(job, status="pending"), replace(job, job_id=None), replace(job, job_id="0" * 24)):
        _is_refused(lambda other=other: video.playlist(other))
    for name, chunk in (("0" * 24, 0), (records, 3), (records, -1)):
        _is_refused(lambda name=name, chunk=chunk: video.part(job, name, chunk))
    at_work.store.remove(layout.marker(records, 0))
    _is_refused(lambda: video.playlist(job))
    _is_refused(lambda: video.part(job, records, 0))


def test_no_video_is_shown_before_its_audio_is_there(at_work: AtWork) -> None:
    """A head is the same for all parts: one without audio would leave those after it without."""
    for key in at_work.store.names(layout.soundtrack(at_work.records)):
        at_work.store.remove(key)
    video = LiveVideo(at_work.store)
    _is_refused(lambda: video.playlist(at_work.job))
    _is_refused(lambda: video.part(at_work.job, at_work.records, 0))


def test_those_who_watch_wait_for_their_turn(at_work: AtWork) -> None:
    """Parts are made one at a time, and each who asks at once gets its own."""
    video, made = LiveVideo(at_work.store), list[bytes]()

    def watch() -> None:
        made.append(video.part(at_work.job, at_work.records, 1).media)

    threads = [threading.Thread(target=watch) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(made) == 6
    assert len({*made}) == 1


def _is_refused(ask: Callable[[], object]) -> None:
    with pytest.raises(RequestError) as told:
        ask()
    assert told.value.code == "not_rendered"
