"""The state of a video that is dubbed by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.errors import StorageError
from lipwise_ray.runs.kept_state import kept_state, leave_if_empty


def test_an_output_has_one_state_however_it_is_spelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path, one with dots, and an address in capitals are found again; other outputs have others."""
    monkeypatch.chdir(tmp_path)
    states = {kept_state(name, tmp_path) for name in ("o.mp4", "./x/../o.mp4", str(tmp_path / "o.mp4"))}
    assert len(states) == 1
    assert kept_state("S3://bucket/o.mp4", tmp_path) == kept_state("s3://bucket/o.mp4", tmp_path)
    assert kept_state("p.mp4", tmp_path) not in states


def test_a_folder_that_somebody_laid_out_is_refused(tmp_path: Path) -> None:
    """A link in the place of the folder is not followed; the error says how to keep progress elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "dub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match=r"a link\. Name another place with --state"):
        kept_state("o.mp4", tmp_path)


def test_only_an_empty_state_goes(tmp_path: Path) -> None:
    """What was written stays."""
    state = Path(kept_state("o.mp4", tmp_path))
    (state / "record").touch()
    leave_if_empty(str(state))
    assert state.is_dir()
    (state / "record").unlink()
    leave_if_empty(str(state))
    assert not state.exists()
    leave_if_empty("s3://bucket/state")
