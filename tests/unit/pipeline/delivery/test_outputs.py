"""Finding out before any work whether an output can be written."""

import os
import sys
from pathlib import Path

import pytest

from lipwise_ray.errors import OutputError
from lipwise_ray.pipeline.delivery.outputs import FileOutput


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a folder that takes no files from anybody")
def test_a_folder_that_only_its_permissions_call_writable_is_refused_before_any_work() -> None:
    """Where the system lets nobody make files, whatever the permissions say, no chunk is rendered in vain."""
    with pytest.raises(OutputError, match=r"/proc/o\.mp4: (cannot be written|its folder is not writable)"):
        FileOutput(Path("/proc/o.mp4")).check()


def test_asking_leaves_nothing_in_the_folder(tmp_path: Path) -> None:
    """Whoever lists the folder while rows wait sees finished files alone."""
    FileOutput(tmp_path / "new" / "o.mp4").check()
    assert list((tmp_path / "new").iterdir()) == []


def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    """Whoever reads from it would wait for ever; by way of a link too."""
    os.mkfifo(tmp_path / "a.mp4")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "a.mp4")
    for name in ("a.mp4", "link.mp4"):
        with pytest.raises(OutputError, match="is there, and is not a file"):
            FileOutput(tmp_path / name).check()


def test_another_users_file_in_a_sticky_folder_is_found_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as /tmp, which everybody may write to; a new name there is free, and so is the file in a usual folder."""
    (tmp_path / "a.mp4").touch()
    tmp_path.chmod(0o1777)
    FileOutput(tmp_path / "a.mp4").check()
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(OutputError, match="another user's file"):
        FileOutput(tmp_path / "a.mp4").check()
    FileOutput(tmp_path / "b.mp4").check()
    tmp_path.chmod(0o777)
    FileOutput(tmp_path / "a.mp4").check()
