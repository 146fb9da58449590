"""What the command prints."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lipwise_ray.cli.app import main


def test_names_of_files_are_printed_plainly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A manifest's own name and cells with escape sequences reach neither stream as they are."""
    evil = "\x1b]0;owned\x07\u202e"
    path = tmp_path / f"m{evil}.csv"
    path.write_text(f"id,video,audio,output,{evil}\n", "utf-8")
    monkeypatch.setattr(sys, "argv", ["lipwise-ray", "validate", str(path)])
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))  # put back afterwards
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr()
    text = said.out + said.err
    assert "owned" in text
    assert not set("\x1b\x07\u202e") & set(text)
