"""Preparing footage and training on real Ray."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

pytest.importorskip("skia")
pytest.importorskip("espeakng_loader")

from lipwise_ray.synth.truth import truth_beside
from tests.conftest import ROOT
from tests.support.dub import command, run
from tests.support.footage import with_moved_audio, without_audio
from tests.support.silent_video import with_silence
from tests.support.waiting import until

SMALL = ("--set", "min_face_px=32", "--set", "min_frames=12")
"""Presenters of 128 pixels have small faces."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four short clips of two presenters."""
    from lipwise_ray.synth.corpus import CorpusSpec, write_corpus
    from lipwise_ray.values import Size

    root = tmp_path_factory.mktemp("corpus")
    assert len(list(write_corpus(root, CorpusSpec(4, seed=6, seconds=0.8, size=Size(128, 128), val_share=0.5), 2))) == 4
    return root


def _losses(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(r["value"]) for r in csv.DictReader(file) if r["split"] == "train" and r["metric"] == "loss"]


@pytest.mark.slow
def test_bad_footage_is_reported_and_skipped_and_a_second_run_goes_on(corpus: Path, tmp_path: Path) -> None:
    """Damaged, silent and foreign files are named with a reason; the others are prepared once."""
    root = tmp_path / "footage"
    shutil.copytree(corpus, root)
    (root / "train.txt").unlink()
    (root / "val.txt").unlink()
    good = root / "s00000/000.mp4"
    (root / "s00000/cut.mp4").write_bytes(good.read_bytes()[:3000])
    (root / "s00001/notes.mp4").write_text("not a video")
    (root / "s00001/empty.mp4").write_bytes(b"")
    shapes = run("synth", "shapes", root / "s00001/faceless one.mov", "--seconds", "0.5")
    assert shapes.returncode == 0, shapes.stderr
    without_audio(good, root / "s00001/mute.mp4")
    with_silence(good, root / "s00001/silent.mp4")
    for name in ("mute", "silent"):
        shutil.copy(truth_beside(good), truth_beside(root / f"s00001/{name}.mp4"))
    first = run("train", "prepare", str(root), str(tmp_path / "out"), "--truth", "--size", "96", *SMALL)
    assert first.returncode == 0, first.stderr
    assert "4 clips" in first.stdout
    assert "6 skipped" in first.stdout
    with (tmp_path / "out/skipped.csv").open(newline="") as file:
        skipped = {row["clip"]: row["reason"] for row in csv.DictReader(file)}
    reasons = {
        "s00000/cut": "cut", "s00001/notes": "text file", "s00001/empty": "empty", "s00001/silent": "is silent",
        "s00001/mute": "audio stream", "s00001/faceless_one-mov": "truth",
    }  # fmt: skip
    assert set(skipped) == set(reasons)
    assert {name: skipped[name] for name, reason in reasons.items() if reason not in skipped[name]} == {}
    listed = [(tmp_path / "out" / f"{name}.txt").read_text().split() for name in ("train", "val")]
    assert sorted(listed[0] + listed[1]) == ["s00000/000", "s00000/001", "s00001/000", "s00001/001"]
    assert all(listed)
    crop = tmp_path / "out/s00000/000/3.jpg"
    before = crop.stat().st_mtime_ns
    second = run("train", "prepare", str(root), str(tmp_path / "out"), "--truth", "--size", "96", *SMALL)
    assert "4 clips" in second.stdout
    assert crop.stat().st_mtime_ns == before
    third = run("train", "prepare", str(root), str(tmp_path / "out"), "--truth", "--size", "64", *SMALL)
    assert "4 clips" in third.stdout
    assert cv2.imread(str(crop)).shape == (64, 64, 3)


@pytest.mark.slow
def test_clips_out_of_sync_are_refused_where_an_expert_is_at_hand(tmp_path: Path) -> None:
    """Sound moved by a third of a second is found; a file that is no expert stops the command with its name."""
    root = tmp_path / "footage"
    (root / "a").mkdir(parents=True)
    made = run("synth", "clip", root / "a/good.mp4", "--seed", "9", "--seconds", "3")
    assert made.returncode == 0, made.stderr
    shutil.copy(root / "a/good.mp4.truth.json", root / "a/moved.mp4.truth.json")
    with_moved_audio(root / "a/good.mp4", root / "a/moved.mp4", 0.32)
    (root / "train.txt").write_text("a/good\na/moved\n")
    (root / "val.txt").write_text("a/good\n")
    expert = ROOT / "models/tiny/tiny_expert.safetensors"
    done = run("train", "prepare", root, tmp_path / "out", "--truth", "--size", "96", *SMALL, "--expert", expert)
    assert done.returncode == 0, done.stderr
    assert "skipped a/moved: " in done.stderr
    assert "the audio is 8 frames off the lips; at most 1 is allowed" in done.stderr
    assert (tmp_path / "out/train.txt").read_text() == "a/good\n"
    wrong = ROOT / "models/tiny/tiny_detector.safetensors"
    done = run("train", "prepare", root, tmp_path / "other", "--truth", "--size", "96", *SMALL, "--expert", wrong)
    assert done.returncode == 2
    assert "tiny_detector.safetensors" in done.stderr


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_equal_files(corpus: Path, tmp_path: Path) -> None:
    """A signal lets the video at hand end and keeps it; the next run ends at the files of an unbroken one."""
    words = ("train", "prepare", corpus, tmp_path / "data", "--truth", "--size", "96", "--workers", "1", *SMALL)
    process = subprocess.Popen(command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: list((tmp_path / "data").glob("*/*/clip.json")), 120, longest_pause_s=0.01)
    process.send_signal(signal.SIGTERM)
    told, errors = process.communicate(timeout=120)
    assert process.returncode == 3, errors
    assert "stopped after" in told
    assert "videos that are being prepared end first" in errors
    assert not (tmp_path / "data/clips.csv").exists()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").glob("*/*/clip.json")}
    assert kept
    assert run(*words).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    whole = tmp_path / "whole" / "data"
    assert run("train", "prepare", corpus, whole, *words[4:]).returncode == 0
    files = {str(f.relative_to(whole)): f.read_bytes() for f in whole.rglob("*") if f.is_file()}
    assert {
        str(f.relative_to(tmp_path / "data")): f.read_bytes() for f in (tmp_path / "data").rglob("*") if f.is_file()
    } == files


@pytest.mark.slow
def test_footage_is_searched_by_a_detector(corpus: Path, tmp_path: Path) -> None:
    """Without --truth the bundled detector finds the presenters."""
    done = run("train", "prepare", corpus, tmp_path / "out", "--detector", "tiny", "--size", "96", *SMALL)
    assert done.returncode == 0, done.stderr
    assert "4 clips" in done.stdout


@pytest.mark.slow
def test_file_lists_are_followed(corpus: Path, tmp_path: Path) -> None:
    """A tree with lists, as LRS2 has, keeps its split; a listed file that is not there is skipped."""
    root = tmp_path / "footage"
    shutil.copytree(corpus, root)
    (root / "train.txt").write_text("s00000/000 extra words\ns00000/gone\n")
    (root / "val.txt").write_text("s00001/000\n")
    done = run("train", "prepare", str(root), str(tmp_path / "out"), "--truth", "--size", "96", *SMALL)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/train.txt").read_text() == "s00000/000\n"
    assert (tmp_path / "out/val.txt").read_text() == "s00001/000\n"
    assert "s00000/gone" in done.stderr


@pytest.mark.slow
def test_a_single_clip_is_no_corpus(corpus: Path, tmp_path: Path) -> None:
    """A folder too small for a split is refused before any work."""
    (tmp_path / "one").mkdir()
    shutil.copy(corpus / "s00000/000.mp4", tmp_path / "one")
    done = run("train", "prepare", str(tmp_path / "one"), str(tmp_path / "out"))
    assert done.returncode == 2
    assert "holds too few clips: 1; at least two are needed" in done.stderr


@pytest.mark.slow
def test_two_workers_give_the_loss_curve_of_one_with_twice_the_batch(corpus: Path, tmp_path: Path) -> None:
    """Ray Train's two workers see the samples of one worker with twice the batch; losses agree within 15 %.

    They cannot be equal: batch normalisation counts each worker's half by itself.
    """
    done = run("train", "prepare", str(corpus), str(tmp_path / "data"), "--truth", "--size", "96", *SMALL)
    assert done.returncode == 0, done.stderr
    common = ["width=0.125", "steps=60", "eval_every=60", "save_every=60", "eval_batches=2", "lr=0.0003", "threads=1"]
    for name, workers, batch in (("one", 1, 64), ("two", 2, 32)):
        sets = [word for text in (*common, f"batch={batch}") for word in ("--set", text)]
        done = run("train", "expert", str(tmp_path / "data"), str(tmp_path / name), "--workers", str(workers), *sets)
        assert done.returncode == 0, done.stderr
    one, two = _losses(tmp_path / "one"), _losses(tmp_path / "two")
    assert len(one) == len(two) == 3
    assert one[-1] < one[0]
    assert two == pytest.approx(one, rel=0.15)


def _weights(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "last.pth", weights_only=True)["state_dict"]


@pytest.mark.slow
def test_a_signal_to_two_workers_saves_and_the_same_command_goes_on(corpus: Path, tmp_path: Path) -> None:
    """Progress is shown while they work, SIGTERM ends both after one step, and the end is that of an unbroken run."""
    done = run("train", "prepare", str(corpus), str(tmp_path / "data"), "--truth", "--size", "96", *SMALL)
    assert done.returncode == 0, done.stderr
    common = ["width=0.125", "eval_every=100000", "save_every=100000", "eval_batches=1", "threads=1", "batch=4"]

    def words(name: str, steps: int) -> tuple[str, ...]:
        sets = [word for text in (*common, f"steps={steps}") for word in ("--set", text)]
        return ("train", "expert", str(tmp_path / "data"), str(tmp_path / name), "--workers", "2", *sets)

    process = subprocess.Popen(
        command(*words("ended", 100_000)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        progress = next(line for line in process.stderr if line.startswith("step "))
        process.send_signal(signal.SIGTERM)
        told, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert re.fullmatch(r"step \d+/100000(, loss \d+\.\d+)?, \d+\.\d+ steps/s, about .* left\n", progress)
    assert process.returncode == 3, errors
    assert "the step at hand ends first" in errors
    step = int(torch.load(tmp_path / "ended/last.pth", weights_only=True)["global_step"])
    assert f"stopped after step {step} and saved" in told
    gone_on = run(*words("ended", step + 2))
    assert gone_on.returncode == 0, gone_on.stderr
    assert f"goes on from step {step}" in gone_on.stdout
    whole = run(*words("whole", step + 2))
    assert whole.returncode == 0, whole.stderr
    ended = _weights(tmp_path / "ended")
    assert all(torch.equal(value, ended[key]) for key, value in _weights(tmp_path / "whole").items())


@pytest.mark.slow
def test_a_workers_error_is_the_runs_error(tmp_path: Path) -> None:
    """What stops a worker of Ray Train is told as if there were one process."""
    (tmp_path / "data").mkdir()
    done = run("train", "expert", str(tmp_path / "data"), str(tmp_path / "run"), "--workers", "2")
    assert done.returncode == 2
    assert "val.txt: not a file list of clips" in done.stderr
    assert "a worker did not finish" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_export_tells_what_it_wrote(corpus: Path, tmp_path: Path) -> None:
    """The command writes both layouts and prints size and hash; another ending is refused."""
    done = run("train", "prepare", str(corpus), str(tmp_path / "data"), "--truth", "--size", "96", *SMALL)
    assert done.returncode == 0, done.stderr
    job = tmp_path / "expert.toml"
    job.write_text("width = 0.125\nsteps = 2\neval_batches = 1\nbatch = 4\n")
    done = run("train", "expert", str(tmp_path / "data"), str(tmp_path / "run"), "--job", str(job))
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run/settings.json").read_text())["width"] == 0.125
    for ending in ("safetensors", "pth"):
        target = tmp_path / f"expert.{ending}"
        done = run("train", "export", str(tmp_path / "run/best.pth"), str(target), "--half")
        assert done.returncode == 0, done.stderr
        assert str(target.stat().st_size) in done.stdout
    done = run("train", "export", str(tmp_path / "run/best.pth"), str(tmp_path / "expert.onnx"))
    assert done.returncode == 2
    assert ".safetensors or .pth" in done.stderr
