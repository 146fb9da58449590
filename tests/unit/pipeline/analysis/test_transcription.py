"""What is said in audio: models that cannot be used, and what names a transcript."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lipwise_ray.errors import SettingsError
from lipwise_ray.pipeline.analysis.transcription import Recogniser, check_recogniser, recogniser_id
from tests.support.whisper import write_recogniser

pytest.importorskip("faster_whisper", reason="extra asr is not installed")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recogniser(tmp_path_factory.mktemp("asr") / "model", "ja gut", "de")


def _copy(model: Path, folder: Path) -> Path:
    folder.mkdir()
    for path in model.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_words_come_with_their_language_and_audio_of_no_length_with_none(model: Path) -> None:
    """So few words tell no language, which leaves what was heard; whoever watches is told that it goes on."""
    recogniser, ticks = Recogniser(model), list[None]()
    heard = recogniser(np.zeros(16_000, np.float32), lambda: ticks.append(None))
    assert (heard.text, heard.language, heard.by_text) == ("ja gut", "de", None)
    assert ticks
    nothing = recogniser(np.zeros(0, np.float32))
    assert (nothing.language, nothing.segments) == (None, ())


def test_a_folder_without_a_model_says_what_is_missing(model: Path, tmp_path: Path) -> None:
    """Before anything is loaded; a file that is there and damaged is told from one that is not there."""
    with pytest.raises(SettingsError) as caught:
        check_recogniser(tmp_path)
    assert (caught.value.code, caught.value.got) == (
        "no_asr_model",
        "no model.bin, config.json, tokenizer.json in this folder",
    )
    folder = _copy(model, tmp_path / "m")
    check_recogniser(folder)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(SettingsError) as caught:
        check_recogniser(folder)
    assert caught.value.code == "bad_asr_model"


def test_another_model_makes_other_transcripts(model: Path, tmp_path: Path) -> None:
    """A copy elsewhere has the same name; one byte of any file gives another."""
    folder = _copy(model, tmp_path / "m")
    assert recogniser_id(folder) == recogniser_id(model)
    data = (folder / "model.bin").read_bytes()
    (folder / "model.bin").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert recogniser_id(folder) != recogniser_id(model)
