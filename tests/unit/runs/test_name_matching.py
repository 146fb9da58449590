"""Videos and audio that belong together by their names."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from lipwise_ray.errors import SettingsError
from lipwise_ray.runs.name_matching import language_in, match_names


def _folder(path: Path, *names: str) -> Path:
    path.mkdir(exist_ok=True)
    for name in names:
        (path / name).touch()
    return path


def _pairs(videos: Path, sounds: Path) -> list[tuple[str, str, str]]:
    return [(one.video.name, one.audio.name, one.language) for one in match_names(videos, sounds).pairs]


def test_languages_are_read_off_names(tmp_path: Path) -> None:
    """A video has a row for each language, with any separator and way to write a tag."""
    videos = _folder(tmp_path / "v", "ep1.mp4", "ep 2.MOV")
    names = ("ep1.wav", "ep1.de.wav", "ep1_es.mp3", "ep1-de-AT.m4a", "ep 2 pt_BR.flac", "EP1.zh-Hans.opus")
    assert _pairs(videos, _folder(tmp_path / "a", *names)) == [
        ("ep 2.MOV", "ep 2 pt_BR.flac", "pt-BR"),
        ("ep1.mp4", "ep1.wav", ""),
        ("ep1.mp4", "ep1.de.wav", "de"),
        ("ep1.mp4", "ep1-de-AT.m4a", "de-AT"),
        ("ep1.mp4", "ep1_es.mp3", "es"),
        ("ep1.mp4", "EP1.zh-Hans.opus", "zh-Hans"),
    ]


def test_the_longest_name_of_a_video_wins(tmp_path: Path) -> None:
    """Where a video itself is called after a language, audio of its whole name is its own."""
    videos = _folder(tmp_path / "v", "ep.mp4", "ep-de.mp4")
    sounds = _folder(tmp_path / "a", "ep-de.wav", "ep-de-fr.wav", "ep.de.wav")
    assert _pairs(videos, sounds) == [
        ("ep-de.mp4", "ep-de.wav", ""),
        ("ep-de.mp4", "ep-de-fr.wav", "fr"),
        ("ep.mp4", "ep.de.wav", "de"),
    ]


def test_whatever_has_no_partner_is_named(tmp_path: Path) -> None:
    """Names that only look alike, second files of a name, and names that cannot be written down."""
    videos = _folder(tmp_path / "v", "a.mp4", "a.mov", "b.mp4", "notes.txt", ".hidden.mp4")
    sounds = _folder(tmp_path / "a", "a.wav", "a.mp3", "a_final.wav", "c.de.wav")
    odd = os.fsdecode(b"x\xff.wav")
    (sounds / odd).touch()
    found = match_names(videos, sounds)
    assert [(one.video.name, one.audio.name) for one in found.pairs] == [("a.mov", "a.mp3")]
    assert {path.name: why for path, why in found.alone} == {
        "a.mp4": "has the name of a.mov",
        "a.wav": "is for the same video and language as a.mp3",
        "a_final.wav": "no video has its name",
        "c.de.wav": "no video has its name",
        odd: "its name cannot be written in UTF-8",
        "b.mp4": "no audio has its name",
    }


def test_one_folder_may_hold_both(tmp_path: Path) -> None:
    """Videos are no audio there; of a folder for audio alone their sound is taken. Accents are written in two ways."""
    both = _folder(tmp_path / "v", unicodedata.normalize("NFD", "é.mp4"), unicodedata.normalize("NFC", "é.it.wav"))
    assert [language for _, _, language in _pairs(both, both)] == ["it"]
    assert _pairs(both, _folder(tmp_path / "a", "é.fr.mp4"))[0][1:] == ("é.fr.mp4", "fr")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        *(("de", "de"), ("deu", "de"), ("pt_br", "pt-BR"), ("es-419", "es-419"), ("fil", "fil"), ("yue-HK", "yue-HK")),
        *((name, None) for name in ("new", "raw", "mix", "v2", "zz", "hd", "final", "x-y", "")),
    ],
)
def test_words_are_no_languages(text: str, language: str | None) -> None:
    """Codes of three letters count where they cannot be usual words."""
    assert language_in(text) == language


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the option that names it."""
    with pytest.raises(SettingsError, match=r"--audio: .*none.*no such file"):
        match_names(tmp_path, tmp_path / "none")
