"""Finished outputs: known again while they are what was published, made again when they are not."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import LOSSLESS, PASSTHROUGH, Dubbed, dub, packets

ROW = {"id": "a", "video": "v.mp4", "audio": "s.wav", "output": "a.mkv", "faces": "box:20,80,40,100"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dub one short clip."""
    folder = tmp_path_factory.mktemp("made")
    write_clip(folder / "v.mp4", ClipSpec(size=Size(160, 112), frames=10))
    write_sound(folder / "s.wav", ToneSpec(0.4, codec="pcm_s16le", rate_hz=16000, channels=1))
    assert dub(folder, [ROW], PASSTHROUGH, LOSSLESS).chunks_rendered == 1
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "f"))  # with the files' time stamps


def _again(folder: Path, **options: Any) -> Dubbed:
    return dub(folder, [ROW], PASSTHROUGH, LOSSLESS, **options)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _result(folder: Path) -> tuple[Path, dict[str, Any]]:
    (path,) = (folder / "out.state").glob("jobs/*/result.json")
    return path, json.loads(path.read_text())


def test_a_changed_byte_is_not_already_done(folder: Path) -> None:
    """An output of the right length with another byte in it is made again, and that is said."""
    output = folder / "out" / "a.mkv"
    whole = packets(output)
    _flip(output)
    again = _again(folder)
    assert (again.exit_code, again.chunks_rendered) == (0, 1)
    assert packets(output) == whole
    assert [line for line in again.lines if "row a" in line and "is not the file that was published" in line]


def test_state_and_outputs_moved_together_are_done(folder: Path) -> None:
    """A moved or copied output with its state is known, and once it was read it is known at a look."""
    shutil.copytree(folder / "out", folder / "new" / "out", copy_function=shutil.copyfile)  # other time stamps
    shutil.move(folder / "out.state", folder / "new" / "out.state")
    for name in ("v.mp4", "s.wav"):
        shutil.copy(folder / name, folder / "new" / name)
    moved = folder / "new"
    again = _again(moved)
    assert (again.exit_code, again.chunks_rendered, again.chunks_reused) == (0, 0, 1)
    assert again.outcomes[0].record["output"] == str(moved / "out" / "a.mkv")
    _, record = _result(moved)
    stat = (moved / "out" / "a.mkv").stat()
    assert record["seen"] == {"size": stat.st_size, "tag": str(stat.st_mtime_ns)}


def test_verify_reads_every_output(folder: Path) -> None:
    """A byte that changed behind the time stamp's back is found by reading, which is done when it is asked for."""
    output = folder / "out" / "a.mkv"
    whole, stat = packets(output), output.stat()
    _flip(output)
    os.utime(output, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert _again(folder).chunks_rendered == 0
    assert _again(folder, verify=True).chunks_rendered == 1
    assert packets(output) == whole
    assert _again(folder, verify=True).chunks_rendered == 0


def test_results_of_earlier_versions_are_known(folder: Path) -> None:
    """A result without a checksum and a time stamp counts if the output's hash is the recorded one."""
    path, record = _result(folder)
    for name in ("seen", "checksum"):
        del record[name]
    path.write_text(json.dumps(record))
    assert _again(folder).chunks_rendered == 0
    assert _result(folder)[1]["seen"]["size"] == record["bytes_total"]
