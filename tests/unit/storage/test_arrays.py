"""Arrays in files, read within bounds."""

from __future__ import annotations

import io
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lipwise_ray.errors import FaceError
from lipwise_ray.faces.tracks import read_tracks
from lipwise_ray.storage.arrays import ArraySpec, map_npy, read_npz

SPECS = {
    "frame": ArraySpec("int64", ("N",), "fiu"),
    "box": ArraySpec("float32", ("N", 4)),
    "seen": ArraySpec("bool", ("N",), is_optional=True),
}


def _npz(path: Path, **arrays: object) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def _claims(path: Path, header: bytes, data: bytes = b"") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("frame.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data)
    return path


def test_what_was_written_is_read(tmp_path):
    """Arrays come back as they were written, also in column order, and an optional one may be absent."""
    box = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4))
    found = read_npz(_npz(tmp_path / "a.npz", frame=np.arange(3, dtype=np.int32), box=box), SPECS)
    assert set(found) == {"frame", "box"}
    assert found["frame"].dtype == np.int64
    assert np.array_equal(found["box"], box)


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"frame": np.zeros(3, np.int64)}, "box"),
        ({"frame": np.zeros(2, np.int64), "box": np.zeros((3, 4), np.float32)}, "length"),
        ({"frame": np.zeros(3, np.int64), "box": np.zeros((3, 5), np.float32)}, "length"),
        ({"frame": np.zeros(3, np.int64), "box": np.zeros(3, np.float32)}, "axes"),
        ({"frame": np.array([0.0, 1.5, 2.0]), "box": np.zeros((3, 4), np.float32)}, "whole numbers"),
        ({"frame": np.array([0.0, np.nan, 2.0]), "box": np.zeros((3, 4), np.float32)}, "whole numbers"),
        ({"frame": np.array([0.0, 1e300, 2.0]), "box": np.zeros((3, 4), np.float32)}, "whole numbers"),
        ({"frame": np.array([1 << 63] * 3, np.uint64), "box": np.zeros((3, 4), np.float32)}, "whole numbers"),
        ({"frame": np.array(["a", "b", "c"]), "box": np.zeros((3, 4), np.float32)}, "holds"),
        ({"frame": np.zeros(3, np.int64), "box": np.array([[b""] * 4] * 3, object)}, "holds"),
        ({"frame": np.zeros(3, [("a", "i4")]), "box": np.zeros((3, 4), np.float32)}, "holds"),
    ],
)
def test_other_arrays_are_refused(tmp_path, arrays, word):
    """An array of another type or shape, or of numbers that are not whole, is refused with its reason."""
    with pytest.raises(ValueError, match=word):
        read_npz(_npz(tmp_path / "a.npz", **arrays), SPECS)


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<i8', 'fortran_order': False, 'shape': (100000000000,), }\n",
        b"{'descr': '<i8', 'fortran_order': False, 'shape': (-1,), }\n",
        b"{'descr': '<i8', 'fortran_order': False, 'shape': (True,), }\n",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }\n",
        b"{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }\n",
        b"(" * 900 + b"\n",
        b"{'descr': ('<i8', (1000, 1000)), 'fortran_order': False, 'shape': (3,), }\n",
        b"\xff\xfe\n",
        b"",
    ],
)
def test_a_header_is_checked_before_its_array_is_read(tmp_path, header):
    """A header that claims what is not there, or is none, is refused without making room for it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"a\.npz"):
        read_npz(_claims(tmp_path / "a.npz", header), {"frame": SPECS["frame"]})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_small_archives_of_large_arrays_are_refused(tmp_path):
    """What would not fit into the bound is refused, however small the file is; the arrays count together."""
    path = _npz(tmp_path / "a.npz", frame=np.zeros(1 << 20, np.int64), box=np.zeros((1 << 20, 4), np.float32))
    assert path.stat().st_size < 1 << 16
    with pytest.raises(ValueError, match="does not fit into"):
        read_npz(path, SPECS, most_bytes=20 << 20)
    assert len(read_npz(path, SPECS, most_bytes=25 << 20)["box"]) == 1 << 20


def test_every_flipped_bit_is_found(tmp_path):
    """An archive with a flipped bit is refused, or gives the same arrays: never others, and no other exception."""
    path = _npz(tmp_path / "a.npz", frame=np.arange(4), box=np.arange(16, dtype=np.float32).reshape(4, 4))
    whole = read_npz(path, SPECS)
    data = path.read_bytes()
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
        try:
            found = read_npz(path, SPECS)
        except ValueError:
            continue
        assert all(np.array_equal(whole[name], found[name]) for name in whole)


@pytest.mark.parametrize("data", [b"", b"PK", b"[1,2]", b"\0" * 100])
def test_no_archive(tmp_path, data):
    """Anything else is refused too."""
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.npz"):
        read_npz(tmp_path / "a.npz", SPECS)


def test_a_map_holds_the_whole_array(tmp_path):
    """One array is mapped where the file holds it whole and nothing else, as the right type."""
    spec, path = ArraySpec("float32", ("N", 80)), tmp_path / "mel.npy"
    np.save(path, np.ones((7, 80), np.float32))
    data = path.read_bytes()
    assert map_npy(path, spec).shape == (7, 80)
    for other in (data[:-1], data + b"\0", data[:20], data.replace(b"<f4", b"<i4"), data.replace(b"(7,", b"(8,")):
        path.write_bytes(other)
        with pytest.raises(ValueError, match=r"mel\.npy"):
            map_npy(path, spec)
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((0, 80), np.float32))
    path.write_bytes(buffer.getvalue())
    assert map_npy(path, spec).shape == (0, 80)


def test_tracks_of_a_user_are_read_within_bounds(tmp_path):
    """A tracks file whose frames are no whole numbers, or that would fill the memory, is an error of its row."""
    arrays = {
        "track": np.zeros(2, np.int64),
        "frame": np.array([0, 1.5]),
        "box": np.tile(np.array([0, 0, 9, 9], np.float32), (2, 1)),
        "landmarks": np.zeros((2, 5, 2), np.float32),
        "shots": np.array([[0, 2]]),
        "video": np.array([2, 64, 48]),
    }
    with pytest.raises(FaceError, match="whole numbers"):
        read_tracks(_npz(tmp_path / "t.npz", **arrays))
    arrays["frame"] = np.array([0, 1])
    assert read_tracks(_npz(tmp_path / "t.npz", **arrays)).frames == 2
