from __future__ import annotations

import hashlib
from pathlib import Path

from lipwise_ray.pipeline.delivery.credentials import side_car_of, side_car_problem
from lipwise_ray.state import layout
from lipwise_ray.state.credentials_record import CredentialsRecord
from lipwise_ray.state.job_result import DubResult
from lipwise_ray.state.store import LocalStore

DATA = b"content credentials of a video"


def _result(address: str, signed: CredentialsRecord | None) -> DubResult:
    return DubResult(job_id="j", output=address, frames=1, chunks=1, bytes_total=1, sha256="0" * 64, c2pa=signed)


def test_a_side_car_is_put_back_where_it_belongs_now(tmp_path: Path) -> None:
    """Also where outputs and state moved together; one that is there is left alone, and without a copy it is told."""
    store, address = LocalStore(tmp_path / "state"), str(tmp_path / "moved" / "b.mkv")
    signed = CredentialsRecord(
        signed=True,
        side_car=side_car_of("/where/it/was/b.mkv"),
        side_car_sha256=hashlib.sha256(DATA).hexdigest(),
    )
    result, side_car = _result(address, signed), Path(side_car_of(address))
    assert "is missing or another file" in side_car_problem(store, result, address, tmp_path)
    store.write(layout.side_car("j"), b"damaged")
    assert "is missing or another file" in side_car_problem(store, result, address, tmp_path)
    store.write(layout.side_car("j"), DATA)
    assert side_car_problem(store, result, address, tmp_path) == ""
    assert side_car.read_bytes() == DATA
    written_ns = side_car.stat().st_mtime_ns
    assert side_car_problem(store, result, address, tmp_path) == ""
    assert side_car.stat().st_mtime_ns == written_ns


def test_a_file_that_holds_its_credentials_needs_none_beside_it(tmp_path: Path) -> None:
    """Nor does one that is not signed."""
    store, address = LocalStore(tmp_path / "state"), str(tmp_path / "a.mp4")
    for signed in (None, CredentialsRecord(signed=True), CredentialsRecord(signed=False, why="no")):
        assert side_car_problem(store, _result(address, signed), address, tmp_path) == ""
    assert not Path(side_car_of(address)).exists()
