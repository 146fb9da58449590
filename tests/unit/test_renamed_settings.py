"""Settings and columns by names that they had: read wherever they come from, with a warning, for a version more."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from docs.generate.settings_page import page
from lipwise_ray.cli.terminal import warn_plainly
from lipwise_ray.errors import ManifestError, SettingsError
from lipwise_ray.pipeline.manifest.dub_rows import DUBBED
from lipwise_ray.pipeline.manifest.evaluation_rows import EVALUATED
from lipwise_ray.pipeline.manifest.manifest import Manifest
from lipwise_ray.runs.load_settings import LoadedSettings, load_settings
from lipwise_ray.runs.run_inputs import read_manifest
from lipwise_ray.runs.settings_source import SettingsSource
from lipwise_ray.service.row_reader import ClientPolicy, RowReader
from lipwise_ray.service.studio.settings_text import overrides_of
from lipwise_ray.settings.effective import effective_settings, named
from lipwise_ray.settings.reference import settings_of
from lipwise_ray.settings.renamed import RENAMED, OldNameWarning, Renamed, Renames
from lipwise_ray.version import __version__

_RENAMED = (
    Renamed("detect.step", "detect.stride", since="0.2", goes="0.3"),
    Renamed("mending.strength", "restore.strength", since="0.2", goes="0.3"),
    Renamed("sound", "audio", since="0.2", goes="0.3"),
)


@pytest.fixture
def seen() -> Iterator[list[warnings.WarningMessage]]:
    """Warnings as Python shows them by default: equal ones once."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("default", OldNameWarning)
        yield found


def _loaded(*assignments: str, job: Path | None = None) -> LoadedSettings:
    return replace(load_settings(job=job, assignments=assignments), renames=_RENAMED)


def _texts(seen: list[warnings.WarningMessage]) -> list[str]:
    return [str(one.message) for one in seen]


def test_a_job_file_and_set_may_use_old_names(tmp_path: Path, seen: list[warnings.WarningMessage]) -> None:
    """They mean what the new ones do, a section that is no more among them; each is warned of once, by both names."""
    job = tmp_path / "job.toml"
    job.write_text("[mending]\nstrength = 0.25\n")
    source = _loaded("detect.step=7", job=job)
    by_new_names = load_settings(assignments=("restore.strength=0.25", "detect.stride=7"))
    assert source.for_run() == source.with_assignments("detect.stride=7").for_preset("quality")
    assert source.for_run() == by_new_names.for_run()
    ends = "since version 0.2; version 0.3 refuses the old name"
    assert _texts(seen) == [
        f'{job}: mending.strength is called "restore.strength" {ends}',
        f'--set detect.step=7: detect.step is called "detect.stride" {ends}',
    ]


def test_a_preset_and_a_retry_may_use_old_names(tmp_path: Path, seen: list[warnings.WarningMessage]) -> None:
    """A preset of a folder of one's own, and the settings of further attempts."""
    (tmp_path / "mine.toml").write_text("detect.step = 7\n[[gate.retry]]\nmending.strength = 0.25\n")
    settings = SettingsSource(tmp_path, "mine", [], _RENAMED).for_run()
    assert settings.detect.stride == 7
    assert settings.gate.retry == ({"restore": {"strength": 0.25}},)
    assert [text.partition(" is called")[0] for text in _texts(seen)] == [
        "preset mine: detect.step",
        "preset mine: gate.retry 1: mending.strength",
    ]


def test_the_later_layer_wins_by_either_name(tmp_path: Path, seen: list[warnings.WarningMessage]) -> None:
    """An old name has the precedence of where it stands."""
    job = tmp_path / "job.toml"
    job.write_text("[detect]\nstep = 7\n")
    assert _loaded("detect.stride=9", job=job).for_run().detect.stride == 9
    job.write_text("[detect]\nstride = 9\n")
    assert _loaded("detect.step=7", job=job).for_run().detect.stride == 7
    assert len(seen) == 2


def test_both_names_in_one_file_are_refused(tmp_path: Path) -> None:
    """Which of them is meant is for the user to say."""
    job = tmp_path / "job.toml"
    job.write_text("[detect]\nstep = 7\nstride = 7\n")
    with pytest.raises(SettingsError) as caught:
        _loaded(job=job)
    assert str(caught.value) == f'{job}: "detect.step" beside "detect.stride", its new name. Keep "detect.stride".'
    job.write_text("detect.step = 7\nrestore = 1\nmending.strength = 1\n")
    with pytest.warns(OldNameWarning), pytest.raises(SettingsError, match="restore: 1 where a section belongs"):
        _loaded(job=job)


def test_a_version_that_renamed_nothing_knows_no_old_names() -> None:
    """Then a name that is no setting's is a mistake like any other."""
    with pytest.raises(SettingsError, match=r'unknown setting "detect\.step"'):
        load_settings(assignments="detect.step=7").for_run()


def _manifest(folder: Path, ending: str, *rows: dict[str, Any]) -> Manifest:
    for name in ("v.mp4", "a.wav"):
        (folder / name).touch()
    path, source = folder / f"m.{ending}", _loaded()
    whole = [{"id": f"r{n}", "video": "v.mp4", "output": f"r{n}.mp4", **row} for n, row in enumerate(rows)]
    table = [[*whole[0]], *([*row.values()] for row in whole)]
    lines = map(json.dumps, whole) if ending == "jsonl" else [",".join(map(str, cells)) for cells in table]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return read_manifest(str(path), source, source.for_run(), str(folder / "out"))


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_columns_may_have_old_names(tmp_path: Path, ending: str, seen: list[warnings.WarningMessage]) -> None:
    """Columns of settings and others, warned of once, however many rows there are."""
    rows = [{"sound": "a.wav", "detect.step": n} for n in (5, 6, 7)]
    found = list(_manifest(tmp_path, ending, *rows).rows)
    assert [row.overrides for row in found] == [{"detect": {"stride": n}} for n in (5, 6, 7)]
    assert [row.audio for row in found] == [str(tmp_path / "a.wav")] * 3
    assert [text.partition(" since")[0] for text in _texts(seen)] == [
        'the column "sound" is called "audio"',
        'the column "detect.step" is called "detect.stride"',
    ]


def test_both_columns_are_refused(tmp_path: Path) -> None:
    """In a table by its header; in JSON lines it is the fault of that row."""
    row = {"audio": "a.wav", "detect.step": 5, "detect.stride": 6}
    message = '"detect.step" beside "detect.stride", its new name'
    with pytest.raises(ManifestError, match=message) as caught:
        _manifest(tmp_path, "csv", row)
    assert "line 1" in str(caught.value)
    found = _manifest(tmp_path, "jsonl", {"audio": "a.wav"}, row)
    assert [one.id for one in found.rows] == ["r0"]
    assert [str(one) for one in found.problems] == [f"line 2 (id=r1): {message}."]


def test_jobs_of_a_service_may_use_old_names(tmp_path: Path, seen: list[warnings.WarningMessage]) -> None:
    """As columns of a request, and as settings that somebody types."""
    (tmp_path / "v.mp4").touch()
    source = _loaded()
    reader = RowReader(source, ClientPolicy.of(source.for_run().paths, str(tmp_path)), str(tmp_path / "out"))
    file = str(tmp_path / "v.mp4")
    columns = {"id": "j", "output": "j.mp4", "video": file, "sound": file, "detect.step": 5}
    assert source.for_row(reader.row(columns)).detect.stride == 5
    assert overrides_of("[detect]\nstep = 5\n", _RENAMED) == {"detect.stride": 5}
    assert len(seen) == 3


def test_who_asks_for_an_old_name_is_told_the_new_one(seen: list[warnings.WarningMessage]) -> None:
    """The command shows the setting as it is called now."""
    found = effective_settings(_loaded().layers_of_run())
    assert [one.setting.name for one in named(found, "detect.step", _RENAMED)] == ["detect.stride"]
    assert _texts(seen) == [
        '"detect.step" is called "detect.stride" since version 0.2; version 0.3 refuses the old name'
    ]


def test_the_command_prints_warnings_for_users_as_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a place in the source, and without secrets; warnings of other kinds stay Python's."""
    others: list[object] = []
    monkeypatch.setattr(warnings, "showwarning", lambda *told: others.append(told[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warn_plainly()
        warnings.warn("--set paths.mirror=https://me:s3cret@host.test/x is old", OldNameWarning, stacklevel=1)
        warnings.warn("for programmers", FutureWarning, stacklevel=1)
    printed = capsys.readouterr().err
    assert printed.startswith("warning: --set paths.mirror=")
    assert len(printed.splitlines()) == 1
    assert "s3cret" not in printed
    assert others == [FutureWarning]


def test_the_reference_lists_old_names() -> None:
    """With the versions; a version without any has no such section."""
    assert "| `detect.step` | `detect.stride` | 0.2 | 0.3 |" in page(_RENAMED).partition("## Old names")[2]
    assert ("## Old names" in page()) == bool(RENAMED)


def _faults(renames: Renames, version: str) -> list[str]:
    """Return the entries that are not as RELEASING.md promises."""
    names = {one.name for one in settings_of()} | {*DUBBED.all, *EVALUATED.all}
    return [
        one.old
        for one in renames
        if one.new not in names or one.old in names or not Version(version) < Version(one.goes) > Version(one.since)
    ]


def test_an_old_name_goes_with_its_version() -> None:
    """An entry whose version has come is to be taken out; each leads from no name of today to one of today."""
    assert _faults(RENAMED, __version__) == []
    assert _faults(_RENAMED, "0.2.5") == []
    assert _faults(_RENAMED, "0.3.0") == [one.old for one in _RENAMED]
    assert _faults((Renamed("detect.stride", "detect.stp", "0.2", "0.3"),), "0.2.0") == ["detect.stride"]
