"""What `train prepare` shows while it works, and what it takes of its options."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lipwise_ray.cli import prepare, prepare_progress
from lipwise_ray.cli.prepare_progress import PrepareProgress
from lipwise_ray.errors import MediaError, OutputError, SettingsError, WeightsError
from lipwise_ray.models.registry import Registry
from lipwise_ray.resources import models_folder
from lipwise_ray.settings.model import Settings
from lipwise_ray.training.clip_record import FaceMeasures
from lipwise_ray.training.footage import Clip
from lipwise_ray.training.prepare import SortedFace

FACE = SortedFace("a/0", FaceMeasures(0, 0.0, 4.0, 100, 120.0, 8.0, 0.93, 5.0, 0.8, 0.2), None, 0, None)


def _clips(folder: Path, *sizes: int) -> list[Clip]:
    clips = [Clip(f"a/{number}", folder / f"{number}.mp4") for number in range(len(sizes))]
    for clip, size in zip(clips, sizes, strict=True):
        clip.path.write_bytes(bytes(size))
    return clips


def test_the_time_left_goes_by_the_size_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the bytes after 30 seconds leaves 90 more, however many files they are."""
    clips = _clips(tmp_path, 100, 150, 150)
    progress = PrepareProgress(clips)
    begun = time.monotonic()
    monkeypatch.setattr(prepare_progress.time, "monotonic", lambda: begun + 30)
    progress.ended(clips[0], (FACE,))
    line = progress.line()
    assert line.startswith("1/3 videos, 1 clips, 0 skipped, about")
    assert "90 s left" in line or "2 min left" in line
    for clip in clips[1:]:
        progress.ended(clip, (FACE,))
    assert "left" not in progress.line()
    assert (progress.left, progress.frames) == (0, 300)


def test_a_broken_video_is_told_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its reason goes to people at once; what would move a terminal's cursor is spelt out."""
    (clip,) = _clips(tmp_path, 1)
    progress = PrepareProgress([clip])
    progress.ended(clip, MediaError("cut_off", "x.mp4", got="is \x1b[31mcut off"))
    assert "skipped a/0: x.mp4: is \\x1b[31mcut off" in capsys.readouterr().err
    assert progress.skipped == 1


def test_pads_are_those_of_dubbing_unless_given() -> None:
    """Pixels alone leave no shares, as in a manifest; four numbers are needed of either."""
    settings = Settings()
    assert prepare._pads(None, None, settings) == ((0, 0, 0, 0), settings.faces.pads_share)
    assert prepare._pads("0,10,0,0", None, settings) == ((0, 10, 0, 0), (0.0, 0.0, 0.0, 0.0))
    assert prepare._pads("0,10,0,0", "0,0.1,0,0", settings) == ((0, 10, 0, 0), (0.0, 0.1, 0.0, 0.0))
    for pads, shares in (("1,2", None), (None, "a,b,c,d"), (None, "0,9,0,0")):
        with pytest.raises(SettingsError):
            prepare._pads(pads, shares, settings)


def test_the_expert_is_the_bundled_one_where_no_other_is_installed(tmp_path: Path) -> None:
    """A name, a file, or none; drawn clips are right by construction and take none by themselves."""
    registry = Registry(models_folder() / "registry.toml", tmp_path)
    bundled = prepare._expert("auto", registry, truth=False)
    assert bundled is not None
    assert (bundled.name, bundled.made_for) == ("tiny_expert", "drawn faces")
    assert prepare._expert("auto", registry, truth=True) is None
    assert prepare._expert("none", registry, truth=False) is None
    named = prepare._expert("tiny_judge", registry, truth=True)
    assert named is not None
    by_file = prepare._expert(str(named.path), registry, truth=True)
    assert by_file is not None
    assert by_file.sha256 == named.sha256
    with pytest.raises(WeightsError, match="tiny_detector"):
        prepare._expert(str(named.path.parent / "tiny_detector.safetensors"), registry, truth=False)
    with pytest.raises(WeightsError, match=r"nowhere\.pth"):
        prepare._expert(str(tmp_path / "nowhere.pth"), registry, truth=False)


def test_the_footage_is_never_its_own_data_set(tmp_path: Path) -> None:
    """Lists beside the footage would be read as its own from then on: nothing is written, whatever the path's form."""
    clips = _clips(tmp_path, 1, 1)
    with pytest.raises(OutputError, match="is the folder of the footage"):
        prepare.prepare(tmp_path, tmp_path / "." / ".." / tmp_path.name, detector="tiny")
    assert sorted(tmp_path.iterdir()) == [clip.path for clip in clips]
