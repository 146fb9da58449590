"""Making presenters as a user does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import pytest

pytest.importorskip("skia")
pytest.importorskip("espeakng_loader")

from tests.support.dub import run


def test_a_presenter_says_what_is_asked(tmp_path: Path) -> None:
    """`synth clip` writes a video of the asked size whose truth holds the words' phonemes."""
    done = run(
        *("synth", "clip", tmp_path / "a.mp4", "--text", "hola", "--language", "es"),
        *("--width", "200", "--height", "160"),
    )
    assert done.returncode == 0, done.stderr
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (200, 160)
    truth = json.loads((tmp_path / "a.mp4.truth.json").read_text())
    said = "".join(ipa for _, ipa, _, _ in truth["phonemes"])
    assert "o" in said
    assert "l" in said
    assert any(face["speaking"] for row in truth["frames"] for face in row["faces"])


def test_a_still_and_a_speech_can_be_dubbed(tmp_path: Path) -> None:
    """What `synth` makes goes straight into `submit`."""
    assert run("synth", "clip", tmp_path / "face.png", "--seed", "4").returncode == 0
    assert run("synth", "speech", tmp_path / "said.wav", "--text", "hello", "--language", "en-us").returncode == 0
    (tmp_path / "m.csv").write_text("id,video,audio,output\none,face.png,said.wav,one.mp4\n")
    done = run(
        *("submit", tmp_path / "m.csv", "--out", tmp_path / "out", "--set", 'engine.kind="inline"'),
        *("--set", 'detect.detector="tiny"', "--set", 'lipsync.model="passthrough"'),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out" / "one.mp4").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("clip", "x.mp4", "--language", "tlh"), "en-us"),
        (("corpus", "x", "--kind", "crowds"), "talking, scenes"),
        (("speech", "x.wav", "--language", "tlh", "--text", "a"), "tlh"),
    ],
)
def test_wrong_words_are_named(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    """Unknown languages and kinds get an error that lists what there is, and nothing is written."""
    done = run("synth", words[0], tmp_path / words[1], *words[2:])
    assert done.returncode == 2
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


def test_no_module_is_loaded_from_beside_a_corpus(tmp_path: Path) -> None:
    """The processes that write clips do not look for modules where the command is given."""
    (tmp_path / "multiprocessing.py").write_text("raise SystemExit('loaded from beside the corpus')\n")
    words = ("synth", "corpus", "c", "--kind", "speech", "--clips", "2", "--seconds", "0.2", "--workers", "1")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "lipwise_ray", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "c" / "train.txt").exists()
