"""A program that speaks for tests: tones, a line in its log a text, and what may go wrong with a program."""

from __future__ import annotations

import sys
from pathlib import Path

_PROGRAM = """
import math, struct, sys, time, wave
mode, log, voice = sys.argv[1:4]
text = sys.stdin.buffer.read().decode("utf-8").strip()
with open(log, "a", encoding="utf-8") as file:
    file.write(f"{voice}|{text}\\n")
if mode == "fail" or "FAIL" in text:
    sys.exit("the voice box is broken")
if mode == "hang":
    time.sleep(600)
if mode == "garbage":
    sys.stdout.write("this is no audio " * 100)
elif mode != "nothing":
    rate, seconds = 16000, 0.05 * len(text)
    tone = [0 if mode == "silence" else math.sin(n / 8) for n in range(round(rate * seconds))]
    quiet = [0] * (rate // 2)
    samples = [round(20000 * one) for one in [*quiet, *tone, *quiet]]
    with wave.open(sys.argv[4] if mode == "file" else sys.stdout.buffer, "wb") as file:
        file.setparams((1, 2, rate, len(samples), "NONE", ""))
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))
"""


def sayer(folder: Path, mode: str = "say") -> list[str]:
    """Return a command whose program speaks 0.05 s a character, with half a second of silence on either side."""
    program = folder / "sayer.py"
    program.write_text(_PROGRAM, "utf-8")
    words = [sys.executable, str(program), mode, str(folder / "said.log"), "{voice}"]
    return [*words, "{output}"] if mode == "file" else words


def said(folder: Path) -> list[str]:
    """Return what the program was asked for so far, as ``voice|text``."""
    log = folder / "said.log"
    return log.read_text("utf-8").splitlines() if log.exists() else []
