"""Bad rows fail with a reason in the house format; the others are done."""

from __future__ import annotations

import json
import re
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwise_ray.media.encode import opening_encoders
from lipwise_ray.state.format import settle_format
from lipwise_ray.state.store import LocalStore
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.conftest import ROOT
from tests.support.dub import LOSSLESS, PASSTHROUGH, QUICK, dub, run, settings_arguments, write_manifest

HOUSE_STYLE = re.compile(r"^[^:]+.*: .+\.( .+)?$", re.DOTALL)
BOX = "box:60,110,50,110"
DEMO, JOB = ROOT / "manifests" / "demo.csv", ROOT / "jobs" / "demo.toml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(160, 120), frames=25, tone=ToneSpec(1.0)))
    write_sound(tmp_path / "s.wav", ToneSpec(1.0, codec="pcm_s16le", rate_hz=16000, channels=1))
    return tmp_path


def _row(name: str, video: str = "v.mp4", audio: str = "s.wav", **more: Any) -> dict[str, Any]:
    return {"id": name, "video": video, "audio": audio, "output": f"{name}.mkv", "faces": BOX, **more}


def test_each_bad_row_has_its_reason_and_good_rows_are_done(folder: Path) -> None:
    """Every kind of broken input fails alone."""
    from scipy.io import wavfile

    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("not a video\n" * 30)
    write_clip(folder / "cut.mkv", ClipSpec(size=Size(160, 120), frames=100, gop=10))
    data = (folder / "cut.mkv").read_bytes()
    (folder / "cut.mkv").write_bytes(data[: len(data) // 2])
    with wave.open(str(folder / "none.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
    with wave.open(str(folder / "one.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 1, "NONE", ""))
        file.writeframes(b"\0\1")
    wavfile.write(folder / "nan.wav", 16000, np.array([0.1, np.nan] * 4000, np.float32))
    write_clip(folder / "silent.mp4", ClipSpec(size=Size(160, 120), frames=5))
    write_clip(folder / "single.mp4", ClipSpec(size=Size(160, 120), frames=1))
    (folder / "out").mkdir()
    (folder / "out" / "file").touch()
    (folder / "out" / "folder.mkv").mkdir()
    expected = {
        "missing": (_row("missing", video="nowhere.mp4"), "row_video"),
        "empty": (_row("empty", video="empty.mp4"), "empty_file"),
        "text": (_row("text", video="text.mp4"), "not_media"),
        "cut": (_row("cut", video="cut.mkv"), "truncated"),
        "sound-only": (_row("sound-only", video="s.wav"), "no_video"),
        "no-sound": (_row("no-sound", audio="silent.mp4"), "no_audio"),
        "no-samples": (_row("no-samples", audio="none.wav"), ("no_samples", "no_audio")),
        "nan": (_row("nan", audio="nan.wav"), "not_finite"),
        "outside": (_row("outside", faces="box:500,600,0,50"), "box_outside"),
        "range": (_row("range", start="7"), "empty_range"),
        "unwritable": (_row("unwritable", output="file/o.mkv"), "not_writable"),
        "place": (_row("place", output="folder.mkv"), "not_writable"),
        "container": (_row("container", output="c.webm"), "codec_container"),
        "tracks": (_row("tracks", tracks="text.mp4", faces=""), "bad_tracks"),
        "web": (_row("web", video="http://127.0.0.1/v.mp4"), "row_video"),
        "twin-a": (_row("twin-a", output="twin.mkv"), "row_output"),
        "twin-b": (_row("twin-b", output="twin.mkv"), "row_output"),
    }
    good = [
        _row("good"),
        _row("single", video="single.mp4"),
        _row("one-sample", audio="one.wav"),
        _row("own-sound", audio="v.mp4", length="video"),
    ]
    report = dub(folder, [row for row, _ in expected.values()] + good, PASSTHROUGH, LOSSLESS)
    outcomes = {outcome.row_id: outcome for outcome in report.outcomes}
    assert report.exit_code == 1
    assert {n for n, o in outcomes.items() if o.status == "done"} == {row["id"] for row in good}
    for name, (_, code) in expected.items():
        record = outcomes[name].record
        assert record["code"] in ([code] if isinstance(code, str) else code), (name, record)
        assert HOUSE_STYLE.match(record["message"]), record["message"]
        assert "Traceback" not in record["message"]
    (planned,) = (folder / "out.state").glob("runs/*/planned.jsonl")
    assert {row["id"] for row in good} <= {json.loads(line)["row_id"] for line in planned.read_text().splitlines()}
    assert outcomes["single"].record["frames"] == 25
    assert outcomes["one-sample"].record["frames"] == 1
    assert not list((folder / "out").glob(".*")), "a partial file was left among the outputs"


def test_a_web_server_inside_the_network_is_never_asked(folder: Path) -> None:
    """Also where http is allowed and the host named; a host that is not named is refused with the manifest."""
    allowed = ('paths.schemes=["file","http"]', 'paths.hosts=["127.0.0.1:9", "localhost"]')
    rows = [_row("a", video="http://127.0.0.1:9/v.mp4"), _row("b", audio="http://localhost/s.wav"), _row("good")]
    report = dub(folder, rows, PASSTHROUGH, LOSSLESS, *allowed)
    codes = {outcome.row_id: outcome.record.get("code") for outcome in report.outcomes}
    assert codes == {"a": "private_address", "b": "private_address", "good": None}
    named = write_manifest(folder / "named.csv", [_row("c", video="http://other.test/v.mp4")])
    found = run("validate", named, *settings_arguments(*allowed))
    assert found.returncode == 1
    refused = 'column "video": http://other.test/v.mp4: other.test is not among the hosts that may be asked'
    assert refused in found.stdout
    assert ", 127.0.0.1:9, localhost. See paths.hosts" in found.stdout
    silent = run("validate", named, *settings_arguments('paths.schemes=["file","http"]'))
    assert silent.returncode == 2
    assert "hosts must name the web servers" in silent.stderr


def test_an_input_that_is_too_large_fails_its_row(folder: Path) -> None:
    """By bytes, pixels and hours, before anything is decoded; other rows go on."""
    (folder / "heavy.mp4").write_bytes((folder / "v.mp4").read_bytes() + bytes(1 << 20))
    write_clip(folder / "wide.mp4", ClipSpec(size=Size(640, 480), frames=3))
    rows = [_row("good"), _row("heavy", video="heavy.mp4"), _row("wide", video="wide.mp4")]
    report = dub(folder, rows, PASSTHROUGH, LOSSLESS, "limits.gb=0.001", "limits.megapixels=0.2")
    outcomes = {outcome.row_id: outcome.record for outcome in report.outcomes}
    assert {name: record.get("code") for name, record in outcomes.items()} == {
        "good": None, "heavy": "too_large", "wide": "too_large"
    }  # fmt: skip
    assert "See limits.gb" in outcomes["heavy"]["message"]


@pytest.mark.parametrize("name", ["", "../../x", "a/b", "a\nb"])
def test_cancel_takes_ids_only(name: str, folder: Path) -> None:
    """A text that no row can have for a name ends nothing: exit code 2, one line."""
    (folder / "state" / "runs").mkdir(parents=True)
    settle_format(LocalStore(folder / "state"))
    refused = run("cancel", folder / "state", name)
    assert refused.returncode == 2, refused.stderr
    assert f"cancel: {name!r} is not the id of a row" in refused.stderr
    assert not (folder / "state" / "control").exists()


def test_a_truncated_video_can_be_salvaged(folder: Path) -> None:
    """With on_error = salvage the frames that decode are dubbed."""
    write_clip(folder / "cut.mkv", ClipSpec(size=Size(160, 120), frames=100, gop=10))
    data = (folder / "cut.mkv").read_bytes()
    (folder / "cut.mkv").write_bytes(data[: len(data) // 2])
    rows = [_row("cut", video="cut.mkv", length="video")]
    report = dub(folder, rows, PASSTHROUGH, LOSSLESS, 'source.on_error="salvage"')
    assert report.exit_code == 0, report.outcomes
    assert 10 < report.outcomes[0].record["frames"] < 100


def test_a_video_without_a_face_says_where_it_looked(folder: Path, yunet_file: Path) -> None:
    """The row fails with the number of frames; min_face_share = 0 lets it through untouched."""
    detect = f'detect.checkpoint="{yunet_file}"'
    row = {key: value for key, value in _row("nobody").items() if key != "faces"}
    report = dub(folder, [row], PASSTHROUGH, LOSSLESS, detect)
    assert report.outcomes[0].record["code"] == "no_face"
    assert "0 of 25 frames" in report.outcomes[0].record["message"]
    report = dub(folder, [row], PASSTHROUGH, LOSSLESS, detect, "faces.min_face_share=0")
    assert report.exit_code == 0
    assert report.outcomes[0].record["counts"]["frames_without_face"] == 25


@pytest.mark.parametrize("kind", ["page", "cut", "other", "missing"])
def test_a_bad_checkpoint_stops_before_any_work(kind: str, folder: Path) -> None:
    """A page, a cut file, another network's weights: exit code 2, one line, no output."""
    import torch

    path = folder / "w.pth"
    if kind == "page":
        path.write_text("<!doctype html><title>Too many requests</title>")
    elif kind == "cut":
        torch.save({"state_dict": {"a": torch.zeros(5000)}}, path)
        path.write_bytes(path.read_bytes()[:-4000])
    elif kind == "other":
        torch.save({"state_dict": {"conv.weight": torch.zeros(3, 3)}}, path)
    manifest = write_manifest(folder / "m.csv", [_row("a")])
    sets = settings_arguments(f"lipsync.checkpoint={path}", 'engine.kind="inline"')
    done = run("submit", manifest, "--out", folder / "out", *sets)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "w.pth" in last
    assert not (folder / "out").exists()


def test_a_full_disk_fails_the_row_and_a_rerun_finishes_it(folder: Path) -> None:
    """When segments do not fit, the row says so; with room again the same command does it."""
    import resource
    import signal

    write_clip(folder / "big.mp4", ClipSpec(size=Size(320, 240), frames=50))
    rows = [_row("a", video="big.mp4")]
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        report = dub(folder, rows, PASSTHROUGH, LOSSLESS, "engine.backoff_s=0")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert report.exit_code == 1
    assert report.outcomes[0].record["code"] == "disk_full"
    assert dub(folder, rows, PASSTHROUGH, LOSSLESS).exit_code == 0


@pytest.mark.parametrize("rows", [("bad", "good"), ("good", "bad")])
def test_settings_of_a_row_that_do_not_go_with_the_runs_fail_it_alone(folder: Path, rows: tuple[str, ...]) -> None:
    """Each cell may be right by itself, and not with what the run says: here, which letters its font has."""
    labels = {"bad": "Übersetzt", "good": "AI"}
    manifest = [_row(name, **{"marking.label_text": labels[name]}) for name in rows]
    report = dub(folder, manifest, PASSTHROUGH, QUICK, 'marking.label="always"')
    ends = {outcome.record["row_id"]: outcome.record for outcome in report.outcomes}
    assert (ends["bad"]["status"], ends["good"]["status"]) == ("failed", "done")
    assert "name a font that has it in marking.label_font" in ends["bad"]["message"]


def test_an_encoder_that_cannot_work_is_told_before_any_rendering(folder: Path) -> None:
    """A preset or pixel format that the encoder refuses fails the row at its first task, without attempts."""
    for setting in ('encode.preset="bogus"', 'encode.pixel_format="yuv42p"'):
        report = dub(folder, [_row("a", output="a.mp4")], PASSTHROUGH, setting)
        record = report.outcomes[0].record
        assert (record["code"], report.chunks_rendered) == ("encoder", 0), record
        assert "internal" not in record["message"]


def test_an_encoder_that_is_not_there_is_told_at_once_or_replaced(folder: Path) -> None:
    """Alone it fails the row before anything is looked at, and the message says what is there; in a list the next is
    used, which the result tells, and the finished file is that of whoever names this one alone.
    """
    if "h264_nvenc" in opening_encoders():
        pytest.skip("h264_nvenc opens here")
    rows = [_row("a", output="a.mp4")]
    (refused,) = dub(folder, rows, PASSTHROUGH, 'encode.codec="h264_nvenc"').outcomes
    assert refused.record["code"] == "no_encoder"
    assert "h264_nvenc" in refused.record["message"]
    assert "libx264" in refused.record["message"]
    assert not list((folder / "out.state").glob("scans/*"))
    several = dub(folder, rows, PASSTHROUGH, 'encode.codec=["h264_nvenc", "libx265", "libx264"]')
    assert several.exit_code == 0, several.outcomes
    assert several.outcomes[0].record["encoder"] == "libx265"
    alone = dub(folder, rows, PASSTHROUGH, 'encode.codec="libx265"')
    assert (alone.outcomes[0].record["reused"], alone.chunks_rendered) == (True, 0)


def test_a_users_own_files_in_the_state_folder_stay(folder: Path) -> None:
    """A folder that is used as state keeps what was in it."""
    (folder / "out.state" / "tmp").mkdir(parents=True)
    (folder / "out.state" / "tmp" / "mine.txt").write_text("mine")
    assert dub(folder, [_row("a")], PASSTHROUGH, LOSSLESS).exit_code == 0
    assert (folder / "out.state" / "tmp" / "mine.txt").read_text() == "mine"


def test_sound_codecs_are_checked_before_rendering(folder: Path) -> None:
    """A sound codec that the container cannot carry fails the row before a chunk is rendered."""
    report = dub(folder, [_row("a", output="a.mov")], PASSTHROUGH, 'encode.audio.codec="libopus"')
    assert report.outcomes[0].record["code"] == "audio_container"
    assert report.chunks_rendered == 0


def test_damage_in_the_middle_is_refused(folder: Path) -> None:
    """Lost packets of a transport stream fail the row by default, and can be salvaged."""
    write_clip(folder / "whole.ts", ClipSpec(size=Size(160, 120), frames=100, gop=10))
    data = (folder / "whole.ts").read_bytes()
    middle = len(data) // 2 // 188 * 188
    (folder / "lost.ts").write_bytes(data[:middle] + data[middle + 188 * 20 :])
    rows = [_row("lost", video="lost.ts", length="video")]
    report = dub(folder, rows, PASSTHROUGH, LOSSLESS)
    assert report.outcomes[0].record["code"] == "damaged"
    assert dub(folder, rows, PASSTHROUGH, LOSSLESS, 'source.on_error="salvage"').exit_code == 0


def test_settings_mistakes_are_usage_errors(folder: Path) -> None:
    """Unknown settings, presets and columns give exit code 2 and name what was meant."""
    manifest = write_manifest(folder / "m.csv", [_row("a")])
    for arguments, words in (
        (("--set", "detect.strid=2"), 'did you mean "detect.stride"'),
        (("--preset", "fats"), 'did you mean "fast"'),
        (("--job", folder / "none.toml"), "none.toml"),
        (("--set", 'faces.select="biggest"'), "largest"),
        (("--set", "source.crop=[-1, -1, -1, -1]"), "source.crop"),
        (("--set", 'source.still_rate="25/0"'), "source.still_rate"),
        (("--state", "ftp://host/x"), "is neither a folder nor a prefix in a bucket"),
        (("--out", "s3://bucket"), "is neither a folder nor a prefix in a bucket"),
        (("--out", "s3:/bucket/x"), "is neither a folder nor a prefix in a bucket"),
    ):
        done = run("submit", manifest, *arguments)
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    (folder / "typo.csv").write_text("id,vidoe,audio,output\n")
    done = run("submit", folder / "typo.csv")
    assert (done.returncode, 'did you mean "video"' in done.stderr) == (2, True)


def test_two_clips_of_one_name_do_not_mix(folder: Path) -> None:
    """Two different files of the same name, in one run, are two videos."""
    from lipwise_ray.media.pixels import plane_array
    from lipwise_ray.synth.clips import read_code

    rows = []
    for name, first in (("a", 100), ("b", 900)):
        (folder / name).mkdir()
        write_clip(folder / name / "clip.mp4", ClipSpec(size=Size(160, 120), frames=10, first_code=first))
        rows.append(_row(name, video=f"{name}/clip.mp4", output=f"{name}/clip.mkv", length="video"))
    assert dub(folder, rows, PASSTHROUGH, LOSSLESS, QUICK).exit_code == 0
    import av

    for name, first in (("a", 100), ("b", 900)):
        with av.open(str(folder / "out" / name / "clip.mkv")) as container:
            assert read_code(plane_array(next(container.decode(video=0)), 0)) == first


def test_a_run_whose_folder_is_gone_is_not_repeated(tmp_path: Path) -> None:
    """What `retry` would run again was begun in a folder that is no longer there, or on another machine."""
    record = {"run_id": "r", "manifest": "m.csv", "rows": 1, "command": ["submit", "m.csv"], "folder": "/nowhere"}
    (tmp_path / "runs" / "r").mkdir(parents=True)
    (tmp_path / "runs" / "r" / "run.json").write_text(json.dumps(record))
    done = run("retry", tmp_path)
    assert done.returncode == 2
    assert "/nowhere: the folder in which it was run cannot be entered" in done.stderr


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://127.0.0.1:9", ("status",)),
        ("http://127.0.0.1:9", ("submit", DEMO, "--out", "{out}", "--job", JOB)),
        ("ray://127.0.0.1:9", ("submit", DEMO, "--out", "{out}", "--job", JOB)),
    ],
)
def test_a_token_that_was_not_mounted(address: str, words: tuple[str, ...], tmp_path: Path) -> None:
    """The file that the environment names is not there: that is said, before any cluster is asked."""
    asked = [str(word).replace("{out}", str(tmp_path / "out")) for word in words]
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "", "RAY_AUTH_TOKEN_PATH": "/nowhere/auth_token"}
    done = run(*asked, "--address", address, **environment)
    assert done.returncode == 2, done.stderr
    assert "RAY_AUTH_TOKEN_PATH=/nowhere/auth_token: no such file or directory; the cluster's token is" in done.stderr


def test_names_that_the_locale_cannot_hold_fail_their_rows(folder: Path) -> None:
    """In the C locale without UTF-8 mode other rows are done, and nothing that is printed ends the run."""
    (folder / "v.mp4").rename(folder / "good.mp4")
    (folder / "m.csv").write_text(
        f'id,video,audio,output,faces\na,Grüße.mp4,s.wav,a.mkv,"{BOX}"\nÄ,good.mp4,s.wav,b.mkv,"{BOX}"\n', "utf-8"
    )
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    found = run("validate", "m.csv", cwd=folder, afresh=True, **ascii_only)
    assert found.returncode == 1, found.stderr
    assert "PYTHONUTF8=1" in found.stdout
    assert "1 good rows, 1 bad rows" in found.stdout
    refused = run("validate", "Grüße.csv", cwd=folder, afresh=True, **ascii_only)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
