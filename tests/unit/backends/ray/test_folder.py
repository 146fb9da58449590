"""The folder of an embedded Ray."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lipwise_ray.backends.ray import folder as ray_folder
from lipwise_ray.backends.ray.folder import make_folder, remove_folder

_DRIVER = """
import sys
from pathlib import Path
from lipwise_ray.backends.ray import folder as ray_folder
ray_folder._ROOT = Path(sys.argv[1])
print(ray_folder.make_folder(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(ray_folder, "_ROOT", tmp_path)
    return tmp_path


def test_only_its_user_may_enter(root: Path) -> None:
    """Ray opens its folder to everybody, so the one around it is the user's alone, also where it was not before."""
    (root / f"lw-ray-{os.getuid()}").mkdir(mode=0o777)
    folder = make_folder()
    folder.chmod(0o777)
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert len(str(ray_folder.Path("/tmp") / folder.relative_to(root))) < 35
    remove_folder(folder)
    assert [path.name for path in folder.parent.iterdir()] == [".lock"]


@pytest.mark.parametrize("what", ["a link to a folder", "a link to nothing", "a file"])
def test_a_name_that_somebody_laid_out_is_not_used(what: str, root: Path) -> None:
    """Where that folder is a link, a file, or another user's, a private one of a new name is made, and removed with its
    Ray.
    """
    (root / "theirs").mkdir()
    name = root / f"lw-ray-{os.getuid()}"
    if what == "a file":
        name.touch()
    else:
        name.symlink_to(root / ("theirs" if what == "a link to a folder" else "nowhere"))
    folder = make_folder()
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert not list((root / "theirs").iterdir())
    remove_folder(folder)
    assert not folder.parent.exists()


def test_folders_of_dead_drivers_are_swept_and_no_others(root: Path) -> None:
    """A driver's lock decides, not its number: whoever holds one lives, whatever its processes are called here."""
    with subprocess.Popen(
        [sys.executable, "-c", _DRIVER, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        theirs = Path(driver.stdout.readline().strip())
        ours = make_folder()
        assert theirs.is_dir()
        driver.kill()
    other = make_folder()
    assert not theirs.exists()
    assert ours.is_dir()
    remove_folder(ours)
    remove_folder(other)


def test_replacements_of_dead_drivers_are_swept(root: Path) -> None:
    """The private folder that a driver made for itself goes once that driver is gone, wherever the next one lives."""
    (root / f"lw-ray-{os.getuid()}").touch()
    with subprocess.Popen(
        [sys.executable, "-c", _DRIVER, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        theirs = Path(driver.stdout.readline().strip()).parent
        os.utime(theirs, (1, 1))
        remove_folder(make_folder())
        assert theirs.is_dir()
        driver.kill()
    just_made = root / "lw-ray-abcdefgh"
    just_made.mkdir()
    os.utime(theirs, (1, 1))
    (root / f"lw-ray-{os.getuid()}").unlink()
    remove_folder(make_folder())
    assert not theirs.exists()
    assert just_made.is_dir()
