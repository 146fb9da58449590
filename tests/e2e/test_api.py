"""The package as a program uses it."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lipwise_ray
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.conftest import ROOT
from tests.support.dub import PASSTHROUGH, QUICK, UNJUDGED, UNSIGNED, run, settings_arguments, write_manifest

TOLD = (PASSTHROUGH, UNJUDGED, UNSIGNED, QUICK)
_BESIDE_RAY = """
import sys
from concurrent.futures import ThreadPoolExecutor

import lipwise_ray
import ray

settings = lipwise_ray.load_settings(assignments=sys.argv[1:], workers=1)


def dub(engine, name):
    try:
        return lipwise_ray.dub("v.mp4", "s.wav", name, settings=settings, engine=engine).status
    except lipwise_ray.SetupError as error:
        return error.code


if __name__ == "__main__":
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    five = ray.put(5)
    print("inline", dub("inline", "a.mp4"))
    print("ray", dub("ray", "b.mp4"))
    print("theirs", ray.get(five))
    ray.shutdown()
    with ThreadPoolExecutor(2) as threads:
        print("two", *sorted(threads.map(dub, ("ray", "ray"), ("c.mp4", "d.mp4"))))
"""


@pytest.fixture
def footage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a clip and its new audio, in which the program runs."""
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(160, 120), frames=12))
    write_sound(tmp_path / "s.wav", ToneSpec(0.48, codec="pcm_s16le", rate_hz=16000, channels=1))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _settings(*more: str) -> lipwise_ray.LoadedSettings:
    return lipwise_ray.load_settings(assignments=[*TOLD, "faces.select=box:30,90,60,120", *more])


@pytest.mark.slow
def test_the_shortest_program_of_the_readme_runs(tmp_path: Path) -> None:
    """Six lines dub a video of the demo, in a folder that has its inputs."""
    program = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    assert len([line for line in program.splitlines() if line.strip()]) <= 6
    (tmp_path / "program.py").write_text(program)
    for name in ("jobs", "manifests"):
        (tmp_path / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "dubbed" / "still.mp4").is_file()
    output, frames = done.stdout.split()
    assert Path(output) == tmp_path / "dubbed" / "still.mp4"
    assert int(frames) > 25


def test_a_manifest_from_python(footage: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Events come in their order, rows are told with their records, and the log has them too."""
    caplog.set_level(logging.INFO, "lipwise_ray")
    row = {"video": "v.mp4", "audio": "s.wav"}
    rows = [{**row, "id": "a", "output": "a.mp4"}, {**row, "id": "b", "output": "b.mp4", "audio": "none.wav"}]
    manifest = write_manifest(footage / "m.csv", rows)
    events: list[lipwise_ray.Event] = []
    report = lipwise_ray.submit(
        manifest, out="o", settings=_settings(), engine="inline", progress=events.append, models=footage / "none"
    )
    assert (report.done, report.failed, report.left, report.exit_code) == (1, 1, 0, 1)
    assert {one.row_id: one.status for one in report.rows} == {"a": "done", "b": "failed"}
    assert Path(report.page).is_file()
    kinds = [type(event).__name__ for event in events]
    assert [kind for kind in kinds if kind not in ("RowsProgress", "Note")] == [
        *("ManifestRead", "RunStarted", "RowEnded", "RowStarted", "RowEnded", "RunEnded"),
    ]
    assert events[0] == lipwise_ray.ManifestRead(2)
    assert events[-1] == lipwise_ray.RunEnded(report)
    moved = [event for event in events if isinstance(event, lipwise_ray.RowsProgress)]
    assert {row.id for event in moved for row in event.rows} == {"a"}
    assert any("row a is done" in line for line in caplog.messages)
    assert any(line.startswith("row b failed [row_audio]") for line in caplog.messages)
    again = run("retry", "o.state")  # the state knows what asked for it
    assert again.returncode == 1, again.stderr
    assert "already done" in again.stderr


def test_a_row_from_python(footage: Path) -> None:
    """One video is dubbed, found done again, and what is wrong with it is raised as what it is."""
    made = lipwise_ray.dub("v.mp4", "s.wav", "x/o.mp4", settings=_settings(), engine="inline", language="de")
    assert (made.row_id, made.status, made.record["frames"], made.record["language"]) == ("o", "done", 12, "de")
    again = lipwise_ray.dub(footage / "v.mp4", "s.wav", "x/o.mp4", settings=_settings(), engine="inline", language="de")
    assert again.record["reused"]
    with pytest.raises(lipwise_ray.ManifestError, match=r"none\.wav") as missing:
        lipwise_ray.dub("v.mp4", "none.wav", "x/o.mp4", settings=_settings(), engine="inline")
    assert missing.value.code == "row_audio"
    (footage / "words.mp4").write_text("words")
    with pytest.raises(lipwise_ray.InputError, match=r"words\.mp4"):
        lipwise_ray.dub("words.mp4", "s.wav", "x/p.mp4", settings=_settings(), engine="inline")
    with pytest.raises(lipwise_ray.WeightsError, match="wav2lip_gan"):
        lipwise_ray.dub("v.mp4", "s.wav", "x/q.mp4", engine="inline", models=footage / "none")


def test_a_stop_from_python(footage: Path) -> None:
    """Once the function says so nothing more is begun: a run says what is left, a row raises it, and both go on."""
    manifest = write_manifest(footage / "m.csv", [{"id": "a", "video": "v.mp4", "audio": "s.wav", "output": "a.mp4"}])
    report = lipwise_ray.submit(manifest, settings=_settings(), engine="inline", stop=lambda: True)
    assert (report.left, report.exit_code) == (1, 3)
    with pytest.raises(lipwise_ray.EngineError) as stopped:
        lipwise_ray.dub("v.mp4", "s.wav", "o.mp4", settings=_settings(), engine="inline", stop=lambda: True)
    assert stopped.value.code == "stopped"
    assert lipwise_ray.submit(manifest, settings=_settings(), engine="inline").done == 1


def test_videos_are_evaluated_and_inspected_from_python(footage: Path) -> None:
    """Figures are in the rows' records; what a file is like is typed, and is what the command prints."""
    settings = _settings("faces.select=largest", "detect.detector=tiny")
    report = lipwise_ray.evaluate("v.mp4", references="v.mp4", settings=settings, engine="inline")
    (row,) = report.rows
    assert row.record["fidelity"]["ssim"] == 1.0
    assert Path(report.page) == Path("evaluation/report.html")
    found = lipwise_ray.inspect("v.mp4", settings=settings)
    assert isinstance(found.picture, lipwise_ray.FrameFacts)
    assert (found.picture.shown, found.picture.frames, found.sound) == ("160x120", 12, None)
    sound = lipwise_ray.inspect("s.wav", settings=settings).sound
    assert isinstance(sound, lipwise_ray.AudioFacts)
    assert (sound.rate_hz, sound.channels) == (16000, 1)


def test_what_a_program_cannot_ask(footage: Path) -> None:
    """Nothing is made of it, a folder that is named like an address least of all."""
    before = set(footage.iterdir())
    with pytest.raises(lipwise_ray.SettingsError, match="s3://b/x is not a folder on this machine"):
        lipwise_ray.evaluate("v.mp4", out="s3://b/x", settings=_settings(), engine="inline")
    with pytest.raises(lipwise_ray.SettingsError, match="--from: no --until beside it"):
        lipwise_ray.nightly(footage, opens="22:00", settings=_settings(), engine="inline")
    with pytest.raises(lipwise_ray.SettingsError, match="fail_above: 2 is not a fraction of the rows"):
        lipwise_ray.nightly(footage, fail_above=2, settings=_settings(), engine="inline")
    with pytest.raises(lipwise_ray.SettingsError, match="keep: -1 reports cannot be kept"):
        lipwise_ray.nightly(footage, keep=-1, settings=_settings(), engine="inline")
    for given in ({"timing": {}}, "job.toml"):
        with pytest.raises(lipwise_ray.SettingsError, match=f"settings: of type {type(given).__name__}; Settings, or"):
            lipwise_ray.submit("m.csv", settings=given, engine="inline")  # type: ignore[arg-type]
    assert set(footage.iterdir()) == before


@pytest.mark.slow
def test_two_runs_of_one_process_do_not_share_a_ray(footage: Path) -> None:
    """A program's own Ray stays its own: a run beside it is refused, in any thread; one without Ray is not."""
    (footage / "program.py").write_text(_BESIDE_RAY)
    sets = [*TOLD, "faces.select=box:30,90,60,120"]
    done = subprocess.run(
        [sys.executable, "program.py", *sets], cwd=footage, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["inline done", "ray ray_in_use", "theirs 5", "two done ray_in_use"]


@pytest.mark.slow
@pytest.mark.parametrize(("options", "lines"), [([], 0), (["-v"], 1), (["--log-level", "warning"], 0)])
def test_the_command_logs_where_asked(options: list[str], lines: int, footage: Path) -> None:
    """With -v rows are logged on standard error; by itself, or from warnings on, a good run logs nothing."""
    write_manifest(footage / "m.csv", [{"id": "a", "video": "v.mp4", "audio": "s.wav", "output": "a.mp4"}])
    sets = settings_arguments(*TOLD, "faces.select=box:30,90,60,120", 'engine.kind="inline"')
    done = run(*options, "submit", "m.csv", *sets, cwd=footage)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("INFO row a is done") == lines
