"""What a report tells of audio that was mixed, stretched or spoken, and of rows whose audio does not fit."""

from __future__ import annotations

import csv
import json
import re
from fractions import Fraction
from html import unescape
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lipwise_ray.errors import AudioError
from lipwise_ray.pipeline.dubbing.fitting import Slot, check_slots
from lipwise_ray.reports.made_audio import MadeAudio
from lipwise_ray.reports.rows import columns
from lipwise_ray.reports.write import write_report
from lipwise_ray.settings.model import TimingSettings
from lipwise_ray.state import layout
from lipwise_ray.state.delivered_records import WatermarkRecord
from lipwise_ray.state.fitted_record import FittedRecord
from lipwise_ray.state.job_result import DubResult, RowFailure
from lipwise_ray.state.local import LocalStore
from lipwise_ray.state.mixed_record import LoudnessRecord, MixedRecord
from lipwise_ray.state.row_outcome import RowOutcome, RowResult
from lipwise_ray.state.run_records import RunRecord
from lipwise_ray.state.shapes import record_of
from lipwise_ray.state.speech_record import SpokenBy
from lipwise_ray.state.store import to_json

RUN = "20260101T000000-abcdef"
MIXED = MixedRecord(
    background="/beds/night <2>.wav",
    background_gain_db=-6.0,
    duck_db=12.0,
    ducked_s=41.23,
    loudness_lufs=-23.0,
    gain_db=4.3,
    is_limited=True,
    before=LoudnessRecord(lufs=-27.34, true_peak_dbtp=-4.12),
    after=LoudnessRecord(lufs=-23.02, true_peak_dbtp=-1.2),
)
ESPEAK = SpokenBy(engine="espeak-ng (espeakng_loader 1.52)", voice="es", licence="GPL-3.0-or-later")
ADDED = [
    "background",
    "mix_gain_db",
    "loudness_lufs",
    "true_peak_dbtp",
    "stretch_least",
    "stretch_most",
    "stretch_video",
    "spoken_by",
    "further_languages",
]


def _done(number: int, **facts: Any) -> RowOutcome:
    result = DubResult(
        job_id=f"job{number}",
        output=f"/out/{number}.mp4",
        frames=100,
        chunks=1,
        bytes_total=5,
        sha256="0" * 64,
        **facts,
    )
    return _outcome(number, result)


def _outcome(number: int, result: RowResult) -> RowOutcome:
    return RowOutcome(row=number, row_id=f"row-{number}", result=result)


def _report(folder: Path, outcomes: list[RowOutcome]) -> tuple[str, list[dict[str, Any]]]:
    """Return the page's HTML and the rows of the JSON lines, which the other tables have to agree with."""
    store = LocalStore(folder)
    run = RunRecord(run_id=RUN, manifest="m.csv", rows=len(outcomes), begun=1000.0)
    store.write(layout.run_record(RUN), to_json(record_of(run)))
    for outcome in outcomes:
        store.write(layout.row(RUN, outcome.row, outcome.result.status), to_json(outcome.record))
    page = Path(write_report(store, RUN))
    rows = [json.loads(line) for line in page.with_name("results.jsonl").read_text("utf-8").splitlines()]
    assert pq.read_table(page.with_name("results.parquet")).to_pylist() == rows
    with page.with_name("results.csv").open(encoding="utf-8-sig", newline="") as file:
        cells = list(csv.DictReader(file))
    assert [[one[name] for name in ADDED] for one in cells] == [
        ["" if row[name] is None else str(row[name]) for name in ADDED] for row in rows
    ]
    return page.read_text("utf-8"), rows


def _cells(html: str, heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading."""
    section = html.split(f"<h2>{heading}</h2>")[1].split("</section>", maxsplit=1)[0]
    lines = re.findall(r"<tr>(.*?)</tr>", section.split("<tbody>")[1], re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.DOTALL) for line in lines]


def _listed(html: str) -> list[str]:
    return [unescape(text) for text in re.findall(r"<li>(.*?)</li>", html, re.DOTALL)]


def test_page_and_tables_tell_what_was_mixed_stretched_and_spoken(tmp_path: Path) -> None:
    """A row has its facts on the page and in columns after all others; one of which nothing was made has none."""
    fitted = FittedRecord(clips=10, least=0.9124, median=1.05, most=1.2041, video=1.031)
    facts = {"mixed": MIXED, "fitted": fitted, "spoken_by": (ESPEAK,), "further_languages": ("de", "fr")}
    html, rows = _report(tmp_path, [_done(1), _done(2, **facts)])
    lines = [
        "background: /beds/night <2>.wav, -6 dB, 12 dB lower under speech for 41.2 s",
        "loudness -27.3 → -23.0 LUFS, true peak -4.1 → -1.2 dBTP, limited",
        "stretched: 10 audio clips by 0.912 to 1.204 (median 1.050), video by 1.031",
        "spoken by espeak-ng (espeakng_loader 1.52), voice es (GPL-3.0-or-later)",
        "further soundtracks: de, fr",
    ]
    ((row_id, facts_told),) = _cells(html, "Audio and lengths")
    assert (row_id, _listed(facts_told)) == ("row-2", lines)
    assert _listed(html.split("<h3>row-2</h3>")[1].split("</article>")[0]) == lines
    assert list(rows[0])[-len(ADDED) :] == ADDED == list(columns()[-len(ADDED) :])
    assert [rows[0][name] for name in ADDED] == [None] * len(ADDED)
    figures = ["/beds/night <2>.wav", 4.3, -23.02, -1.2, 0.9124, 1.2041, 1.031]
    spoken = "espeak-ng (espeakng_loader 1.52), es, GPL-3.0-or-later"
    assert [rows[1][name] for name in ADDED] == [*figures, spoken, "de,fr"]


def test_a_run_whose_audio_is_delivered_as_it_is_has_no_such_table(tmp_path: Path) -> None:
    """Lengths that were equal already are no fact either."""
    html, rows = _report(tmp_path, [_done(1), _done(2, fitted=FittedRecord(clips=0))])
    assert "Audio and lengths" not in html
    assert [row["stretch_video"] for row in rows] == [None, 1.0]


_SILENT = MixedRecord(loudness_lufs=-23.0)
_CLIPPED = MixedRecord(
    background="keep",
    background_gain_db=0.0,
    gain_db=-2.14,
    before=LoudnessRecord(lufs=-9.0, true_peak_dbtp=2.1),
    after=LoudnessRecord(lufs=-11.1, true_peak_dbtp=0.0),
)
_MISSED = MixedRecord(
    loudness_lufs=-14.0,
    gain_db=9.0,
    is_limited=True,
    before=LoudnessRecord(lufs=-23.0, true_peak_dbtp=-1.0),
    after=LoudnessRecord(lufs=-14.6, true_peak_dbtp=-1.0),
)


def _marked(**facts: Any) -> WatermarkRecord:
    return WatermarkRecord(by="audioseal", message=7, strength=1.0, **facts)


@pytest.mark.parametrize(
    ("made", "lines"),
    [
        (MadeAudio(mixed=_SILENT), ["loudness - → - LUFS (-23 asked for), true peak - → - dBTP"]),
        (
            MadeAudio(mixed=_CLIPPED),
            [
                "background: the video's own, without its speech",
                "loudness -9.0 → -11.1 LUFS, true peak 2.1 → 0.0 dBTP, -2.1 dB so that nothing clips",
            ],
        ),
        (
            MadeAudio(mixed=_MISSED),
            ["loudness -23.0 → -14.6 LUFS (-14 asked for), true peak -1.0 → -1.0 dBTP, limited"],
        ),
        (
            MadeAudio(fitted=FittedRecord.of([Fraction(6, 5)], Fraction(1))),
            ["stretched: audio by 1.200"],
        ),
        (MadeAudio(fitted=FittedRecord.of([], Fraction(9, 10))), ["stretched: video by 0.900"]),
        (MadeAudio(spoken_by=(SpokenBy(engine="say"),)), ["spoken by say"]),
        (
            MadeAudio(watermark=_marked(snr_db=31.2, found=0.981, found_message=7)),
            ["marked by audioseal: message 7, 31.2 dB below the audio, found in 98%, message 7 read"],
        ),
        (
            MadeAudio(watermark=_marked(found=0.4)),
            ["marked by audioseal: message 7, found in 40%, no message read"],
        ),
    ],
    ids=["silent", "clipped", "missed", "one clip", "video alone", "engine alone", "marked", "unread"],
)
def test_words_say_what_was_not_reached_and_leave_out_what_was_not_done(made: MadeAudio, lines: list[str]) -> None:
    """Silence has no loudness; one that was missed stands beside the one asked for; nothing is said of the rest."""
    assert made.words() == lines


def test_a_page_lists_a_thousand_of_them_and_says_so(tmp_path: Path) -> None:
    """Pages stay small, and the tables have all."""
    html, rows = _report(tmp_path, [_done(number, mixed=MIXED) for number in range(1, 1003)])
    assert len(_cells(html, "Audio and lengths")) == 1000
    assert "the first 1000 of 1002, results.csv has all" in html
    assert sum(row["loudness_lufs"] is not None for row in rows) == 1002


def test_a_row_whose_clips_do_not_fit_names_each_on_a_line(tmp_path: Path) -> None:
    """The page has the whole of a message as long as this, in both places; short ones stay on one line."""
    slots = [Slot(f"speaker {n} (left, /a/{'x' * 80}.wav)", Fraction(3), Fraction(1), 1.25) for n in range(1, 31)]
    with pytest.raises(AudioError) as caught:
        check_slots(slots, TimingSettings(length="fit"))
    failures = [caught.value, AudioError("no_face", "video", got="has no face; none at all", do="Look")]
    outcomes = [_outcome(number, RowFailure(code=one.code, message=str(one))) for number, one in enumerate(failures, 1)]
    html, rows = _report(tmp_path, outcomes)
    long, short = (row["message"] for row in rows)
    assert long == str(failures[0])
    causes = html.split("<h2>Failures by cause</h2>")[1].split("</section>", maxsplit=1)[0]
    by_row = [cells[-1] for cells in _cells(html, "All rows")]
    assert unescape(by_row[1]) == short
    assert f"</b> {short}</li>" in unescape(causes)
    for shown in (causes.split("<b>row-1</b>")[1].split("</ul>")[0], by_row[0]):
        assert " ".join(_listed(shown)) == long
        assert [clause.count("/a/x") for clause in _listed(shown)] == [1] * 30
