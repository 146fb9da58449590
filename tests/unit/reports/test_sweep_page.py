"""The page that puts lip models side by side."""

from __future__ import annotations

import re

import cv2
import numpy as np

from lipwise_ray.reports.sweep_figures import GroupDistances, figures_of
from lipwise_ray.reports.sweep_page import sweep_page
from lipwise_ray.reports.sweep_rows import ColumnRuns
from lipwise_ray.state.sweep_records import SweepRow

LABELS = ("wav2lip_gan", "musetalk_15", "echo <b>")
ROWS = 8


def _rows() -> list[SweepRow]:
    rng = np.random.default_rng(2)
    base = rng.normal(6, 1, ROWS)
    rows: list[SweepRow] = []
    for place, label in enumerate(LABELS):
        for number in range(ROWS):
            is_absent = place == 2 and number == 3
            rows.append(
                SweepRow(
                    row_id=f"ep{number}-{'de' if number % 2 else 'es'}",
                    column=label,
                    kind="files" if place == 2 else "model",
                    status="absent" if is_absent else "done",
                    message="there is no such file <script>" if is_absent else None,
                    language="de" if number % 2 else "es",
                    video=None if is_absent else f"/out/{label}/ep{number}.mp4",
                    lse_c=None if is_absent else float(base[number] + 0.4 * place + rng.normal(0, 0.1)),
                    psnr=None if is_absent else 31.0 + place,
                    faces=None if is_absent else 40,
                    seconds_a_frame=None if place == 2 else 0.05 * (1 + 4 * place),
                    lag_s=0.4 if place == 2 else 0.0,
                    compared_s=2.0,
                    video_s=7.0 if place == 2 else 2.0,
                    fitted="512x512 to 1280x720" if place == 2 else None,
                    terms=None if place == 2 else "research only",
                    commercial=None if place == 2 else "no",
                    job_id=None if is_absent else f"j{place}{number}",
                )
            )
    return rows


def _still(job_id: str) -> tuple[bytes, bytes]:
    image = np.full((299, 299, 3), 40 + 15 * int(job_id[-1]), np.uint8)
    data = cv2.imencode(".jpg", image)[1].tobytes()
    return data, data


def made_page() -> str:
    """Return a page of three columns, one of which is another tool's."""
    rows = _rows()

    def distances(jobs: object) -> GroupDistances:
        del jobs
        return GroupDistances(21.4, 0.012, 320, "FID over 320 faces: below 500 it says more of their number")

    columns = [ColumnRuns(label, "files" if label == LABELS[2] else "model", None, None, ()) for label in LABELS]
    figures = figures_of(rows, LABELS, distances)
    return sweep_page("rows.csv", columns, rows, figures, _still, lambda video: video.lstrip("/"))


def test_the_page_asks_nobody_and_runs_nothing() -> None:
    """No address of another server, no script; texts of manifests are escaped."""
    page = made_page()
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page)
    assert "<script" not in page
    assert "echo <b>" not in page
    assert "echo &lt;b&gt;" in page


def test_the_page_tells_what_readers_must_know() -> None:
    """Differences with their intervals, few faces, lags and coverage, terms, and rows that are missing."""
    page = made_page()
    assert re.search(r"\+0\.4\d \*", page)
    assert "FID over 320 faces" in page
    for text in ("0.40 s later than the reference", "2.0 of 7.0 s compared", "scaled from 512x512 to 1280x720"):
        assert text in page
    assert "research only" in page
    assert "there is no such file &lt;script&gt;" in page
    assert page.count("<video") == 3 * ROWS - 1
    assert ">20.0<" in page  # frames a second of 0.05 s each
    assert "7 of 8 rows" in page  # a mean without the hard row is no better
