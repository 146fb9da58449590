"""Programs that speak: a user's own, or espeak-ng; each text in a process of its own, with bounds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lipwise_ray.errors import AudioError, InputError, SettingsError, StorageError, os_reason
from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.probe import probe_audio
from lipwise_ray.values import F32Array

OUTPUT = "{output}"
"""Word of a command in whose place the name of a file comes, for programs that do not write to standard output."""

MOST_BYTES = 256 << 20
"""Of what a program may write: an hour of speech in 16 bits at 24 kHz, and a half more."""

NO_VOICE = 3
"""Exit status by which espeak's program says that there is no such voice; another program may mean the same."""

_LOOK_EVERY_S = 0.02
_MOST_WORDS_SHOWN = 300
_DO = "Run the command by hand with the text on its standard input"


@dataclass(frozen=True, slots=True)
class ProgramEngine:
    """A program that gets a text on standard input and writes an audio file.

    Attributes:
        words: The command. In a word, ``{voice}`` and ``{language}`` stand for what a row says, `OUTPUT` for the file
            to be written; without it the audio is read from standard output. No shell sees it.
        timeout_s: Bound on the time for one text.
        scratch: Folder for temporary files.
        on_block: Called now and then.
    """

    words: Sequence[str]
    timeout_s: float
    scratch: Path
    on_block: Callable[[], None] = field(default=lambda: None)

    def speak(self, text: str, voice: str, language: str) -> tuple[F32Array, int]:
        """Return a text as the program speaks it: see `SpeechEngine`."""
        try:
            self.scratch.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="speech-", dir=self.scratch) as folder:
                return self._spoken(Path(folder), text, voice, language)
        except OSError as error:
            got = f"cannot be written: {os_reason(error)}"
            do = "Set paths.scratch to a folder with room"
            raise StorageError("scratch", str(self.scratch), got=got, do=do) from error

    def _spoken(self, folder: Path, text: str, voice: str, language: str) -> tuple[F32Array, int]:
        (folder / "text").write_text(f"{text}\n", "utf-8")
        result = folder / "speech.wav"
        said = {"{voice}": voice, "{language}": language, OUTPUT: str(result)}
        words = [_filled(word, said) for word in self.words]
        heard = result if any(OUTPUT in word for word in self.words) else folder / "stdout"
        status = self._run(words, folder, heard)
        if status:
            last = _end_of(folder / "stderr")
            if status == NO_VOICE:
                raise no_voice(voice or language, last)
            got = f"ended with status {status}" + (f": {last}" if last else "")
            raise AudioError("tts_failed", words[0], got=got, do=_DO)
        return self._read(words[0], heard)

    def _run(self, words: list[str], folder: Path, heard: Path) -> int:
        """Return the exit status of a command.

        Raises:
            AudioError: It takes too long, or writes too much.
            SettingsError: It cannot be started.
        """
        with (
            (folder / "text").open("rb") as given,
            (folder / "stdout").open("wb") as output,
            (folder / "stderr").open("wb") as errors,
        ):
            try:
                process = subprocess.Popen(  # noqa: S603  # the user's own command, and no shell
                    words, stdin=given, stdout=output, stderr=errors, cwd=folder, start_new_session=True
                )
            except OSError as error:
                got = f"cannot be started: {os_reason(error)}"
                raise SettingsError("tts_program", words[0], got=got, do="See tts.command") from error
            try:
                self._wait(process, words[0], (heard, folder / "stderr"))
            finally:
                _end(process)
        return process.returncode

    def _wait(self, process: subprocess.Popen[bytes], name: str, written: Sequence[Path]) -> None:
        until_s = time.monotonic() + self.timeout_s
        while True:
            try:
                process.wait(_LOOK_EVERY_S)
            except subprocess.TimeoutExpired:
                self.on_block()
            else:
                return
            if time.monotonic() > until_s:
                got = f"did not end within {self.timeout_s:g} s (tts.timeout_s)"
                raise AudioError("tts_timeout", name, got=got, do=_DO)
            if sum(file.stat().st_size for file in written if file.is_file()) > MOST_BYTES:
                raise AudioError("tts_output", name, got=f"wrote more than {MOST_BYTES >> 20} MiB", do=_DO)

    def _read(self, name: str, heard: Path) -> tuple[F32Array, int]:
        """Return the samples of a file that a program wrote, of all its channels the mean."""
        size = heard.stat().st_size if heard.is_file() and not heard.is_symlink() else 0
        if not size:
            where = f"the file {OUTPUT}" if heard.name != "stdout" else "standard output"
            raise AudioError("tts_output", name, got=f"wrote nothing to {where}", must="it must write audio", do=_DO)
        if size > MOST_BYTES:
            raise AudioError("tts_output", name, got=f"wrote more than {MOST_BYTES >> 20} MiB", do=_DO)
        named = heard.with_name("heard.wav")
        heard.replace(named)
        try:
            info = probe_audio(named)
            pieces = [piece.copy() for piece in AudioReader(info).blocks(info.rate_hz, info.layout)]
        except InputError as error:
            must = "it must write a WAV file"
            raise AudioError("tts_output", name, got=f"wrote no audio ({error.happened})", must=must, do=_DO) from error
        whole = np.concatenate(pieces, axis=1) if pieces else np.zeros((1, 0), np.float32)
        return np.asarray(whole.mean(axis=0), np.float32), info.rate_hz


def check_program(words: Sequence[str]) -> None:
    """Find out whether there is a program to be run.

    Raises:
        SettingsError: There is none.
    """
    if not words:
        do = 'Write the program and its arguments: tts.command = ["my-tts", "--voice", "{voice}"]'
        raise SettingsError("tts_program", "tts.command", got="is empty, but tts.engine is command", do=do)
    if os.sep in words[0] and not Path(words[0]).is_absolute():
        got = f"{words[0]!r} is a relative path, and each text is spoken in a folder of its own"
        raise SettingsError("tts_program", "tts.command", got=got, do="Give the whole path")
    if shutil.which(words[0]) is None:
        raise SettingsError(
            "tts_program", "tts.command", got=f"{words[0]!r} is not a program on this machine", do="Give its path"
        )


def espeak_command() -> list[str]:
    """Return the command of espeak-ng as a program."""
    # Its own folder is no place of modules: names there are those of other things.
    program = Path(__file__).with_name("espeak_program.py")
    return [sys.executable, "-P", str(program), "{voice}", "{language}"]


def espeak_has(voice: str, language: str) -> bool:
    """Tell whether espeak-ng has a voice, or one for a language.

    Args:
        voice: Name of the voice, or a variant as ``+f3``; empty for the language's own.
        language: As the row states it; empty where nobody says.
    """
    said = {"{voice}": voice, "{language}": language}
    words = [*(_filled(word, said) for word in espeak_command()), "--check"]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603  # our own
    return done.returncode != NO_VOICE


def no_voice(name: str, detail: str = "") -> SettingsError:
    """Return the error of a voice that an engine does not have.

    Args:
        name: Name of the voice, or the language that stands for one.
        detail: More of it, for the message.
    """
    got = f"{name!r} is not one of its voices" if name else "neither a voice nor a language is named"
    do = "See the columns voice and language, and tts.voice"
    return SettingsError("tts_voice", "tts", got=f"{got} ({detail})" if detail else got, do=do)


def _filled(word: str, said: dict[str, str]) -> str:
    for name, value in said.items():
        word = word.replace(name, value)
    return word


def _end_of(file: Path) -> str:
    lines = file.read_bytes()[-4096:].decode(errors="replace").split("\n")
    return next((line.strip()[:_MOST_WORDS_SHOWN] for line in reversed(lines) if line.strip()), "")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a program with all that it has started, and wait for it."""
    with suppress(ProcessLookupError, PermissionError):  # all of them have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
