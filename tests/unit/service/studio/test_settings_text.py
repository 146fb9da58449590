"""Settings as text: what a row's settings are shown as is what they are read from again."""

from __future__ import annotations

from typing import Any

import pytest

from lipwise_ray.errors import SettingsError
from lipwise_ray.service.studio.settings_text import overrides_of, text_of

_ROWS: list[dict[str, Any]] = [
    {"composite.feather": 0.2, "composite.grain": False, "restore.min_face_px": 40},
    {"lipsync.model": 'one "quoted" \\ name, ünïcode', "restore.model": "a\nb\x7f"},
    {"encode.keep": ["subtitles", "chapters"], "encode.codec": ["libx264", "libx265"]},
    {"encode.audio": '{codec = "aac", bitrate = 128000}'},
    {"lipsync.model": "{name}", "restore.model": "{a} = {b}"},
]


@pytest.mark.parametrize("columns", _ROWS)
def test_settings_survive_being_written_and_read(columns: dict[str, Any]) -> None:
    """Numbers, texts, lists and tables are the same columns again, and written they are the same text."""
    text = text_of(columns)
    assert overrides_of(text) == columns
    assert text_of(overrides_of(text)) == text


def test_a_table_stands_in_its_cell_as_text() -> None:
    """It is one cell in a manifest, however it was written: as a section, dotted, or within a line."""
    cell = '{codec = "aac", bitrate = 128000}'
    section = '[encode.audio]\ncodec = "aac"\nbitrate = 128000'
    for text in (section, 'encode.audio.codec = "aac"\nencode.audio.bitrate = 128000', f"[encode]\naudio = {cell}"):
        assert overrides_of(text) == {"encode.audio": cell}
    odd = overrides_of('[encode.audio]\n"with space" = [{a = 1}, "x"]')
    assert odd == {"encode.audio": '{"with space" = [{a = 1}, "x"]}'}
    assert overrides_of(text_of(odd)) == odd


def test_only_settings_are_shown() -> None:
    """Other columns of a row are none, nor is an empty cell."""
    assert text_of({"video": "v.mp4", "faces": "largest", "restore.model": None, "composite.feather": 1}) == (
        "composite.feather = 1\n"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("composite.feather =", "not TOML"),
        ("feather = 1", '"feather" is in no section'),
        ("engine.kind = 'ray'", "engine.kind cannot be set for a single video"),
        ("faces.select = 'all'", "faces.select cannot be set for a single video"),
        ("composite.feather = 2026-01-01", "a date"),
        ("encode.keep = [2026-01-01]", "a date"),
        ("composite.feather = nan", "without bounds"),
    ],
)
def test_what_is_no_setting_of_a_video_is_refused(text: str, told: str) -> None:
    """The refusal says what stands there that cannot."""
    with pytest.raises(SettingsError, match=told) as refused:
        overrides_of(text)
    assert refused.value.code == "bad_toml"
