"""Commands for a beginning: a starter manifest, settings and codes explained, the demo of an installed wheel."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import av
import pytest
from hatchling.builders.wheel import WheelBuilder

from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.conftest import ROOT
from tests.support.dub import INLINE, PASSTHROUGH, QUICK, UNJUDGED, run, settings_arguments


@pytest.mark.slow
def test_the_next_steps_of_init_work_as_they_are_typed(tmp_path: Path) -> None:
    """Rows are matched by name, what has no partner is named, and the printed commands lead to finished videos."""
    (tmp_path / "my films").mkdir()
    for name in ("ep1.mp4", "ep2.mp4"):
        write_clip(tmp_path / "my films" / name, ClipSpec(size=Size(160, 120), frames=10))
    for name in ("ep1.de.wav", "ep1_es.wav"):
        write_sound(tmp_path / "my films" / name, ToneSpec(0.4, codec="pcm_s16le", rate_hz=16000, channels=1))
    made = run("init", "new project", "--videos", "my films", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "left out: my films/ep2.mp4 (no audio has its name)" in made.stderr
    check, submit = [shlex.split(line)[1:] for line in made.stdout.splitlines() if line.startswith("  lipwise-ray")]
    told = (INLINE, PASSTHROUGH, UNJUDGED, QUICK, "faces.select=box:30,90,60,120")
    looked = run(*check, "--set", PASSTHROUGH, "--set", 'detect.detector="tiny"', cwd=tmp_path)
    assert (looked.returncode, looked.stdout.splitlines()[-1]) == (
        0,
        "new project/manifest.csv: 2 good rows, 0 bad rows",
    ), looked.stdout
    done = run(*submit, *settings_arguments(*told), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "new project" / "dubbed").iterdir()) == ["ep1-de.mp4", "ep1-es.mp4"]
    again = run("init", "new project", cwd=tmp_path)
    assert (again.returncode, "exists already" in again.stderr) == (2, True)


def test_settings_tell_who_has_set_them(tmp_path: Path) -> None:
    """Preset, job file and --set, each by its name; as lines or as JSON."""
    (tmp_path / "job.toml").write_text("[detect]\nsize_px = 300\n")
    words = ("settings", "detect", "--preset", "fast", "--job", "job.toml", "--set", "detect.min_score=0.6")
    shown = run(*words, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[lines.index("detect.stride = 5") + 1].startswith("    preset fast, default 3; whole number")
    assert "    Every how many frames are searched; between them boxes are interpolated." in lines
    told = {one["key"]: one for one in map(json.loads, run(*words, "--json", cwd=tmp_path).stdout.splitlines())}
    assert (told["detect.size_px"]["value"], told["detect.size_px"]["set_by"]) == (300, "job.toml")
    assert told["detect.min_score"]["set_by"] == "--set detect.min_score=0.6"
    assert told["detect.detector"]["choices"] == ["auto", "yunet", "s3fd", "tiny"]
    unknown = run("settings", "detect.strid")
    assert (unknown.returncode, unknown.stderr) == (
        2,
        'error: unknown setting "detect.strid" - did you mean "detect.stride"?\n',
    )


def test_codes_are_explained() -> None:
    """Error codes and exit codes, in lines and as JSON."""
    shown = run("explain", "no_pairs")
    assert shown.returncode == 0, shown.stderr
    assert "exit code 2 where the command ends by it: " in shown.stdout
    assert "  Name them alike: ep1.mp4 with ep1.wav" in shown.stdout
    told = json.loads(run("explain", "no_pairs", "--json").stdout)
    assert (told["code"], told["kind"], [one["code"] for one in told["exits"]]) == ("no_pairs", "SettingsError", [1, 2])
    assert run("explain", "3").stdout == "exit code 3: Stopped in order before the end; the same command goes on.\n"
    unknown = run("explain", "no_pears")
    assert (unknown.returncode, unknown.stderr) == (
        2,
        'error: explain: unknown code "no_pears" - did you mean "no_pairs"?\n',
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_installed_wheel_has_the_demo(tmp_path: Path) -> None:
    """Nothing of the checkout is needed: the wheel holds the manifest, its inputs and the bundled networks."""
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path / "dist"), versions=["standard"])
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site), wheel]
    subprocess.run(pip, check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(site), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    (tmp_path / "here").mkdir()
    found = [sys.executable, "-c", "import lipwise_ray; print(lipwise_ray.__file__)"]
    where = subprocess.run(found, cwd=tmp_path / "here", env=environment, capture_output=True, text=True, check=True)
    assert Path(where.stdout.strip()).is_relative_to(site)
    words = [sys.executable, "-m", "lipwise_ray", "demo", "films"]
    done = subprocess.run(
        words, cwd=tmp_path / "here", env=environment, capture_output=True, text=True, check=False, timeout=800
    )
    assert done.returncode == 0, done.stderr
    films = tmp_path / "here" / "films"
    assert sorted(path.name for path in films.iterdir()) == ["cuts.mp4", "presenter.mp4", "still.mp4", "two-people.mp4"]
    with av.open(str(films / "still.mp4")) as film:
        assert film.streams.video[0].frames > 25
    closed = {line.split()[0]: int(line.split()[4].rstrip("%")) for line in done.stdout.splitlines()[3:]}
    assert set(closed) == {"presenter", "two-people", "cuts", "still"}
    assert min(closed.values()) > 50
