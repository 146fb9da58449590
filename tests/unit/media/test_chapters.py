"""Chapters: what a container gives back is what it was given."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from lipwise_ray.media.chapters import Chapter, held_chapters

TIMES = {
    "a gap": ([(0, 300), (500, 1000)], [(0, 500), (500, 1000)]),
    "a late first": ([(400, 1000)], [(0, 400), (400, 1000)]),
    "an overlap": ([(0, 700), (400, 1000)], [(0, 400), (400, 1000)]),
    "no order": ([(400, 1000), (0, 400)], [(0, 400), (400, 1000)]),
    "none": ([], []),
}


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("container", ["mp4", "mov", "matroska"])
def test_a_container_gives_back_what_it_holds(name: str, container: str, tmp_path: Path) -> None:
    """MP4 and MOV know starts alone: chapters are made gapless before they are written; Matroska keeps them."""
    given, gapless = TIMES[name]
    chapters = [Chapter(Fraction(start, 1000), Fraction(stop, 1000), f"{start}") for start, stop in given]
    held = held_chapters(chapters, container)
    told = [(round(one.start_s * 1000), round(one.stop_s * 1000), one.title) for one in held]
    if container != "matroska":
        assert [(start, stop) for start, stop, _ in told] == gapless
    with av.open(str(tmp_path / "film"), "w", format=container) as output:
        video: Any = output.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        written: Any = [
            {"id": n, "start": start, "end": stop, "time_base": Fraction(1, 1000), "metadata": {"title": title}}
            for n, (start, stop, title) in enumerate(told, 1)
        ]
        output.set_chapters(written)
        for number in range(25):
            frame = av.VideoFrame(32, 32, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    with av.open(str(tmp_path / "film")) as found:
        read = [
            tuple(round(one[end] * (one["time_base"] or 1) * 1000) for end in ("start", "end"))
            for one in found.chapters()
        ]
        titles = [one["metadata"].get("title", "") for one in found.chapters()]
    assert read == [(start, stop) for start, stop, _ in told]
    assert titles == [title for *_, title in told]
