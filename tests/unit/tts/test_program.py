"""Programs that speak, and all that may be wrong with them."""

from __future__ import annotations

import os
import subprocess
import sys
import wave
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from lipwise_ray.errors import AudioError, SettingsError
from lipwise_ray.tts import espeak_program, program
from lipwise_ray.tts.program import ProgramEngine, check_program, espeak_command, espeak_has
from tests.support.sayer import said, sayer


def _engine(folder: Path, mode: str, timeout_s: float = 30) -> ProgramEngine:
    return ProgramEngine(sayer(folder, mode), timeout_s, folder / "scratch")


@pytest.mark.parametrize("mode", ["say", "file"])
def test_a_program_speaks_to_standard_output_or_a_file(tmp_path: Path, mode: str) -> None:
    """It gets the text and the voice; nothing of it is left in the scratch folder."""
    wave_f32, rate_hz = _engine(tmp_path, mode).speak("Grüß Gott; $(touch here)", "an{a}", "de")
    assert (wave_f32.shape, rate_hz) == ((16_000 + round(16_000 * 0.05 * 24),), 16_000)
    assert said(tmp_path) == ["an{a}|Grüß Gott; $(touch here)"]
    assert [*(tmp_path / "scratch").iterdir()] == []


@pytest.mark.parametrize(
    ("mode", "code", "words"),
    [
        ("fail", "tts_failed", "ended with status 1: the voice box is broken"),
        ("garbage", "tts_output", "wrote no audio"),
        ("nothing", "tts_output", "wrote nothing to standard output"),
        ("hang", "tts_timeout", "did not end within 0.5 s (tts.timeout_s)"),
    ],
)
def test_a_program_that_gives_no_speech_is_an_error(tmp_path: Path, mode: str, code: str, words: str) -> None:
    """The message leads with the program and what it did."""
    with pytest.raises(AudioError) as caught:
        _engine(tmp_path, mode, 0.5 if mode == "hang" else 30).speak("Hello", "", "en")
    assert caught.value.code == code
    assert words in str(caught.value)


def test_a_program_that_is_given_up_leaves_nothing_running(tmp_path: Path) -> None:
    """What it has started ends with it."""
    pid = tmp_path / "pid"
    words = ["/bin/sh", "-c", f"sleep 600 & echo $! > {pid}; wait"]
    with pytest.raises(AudioError, match="did not end"):
        ProgramEngine(words, 0.5, tmp_path).speak("Hello", "", "en")
    number = int(pid.read_text())
    state = Path(f"/proc/{number}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] in "ZX"
    assert os.getpid() != number


def test_a_program_that_writes_without_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its output has a bound, which is looked at while it runs."""
    monkeypatch.setattr(program, "MOST_BYTES", 1 << 20)
    with pytest.raises(AudioError, match="wrote more than 1 MiB"):
        ProgramEngine(["/bin/cat", "/dev/zero"], 30, tmp_path).speak("Hello", "", "en")


@pytest.mark.parametrize(
    ("words", "got"),
    [
        ((), "is empty"),
        (("no-such-program-here",), "is not a program on this machine"),
        (("./speak.sh", "{voice}"), "'./speak.sh' is a relative path"),  # each text is spoken in another folder
        (("bin/speak",), "'bin/speak' is a relative path"),
    ],
)
def test_a_command_without_a_program_is_found_before_work(words: tuple[str, ...], got: str) -> None:
    """The setting is named, and what it must be."""
    with pytest.raises(SettingsError, match=got):
        check_program(words)


def test_espeak_says_equal_texts_alike(tmp_path: Path) -> None:
    """To the bit, so that a text that is spoken again is the same input; a language with a country has its voice."""
    pytest.importorskip("espeakng_loader", reason="extra espeak is not installed")
    engine = ProgramEngine(espeak_command(), 30, tmp_path)
    first, rate_hz = engine.speak("Buenas tardes a todos", "", "es")
    again, _ = engine.speak("Buenas tardes a todos", "", "es-ES")
    other, _ = engine.speak("Buenas tardes a todos", "+f3", "es")
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert 0.5 < len(first) / rate_hz < 4
    assert espeak_has("en-us+f3", "")
    with pytest.raises(SettingsError, match="'zz' is not one of its voices"):
        engine.speak("Hello", "zz", "en")


@pytest.mark.parametrize("voice", ["zz", "es+nope", "es+../../../lang", ""])
def test_espeak_has_only_the_voices_that_are_there(voice: str) -> None:
    """A variant that is not there is no voice, though espeak-ng itself would take another."""
    pytest.importorskip("espeakng_loader", reason="extra espeak is not installed")
    assert not espeak_has(voice, "")


def test_the_program_of_espeak_needs_nothing_of_the_product() -> None:
    """It runs by its path, and loads the GPL library alone."""
    pytest.importorskip("espeakng_loader", reason="extra espeak is not installed")
    words = [sys.executable, "-P", espeak_program.__file__, "", "en"]
    done = subprocess.run(words, input=b"Good evening", capture_output=True, check=True, cwd="/")
    with wave.open(BytesIO(done.stdout)) as file:
        assert file.getnframes() * 2 == len(done.stdout) - 44
    assert "lipwise" not in Path(espeak_program.__file__).read_text().partition('"""')[2].partition("import")[2]
