"""Speaker diarisation of audio, who speaks when, by sherpa-onnx: the extra `diarise`."""

from __future__ import annotations

import importlib.util
import json
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

from pydantic import TypeAdapter

from lipwise_ray.cpu_quota import usable_cores
from lipwise_ray.errors import AudioError, SettingsError
from lipwise_ray.pipeline.analysis import sherpa_process
from lipwise_ray.pipeline.analysis.sherpa_process import AUDIO, EMBEDDING, SEGMENTATION, SherpaRequest
from lipwise_ray.pipeline.manifest.diarisation import MOST_NAMES, SpeakerTimes, joined, rttm_of
from lipwise_ray.settings.model import DiariseSettings

MOST_S = 4 * 3600
"""Longest audio. sherpa-onnx computes a voice for each speaker of every 10 s, at each second, up to three of pyannote's
segmentation, and numbers the pairs of voices in 32 bits: there is room for 46,341 voices."""

_RATES_HZ = range(8_000, 48_001)
_MOST_THREADS = 8
_LOADING_S = 300
_MOST_CHARACTERS = 200
_PLACE_IN_SOURCE = re.compile(r"^/\S+:\w+:\d+ ")
_MODELS = {SEGMENTATION: "a pyannote segmentation network", EMBEDDING: "a speaker embedding network"}
_TURNS = TypeAdapter(list[tuple[float, float, int]])


@dataclass(frozen=True, slots=True)
class Diarisation:
    """Turns of the speakers of a recording.

    Attributes:
        recording: Its name.
        turns: Each speaker's, by name, in the order in which they speak first: ``[start, end)`` in seconds from the
            start of the audio, in order, apart from each other. Turns of different speakers may overlap.
    """

    recording: str
    turns: Mapping[str, SpeakerTimes]

    @property
    def rttm(self) -> str:
        """The text of an RTTM file, for the `speakers` of a manifest."""
        return rttm_of(self.turns, self.recording)


def check_diariser(settings: DiariseSettings) -> None:
    """Find out whether speakers can be told apart here, before a network is loaded.

    Args:
        settings: They name the networks.

    Raises:
        SettingsError: The extra is not installed, or a network is not named or not there.
    """
    if importlib.util.find_spec("sherpa_onnx") is None:
        raise SettingsError(
            "no_diarise",
            "diarise",
            got="speakers cannot be told apart without sherpa-onnx",
            do="Run `pip install 'lipwise-ray[diarise]'`",
        )
    for step, file in _files(settings).items():
        where = f"diarise.{step}"
        if file is None:
            raise SettingsError(
                "no_diarise_model",
                where,
                got="no network is named",
                must=f"{_MODELS[step]} is needed",
                do=f"Name an ONNX file that is published for sherpa-onnx, by --{step} or {where}",
            )
        if not Path(file).is_file():
            raise SettingsError("no_diarise_model", f"{where} {file}", got="file not found", do="Check the path")


class Diariser:
    """sherpa-onnx with its two networks.

    They are loaded in a process of its own, at each call anew: a file that sherpa-onnx does not know ends its process.

    Args:
        settings: They name the networks.

    Attributes:
        rate_hz: Rate of the samples that they take.

    Raises:
        SettingsError: The extra is not installed, or a network is not there, or is none that sherpa-onnx takes.
    """

    def __init__(self, settings: DiariseSettings) -> None:
        check_diariser(settings)
        self._settings = settings
        rate_hz = json.loads(self._answer(self._request(), "diarise"))
        if rate_hz not in _RATES_HZ:
            raise _bad(settings, SEGMENTATION, f"states a rate of {rate_hz} Hz")
        self.rate_hz = int(rate_hz)

    def __call__(self, wave: Path, where: str, speakers: int | None = None) -> dict[str, SpeakerTimes]:
        """Return each speaker's turns by name, SPEAKER_00 and so on as they speak first; none where nobody does.

        The process holds the samples once, 230 MB for an hour at 16 kHz, and the distances between all voices: with two
        speakers in every 10 s about 210 MB for an hour, and four times as much for twice the length.

        Args:
            wave: A file of raw float32 samples in [-1, 1], mono, at `rate_hz`.
            where: The file that they were decoded from, for messages.
            speakers: How many there are; without it `diarise.threshold` decides.

        Raises:
            AudioError: It is too long, or more speakers are found than a diarisation file may name.
            SettingsError: A network cannot be computed with.
        """
        samples = wave.stat().st_size // 4
        duration_s = Fraction(samples, self.rate_hz)
        if duration_s > MOST_S:
            raise _too_long(where, f"{float(duration_s) / 3600:.2f} h of audio")
        if not samples:
            return {}
        found = _TURNS.validate_json(self._answer(self._request(wave, speakers), where))
        by_number: dict[int, list[tuple[float, float]]] = {}
        for start_s, end_s, number in sorted(found):
            if start_s < duration_s:  # the last window is filled up with silence
                by_number.setdefault(number, []).append((max(0.0, start_s), min(end_s, float(duration_s))))
        if len(by_number) > MOST_NAMES:
            raise AudioError(
                "too_many_speakers",
                where,
                got=f"{len(by_number)} speakers are found",
                must=f"a diarisation names {MOST_NAMES} at most",
                do="Say how many there are (--speakers), or raise diarise.threshold",
            )
        return {f"SPEAKER_{place:02}": joined(turns_s) for place, turns_s in enumerate(by_number.values())}

    def _request(self, wave: Path | None = None, speakers: int | None = None) -> SherpaRequest:
        return SherpaRequest(
            str(self._settings.segmentation),
            str(self._settings.embedding),
            samples=None if wave is None else str(wave),
            speakers=speakers,
            threshold=self._settings.threshold,
            min_duration_on_s=self._settings.min_duration_on_s,
            min_duration_off_s=self._settings.min_duration_off_s,
            threads=min(usable_cores(), _MOST_THREADS),
        )

    def _answer(self, request: SherpaRequest, where: str) -> str:
        """Return the line of JSON that a process answers a request with."""
        words = [sys.executable, "-P", "-m", sherpa_process.__name__, json.dumps(asdict(request))]
        try:
            done = subprocess.run(  # noqa: S603  # a module of this package, in this interpreter
                words,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=_LOADING_S if request.samples is None else None,
            )
        except subprocess.TimeoutExpired as error:
            raise _bad(self._settings, SEGMENTATION, f"was not loaded within {_LOADING_S} s") from error
        last = (done.stdout.decode("utf-8", "replace").splitlines() or [""])[-1]
        if done.returncode == 0:
            return last
        if done.returncode in {sherpa_process.OUT_OF_MEMORY, -signal.SIGKILL}:
            raise _too_long(where, "memory ran out")
        told = _told(done.stderr.decode("utf-8", "replace"), done.returncode)
        if last not in {EMBEDDING, SEGMENTATION, AUDIO}:  # nothing had begun
            raise SettingsError(
                "no_diarise",
                "diarise",
                got=f"sherpa-onnx does not start: {told}",
                do="Install it again: lipwise-ray[diarise]",
            )
        raise _bad(self._settings, last, told)


def _files(settings: DiariseSettings) -> dict[str, str | None]:
    return {SEGMENTATION: settings.segmentation, EMBEDDING: settings.embedding}


def _told(printed: str, status: int) -> str:
    """Return the reason for which a process failed, as it printed it."""
    last = next((line for line in reversed(printed.splitlines()) if line.strip()), "")
    told = _PLACE_IN_SOURCE.sub("", last.strip())[:_MOST_CHARACTERS].rstrip(".! ")
    if told and status > 0:
        return told
    ended = f"its process ended by signal {-status}" if status < 0 else f"its process ended with status {status}"
    return f"{told}, and {ended}" if told else ended


def _bad(settings: DiariseSettings, step: str, got: str) -> SettingsError:
    files = {name: file for name, file in _files(settings).items() if step in {name, AUDIO}}
    return SettingsError(
        "bad_diarise_model",
        " and ".join(f"diarise.{name} {file}" for name, file in files.items()),
        got=f"sherpa-onnx cannot use it: {got}",
        must=f"{' and '.join(_MODELS[name] for name in files)} with sherpa-onnx's metadata is needed",
        do="Download one that is published for sherpa-onnx",
    )


def _too_long(where: str, got: str) -> AudioError:
    return AudioError(
        "too_long_to_diarise",
        where,
        got=got,
        must=f"up to {MOST_S // 3600} h are compared at once, in memory",
        do="Cut it into parts",
    )
