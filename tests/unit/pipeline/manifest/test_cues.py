"""Cue files: what is read of them, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lipwise_ray.errors import ManifestError
from lipwise_ray.pipeline.manifest.cues import read_cues

SRT = "1\n00:00:00,500 --> 00:00:02,000\n<i>Buenas tardes</i>\na todos.\n\n2\n00:00:02,000 --> 00:00:03,400\nAdiós.\n"
VTT = "WEBVTT - a title\n\nNOTE nobody says this\n\nintro\n00:00.500 --> 00:02.000 align:left\nHello.\n"


def _cues(folder: Path, name: str, text: str | bytes) -> list[tuple[int, float, float, str, str]]:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return [(one.number, one.start_s, one.end_s, one.text, one.voice) for one in read_cues(path)]


def test_cues_are_sentences_at_their_times(tmp_path: Path) -> None:
    """Marks are not said, lines are joined, notes left out; Windows' line ends and a byte order mark change nothing."""
    wanted = [(1, 0.5, 2.0, "Buenas tardes a todos.", ""), (2, 2.0, 3.4, "Adiós.", "")]
    assert _cues(tmp_path, "a.srt", SRT) == wanted
    assert _cues(tmp_path, "b.srt", b"\xef\xbb\xbf" + SRT.replace("\n", "\r\n").encode()) == wanted
    assert _cues(tmp_path, "a.vtt", VTT) == [(1, 0.5, 2.0, "Hello.", "")]
    segments = [{"start": 1, "end": 2.5, "text": " Good\nevening ", "voice": "F1", "id": 7}]
    for document in (segments, {"language": "en", "segments": segments}):
        assert _cues(tmp_path, "a.json", json.dumps(document)) == [(1, 1.0, 2.5, "Good evening", "F1")]


def test_what_sites_write_into_webvtt_is_not_said(tmp_path: Path) -> None:
    """Facts below its first line are no cue; & and < are written as HTML has them, in WebVTT alone."""
    facts = VTT.replace(" - a title", "\nKind: captions\nLanguage: es")
    assert _cues(tmp_path, "a.vtt", facts) == [(1, 0.5, 2.0, "Hello.", "")]
    written = VTT.replace("Hello.", "<b>Marks</b> &amp; Sons,&nbsp; 3 &lt; 4&lrm;")
    assert _cues(tmp_path, "b.vtt", written) == [(1, 0.5, 2.0, "Marks & Sons, 3 < 4\u200e", "")]
    assert _cues(tmp_path, "a.vtt", "WEBVTT\n00:01.000 --> 00:02.000\nHi\n") == [(1, 1.0, 2.0, "Hi", "")]
    assert _cues(tmp_path, "a.srt", SRT.replace("Adiós", "R&amp;B"))[1][3] == "R&amp;B."


@pytest.mark.parametrize(
    ("name", "text", "got"),
    [
        ("a.srt", "Just a letter.\n", "a.srt, line 1: 'Just a letter.' is not a cue. Write 00:00:01,000 -->"),
        ("a.srt", "", "no cues in it"),
        ("a.vtt", "WEBVTT\nKind: captions\n\nHello\n", "a.vtt, line 4: 'Hello' is not a cue"),
        ("a.srt", b"\xff\xfe\x00", "not a text in UTF-8"),
        ("a.srt", "1\n00:00:00 --> soon\nHello\n", "line 2: '00:00:00 --> soon' are not times"),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\n\n", "line 2: cue 1 has no text"),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\n<i>...</i>\n", "line 2: cue 1 has no text"),
        (
            "a.srt",
            SRT.replace("02,000 --> 00:00:03", "01,900 --> 00:00:03"),
            "cue 2 starts at 1.9 s, before cue 1 ends",
        ),
        ("a.srt", SRT.replace("02,000 --> 00:00:03", "00,100 --> 00:00:03"), "before cue 1 at 0.5 s"),
        ("a.srt", SRT.replace("--> 00:00:02,000", "--> 00:00:00,500"), "the end of cue 1, 0.5 s, is not after"),
        ("a.srt", SRT.replace("\n\n2", "\n2"), "line 6: times of another cue. Put an empty line between cues"),
        ("a.json", "{}", "not a list of segments"),
        ("a.json", '[{"start": "1", "end": 2, "text": "x"}]', "segment 1: its start or end is not a number"),
        ("a.json", '[{"start": 1, "end": 2}]', "segment 1: its text or voice is not a text"),
        ("a.json", f'[{{"start": 1, "end": {10**400}, "text": "x"}}]', "cue 1 lasts from 1 s to inf s"),
        ("a.txt", "Hello", 'unknown ending ".txt"'),
    ],
)
def test_files_that_are_no_cues_say_why_and_where(tmp_path: Path, name: str, text: str | bytes, got: str) -> None:
    """The message names file, line or cue, and what to write instead."""
    with pytest.raises(ManifestError) as caught:
        _cues(tmp_path, name, text)
    assert got in str(caught.value)
    assert caught.value.code == "bad_cues"
