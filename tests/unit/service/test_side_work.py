"""Short media work beside the web process: faces of a frame, previews, bounds, and the end of the process."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from lipwise_ray.errors import RequestError, TransientError
from lipwise_ray.service.side_messages import PreviewProgress, PreviewWanted
from lipwise_ray.service.side_work import SideWork
from tests.support.service import write_footage
from tests.support.side_settings import DEMO as FOLDER
from tests.support.side_settings import begin_side_work

DEMO = FOLDER / "two-people.mp4"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Generator[SideWork]:
    folder = tmp_path_factory.mktemp("side")
    write_footage(folder / "uploads")
    found = SideWork(begin_side_work(folder))
    yield found
    found.close()
    assert found.pid is None


def test_faces_are_told_from_left_to_right_with_their_picture(work: SideWork) -> None:
    """The demo's two people are found in pixels of the shown frame, and the still is of that frame."""
    found = work.faces(str(DEMO), 1.0)
    left, right = found.boxes
    assert (found.frame, found.width, found.height) == (25, 480, 270)
    assert left[2] < 240 < right[0]
    assert cv2.imread(str(work.folder / "stills" / found.still)).shape == (270, 480, 3)
    assert work.faces(str(DEMO), 1e5).frame > 100  # beyond the end: the last one


def test_a_face_is_looked_for_where_no_moment_is_named(work: SideWork) -> None:
    """The first frame serves where it has a face; a clip that opens in the dark is shown where somebody is seen."""
    assert work.faces(str(DEMO), None).frame == 0
    late = work.folder.parent / "uploads" / "late.mp4"
    _write_late(late)
    found = work.faces(str(late), None)
    assert (found.at_s, len(found.boxes)) == (2.0, 2)
    assert work.faces(str(late), 0).boxes == ()


def _write_late(target: Path) -> None:
    """Write a second and a half of darkness, and then a second of the demo's two people."""
    with av.open(str(DEMO)) as source, av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", 10)
        stream.width, stream.height = 480, 270
        shown = next(source.decode(video=0)).to_ndarray(format="rgb24")
        for number in range(25):
            picture = shown if number >= 15 else np.zeros_like(shown)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())


@pytest.mark.parametrize(
    ("video", "words"),
    [
        ("/etc/passwd", "not read for clients"),
        ("../../etc/passwd", "not read for clients"),
        ("https://127.0.0.1/a.mp4", "addresses of https are not read here"),
        (f"{DEMO.parent}/nobody.mp4", "file not found"),
        (f"{DEMO.parent}/../../pyproject.toml", "not read for clients"),
    ],
)
def test_faces_are_looked_for_only_where_a_client_may_read(work: SideWork, video: str, words: str) -> None:
    """What a row may not name is not opened for a still either."""
    with pytest.raises(RequestError, match=words):
        work.faces(video, 0)


def test_a_file_that_is_no_video_is_told_and_the_process_goes_on(work: SideWork) -> None:
    """What one question meets is its own: the next one is answered by the same process."""
    (work.folder.parent / "uploads" / "none.mp4").write_bytes(b"no video")
    before = work.pid
    with pytest.raises(RequestError):
        work.faces(str(work.folder.parent / "uploads" / "none.mp4"), 0)
    assert len(work.faces(str(DEMO), 0).boxes) == 2
    assert before in (None, work.pid)


def test_a_preview_is_made_and_kept(work: SideWork) -> None:
    """A preview lies in the folder of previews; the same one again is the same file."""
    uploads = work.folder.parent / "uploads"
    wanted = PreviewWanted({"video": str(uploads / "v.mp4"), "audio": str(uploads / "s.wav")}, 0.0, 0.2)
    told: list[PreviewProgress] = []
    made = work.preview(wanted, told.append)
    assert told
    assert all(0 <= one.frames_done <= one.frames_total for one in told)
    assert (work.folder / "previews" / made.key / made.name).stat().st_size > 0
    assert work.preview(wanted).key == made.key
    with pytest.raises(RequestError, match="not read for clients"):
        work.preview(PreviewWanted({"video": "/etc/passwd", "audio": "/etc/passwd"}, 0.0, 0.2))


def test_what_takes_too_long_is_ended_and_the_next_question_has_a_new_process(tmp_path: Path) -> None:
    """The process of a question that ran past its bound is gone, and its clients are told so."""
    work = SideWork(begin_side_work(tmp_path), faces_s=0.01)
    with pytest.raises(TransientError, match=r"took more than 0\.01 s"):
        work.faces(str(DEMO), 0)
    assert work.pid is None
    work.close()


def test_closing_ends_the_process_and_whoever_waits_for_it(tmp_path: Path) -> None:
    """A server that stops waits for nobody's preview."""
    work = SideWork(begin_side_work(tmp_path))
    told: list[BaseException] = []

    def ask() -> None:
        try:
            work.faces(str(DEMO), 0)
        except TransientError as error:
            told.append(error)

    waiting = threading.Thread(target=ask)
    waiting.start()
    while work.pid is None:
        time.sleep(0.01)
    work.close()
    waiting.join(20)
    assert not waiting.is_alive()
    assert told
    with pytest.raises(TransientError, match="about to stop"):
        work.faces(str(DEMO), 0)
