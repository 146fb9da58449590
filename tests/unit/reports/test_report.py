"""A run's report: tables that agree with the records, and a page that holds everything."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lipwise_ray.errors import StateError
from lipwise_ray.reports import charts
from lipwise_ray.reports.row_sheet import RowSheet
from lipwise_ray.reports.rows import collect, columns, row_of
from lipwise_ray.reports.tables import ParquetTable, as_csv, as_line
from lipwise_ray.reports.worst_first import _verdict, worst_first
from lipwise_ray.reports.write import file_names, write_report
from lipwise_ray.state import layout
from lipwise_ray.state.store import LocalStore, to_json
from lipwise_ray.values import Json

RUN = "20260101T000000-abcdef"


def _done(number: int, lse_c: float | None = 5.0, offset: int = 0, **more: Any) -> Json:
    score = None if lse_c is None else {"lse_d": 8 - lse_c / 5, "lse_c": lse_c, "offset": offset, "windows": 90}
    return {
        "status": "done",
        "row": number,
        "row_id": f"row-{number}",
        "job_id": f"job{number}",
        "output": f"/out/{number}.mp4",
        "language": "de" if number % 2 else None,
        "tags": ["news"],
        "bytes_total": 5,
        "sha256": "0" * 64,
        "frames": 100,
        "video_s": 4.0,
        "audio_s": 4.01,
        "seconds": 8.0,
        "ended": 1010.0 + number,
        "reused": False,
        "render_s": 6.0,
        "chunks": 1,
        "counts": {
            "frames": 100,
            "frames_without_face": 25,
            "faces_doubtful": 13,
            "frames_seen": 96,
            "frames_undubbed": 24,
        },
        "flicker": {"dubbed": 1.5, "filmed": 1.0, "faces": 98},
        "sharpness": {"sharpness": round(0.9 - number / 10, 2), "texture": 1.0},
        "stages_s": {"network": 4.0, "encode": 1.0, "upscale": 0.0},
        "identity": {"device": "cuda"},
        "tally": {"frames_rendered": 100},
        "weights": {
            "lipsync": {"name": "wav2lip_gan", "sha256": "ab", "licence": "research only", "commercial": False},
            "detector": [{"name": "yunet", "sha256": "cd", "licence": "MIT", "commercial": True}],
            "restorer": None,
        },
        "sync": {
            "judge": "syncnet_v2",
            "source": score,
            "before": score,
            "after": score,
            "why": {} if score else {"after": "too short: a score needs 0.24 s"},
            "curve": [1.0, None, 2.0] if score else [],
        },
        **more,
    }


def _state(folder: Path, records: list[Json], **run: Any) -> LocalStore:
    store = LocalStore(folder)
    store.write(
        f"{layout.run(RUN)}/run.json",
        to_json({"run_id": RUN, "manifest": "m.csv", "begun": 1000.0, "rows": len(records), **run}),
    )
    store.write(f"{layout.run(RUN)}/report.json", to_json({"seconds": 90.0}))
    for record in records:
        store.write(layout.row(RUN, record["row"], record["status"]), to_json(record))
    return store


def _failed(number: int, code: str = "no_face", message: str = "video: needs a face.") -> Json:
    return {
        "status": "failed",
        "row": number,
        "row_id": f"row-{number}",
        "code": code,
        "message": message,
        "job_id": "",
    }


class _Page(HTMLParser):
    """Checks that elements close in order, and keeps text and what would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.fetched: list[str] = []
        self.names: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        facts = dict(attrs)
        self.fetched += [
            url for key in ("src", "href") if (url := facts.get(key) or "") and not url.startswith(("data:", "#"))
        ]
        if tag == "img":
            assert facts.get("alt")
        if tag == "svg":
            assert facts.get("aria-label")
        if tag not in ("meta", "img", "line", "rect", "polyline", "circle", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("line", "rect", "polyline", "circle"):
            return
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text("utf-8"))
    assert page.open == []
    assert page.fetched == []
    assert "script" not in page.names
    return page


def test_tables_and_page_agree(tmp_path: Path) -> None:
    """Every row is in every table with the same figures, and on the page; failures stand by their cause."""
    records = [
        _done(2),
        _done(3, lse_c=None),
        _done(4, lse_c=7.0, offset=-6),
        _failed(5),
        _failed(6),
        _failed(7, "no_audio", "a < b"),
    ]
    store = _state(tmp_path / "state", records, rows=7)
    store.write(layout.still("job2", "before"), b"jpeg1")
    store.write(layout.still("job2", "after"), b"jpeg2")
    lines = [
        {"event": "leased", "run": RUN},
        {"event": "done", "run": RUN},
        {"event": "leased", "run": RUN},
        {"event": "leased", "run": "older"},
    ]
    store.write(layout.attempts("job2"), b"".join(json.dumps(one).encode() + b"\n" for one in lines))
    place = write_report(store)
    folder = Path(place).parent
    assert sorted(path.name for path in folder.glob("re*.*") if path.name in file_names()) == sorted(file_names())
    table = list(csv.DictReader(io.StringIO((folder / "results.csv").read_bytes().decode("utf-8-sig"))))
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    parquet = pq.read_table(folder / "results.parquet").to_pylist()
    assert [row["row_id"] for row in rows] == [row["row_id"] for row in table] == [row["row_id"] for row in parquet]
    assert rows == parquet
    assert [row["after_lse_c"] for row in rows] == [5.0, None, 7.0, None, None, None]
    assert [row["after_lse_c"] for row in table] == ["5.0", "", "7.0", "", "", ""]
    first = rows[0]
    assert (first["attempts"], first["no_face_share"], first["frames_per_s"], first["gpu_s"]) == (2, 0.25, 12.5, 6.0)
    assert (first["undubbed_share"], first["faces_doubtful"]) == (0.25, 13)
    assert (table[0]["undubbed_share"], table[0]["faces_doubtful"], rows[3]["faces_doubtful"]) == ("0.25", "13", None)
    assert first["length_error_s"] == -0.01
    assert first["commercial_use"] == "no"
    assert json.loads(first["weights"]) == {"lipsync": "wav2lip_gan ab", "detector": "yunet cd"}
    page = _read(folder / "report.html")
    for words in (
        "row-2",
        "no score: too short",
        "offset -6 frames",
        "a < b",
        "no_face",
        "1.5 minutes",
        "not given",
        "left",
        "syncnet_v2",
        "25% without a face, 25% seen and not dubbed",
        "undubbed",
        "doubtful",
    ):
        assert words in page.text, words
    assert page.names.count("img") == 2
    assert page.text.index("no_face") < page.text.index("no_audio")


def test_faces_that_are_seen_and_left_need_eyes() -> None:
    """Of rows with equal scores the one comes first in which most is left; records of before count what is dubbed."""
    rows = [
        row_of(_done(0, counts={"frames": 100, "frames_with_face": 90, "frames_undubbed": count}), 1)
        for count in (0, 10, 5)
    ]
    assert [row["undubbed_share"] for row in rows] == [0, 0.1, 0.0526]
    assert [rows.index(row) for row in worst_first(RowSheet.of(rows, columns()))] == [1, 2, 0]
    assert row_of(_failed(3), 0)["undubbed_share"] is None


def test_the_worst_come_first() -> None:
    """Without a score, then far off, then by certainty."""
    rows = [row_of(_done(n, c, offset), 1) for n, (c, offset) in enumerate([(6.0, 0), (2.0, 1), (9.0, 5), (None, 0)])]
    assert [row["row"] for row in worst_first(RowSheet.of(rows, columns()))] == [3, 2, 1, 0]


def test_an_offset_that_is_no_syncnets_is_not_called_wrong() -> None:
    """A scorer that may know nothing of such faces is shown with its figures; a row is bad where SyncNet says so."""
    lse = row_of(_done(0, 6.0, 9), 1)
    record = _done(1, 6.0, 9)
    record["sync"]["after"] = {"sync_confidence": 0.2, "sync_distance": 1.0, "offset": 9}
    other, certain = row_of(record, 1), row_of(_done(2, 0.1, 0), 1)
    assert _verdict(lse)[1]
    text, is_bad = _verdict(other)
    assert ("offset +9" in text, is_bad) == (True, False)
    assert [row["row"] for row in worst_first(RowSheet.of([certain, other, lse], columns()))] == [0, 2, 1]


def test_a_curve_is_called_by_its_scorers_own_figure(tmp_path: Path) -> None:
    """LSE-C is SyncNet's alone: the curve of another scorer's run is captioned with that one's confidence."""
    records = [_done(0, 6.0), _done(1, 6.0)]
    records[1]["sync"] |= {
        "judge": "lipsync_expert",
        "after": {"sync_confidence": 0.2, "sync_distance": 1.0, "offset": 0},
    }
    store = _state(tmp_path / "state", records)
    write_report(store, RUN, tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text()
    assert re.findall("<figcaption>(.*? by second)</figcaption>", page) == [
        "Sync confidence by second",
        "LSE-C by second",
    ]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@cmd", "\tx", "\r=1"])
def test_cells_run_no_formulas(text: str) -> None:
    """Text that a spreadsheet would run is made harmless; numbers are not touched."""
    row = row_of({**_failed(2, message=text), "video_s": -1.5}, 0)
    (cells,) = csv.DictReader(io.StringIO(as_csv([row]).decode("utf-8-sig"), newline=""))
    assert cells["message"] == f"'{text}"
    assert cells["video_s"] == "-1.5"


def test_an_unfinished_or_empty_run(tmp_path: Path) -> None:
    """A run that is going on or was killed has a report; so has one without any row; none at all is an error."""
    with pytest.raises(StateError, match=r": holds no run\. "):
        collect(LocalStore(tmp_path / "none"))
    store = _state(tmp_path / "state", [])
    store.remove(f"{layout.run(RUN)}/report.json")
    page = _read(Path(write_report(store, RUN, tmp_path / "elsewhere")))
    assert "not ended yet" in page.text
    assert pq.read_table(tmp_path / "elsewhere" / "results.parquet").num_rows == 0
    with pytest.raises(StateError, match=f"holds no run other, only {RUN}"):
        collect(store, "other")


def test_damaged_and_hostile_records(tmp_path: Path) -> None:
    """A damaged record is a failed row; names that look like markup are text."""
    bad = "<script>alert(1)</script>"
    store = _state(tmp_path / "state", [_done(2, output=bad, language=bad, row_id=bad), _failed(3, bad, bad)])
    store.write(layout.row(RUN, 4, "done"), b"{")
    page = _read(Path(write_report(store)))
    assert page.text.count(bad) >= 5
    assert "damaged_record" in page.text


def test_a_thousand_rows_are_one_quick_page(tmp_path: Path) -> None:
    """It is made in seconds, is small, and tells that more rows are in the table."""
    store = _state(tmp_path / "state", [_done(n, lse_c=(n % 90) / 10) for n in range(2, 1202)])
    begin = time.perf_counter()
    place = Path(write_report(store))
    assert time.perf_counter() - begin < 20
    assert place.stat().st_size < 1_000_000
    assert "The first 1000 of 1200 rows" in _read(place).text


def test_the_softest_mouths_come_first(tmp_path: Path) -> None:
    """Videos stand by the sharpness of their mouths, the softest first; those without a figure are not among them."""
    rows = [_done(2), _done(4), _done(3), _done(5, sharpness=None)]
    place = Path(write_report(_state(tmp_path / "state", rows)))
    text = _read(place).text
    assert "Softest mouths first" in text
    assert "row-40.501.00/out/4.mp4row-30.601.00/out/3.mp4row-20.701.00/out/2.mp4" in text
    assert "row-50" not in text[text.index("Softest") :].split("By language")[0]
    table = list(csv.DictReader(io.StringIO((place.parent / "results.csv").read_text("utf-8-sig"))))
    assert [row["sharpness"] for row in table] == ["0.7", "0.6", "0.5", ""]


def test_what_outputs_lack_and_ones_own_columns_are_in_the_report(tmp_path: Path) -> None:
    """Reasons for what stayed behind stand together on the page, and by row in the tables; own columns there too."""
    font = {"kind": "attachments", "what": "stream 4: a.ttf", "why": "mp4 holds no files"}
    comment = {"kind": "metadata", "what": "comment", "why": "<there>"}
    rows = [_done(2, left_behind=[font, comment], extra={"client": "ACME"}), _done(3, left_behind=[font]), _done(4)]
    place = Path(write_report(_state(tmp_path / "state", rows)))
    text = _read(place).text
    assert "Left behind" in text
    assert "attachmentsmp4 holds no files2row-2: stream 4: a.ttf, row-3: stream 4: a.ttf" in text
    table = list(csv.DictReader(io.StringIO((place.parent / "results.csv").read_text("utf-8-sig"))))
    assert table[0]["left_behind"] == "stream 4: a.ttf (mp4 holds no files); comment (<there>)"
    assert [row["extra"] for row in table] == ['{"client": "ACME"}', "", ""]


def test_a_clock_that_was_set_back(tmp_path: Path) -> None:
    """Rows that ended before the run began, by the clock, have their place all the same."""
    store = _state(tmp_path / "state", [_done(2, ended=-2600.0), _done(3, ended=1500.0)])
    assert "frames a second" in _read(Path(write_report(store))).text


def test_drawings_of_odd_values() -> None:
    """Nothing, one value, gaps and equal values make no broken picture."""
    assert charts.line([], "x") == charts.line([None], "x") == charts.histogram([], "x") == ""
    assert "circle" in charts.line([1.0], "x")
    drawn = charts.line([1.0, None, 0.0, 2.0], "x")
    assert drawn.count("circle") == 1
    assert drawn.count("polyline") == 1
    assert "nan" not in charts.histogram([3.0, 3.0], "x") + charts.line([0.0, 0.0], "x") + charts.bars(
        [0.0], ["a"], "x"
    )
    assert re.search(r'aria-label="&lt;x&gt;"', charts.line([1.0, 2.0], "<x>"))


def test_types_hold_where_all_is_missing() -> None:
    """Parquet files of two nights can be read as one: a column is a number also where nothing is known."""

    def _parquet(record: Json) -> io.BytesIO:
        file = io.BytesIO()
        with ParquetTable(file) as table:
            table.add([as_line(row_of(record, 0))])
        return io.BytesIO(file.getvalue())

    one, other = (pq.read_schema(_parquet(record)) for record in (_done(2), _failed(3)))
    assert one.equals(other)


def test_parquet_holds_what_the_lines_do_and_needs_no_pandas() -> None:
    """Numbers, texts and gaps as they are; what a table has beside a report's columns is left out."""
    code = """
import io, json, sys
import pyarrow.parquet as pq
from lipwise_ray.reports.rows import columns
from lipwise_ray.reports.tables import write_tables

texts = {"row_id": 'a "1"', "language": "é\u2028", "message": "x" * 3_000_000}
row = dict.fromkeys(columns()) | texts | {"frames": 2**40, "lse_d": 0.1, "reused": True, "seconds": 3}
tables = [io.BytesIO() for _ in range(3)]
write_tables([row | {"other": [1]}, dict.fromkeys(columns())], *tables)
assert "pandas" not in sys.modules
assert pq.read_table(tables[2]).to_pylist() == [
    {name: json.loads(line)[name] for name in columns()} for line in tables[1].getvalue().splitlines()
]
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_page_runs_nothing_and_asks_for_nothing(tmp_path: Path) -> None:
    """Its policy allows its own style and pictures within it; what inputs say is text, the right way around."""
    evil = '<img src=x onerror=alert(1)>\u202e\x1b"'
    store = _state(tmp_path, [_failed(1, code="not_media", message=evil), _done(2)])
    html = (Path(write_report(store, RUN))).read_text("utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', html)
    assert policy
    assert policy[1].startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert html.index("Content-Security-Policy") < html.index("<style")
    assert "<script" not in html
    assert "<img src=x" not in html
    assert not set("\u202e\x1b") & set(html)
    assert all(source.startswith("data:image/") for source in re.findall(r'\ssrc="([^"]*)"', html))


def test_a_stopped_runs_report_lists_its_unfinished_rows(tmp_path: Path) -> None:
    """On the page and in every table, with what is to be done; a run that went to its end has none."""
    store = _state(tmp_path, [_done(1), _failed(2)], rows=5)
    lines = [{"row": n, "row_id": f"row-{n}", "output": f"/out/{n}.mp4"} for n in range(1, 6)]
    store.write(layout.planned(RUN), "".join(json.dumps(line) + "\n" for line in lines).encode())
    page = _read(Path(write_report(store, RUN)))
    assert "Not finished" in page.text
    assert all(f"row-{n}" in page.text and f"/out/{n}.mp4" in page.text for n in (3, 4, 5))
    folder = tmp_path / layout.run(RUN)
    with (folder / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["done", "failed", "left", "left", "left"]
    assert {row["code"] for row in rows[2:]} == {"not_finished"}
    assert pq.read_table(folder / "results.parquet")["status"].to_pylist()[2:] == ["left"] * 3
    for number in (3, 4, 5):
        store.write(layout.row(RUN, number, "done"), to_json(_done(number)))
    assert "Not finished" not in _read(Path(write_report(store, RUN))).text
