"""The morning after: a night of twelve videos, three of them broken, as its report tells it."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import pytest

from tests.conftest import ROOT
from tests.support.dub import PASSTHROUGH, QUICK, run, settings_arguments, write_manifest

DEMO = ROOT / "manifests" / "demo"


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Twelve rows in two languages, dubbed as a user does; one has no such face, one no sound, one is cut off."""
    folder = tmp_path_factory.mktemp("night")
    whole = (DEMO / "presenter.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    rows: list[dict[str, Any]] = [
        {
            "id": f"ep{number}",
            "video": DEMO / ("presenter.mp4" if number % 2 else "two-people.mp4"),
            "audio": DEMO / "presenter.m4a",
            "output": f"ep{number}.mp4",
            "faces": "left",
            "end": 0.6,
            "length": "video",
            "language": "de" if number % 3 else "=fr",
        }
        for number in range(12)
    ]
    rows[3]["faces"], rows[6]["audio"], rows[9]["video"] = "index:9", DEMO / "still.png", folder / "cut.mp4"
    manifest = write_manifest(folder / "m.csv", rows)
    told = settings_arguments('engine.kind="inline"', PASSTHROUGH, QUICK, 'detect.detector="tiny"')
    return folder, run("submit", manifest, "--out", folder / "out", *told)


def test_the_report_agrees_with_what_was_delivered(night: tuple[Path, Any]) -> None:
    """Nine are done and three failed, each for its reason; every delivered file is in the tables; exit code 1."""
    folder, done = night
    assert done.returncode == 1, done.stderr
    (page,) = (folder / "out.state" / "runs").glob("*/report.html")
    assert f"report:  {page}" in done.stderr
    rows = [json.loads(line) for line in page.with_name("results.jsonl").read_text().splitlines()]
    assert sorted(row["code"] for row in rows if row["status"] == "failed") == ["no_audio", "no_face", "not_media"]
    delivered = sorted(row["output"] for row in rows if row["status"] == "done")
    assert delivered == sorted(str(path) for path in (folder / "out").glob("*.mp4"))
    assert len(delivered) == 9
    done_rows = [row for row in rows if row["status"] == "done"]
    assert all(row["after_sync_confidence"] is not None and row["attempts"] > 3 for row in done_rows)
    assert all(row["after_lse_c"] is None and "no LSE" in row["note"] for row in done_rows)
    text = page.with_name("results.csv").read_bytes().decode("utf-8-sig")
    assert {row["language"] for row in csv.DictReader(io.StringIO(text)) if row["language"]} == {"de", "'=fr"}
    html = page.read_text()
    assert html.count('src="data:image/jpeg') == 18
    assert all(f"ep{number}" in html for number in range(12))


def test_it_can_be_made_again_elsewhere(night: tuple[Path, Any]) -> None:
    """`report` writes the same tables into a folder; a place without runs, or an unknown run, is an error."""
    folder, _ = night
    done = run("report", folder / "out.state", "--out", folder / "again")
    assert done.returncode == 0, done.stderr
    (page,) = (folder / "out.state" / "runs").glob("*/report.html")
    for name in ("results.csv", "results.jsonl", "report.html"):
        assert (folder / "again" / name).read_bytes() == page.with_name(name).read_bytes()
    for arguments, words in (
        ((folder / "again",), "a folder without runs"),
        ((folder / "out.state", "--run", "other"), "holds no run other, only "),
    ):
        failed = run("report", *arguments)
        assert failed.returncode == 2
        assert words in failed.stderr


@pytest.mark.parametrize(("width", "height"), [(1280, 1600), (390, 1600)])
def test_a_browser_shows_it(night: tuple[Path, Any], width: int, height: int, tmp_path: Path) -> None:
    """Chromium draws the page at a desk's and at a phone's width: pictures, curves, and text up to the right edge."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed")
    folder, _ = night
    (page,) = (folder / "out.state" / "runs").glob("*/report.html")
    quiet = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync")
    subprocess.run(
        [
            *(
                browser,
                "--headless",
                "--no-sandbox",
                "--hide-scrollbars",
                *quiet,
                f"--user-data-dir={tmp_path}/profile",
            ),
            *(f"--window-size={width},{height}", f"--screenshot={tmp_path}/page.png", page.as_uri()),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    picture = cv2.imread(str(tmp_path / "page.png"))
    assert picture is not None
    assert picture.shape[:2] == (height, width)
    paper = picture[2, 2].astype(int)
    drawn = abs(picture.astype(int) - paper).max(axis=2) > 40
    assert drawn.mean() > 0.05
    assert not drawn[:, :8].any()  # nothing runs out of the page
    assert not drawn[:, -8:].any()
