"""Speaker diarisation of a file: who speaks when in it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from lipwise_ray.errors import AudioError, OutputError, SettingsError
from lipwise_ray.media.audio import extract_network_audio
from lipwise_ray.media.container import write_problem
from lipwise_ray.media.probe import probe_audio
from lipwise_ray.pipeline.analysis.speaker_diarisation import Diarisation, Diariser
from lipwise_ray.pipeline.manifest.diarisation import MOST_NAMES
from lipwise_ray.printable import on_one_line
from lipwise_ray.runs.load_settings import LoadedSettings, loaded
from lipwise_ray.settings.model import Settings
from lipwise_ray.storage.scratch import scratch_file

_ENDING = ".rttm"
_OF_ROWS = frozenset({"no_audio", "no_samples"})
"""Codes of errors that say what to do about a manifest."""


def diarise(
    file: str | Path,
    *,
    speakers: int | None = None,
    out: str | Path | None = None,
    settings: Settings | LoadedSettings | None = None,
) -> Diarisation:
    """Find out who speaks when in a file, by sherpa-onnx and two networks of the user's.

    The audio is decoded into a temporary file, 230 MB for an hour, and compared in a process of its own, which holds it
    once: see `Diariser`.

    Args:
        file: Audio, or a video with an audio stream.
        speakers: How many there are; without it `diarise.threshold` decides.
        out: RTTM file to write, which must not be there: it may hold somebody's corrections.
        settings: As for `submit`. `diarise.segmentation` and `diarise.embedding` name the networks.

    Raises:
        AudioError: The file has no audio stream, nobody speaks in it, or it is too long.
        MediaError: It is no media file, or damaged.
        OutputError: The RTTM file cannot be written, or is there.
        SettingsError: sherpa-onnx or a network is not there, or the network is none that it takes.
        StorageError: The scratch folder cannot be written.
    """
    path, target = Path(file), None if out is None else Path(out)
    if speakers is not None and not 1 <= speakers <= MOST_NAMES:
        do = f"Say 1 to {MOST_NAMES}, or leave it out"
        raise SettingsError("bad_value", "speakers", got=f"{speakers} speakers cannot be told apart", do=do)
    if target is not None:
        _check_target(target)
    run_settings = loaded(settings, None).for_run()
    diariser = Diariser(run_settings.diarise)
    folder = Path(run_settings.paths.scratch or tempfile.gettempdir())
    with scratch_file(folder, "wave.f32") as wave:
        try:
            info = probe_audio(path, run_settings.limits)
            audio = extract_network_audio(
                info,
                wave,
                salvage=run_settings.source.salvage,
                limits=run_settings.limits,
                rate_hz=diariser.rate_hz,
            )
        except AudioError as error:
            if error.code not in _OF_ROWS:
                raise
            do = "Name a file in which somebody speaks"
            raise AudioError(error.code, error.where, must=error.must, got=error.got, do=do) from error
        turns = diariser(wave, str(path), speakers)
    if not turns:
        heard = f"nobody is heard to speak in {float(audio.duration_s):.1f} s of audio"
        raise AudioError(
            "no_speakers",
            str(path),
            got=f"{heard}, which is silent" if audio.heard.lufs is None else heard,
            do="Listen to it; if somebody speaks, try another network for diarise.segmentation",
        )
    found = Diarisation(on_one_line(path.stem), turns)
    if target is not None:
        _write(found, target)
    return found


def _check_target(target: Path) -> None:
    if target.suffix.lower() != _ENDING:
        raise OutputError(
            "not_rttm", str(target), got=f'unknown ending "{target.suffix}"', do=f"Name a file that ends in {_ENDING}"
        )
    if not target.parent.is_dir():
        raise OutputError("not_writable", str(target), got="its folder is not there", do="Make the folder first")
    if target.exists():
        raise _is_there(target)


def _write(found: Diarisation, target: Path) -> None:
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(found.rttm)
    except FileExistsError as error:
        raise _is_there(target) from error
    except OSError as error:
        raise write_problem(target, error) from error


def _is_there(target: Path) -> OutputError:
    return OutputError(
        "diarisation_is_there",
        str(target),
        got="exists already, and may hold corrections",
        do="Delete it, or name another",
    )
