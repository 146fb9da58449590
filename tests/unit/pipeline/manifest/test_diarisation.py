"""Diarisation files: their turns, and what is wrong with them."""

from __future__ import annotations

import json
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lipwise_ray.errors import FaceError
from lipwise_ray.pipeline.manifest.diarisation import joined, read_diarisation, rttm_of

RTTM = """;; made by hand
SPKR-INFO talk 1 <NA> <NA> <NA> unknown ANNA <NA>
SPEAKER talk 1 0.50 1.50 <NA> <NA> ANNA <NA> <NA>
SPEAKER talk 1 1.80 2.20 <NA> <NA> BEN <NA> <NA>

SPEAKER talk 1 2.00 0.25 <NA> <NA> ANNA <NA>
"""
SRT = """1
00:00:00,500 --> 00:00:02,000
ANNA: Hello, Ben.

2
00:00:01,800 --> 00:00:03,000
[BEN] <i>Hello.</i>

3
00:00:03,000 --> 00:00:04,000
How are you?

4
00:00:03,500 --> 00:00:03,900
[MUSIC]

5
00:00:05,000 --> 00:00:06,000
- ANNA: Fine.
- BEN: Good.
"""
VTT = """WEBVTT

NOTE made by hand

00:00.500 --> 00:02.000 align:start
<v Anna Miller>Hello, Ben.

intro
01:00:01.800 --> 01:00:03.000
<v.loud Ben>Hello.</v>
"""


def _read(folder: Path, name: str, text: str | bytes) -> dict[str, list[tuple[float, float]]]:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return {
        speaker: [(float(start), float(end)) for start, end in times]
        for speaker, times in read_diarisation(path).items()
    }


def test_turns_of_rttm(tmp_path: Path) -> None:
    """Turns of two speakers may overlap; a speaker's own that touch are one. Nine fields are enough."""
    found = _read(tmp_path, "t.rttm", RTTM)
    assert found == {"ANNA": [(0.5, 2.25)], "BEN": [(1.8, 4.0)]}
    assert read_diarisation(tmp_path / "t.rttm")["BEN"] == ((Fraction(9, 5), Fraction(4)),)


def test_turns_of_subtitles(tmp_path: Path) -> None:
    """A cue without a name goes on with the last one; two in a cue speak all along it; music is nobody."""
    assert _read(tmp_path, "t.srt", SRT) == {"ANNA": [(0.5, 2.0), (5.0, 6.0)], "BEN": [(1.8, 4.0), (5.0, 6.0)]}
    assert _read(tmp_path, "t.vtt", VTT) == {"Anna Miller": [(0.5, 2.0)], "Ben": [(3601.8, 3603.0)]}
    assert _read(tmp_path, "dos.srt", "\ufeff" + SRT.replace("\n", "\r\n")) == _read(tmp_path, "t.srt", SRT)


@pytest.mark.parametrize("key", ["", "segments", "turns"])
def test_turns_of_json(key: str, tmp_path: Path) -> None:
    """A list of turns, or a document of a recogniser that holds one; what else is in it does not matter."""
    turns = [
        {"speaker": "ANNA", "start": 1, "end": 2.5, "text": "Hello."},
        {"name": "BEN", "start": 0.25, "end": 1.0, "words": []},
    ]
    assert _read(tmp_path, "t.JSON", json.dumps({key: turns, "language": "en"} if key else turns)) == {
        "BEN": [(0.25, 1.0)],
        "ANNA": [(1.0, 2.5)],
    }


_LINE = "SPEAKER talk 1 {} {} <NA> <NA> {} <NA> <NA>\n"


_MS = st.integers(1, 200_000_000)
_TURNS = st.lists(st.tuples(_MS, _MS), min_size=1, max_size=6)


@given(turns_ms=st.dictionaries(st.sampled_from(["ANNA", "BEN", "SPEAKER_02"]), _TURNS, min_size=1))
def test_rttm_that_is_written_reads_back(
    turns_ms: dict[str, list[tuple[int, int]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """To the millisecond, whoever speaks at once, and whatever the recording is called."""
    turns = {
        name: joined((start / 1000, (start + length) / 1000) for start, length in sorted(several))
        for name, several in turns_ms.items()
    }
    path = tmp_path_factory.getbasetemp() / "t.rttm"
    path.write_text(rttm_of(turns, " a talk\t\N{LINE SEPARATOR}"), "utf-8")
    assert read_diarisation(path) == turns
    assert path.read_text("utf-8").startswith("SPEAKER a_talk 1 ")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("t.txt", "", 'unknown ending "\\.txt".*\\.rttm, \\.srt'),
        ("t.rttm", "", "no turns of speakers"),
        ("t.rttm", ";; nobody\n", "no turns of speakers"),
        ("t.rttm", "SPEAKER talk 1 0 1 <NA> <NA>\n", "line 1: 7 fields instead of 10"),
        ("t.rttm", "hello there\n", "line 1: 'hello there' is not a line of an RTTM file"),
        ("t.rttm", _LINE.format("0", "1", "A") + _LINE.format("x", "1", "A"), "line 2: 'x' is not a time"),
        ("t.rttm", _LINE.format("-1", "2", "A"), "line 1: a turn from -1 s to 1 s"),
        ("t.rttm", _LINE.format("nan", "2", "A"), "line 1: a turn from nan s"),
        ("t.rttm", _LINE.format("1", "inf", "A"), "line 1: a turn from 1 s to inf s"),
        ("t.rttm", _LINE.format("1", "0", "A"), "the end, 1 s, is not after the start, 1 s"),
        ("t.rttm", _LINE.format("1", "-0.5", "A"), "is not after the start"),
        ("t.rttm", _LINE.format("1", "1", "<NA>"), "a turn without a speaker"),
        ("t.rttm", _LINE.format("1", "1", "A" * 65), "is not a name"),
        ("t.rttm", RTTM + RTTM.replace("talk", "other"), "turns of two recordings, 'talk' and 'other'"),
        ("t.rttm", "".join(_LINE.format(n, 1, f"S{n}") for n in range(101)), "101 speakers, more than 100"),
        ("t.rttm", "ANNA über".encode("latin-1"), "not a text in UTF-8"),
        ("t.srt", "1\n00:00:01 -> 00:00:02\nANNA: x\n", "no turns of speakers"),
        ("t.srt", "1\n00:00:01 --> 00:00:02\nANNA: x\n", "line 2: '00:00:01 --> 00:00:02' are not times"),
        ("t.srt", "1\n00:00:01,0 --> 00:00:02,0\nhello\n", "line 2: a cue without a speaker"),
        ("t.srt", "1\n00:00:03,0 --> 00:00:02,0\nANNA: x\n", "the end, 2 s, is not after the start, 3 s"),
        ("t.json", "{", "not JSON"),
        ("t.json", "{}", "a dict instead of a list of turns"),
        ("t.json", "[" * 100_000, "not JSON"),
        ("t.json", '[{"start": 0, "end": 1}]', "turn 1: no speaker"),
        ("t.json", '["ANNA"]', "turn 1: no speaker"),
        ("t.json", '[{"speaker": "A", "start": "0", "end": 1}]', "turn 1: start or end is not a number"),
        ("t.json", '[{"speaker": "A", "start": 0, "end": NaN}]', "turn 1: a turn from 0 s to nan s"),
        ("t.json", '[{"speaker": "A\\nB", "start": 0, "end": 1}]', "is not a name"),
        ("t.json", '[{"speaker": "A", "start": 0, "end": 1' + "0" * 400 + "}]", "turn 1: a turn from 0 s to inf s"),
        ("t.json", '[{"speaker": "A", "start": -1' + "0" * 400 + ', "end": 1}]', "turn 1: a turn from -inf s to 1 s"),
        ("t.json", '[{"speaker": "A", "start": 1' + "0" * 5000 + ', "end": 1}]', "not JSON"),
        ("t.srt", "1" * 400 + ":00:01,0 --> " + "1" * 400 + ":00:02,0\nANNA: x\n", "line 1: '1+' are not times"),
        ("t.vtt", "1" * 5000 + ":00:01.0 --> 00:02.0\nANNA: x\n", "line 1: '1+' are not times"),
    ],
)
def test_files_that_are_none(name: str, text: str | bytes, words: str, tmp_path: Path) -> None:
    """Whatever is wrong is told with its place in the file."""
    with pytest.raises(FaceError, match=words) as raised:
        _read(tmp_path, name, text)
    assert raised.value.code == "bad_diarisation"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """It is told as for any other input."""
    with pytest.raises(FaceError, match="no such file"):
        read_diarisation(tmp_path / "t.rttm")


_MIB = 1 << 20
_CUE = "00:01.0 --> 00:02.0\n"
_RUNS = [
    *("<", "<v ", "<v", "<v.a", " ", "- ", "[", "a", "A ", ":", "a :", "1", "0", "{", '{"a":', "-->", "\x00", "\u2028"),
]


def _refusal(path: Path) -> FaceError | None:
    try:
        read_diarisation(path)
    except FaceError as error:
        return error
    return None


def _filled(unit: str, size: int) -> str:
    return unit * (size // len(unit.encode()))


@pytest.mark.parametrize("unit", _RUNS)
@pytest.mark.parametrize(
    ("name", "head", "tail"),
    [
        ("t.rttm", "", ""),
        ("t.rttm", "SPEAKER talk 1 0 ", " <NA> <NA> A <NA>\n"),
        ("t.vtt", _CUE, ""),
        ("t.vtt", _CUE + "A", "b\n"),
        ("t.srt", "", " --> 00:00:01,0\nANNA: x"),
        ("t.json", "", ""),
        ("t.json", '[{"speaker": "', '"}]'),
    ],
)
def test_long_lines_take_no_time(name: str, head: str, tail: str, unit: str, tmp_path: Path) -> None:
    """A mebibyte in one line is read or refused within a second, whatever it repeats."""
    path = tmp_path / name
    path.write_bytes((head + _filled(unit, _MIB) + tail).encode())
    begun = time.process_time()
    refused = _refusal(path)
    assert time.process_time() - begun < 1
    assert refused is None or (refused.code == "bad_diarisation" and len(str(refused)) < 1000)


@pytest.mark.parametrize(
    ("name", "head", "turn", "tail"),
    [
        ("t.rttm", "", "SPEAKER talk 1 0.001 9.1 <NA> <NA> ANNA <NA> <NA>\n", ""),
        ("t.srt", "", "00:01:01,000 --> 00:01:02,000\nANNA: x\nNote to self: y\n\n", ""),
        ("t.vtt", "", "00:01.0 --> 00:02.0\n- <v Ben>y</v>\n[ANNA] z\n\n", ""),
        ("t.json", "[", '{"speaker":"ANNA","start":0.5,"end":2.0},', '{"speaker":"ANNA","start":1,"end":2}]'),
    ],
)
def test_a_mebibyte_of_turns_takes_no_time(name: str, head: str, turn: str, tail: str, tmp_path: Path) -> None:
    """A file of tens of thousands of turns is read in a moment."""
    path = tmp_path / name
    path.write_text(head + _filled(turn, _MIB) + tail)
    begun = time.process_time()
    assert "ANNA" in read_diarisation(path)
    assert time.process_time() - begun < 4


_PIECES = [
    *("SPEAKER talk 1 ", "<NA> ", "ANNA", "Ben: ", "- ", "[", "]", "<v ", "<i>", ">", "\n", "\n\n", " ", ":", ",", "."),
    *(
        "00:00:01,000 --> ",
        "00:00:02,5",
        "1:02.3",
        "-->",
        "9" * 400,
        "1e999",
        "-1",
        "0",
        "nan",
        "\ud7ff",
        "\x00",
        "\x85",
    ),
    *('{"speaker": ', '"A"', '"start": ', '"end": ', "{", "}", "]", "null", "true", '"segments": ', "\\ud800", '"'),
]


@settings(max_examples=100, deadline=1000)
@given(st.sampled_from([".rttm", ".srt", ".vtt", ".json"]), st.lists(st.sampled_from(_PIECES) | st.text(max_size=4)))
@example(".json", ["[" * 900 + "]" * 900])
@example(".json", ["[", "[" * 5000 + "]" * 5000, "]"])
def test_any_text_is_turns_or_a_plain_error(
    tmp_path_factory: pytest.TempPathFactory, ending: str, pieces: list[str]
) -> None:
    """Whatever a file holds ends in turns, in order and apart, or in the one error."""
    path = tmp_path_factory.getbasetemp() / f"any{ending}"
    path.write_bytes("".join(pieces).encode("utf-8", "replace"))
    refused = _refusal(path)
    assert refused is None or (refused.code == "bad_diarisation" and str(refused))
    for times in () if refused else read_diarisation(path).values():
        ends = [Fraction(-1), *(end for _, end in times)]
        assert times
        assert all(end < start < stop for end, (start, stop) in zip(ends, times, strict=False))


def _cues(*texts: str) -> str:
    return "\n".join(f"00:0{n}.0 --> 00:0{n}.5\n{text}\n" for n, text in enumerate(texts))


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        (("ANNA: Hear.\nRemember this: we go", "BEN: Yes."), {"ANNA", "BEN"}),
        (("ANNA: Hear.", "Note to self: hide"), {"ANNA"}),
        (("ANNA: When?", "At 10: 30", "BEN: No."), {"ANNA", "BEN"}),
        (("ANNA: Hear,", "and remember: we go"), {"ANNA"}),
        (("Anna Miller: Hear.", "Speaker 2: I do.", "- Dr. No: So do I.\n- Élodie: And I."), None),
        (("anna: Hear.", "ben: I do.", "anna: Good.\nben: So."), {"anna", "ben"}),
        (("小明: 你好", "SPEAKER 1: 30 euros"), {"小明", "SPEAKER 1"}),
        (("Speaker 2: Say it.", "At 10: 30", "At 10: 30", "Speaker 2: 10: 30"), {"Speaker 2"}),
    ],
)
def test_speech_with_a_colon_is_no_speaker(texts: tuple[str, ...], names: set[str] | None, tmp_path: Path) -> None:
    """Names before a colon are in capitals, recur, or begin what is said as names are written."""
    found = _read(tmp_path, "t.vtt", _cues(*texts))
    assert {*found} == (names or {"Anna Miller", "Speaker 2", "Dr. No", "Élodie"})


def test_a_first_cue_that_names_nobody_says_how_to(tmp_path: Path) -> None:
    """Speech with a colon in it is no name at the beginning either."""
    with pytest.raises(FaceError, match=r"a cue without a speaker.*NAME: or \[NAME\]"):
        _read(tmp_path, "t.vtt", _cues("remember this: we go", "BEN: Yes."))
