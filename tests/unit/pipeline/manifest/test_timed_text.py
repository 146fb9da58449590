"""Reading files that say what is said, or who speaks, at which times."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.errors import FaceError
from lipwise_ray.pipeline.manifest import timed_text
from lipwise_ray.pipeline.manifest.timed_text import read_timed_text


def _fault(got: str, do: str) -> FaceError:
    return FaceError("bad_file", "file", got=got, do=do)


def test_marks_at_the_beginning_are_no_text(tmp_path: Path) -> None:
    """A byte order mark is left out, and an ending may be in capitals."""
    (tmp_path / "a.SRT").write_bytes("\ufeffHola".encode())
    assert read_timed_text(tmp_path / "a.SRT", [".srt"], "cues", _fault) == "Hola"


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("a.txt", b"x", 'unknown ending ".txt"'),
        ("a.srt", b"\xff\xfe", "not a text in UTF-8"),
        ("none.srt", None, "no such file"),
        ("a.srt", b"x" * 5, "too large for cues"),
    ],
)
def test_what_is_no_such_file(
    name: str, contents: bytes | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what is wrong with the file."""
    monkeypatch.setattr(timed_text, "MOST_BYTES", 4)
    if contents is not None:
        (tmp_path / name).write_bytes(contents)
    with pytest.raises(FaceError, match=message):
        read_timed_text(tmp_path / name, [".srt"], "cues", _fault)
