"""Stills for the README and the gallery: strips of frames, pages without this machine's folders, and all of them."""

from __future__ import annotations

import re
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from docs.stills import pages, strip
from docs.stills.__main__ import PICTURES, main
from docs.stills.evaluation import write_videos
from lipwise_ray.pipeline.manifest.evaluation_rows import read_evaluation
from tests.conftest import ROOT

_MOST_BYTES = 150_000


@pytest.fixture
def program() -> str:
    """The system's browser."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no test in a browser")
    found = pages.browser()
    if found is None:
        pytest.skip("no Chromium on this machine: no test in a browser")
    return found


def _write_grey(path: Path, levels: list[int]) -> None:
    """Write a clip whose frames have these levels of grey."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options={"qp": "0"})
        stream.width, stream.height = 64, 32
        for level in levels:
            frame = av.VideoFrame.from_ndarray(np.full((32, 64, 3), level, np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_a_strip_shows_the_same_moments_above_and_below(tmp_path: Path) -> None:
    """The clip is above, the dubbed video below it, in the order of time; the longer one's end is left out."""
    levels = list(range(20, 220, 5))
    _write_grey(tmp_path / "clip.mp4", levels)
    _write_grey(tmp_path / "dubbed.mp4", [level + 20 for level in levels[:30]])
    made = np.asarray(strip.before_and_after(tmp_path / "clip.mp4", tmp_path / "dubbed.mp4").convert("L"), int)
    assert made.shape == (406, 5 * 400 + 4 * 6)
    columns = [406 * number + 200 for number in range(5)]
    above, below = made[100, columns], made[306, columns]
    assert (np.diff(above) > 10).all()
    assert above[-1] < levels[30]
    np.testing.assert_allclose(below - above, 20, atol=3)


def test_an_evaluation_has_a_row_a_dubbed_video(tmp_path: Path) -> None:
    """Each is compared with the reference of its name."""
    true, out = ROOT / "manifests" / "demo" / "true", tmp_path / "out"
    out.mkdir()
    for one in true.iterdir():
        (out / one.name).touch()
    write_videos(out, true, tmp_path / "videos.csv")
    rows = [*read_evaluation(tmp_path / "videos.csv").rows]
    assert {row.id for row in rows} == {one.stem for one in true.iterdir()}
    assert all(row.reference == str(true / f"{row.id}.mp4") for row in rows)
    assert all(row.video == str(out / f"{row.id}.mp4") for row in rows)


def test_a_page_is_shown_from_its_heading_on_and_without_folders(tmp_path: Path, program: str) -> None:
    """What stands above the heading is left out, and so is the folder that the page names."""
    page = tmp_path / "page.html"
    page.write_text(
        "<body style='margin:0'><div style='height:2000px;background:#f00'></div>"
        f"<h2 style='margin:0;height:300px;background:#00f'>Here</h2><p>{tmp_path}/a.mp4</p>"
        "<div style='height:2000px'></div>"
    )
    pages.take(page, "Here", tmp_path, tmp_path / "with.webp", program, 400, 380)
    page.write_text(page.read_text().replace(f"{tmp_path}/", ""))
    pages.take(page, "Here", tmp_path, tmp_path / "without.webp", program, 400, 380)
    with Image.open(tmp_path / "with.webp") as shown, Image.open(tmp_path / "without.webp") as plain:
        assert shown.size == (400, 380)
        red, _, blue = shown.getpixel((200, 290))  # type: ignore[misc]
        assert (red, blue) < (30, 225)
        assert np.array_equal(np.asarray(shown), np.asarray(plain))


def test_the_gallery_shows_every_still_and_each_is_small() -> None:
    """A still that nothing shows, or a picture that is not there, is a slip."""
    gallery = (ROOT / "docs" / "gallery.md").read_text("utf-8")
    shown = set(re.findall(r"\(pictures/([\w-]+\.webp)\)", gallery))
    assert shown == {one.name for one in PICTURES.glob("*.webp")}
    assert not [name for name in shown if (PICTURES / name).stat().st_size > _MOST_BYTES]


@pytest.mark.slow
def test_the_demo_makes_all_stills(tmp_path: Path, program: str) -> None:
    """From an empty folder to every still of the gallery."""
    assert program
    made = tmp_path / "pictures"
    made.mkdir()
    main(tmp_path / "demo", made)
    assert {one.name for one in made.iterdir()} == {one.name for one in PICTURES.glob("*.webp")}
    for one in made.iterdir():
        assert one.stat().st_size <= _MOST_BYTES, one.name
        with Image.open(one) as still, Image.open(PICTURES / one.name) as kept:
            assert still.size == kept.size, one.name
