"""Short media work beside the web process: faces of a frame, previews, bounds, and the end of the process."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from pathlib import Path

import cv2
import pytest

from lipwise_ray.errors import RequestError, TransientError
from lipwise_ray.service.side_messages import PreviewWanted
from lipwise_ray.service.side_work import SideWork
from tests.support.service import write_footage
from tests.support.side_settings import begin_side_work

DEMO = Path(__file__).parents[3] / "manifests" / "demo" / "two-people.mp4"


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


def test_a_file_that_is_no_video_is_told_and_the_process_goes_on(work: SideWork, tmp_path: Path) -> None:
    """What one question meets is its own: the next one is answered by the same process."""
    (tmp_path / "v.mp4").write_bytes(b"no video")
    before = work.pid
    with pytest.raises(RequestError):
        work.faces(str(tmp_path / "v.mp4"), 0)
    assert len(work.faces(str(DEMO), 0).boxes) == 2
    assert before in (None, work.pid)


def test_a_preview_is_made_and_kept(work: SideWork) -> None:
    """A preview lies in the folder of previews; the same one again is the same file."""
    uploads = work.folder.parent / "uploads"
    wanted = PreviewWanted({"video": str(uploads / "v.mp4"), "audio": str(uploads / "s.wav")}, 0.0, 0.2)
    made = work.preview(wanted)
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
        os.sched_yield()
    work.close()
    waiting.join(20)
    assert not waiting.is_alive()
    assert told
    with pytest.raises(TransientError, match="about to stop"):
        work.faces(str(DEMO), 0)
