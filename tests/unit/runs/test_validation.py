"""What `validate` finds before anything runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.cli.app import main
from lipwise_ray.models.registry import Registry
from lipwise_ray.pipeline.inputs.resolver import media_of
from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.resources import jobs_folder, models_folder
from lipwise_ray.runs.settings_source import SettingsSource
from lipwise_ray.runs.validation import Validation
from lipwise_ray.storage.cache import Cache
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import write_manifest

BOX = "box:60,110,50,110"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(160, 120), frames=30, gop=5))
    write_sound(tmp_path / "s.wav", ToneSpec(0.4, codec="pcm_s16le", rate_hz=16000, channels=1))
    monkeypatch.setenv("LIPWISE_MODELS", str(tmp_path / "no-models"))
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))  # put back afterwards
    return tmp_path


def _row(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "video": "v.mp4", "audio": "s.wav", "output": f"{name}.mkv", "faces": BOX, "tracks": "", **more}


def _validated(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[Any, str]:
    monkeypatch.setattr(sys, "argv", ["lipwise-ray", "validate", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, capsys.readouterr().out


def test_every_problem_is_told_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Inputs are opened: cut files, sounds without pictures, tracks that are none; containers are compared with codecs;
    and all checkpoints that are missing are named once, with how many rows need them.
    """
    data = (folder / "v.mp4").read_bytes()
    write_clip(folder / "cut.mkv", ClipSpec(size=Size(160, 120), frames=100, gop=10))
    whole = (folder / "cut.mkv").read_bytes()
    (folder / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    (folder / "junk.npz").write_bytes(data)
    rows = [
        _row("good"),
        _row("cut", video="cut.mkv"),
        _row("deaf", audio="v.mp4", tracks="junk.npz"),
        _row("blind", video="s.wav"),
        _row("webm", output="w.webm"),
        _row("gone", video="nowhere.mp4"),
        _row("seen", faces="largest"),
    ]
    arguments = (write_manifest(folder / "m.csv", rows), "--json", "--set", "encode.codec=libx264")
    code, said = _validated(monkeypatch, capsys, *arguments)
    *found, summary = [json.loads(line) for line in said.splitlines()]
    by_row = {(one["row_id"], one["code"]) for one in found if one["line"]}
    assert by_row == {
        ("gone", "row_video"),
        ("cut", "truncated"),
        ("deaf", "no_audio"),
        ("deaf", "bad_tracks"),
        ("blind", "no_video"),
        ("webm", "codec_container"),
    }
    lacking = {one["message"].split(":")[0]: one["rows"] for one in found if not one["line"]}
    assert lacking == {"model wav2lip_gan": 5, "model yunet": 1}
    assert summary == {"manifest": str(arguments[0]), "good_rows": 2, "bad_rows": 5, "missing_checkpoints": 2}
    assert code == 1


def test_an_audio_file_that_was_cut_off_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It opens as if it were whole, and where what is there is to be dubbed, it is."""
    data = (folder / "s.wav").read_bytes()
    (folder / "s.wav").write_bytes(data[: len(data) // 2])
    arguments = (write_manifest(folder / "m.csv", [_row("a")]), "--set", "lipsync.model=passthrough")
    code, said = _validated(monkeypatch, capsys, *arguments)
    assert code == 1
    assert "bytes that its header states" in said
    assert _validated(monkeypatch, capsys, *arguments, "--set", "source.on_error=salvage")[0] == 0


def test_what_is_installed_and_what_is_not_open_are_told_apart(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing checkpoints alone end with 2, as the run would; --quick opens nothing; a good manifest ends with 0."""
    manifest = write_manifest(folder / "m.csv", [_row("a")])
    code, said = _validated(monkeypatch, capsys, manifest)
    assert code == 2
    assert "models pull wav2lip_gan" in said
    bare = ("--set", "lipsync.model=passthrough")
    assert _validated(monkeypatch, capsys, manifest, *bare)[0] == 0
    (folder / "v.mp4").write_text("no video\n" * 50)
    assert _validated(monkeypatch, capsys, manifest, *bare)[0] == 1
    assert _validated(monkeypatch, capsys, manifest, *bare, "--quick")[0] == 0


def test_settings_that_no_model_bears_are_told_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of the run are one finding, with how many rows need them, and end with 2, as the run would."""
    manifest = write_manifest(folder / "m.csv", [_row("a"), _row("b")])
    sets = ("--set", 'lipsync.model="musetalk_15"', "--set", "lipsync.strength=1.5")
    code, said = _validated(monkeypatch, capsys, manifest, *sets)
    assert code == 2
    (told,) = [line for line in said.splitlines() if "lipsync.strength" in line]
    assert told.startswith("lipsync.strength = 1.5: musetalk_15 has no such strength")
    assert told.endswith("Needed by 2 rows.")


def test_a_rows_own_setting_that_no_model_bears_is_told_with_its_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other rows are good."""
    rows = [_row("a"), _row("b", **{"lipsync.strength": "1.5"})]
    manifest = write_manifest(folder / "m.csv", rows)
    _, said = _validated(monkeypatch, capsys, manifest, "--set", 'lipsync.model="musetalk_15"')
    assert "line 3 (id=b): lipsync.strength = 1.5: musetalk_15 has no such strength" in said
    assert "1 good rows, 1 bad rows" in said


def test_a_model_that_is_none_is_told_beside_a_file_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its name decides the network of a file of one's own, so a mistyped one must not be another model's."""
    manifest = write_manifest(folder / "m.csv", [_row("a")])
    tiny = models_folder() / "tiny" / "tiny_generator.safetensors"
    sets = ("--set", f'lipsync.checkpoint="{tiny}"', "--set", 'lipsync.model="latentsync_17"')
    code, said = _validated(monkeypatch, capsys, manifest, *sets)
    assert code == 2
    assert said.startswith('unknown model "latentsync_17" - did you mean "latentsync_16"?')


def test_a_manifest_that_cannot_be_read_is_an_object_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json whoever reads the output gets the code of what ended the command."""
    code, said = _validated(monkeypatch, capsys, folder / "none.csv", "--json")
    assert code == 2
    assert json.loads(said)["code"] == "manifest_unreadable"


def test_a_program_gets_findings_one_by_one(folder: Path) -> None:
    """With the row that each is of and a code; a checkpoint that several rows lack is one finding, and comes last."""
    rows = [_row("good"), _row("gone", video="nowhere.mp4"), _row("deaf", audio="v.mp4"), _row("fine")]
    manifest = read_manifest(write_manifest(folder / "m.csv", rows), str(folder / "out"), ["quality"])
    settings = SettingsSource(jobs_folder(), "quality", [])
    media = media_of(settings.for_run(), Cache(folder / "cache", 1 << 20))
    registry = Registry(models_folder() / "registry.toml", folder / "no-models")
    validation = Validation(manifest, settings, registry, media, str(folder / "out"), str(folder / "state"))
    found = list(validation.findings())
    assert [(one.row_id, one.code) for one in found[:2]] == [("gone", "row_video"), ("deaf", "no_audio")]
    assert [(one.line, one.rows) for one in found[2:]] == [(None, 3)]
    assert (validation.bad, validation.lacking) == (2, 1)


def test_a_diarisation_file_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong with it is told with its line, and that faces of nobody's cast need a network to be found."""
    (folder / "good.rttm").write_text("SPEAKER t 1 0 0.2 <NA> <NA> ANNA <NA> <NA>\n")
    (folder / "bad.rttm").write_text("\nSPEAKER t 1 0 zero <NA> <NA> ANNA <NA> <NA>\n")
    rows = [
        _row("mapped", speakers="good.rttm", faces=f"ANNA={BOX}"),
        _row("found", speakers="good.rttm", faces=""),
        _row("broken", speakers="bad.rttm", faces=f"ANNA={BOX}"),
    ]
    manifest = write_manifest(folder / "m.csv", rows)
    _, said = _validated(monkeypatch, capsys, manifest, "--json", "--set", "lipsync.model=passthrough")
    found = [json.loads(line) for line in said.splitlines()][:-1]
    (broken,) = [one for one in found if one["line"]]
    assert (broken["row_id"], broken["code"]) == ("broken", "bad_diarisation")
    assert "line 2: 'zero' is not a time" in broken["message"]
    assert {one["message"].split(":")[0]: one["rows"] for one in found if not one["line"]}["model lr_asd_talkset"] == 1


@pytest.mark.parametrize("error", [RecursionError("too deep"), OverflowError(34, "too large"), ValueError("no number")])
def test_a_file_that_breaks_its_reader_is_its_own_rows_fault(
    error: Exception, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a library raises over one file is a finding of that row; the rows after it are looked at too."""

    def fail(path: Path) -> None:
        raise error

    monkeypatch.setattr("lipwise_ray.runs.validation.read_diarisation", fail)
    (folder / "deep.json").write_text("[" * 400 + "]" * 400)
    rows = [_row("deep", speakers="deep.json", faces=f"ANNA={BOX}"), _row("gone", video="nowhere.mp4"), _row("fine")]
    manifest = write_manifest(folder / "m.csv", rows)
    code, said = _validated(monkeypatch, capsys, manifest, "--json", "--set", "lipsync.model=passthrough")
    *found, summary = [json.loads(line) for line in said.splitlines()]
    assert {(one["row_id"], one["code"]) for one in found} == {("gone", "row_video"), ("deep", "broken_input")}
    assert type(error).__name__ in next(one["message"] for one in found if one["row_id"] == "deep")
    assert (code, summary["good_rows"], summary["bad_rows"]) == (1, 1, 2)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("digits.json", '[{"speaker": "ANNA", "start": 0, "end": 1' + "0" * 400 + "}]"),
        ("digits.srt", "9" * 400 + ":00:00,0 --> " + "9" * 400 + ":00:01,0\nANNA: x\n"),
        ("deep.json", "[" + "[" * 900 + "]" * 900 + "]"),
        ("tags.vtt", "00:01.0 --> 00:02.0\n" + "<" * 300_000),
    ],
)
def test_a_malformed_diarisation_is_its_own_rows_fault(
    name: str, text: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers that no float holds, nesting and runs of brackets neither end nor hold up the command."""
    (folder / name).write_text(text)
    manifest = write_manifest(folder / "m.csv", [_row("bad", speakers=name, faces=f"ANNA={BOX}"), _row("fine")])
    _, said = _validated(monkeypatch, capsys, manifest, "--json", "--set", "lipsync.model=passthrough")
    *found, summary = [json.loads(line) for line in said.splitlines()]
    assert [(one["row_id"], one["code"]) for one in found] == [("bad", "bad_diarisation")]
    assert summary["good_rows"] == 1
