"""Sorting of faces by their measures, and the table, the sheet and the note that tell of it."""

from __future__ import annotations

import csv
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.errors import InputError, MediaError, SettingsError
from lipwise_ray.training.clip_record import FaceMeasures, SyncMeasures
from lipwise_ray.training.clip_table import ClipLine, DataSetNote, write_table
from lipwise_ray.training.contact_sheet import write_contact_sheet
from lipwise_ray.training.curation import CurationRules, make_rules, refusal, shift_of
from lipwise_ray.training.footage import Clip
from lipwise_ray.training.prepare import SortedFace, stills_of

GOOD = FaceMeasures(0, 0.0, 4.0, 100, 120.0, 8.0, 0.93, 5.0, 0.8, 0.2)
IN_SYNC = SyncMeasures(0, 0.8, 0.3, is_steady=True)
RULES = CurationRules()


def _code(face: FaceMeasures, sync: SyncMeasures | None = IN_SYNC, rules: CurationRules = RULES) -> str:
    refused = refusal("a/b", face, sync, rules, is_judged=True)
    return refused.code if refused else ""


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ({"score": 0.75}, "doubtful_face", "not sure that this is a face: 0.75; 0.85 is needed"),
        ({"yaw_deg": 80.0}, "turned_face", "turned by 80 degrees"),
        ({"size_px": 39.0}, "small_face", "39 pixels wide; 48 are needed"),
        ({"sharpness": 0.3}, "blurred_face", "its detail is 0.3"),
        ({"frames": 20}, "short_clip", "20 frames; 25 are needed"),
        ({"mouth_change": 0.006}, "still_mouth", "its change is 0.006; 0.015 is needed"),
        ({"speech_share": 0.05}, "little_speech", "heard in 5% of it; 20% is needed"),
    ],
)
def test_faces_with_one_fault_are_refused_by_default(fault: dict[str, Any], code: str, words: str) -> None:
    """What a detector takes for a face of a dog, a profile, a small or a blurred face: each has its own reason."""
    refused = refusal("a/b", replace(GOOD, **fault), IN_SYNC, RULES, is_judged=True)
    assert refused is not None
    assert refused.code == code
    assert words in str(refused)
    assert refusal("a/b", GOOD, IN_SYNC, RULES, is_judged=True) is None


@pytest.mark.parametrize(
    ("offset", "steady", "code", "shift"),
    [
        (0, False, "", 0), (-1, False, "", 0), (3, True, "", 3), (-5, True, "", -5), (3, False, "out_of_sync", 0),
        (6, True, "out_of_sync", 0), (15, True, "out_of_sync", 0), (25, True, "out_of_sync", 0),
    ],
)  # fmt: skip
def test_audio_a_little_off_is_moved_and_audio_far_off_is_refused(
    offset: int, *, steady: bool, code: str, shift: int
) -> None:
    """Up to 5 frames audio is moved where both halves agree; what is further off may fit another syllable."""
    sync = replace(IN_SYNC, offset_frames=offset, is_steady=steady)
    assert _code(GOOD, sync) == code
    assert shift_of(sync, RULES) == shift


def test_rules_are_settings() -> None:
    """A loosened rule takes the face that it refused; moving can be switched off, a distance can be asked for."""
    off = replace(IN_SYNC, offset_frames=3)
    assert _code(replace(GOOD, size_px=39.0), rules=make_rules({"min_face_px": 32})) == ""
    assert _code(GOOD, off, make_rules({"realign_frames": 0})) == "out_of_sync"
    assert _code(GOOD, IN_SYNC, make_rules({"max_distance": 0.7})) == "unlike_lips"
    assert _code(GOOD, None) == "out_of_sync"
    assert refusal("a/b", GOOD, None, RULES, is_judged=False) is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"min_face": 3}, 'unknown rule "min_face" - did you mean "min_face_px"?'),
        ({"max_yaw_deg": "much"}, "max_yaw_deg = 'much': it should be a valid number"),
        ({"max_offset_frames": 31}, "less than or equal to 30"),
        ({"min_score": float("nan")}, "finite"),
    ],
)
def test_bad_rules_are_named(values: dict[str, Any], words: str) -> None:
    """A slip in a rule stops before any work, with the rule's name."""
    with pytest.raises(SettingsError) as error:
        make_rules(values)
    assert words in str(error.value)


def _results() -> list[tuple[Clip, tuple[SortedFace, ...] | InputError]]:
    refused = refusal("=a/two+face2", replace(GOOD, track=1, size_px=20.0), IN_SYNC, RULES, is_judged=True)
    faces = (
        SortedFace("=a/two", GOOD, IN_SYNC, 0, None),
        SortedFace("=a/two+face2", replace(GOOD, track=1, size_px=20.0), None, 0, refused),
    )
    broken = MediaError("cut_off", "x/cut.mp4", got="<b>the file</b> is cut off")
    return [(Clip("=a/two", Path("x/two.mp4"), "train"), faces), (Clip("a/cut", Path("x/cut.mp4"), "val"), broken)]


def _note() -> DataSetNote:
    zeros = (0, 0, 0, 0)
    return DataSetNote("lipwise.curation/1", ("ab",), None, None, None, False, 96, zeros, (0.0,) * 4, 4, RULES)


def test_the_table_has_a_line_for_each_face_and_each_broken_video(tmp_path: Path) -> None:
    """Figures, and the reason in a word and in words; a name that a spreadsheet would run is made harmless."""
    table = write_table(tmp_path, _results(), _note())
    with table.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == [field.name for field in fields(ClipLine)]
    assert [(line["clip"], line["list"], line["kept"], line["code"]) for line in lines] == [
        ("'=a/two", "train", "yes", ""),
        ("'=a/two+face2", "train", "no", "small_face"),
        ("a/cut", "val", "no", "cut_off"),
    ]
    assert (lines[0]["size_px"], lines[0]["offset_frames"], lines[1]["offset_frames"]) == ("120.0", "0", "")
    with (tmp_path / "skipped.csv").open(newline="", encoding="utf-8") as file:
        assert [(row["clip"], row["code"]) for row in csv.DictReader(file)] == [
            ("'=a/two+face2", "small_face"), ("a/cut", "cut_off")
        ]  # fmt: skip
    note = json.loads((tmp_path / "curation.json").read_text())
    assert (note["detectors"], note["rules"]["min_face_px"]) == (["ab"], 48.0)


def test_the_contact_sheet_is_one_page_with_both_groups(tmp_path: Path) -> None:
    """Stills are in the page itself, refused faces stand under their reason, and no name becomes markup."""
    for track in (0, 1):
        stills = stills_of(tmp_path, "=a/two", track)
        stills.parent.mkdir(parents=True, exist_ok=True)
        stills.write_bytes(b"jpeg")
    write_contact_sheet(tmp_path, _results())
    page = (tmp_path / "contact.html").read_text("utf-8")
    assert page.count("data:image/jpeg;base64,anBlZw==") == 2
    assert "taken: 1" in page
    assert "refused: small_face: 1" in page
    assert "&lt;b&gt;the file" in page
    assert "http" not in page.replace("http-equiv", "")
