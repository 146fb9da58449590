"""Jobs are handed in, found again, and outlive the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.errors import InputError, LipwiseError, ManifestError, StateError, StorageError, TransientError
from lipwise_ray.service import job_store
from lipwise_ray.service.changes import Change, JobChanged
from lipwise_ray.service.service import Service
from lipwise_ray.state import layout, lease
from lipwise_ray.state.store import open_store, to_json
from tests.support.service import draft, quiet_settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A service's folder with two files that were uploaded."""
    uploads = tmp_path / "served" / "uploads"
    uploads.mkdir(parents=True)
    for name in ("v.mp4", "s.wav"):
        (uploads / name).write_bytes(b"looked at when it is dubbed")
    return tmp_path / "served"


@pytest.fixture
def service(folder: Path) -> Iterator[Service]:
    """A service whose jobs wait."""
    opened = Service.open(folder, quiet_settings("service.queue=5"), works=False)
    yield opened
    opened.close()


def test_jobs_outlive_the_server(folder: Path, service: Service) -> None:
    """The next one has them as they were, with the signature of an address, the newest first."""
    address = "https://media.test/hook?X-Amz-Signature=0123456789abcdef"
    jobs = [service.submit(draft(service.uploads, webhook_url=address, asked={"n": n})) for n in range(3)]
    service.cancel(jobs[1].id)
    service.close()
    later = Service.open(folder, quiet_settings(), works=False)
    try:
        assert [one.id for one in later.jobs()] == [one.id for one in reversed(jobs)]
        assert later.job(jobs[0].id) == jobs[0]
        assert [one.status for one in later.jobs()] == ["pending", "cancelled", "pending"]
        fourth = later.submit(draft(later.uploads))
        assert fourth.id > jobs[2].id
        assert fourth.number == 4
    finally:
        later.close()


def test_a_job_that_the_next_server_could_not_read_is_refused(folder: Path, service: Service) -> None:
    """A priority that is out of bounds, or a value nested too deeply, would lose the job with the next start."""
    job = service.submit(draft(service.uploads))
    with pytest.raises(InputError, match="from -1000000 to 1000000"):
        service.prioritise(job.id, 1_000_001)
    deep: list[Any] = []
    for _ in range(40):
        deep = [deep]
    for about in ({"priority": -1_000_001}, {"asked": {"x": deep}}):
        with pytest.raises(InputError, match="out of bounds"):
            service.submit(draft(service.uploads, **about))
        with pytest.raises(InputError, match="out of bounds"):
            service.submit_many([("a", draft(service.uploads, **about))], door="test")
    assert service.prioritise(job.id, -1_000_000).priority == -1_000_000
    service.close()
    later = Service.open(folder, quiet_settings(), works=False)
    assert [one.id for one in later.jobs()] == [job.id]
    later.close()


def test_ids_are_in_order_though_the_clock_is_set_back(
    folder: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that comes after a restart is the newest of the list."""
    first = service.submit(draft(service.uploads))
    service.close()
    monkeypatch.setattr(job_store.time, "time_ns", lambda: 1_000_000_000_000_000_000)
    later = Service.open(folder, quiet_settings(), works=False)
    second = later.submit(draft(later.uploads))
    assert [one.id for one in later.jobs()] == [second.id, first.id]
    assert second.id > first.id
    later.close()


def test_jobs_are_found(service: Service) -> None:
    """By status, by id, and only so many."""
    jobs = [service.submit(draft(service.uploads, name=f"n{n}")) for n in range(3)]
    service.cancel(jobs[0].id)
    assert [one.id for one in service.find(["cancelled"])] == [jobs[0].id]
    assert [one.name for one in service.find(ids=[jobs[1].id, "unknown"])] == ["n1"]
    assert [one.name for one in service.find(limit=2)] == ["n2", "n1"]
    with pytest.raises(InputError, match="no job has this id") as caught:
        service.job("0123")
    assert caught.value.code == "unknown_job"


def test_the_same_request_makes_one_job(service: Service) -> None:
    """A client that asks once more under the same key gets its first job; another request under it is refused."""
    first = service.submit(draft(service.uploads, idempotency_key="k", asked={"a": 1}))
    assert service.submit(draft(service.uploads, idempotency_key="k", asked={"a": 1})) == first
    with pytest.raises(InputError, match="belongs to another request") as caught:
        service.submit(draft(service.uploads, idempotency_key="k", asked={"a": 2}))
    assert caught.value.code == "idempotency"
    other = service.submit(draft(service.uploads, idempotency_key="k", asked={"a": 2}, door="studio"))
    assert other.id != first.id
    assert service.counts()["pending"] == 2


def test_a_key_whose_job_was_never_written_makes_it(service: Service) -> None:
    """A server that was killed between key and job leaves nothing that blocks the client."""
    first = service.submit(draft(service.uploads, idempotency_key="k"))
    folder = service.folder
    service.close()
    service.store.remove(layout.service_job(first.id))
    later = Service.open(folder, quiet_settings(), works=False)
    try:
        assert later.submit(draft(later.uploads, idempotency_key="k")).id == first.id
    finally:
        later.close()


@pytest.mark.parametrize(
    ("columns", "code", "words"),
    [
        ({"video": None}, "row_video", "empty, but every row needs it"),
        ({"video": "/etc/hostname"}, "row_video", "path of the server's machine that is not read for clients"),
        ({"video": "/no/such/file"}, "row_video", "path of the server's machine that is not read for clients"),
        ({"video": "../token"}, "row_video", "path of the server's machine that is not read for clients"),
        ({"audio": "s3://bucket/key"}, "row_audio", "lies under none of paths.roots"),
        ({"audio": "https://elsewhere.test/a.wav"}, "row_audio", "addresses of https are not read here"),
        ({"zip": 3}, "row", "unknown column"),
        ({"output": "mine.mp4"}, "row_made_here", "the service fills it in"),
        ({"start": 3, "end": 2}, "row_end", "is not after the start"),
    ],
)
def test_bad_rows_are_refused(service: Service, columns: dict[str, object], code: str, words: str) -> None:
    """As manifests' are, and at once; no message names a folder of the server."""
    with pytest.raises(ManifestError, match=words) as caught:
        service.submit(draft(service.uploads, **columns))
    assert caught.value.code == code
    assert str(service.folder) not in str(caught.value)
    assert service.find() == []


def test_roots_open_folders_to_clients(folder: Path, tmp_path: Path) -> None:
    """What lies under them may be named, and nothing beside them; uploads always may."""
    media = tmp_path / "media"
    media.mkdir()
    for name in (media / "v.mp4", tmp_path / "beside.mp4"):
        name.write_bytes(b"a video")
    service = Service.open(folder, quiet_settings(f'paths.roots=["{media}"]'), works=False)
    try:
        assert service.submit(draft(service.uploads, video=str(media / "v.mp4"))).status == "pending"
        with pytest.raises(ManifestError, match="not read for clients") as caught:
            service.submit(draft(service.uploads, video=str(tmp_path / "beside.mp4")))
        assert str(media) not in str(caught.value)
    finally:
        service.close()


def test_a_full_queue_refuses_more(service: Service) -> None:
    """Until a job has ended; a batch that does not fit is refused as a whole."""
    jobs = [service.submit(draft(service.uploads)) for _ in range(4)]
    with pytest.raises(TransientError, match="no room for 2 more: 4 of 5") as caught:
        service.submit_many([("a", draft(service.uploads)), ("b", draft(service.uploads))], door="test")
    assert caught.value.code == "queue_full"
    service.cancel(jobs[0].id)
    batch = service.submit_many([("a", draft(service.uploads)), ("b", draft(service.uploads))], door="test")
    assert [one.request_id for one in batch.items] == ["a", "b"]
    assert [*service.batches()] == [batch] == [service.batch(batch.id)]
    assert {one.id for one in service.find(batch=batch.id)} == {one.job_id for one in batch.items}


def test_a_batch_with_a_bad_row_adds_nothing(service: Service) -> None:
    """Its client can mend it and hand it in once more."""
    drafts = [("a", draft(service.uploads)), ("b", draft(service.uploads, start="soon"))]
    with pytest.raises(ManifestError, match="is not a time"):
        service.submit_many(drafts, door="test")
    assert (service.find(), [*service.batches()]) == ([], [])


def test_half_a_batch_is_cancelled(service: Service) -> None:
    """Jobs of a server that was killed before the batch was whole are not done: nobody knows of them."""
    batch = service.submit_many([("a", draft(service.uploads))], door="test")
    service.close()
    service.store.remove(layout.service_batch(batch.id))
    later = Service.open(service.folder, quiet_settings(), works=False)
    try:
        assert later.job(batch.items[0].job_id).status == "cancelled"
        with pytest.raises(InputError, match="no batch has this id"):
            later.batch(batch.id)
    finally:
        later.close()


def test_what_can_be_changed_and_what_cannot(service: Service) -> None:
    """Two clients may cancel; what has ended is not cancelled, what has not is not asked for once more."""
    told: list[Change] = []
    forget = service.listen(told.append)
    job = service.submit(draft(service.uploads))
    assert service.prioritise(job.id, 7).priority == 7
    with pytest.raises(InputError, match="is still pending"):
        service.retry(job.id)
    assert service.cancel(job.id) == service.cancel(job.id)
    with pytest.raises(InputError, match="is already cancelled"):
        service.prioritise(job.id, 1)
    again = service.retry(job.id, {"start": 0.2, "id": "other"})
    assert (again.status, again.attempts, again.columns["start"]) == ("pending", 2, 0.2)
    assert (again.columns["id"], again.columns["output"]) == (job.id, job.columns["output"])
    assert [one.status for one in told if isinstance(one, JobChanged)] == ["pending", "cancelled", "pending"]
    forget()
    service.cancel(job.id)
    assert len(told) == 3


def test_a_folder_has_one_server(folder: Path, service: Service) -> None:
    """A second one is told who has it, and one whose outputs would lie in the state is refused."""
    with pytest.raises(StateError, match="in use by process"):
        Service.open(folder, quiet_settings(), works=False)
    with pytest.raises(LipwiseError, match="lies in it") as caught:
        Service.open(folder.parent / "other", quiet_settings(), out=f"{folder}/s/out", state=f"{folder}/s", works=False)
    assert caught.value.code == "out_in_state"
    with pytest.raises(StateError, match="another server uses this folder") as caught:
        Service.open(folder, quiet_settings(), state=f"{folder.parent}/elsewhere", works=False)
    assert caught.value.code == "state_in_use"
    service.close()
    with pytest.raises(TransientError, match="about to stop"):
        service.submit(draft(service.uploads))


def test_damage_of_one_record_is_its_own(folder: Path, service: Service) -> None:
    """A job whose record cannot be read is passed over when the next server opens; others are there."""
    jobs = [service.submit(draft(service.uploads)) for _ in range(2)]
    service.close()
    service.store.write(layout.service_job(jobs[0].id), b"{half")
    later = Service.open(folder, quiet_settings(), works=False)
    try:
        assert [one.id for one in later.find()] == [jobs[1].id]
    finally:
        later.close()


def test_a_wish_to_cancel_outlives_the_server(folder: Path, service: Service) -> None:
    """A job at work whose server ends before its tasks let go of it is cancelled, and can be asked for once more."""
    job = service.submit(draft(service.uploads))
    service._change(job, status="processing")  # as the feed does once the driver has begun it
    assert service.cancel(job.id).status == "processing"
    service.close()
    later = Service.open(folder, quiet_settings(), works=False)
    try:
        assert later.job(job.id).status == "cancelled"
        assert later.retry(job.id).is_unwanted is None
    finally:
        later.close()


class Refusals:
    """Writes of a store that fail, counted from the first one."""

    def __init__(self, service: Service, monkeypatch: pytest.MonkeyPatch, *failing: int) -> None:
        self._write, self._failing, self._writes = service.store.write, failing, 0
        monkeypatch.setattr(service.store, "write", self._writing)

    def _writing(self, key: str, data: bytes) -> None:
        self._writes += 1
        if self._writes in self._failing:
            raise StorageError("state_write", key, got="no room")
        self._write(key, data)


@pytest.mark.parametrize("failing", [(2,), (3,), (3, 4)])
def test_a_batch_that_cannot_be_written_leaves_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch, failing: tuple[int, ...]
) -> None:
    """Its client asks once more, and nothing is done twice: jobs that were written are cancelled, if not at once."""
    Refusals(service, monkeypatch, *failing)
    drafts = [("a", draft(service.uploads)), ("b", draft(service.uploads))]
    with pytest.raises(StorageError):
        service.submit_many(drafts, door="test")
    batch = service.submit_many(drafts, door="test")
    assert {one.id for one in service.find(["pending"])} == {one.job_id for one in batch.items}


def test_a_quarantine_that_cannot_be_lifted_keeps_the_job_as_it_was(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for it once more is told, and may ask again."""
    job = service._change(service.submit(draft(service.uploads)), status="failed", task="probe:x/1")
    refusals, remove = iter([True]), service.store.remove

    def removes(key: str) -> None:
        if next(refusals, False):
            raise StorageError("state_write", key, got="no answer")
        remove(key)

    monkeypatch.setattr(service.store, "remove", removes)
    with pytest.raises(StorageError):
        service.retry(job.id)
    assert service.job(job.id).status == "failed"
    assert service.retry(job.id).attempts == 2


def test_damage_of_one_record_hides_no_other(service: Service) -> None:
    """Lists of jobs and of batches leave out what cannot be read, and have all else."""
    jobs = [service.submit(draft(service.uploads)) for _ in range(2)]
    batches = [service.submit_many([("a", draft(service.uploads))], door="test") for _ in range(2)]
    for job in service.find():
        service.cancel(job.id)
    service.close()
    later = Service.open(service.folder, quiet_settings(), works=False)
    try:
        later._jobs._kept.clear()  # as by the ends of some hundred other jobs
        later.store.write(layout.service_job(jobs[0].id), b"{half")
        later.store.write(layout.service_batch(batches[0].id), b"{half")
        assert jobs[0].id not in {one.id for one in later.jobs()}
        assert len(later.jobs()) == 3
        assert [*later.batches()] == [batches[1]]
    finally:
        later.close()


def test_a_server_that_slept_while_another_took_over_writes_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clients are told to ask once more, and whoever asks for its health why it does nothing."""
    job = service.submit(draft(service.uploads))
    place = open_store(f"{service.store.address}/{layout.SERVICE_LOCK}")
    place.write(layout.epoch(service._lease.epoch + 1), to_json({"run_id": "of another server"}))
    slept_s = lease._clock_s() + 3600.0
    monkeypatch.setattr(lease, "_clock_s", lambda: slept_s)
    with pytest.raises(TransientError, match="another server has taken over"):
        service.cancel(job.id)
    assert service.job(job.id).status == "pending"
    assert service.problem == "Another server took this state over."
    with pytest.raises(TransientError):
        service.submit(draft(service.uploads))
    assert len(service.find()) == 1
