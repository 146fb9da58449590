"""Finding out before any work whether an output can be written."""

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
