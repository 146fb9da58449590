"""A report's tables: CSV, JSON lines and Parquet of the same rows."""

from __future__ import annotations

import csv
import io
import json

import pyarrow.parquet as pq

from lipwise_ray.reports.row_sheet import RowSheet
from lipwise_ray.reports.rows import columns, row_of
from lipwise_ray.reports.tables import write_tables
from lipwise_ray.values import Json

_LSE = {"lse_d": 7.5, "lse_c": 5.25, "offset": -1}
_OTHER = {"sync_distance": 0.5, "sync_confidence": 0.75}
_CHECKPOINT = {"name": "n", "sha256": "ab", "licence": "MIT", "commercial": True}
_FULL: Json = {
    "row": 2,
    "row_id": "a",
    "status": "done",
    "gate": {"verdict": "check", "reasons": ["LSE-C 5.2 is below 6"]},
    "code": "c",
    "message": "m",
    "output": "/out/a.mp4",
    "language": "de",
    "tags": ["news"],
    "extra": {"show": "x"},
    "sync": {
        "judge": "syncnet_v2",
        "judge_sha256": "cd",
        "note": "n",
        "source": _LSE | _OTHER,
        "before": _LSE | _OTHER,
        "after": _LSE | _OTHER,
        "why": {"after": "too short"},
    },
    "protocol": "ef",
    "frames": 100,
    "video_s": 4.0,
    "audio_s": 4.25,
    "counts": {"frames": 100, "frames_without_face": 25, "frames_seen": 96, "frames_undubbed": 24, "faces_doubtful": 3},
    "flicker": {"dubbed": 1.5, "filmed": 1.0},
    "sharpness": {"sharpness": 0.5, "texture": 1.0},
    "occluded": {"frames": 0.25},
    "speaking": {"certainty": 0.75},
    "fidelity": {
        "psnr": 40.5,
        "ssim": 0.5,
        "face_psnr": 41.5,
        "face_ssim": 0.75,
        "fid": 12.5,
        "identity_distance": 0.25,
        "mouth_distance": 1.5,
        "lag_s": -0.25,
        "compared_s": 3.5,
        "reference_s": 4.5,
        "fitted": "scaled",
        "faces": 90,
    },
    "reused": False,
    "seconds": 8.5,
    "tally": {"frames_rendered": 100},
    "identity": {"device": "cuda", "detector": "d"},
    "render_s": 6.5,
    "attempts": [{"render_s": 6.5}],
    "chunks": 1,
    "original_chunks": [0],
    "left_behind": [{"what": "a chapter", "why": "webm"}],
    "weights": {"lipsync": _CHECKPOINT},
    "version": "0.1",
    "job_id": "j",
    "ended": 1010.5,
    "mixed": {"background": "keep", "gain_db": -1.5, "after": {"lufs": -23.5, "true_peak_dbtp": -1.5}},
    "fitted": {"least": 0.75, "most": 1.25, "video": 1.0},
    "spoken_by": [{"engine": "kokoro", "voice": "v", "licence": "MIT"}],
    "further_languages": ["fr"],
}


def test_every_column_bears_its_values_in_every_table() -> None:
    """A row that has all of them: numbers are numbers in Parquet too, and no column's type stops a report."""
    row = row_of(_FULL, 1)
    assert [name for name in columns() if row[name] is None] == []
    csv_file, lines_file, parquet_file = (io.BytesIO() for _ in range(3))
    write_tables(RowSheet.of([row], columns()), csv_file, lines_file, parquet_file)
    assert json.loads(lines_file.getvalue()) == row
    (found,) = pq.read_table(io.BytesIO(parquet_file.getvalue())).to_pylist()
    assert found == row
    assert {name: type(value) for name, value in found.items()} == {name: type(value) for name, value in row.items()}
    (cells,) = csv.DictReader(io.StringIO(csv_file.getvalue().decode("utf-8-sig")))
    assert cells == {name: str(value) for name, value in row.items()}
