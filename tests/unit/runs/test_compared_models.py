"""Columns of a comparison of lip models, as they are named on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.errors import SettingsError
from lipwise_ray.runs.compared_models import ModelColumn, check_columns, files_columns, listed_models, model_columns
from lipwise_ray.runs.load_settings import load_settings


def test_models_are_names_or_files_or_both() -> None:
    """A registry's name, a file of weights, and a file for a named network; a label may stand before each."""
    assert model_columns("wav2lip_gan, mine=runs/best.pth,sharp=musetalk_15@unet.pth,other.safetensors") == [
        ModelColumn("wav2lip_gan", "wav2lip_gan", None),
        ModelColumn("mine", None, "runs/best.pth"),
        ModelColumn("sharp", "musetalk_15", "unet.pth"),
        ModelColumn("other", None, "other.safetensors"),
    ]
    (both,) = model_columns("sharp=musetalk_15@unet.pth")
    assert both.assignments == ('lipsync.model="musetalk_15"', 'lipsync.checkpoint="unet.pth"')


@pytest.mark.parametrize("entries", ["", "a=", "../x=wav2lip", "a=@unet.pth"])
def test_what_names_no_model_is_refused(entries: str) -> None:
    """Also a label that could not be a folder."""
    with pytest.raises(SettingsError):
        model_columns(entries)


def test_columns_that_cannot_be_told_apart_are_refused() -> None:
    """Two of one label share a folder, on some systems also where only capitals differ; one alone is no comparison."""
    with pytest.raises(SettingsError, match="two columns are called wav2lip"):
        check_columns(model_columns("wav2lip,Wav2Lip=other.pth"))
    with pytest.raises(SettingsError, match="nothing to compare it with"):
        check_columns(model_columns("wav2lip"))


def test_twins_of_files_are_told_of_the_option_that_names_them(tmp_path: Path) -> None:
    """And not of that for models."""
    twins = files_columns([f"echo={tmp_path}", f"Echo={tmp_path}"])
    with pytest.raises(SettingsError, match=r"--files: two columns are called echo.*--files first=FOLDER"):
        check_columns([*model_columns("wav2lip"), *twins])


def test_other_tools_files_are_found_by_output_or_id(tmp_path: Path) -> None:
    """Named as the output, after it with another ending, or after the row."""
    for name in ("de/one.mp4", "two.webm", "row-3.mov"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (column,) = files_columns([f"echo={tmp_path}"])
    assert column.file_of("row-1", "de/one.mp4") == tmp_path / "de" / "one.mp4"
    assert column.file_of("row-2", "two.mp4") == tmp_path / "two.webm"
    assert column.file_of("row-3", "three.mp4") == tmp_path / "row-3.mov"
    assert column.file_of("row-4", "four.mp4") is None


@pytest.mark.parametrize("entry", ["echo", "echo=", "echo=nowhere"])
def test_files_need_a_folder(entry: str) -> None:
    """And it has to be there."""
    with pytest.raises(SettingsError):
        files_columns([entry])


def test_settings_may_list_the_models(tmp_path: Path) -> None:
    """A job file's list stands for ``--models``; what else it says stays, and a later list or name goes before it."""
    job = tmp_path / "job.toml"
    job.write_text('[lipsync]\nmodel = ["wav2lip", "sharp=musetalk_15"]\nlevels = true\n')
    source, entries = listed_models(load_settings(job=job))
    assert entries == ["wav2lip", "sharp=musetalk_15"]
    assert source.for_run().lipsync.levels
    assert listed_models(load_settings(job=job, assignments='lipsync.model=["a", "b"]'))[1] == ["a", "b"]
    source, entries = listed_models(load_settings(job=job, assignments='lipsync.model="wav2lip"'))
    assert (source.for_run().lipsync.model, entries) == ("wav2lip", [])
