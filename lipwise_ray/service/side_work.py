"""Media work that the web process needs at once, done by processes of its own: one question at a time, each bounded."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from lipwise_ray.errors import MediaError, RequestError, TransientError
from lipwise_ray.pipeline.manifest.row_table import Row
from lipwise_ray.service.asked_process import AskedProcess, AskedProgram, NoAnswer
from lipwise_ray.service.asset_record import MediaFacts
from lipwise_ray.service.frame_count import FrameCount, FramesWanted
from lipwise_ray.service.media_messages import MediaAnswer, MediaQuestion, RefusedMedia, media_answer_in, media_question
from lipwise_ray.service.row_estimate import EstimateWanted, RowEstimate
from lipwise_ray.service.side_messages import (
    BeginSideWork,
    FacesWanted,
    FrameFaces,
    MadePreview,
    PreviewProgress,
    PreviewWanted,
    SideAnswer,
    SideFailure,
    SideQuestion,
    report_in,
    side_line,
)
from lipwise_ray.settings.model import Settings
from lipwise_ray.storage.address import is_local

_MOST_WAITING, _MOST_FILES = 8, 32
MOST_ASKING = 3 * _MOST_WAITING + _MOST_FILES
"""Threads that may wait here at once: a web server has so many more, that it has some left to answer with."""

_FACES_S, _PREVIEW_S, _LOOK_S = 60.0, 600.0, 30.0
"""Bounds on the time of an answer: about a file that is here; with a preview, or files that are fetched; of a look."""

_LOOKING = "looking at the video"


class SideWork:
    """Looks at files, counts frames, estimates rows, finds faces, and makes previews.

    Files that arrive have a process of their own: small and bound in memory, for nobody knows yet what they are, and it
    never waits for a preview. Counting has another one, as it reads a file to its end, and estimating a third, which
    may wait for addresses. Safe to call from several threads.

    Attributes:
        folder: Folder of what is made.

    Args:
        begin: Settings and places.
        faces_s: Bound on the time of looking for faces in a file that is here, of counting its frames, or of
            estimating a row of such files.
        look_s: Bound on the time of looking at a file.
    """

    def __init__(
        self,
        begin: BeginSideWork,
        faces_s: float = _FACES_S,
        look_s: float = _LOOK_S,
    ) -> None:
        self.folder = Path(begin.folder)
        self._faces_s, self._look_s = faces_s, look_s
        self._pictures = AskedProcess(
            AskedProgram(
                module="lipwise_ray.service.side_worker",
                begin=side_line(begin),
                about=_LOOKING,
                most_waiting=_MOST_WAITING,
                patience_s=_MOST_WAITING * _PREVIEW_S,
            )
        )
        self._files = AskedProcess(_media_program("looking at the file", _MOST_FILES, look_s))
        self._counting = AskedProcess(_media_program("counting the frames", _MOST_WAITING, faces_s))
        self._estimating = AskedProcess(_media_program("estimating it", _MOST_WAITING, faces_s))

    @property
    def pid(self) -> int | None:
        """Number of the process for faces and previews; None while there is none."""
        return self._pictures.pid

    @property
    def files_pid(self) -> int | None:
        """Number of the process that looks at files; None while there is none."""
        return self._files.pid

    @property
    def counting_pid(self) -> int | None:
        """Number of the process that counts frames; None while there is none."""
        return self._counting.pid

    @property
    def estimating_pid(self) -> int | None:
        """Number of the process that estimates rows; None while there is none."""
        return self._estimating.pid

    def facts(self, file: Path) -> MediaFacts:
        """Return the facts of a media file that somebody sent.

        Raises:
            MediaError: It is none, or it brings down whatever reads it.
            TransientError: Too much is asked at once, it took too long, or somebody ended the process.
        """
        found = _looked(self._files, file, self._look_s)
        assert isinstance(found, MediaFacts)
        return found

    def frames(self, video: Path, settings: Settings) -> FrameCount:
        """Return the number of a video's frames, and the size of a shown one.

        Args:
            video: A file that somebody sent.
            settings: Of the row.

        Raises:
            MediaError: It is no video, breaks a limit, or brings down whatever reads it.
            TransientError: Too much is asked at once, it took too long, or somebody ended the process.
        """
        limit_s = math.ceil(self._faces_s)
        wanted = FramesWanted(file=video, limits=settings.limits, source=settings.source, limit_s=limit_s)
        found = _looked(self._counting, wanted, self._faces_s)
        assert isinstance(found, FrameCount)
        return found

    def estimate(self, row: Row, settings: Settings) -> RowEstimate:
        """Return the work of a row, by its files.

        Args:
            row: The row.
            settings: Its settings.

        Raises:
            MediaError: A file or an address cannot be used, or brings down whatever reads it.
            TransientError: Too much is asked at once, it took too long, a store refused, or somebody ended the process.
        """
        bound_s = self._faces_s if all(is_local(one) for one in row.inputs) else _PREVIEW_S
        wanted = EstimateWanted(row=row, settings=settings, limit_s=math.ceil(bound_s))
        found = _looked(self._estimating, wanted, bound_s)
        assert isinstance(found, RowEstimate)
        return found

    def faces(self, video: str, at_s: float | None, preset: str = "") -> FrameFaces:
        """Return the faces of a frame.

        Args:
            video: Path or address of the video.
            at_s: Moment of the frame, in seconds from the first one; None for an early one that has a face.
            preset: Name of the preset by which they are found; empty for the service's.

        Raises:
            RequestError: They cannot be found.
            TransientError: Too much is asked at once, or it took too long.
        """
        limit_s = self._faces_s if is_local(video) else _PREVIEW_S
        answer = self._asked(FacesWanted(video, at_s, preset), limit_s)
        assert isinstance(answer, FrameFaces)
        return answer

    def preview(
        self,
        wanted: PreviewWanted,
        tell: Callable[[PreviewProgress], object] = lambda _: None,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> MadePreview:
        """Return a preview of a row.

        Args:
            wanted: The row, and which seconds of it.
            tell: Takes the progress, in this thread.
            is_wanted: Tells whether anybody waits; a preview that was begun is made to its end all the same.

        Raises:
            RequestError: It cannot be made.
            TransientError: Too much is asked at once, or it took too long.
        """
        answer = self._asked(wanted, _PREVIEW_S, tell, is_wanted)
        assert isinstance(answer, MadePreview)
        return answer

    def close(self) -> None:
        """End the processes; what they are at work on is given up."""
        self._files.close()
        self._counting.close()
        self._estimating.close()
        self._pictures.close()

    def _asked(
        self,
        question: SideQuestion,
        limit_s: float,
        tell: Callable[[PreviewProgress], object] = lambda _: None,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> SideAnswer:
        answers: list[SideAnswer] = []

        def is_answer(line: bytes) -> bool:
            report = report_in(line)
            if isinstance(report, PreviewProgress):
                tell(report)
                return False
            answers.append(report)
            return True

        line = self._pictures.ask(side_line(question), limit_s, is_answer, is_wanted)
        if isinstance(line, NoAnswer):
            got = f"its process {line.how}"
            raise TransientError("side_ended", _LOOKING, got=got, do="Try again, or submit it as it is")
        (answer,) = answers
        if isinstance(answer, SideFailure):
            raise RequestError(answer.code, answer.where, must=answer.must, got=answer.got, do=answer.do)
        return answer


def _media_program(about: str, most_waiting: int, limit_s: float) -> AskedProgram:
    return AskedProgram(
        module="lipwise_ray.service.media_worker",
        begin=b"",
        about=about,
        most_waiting=most_waiting,
        patience_s=2 * limit_s,
    )


def _looked(process: AskedProcess, question: MediaQuestion, limit_s: float) -> MediaAnswer:
    """Return the answer of a process to a question after a file.

    Raises:
        MediaError: The file is at fault.
        TransientError: The server is.
    """
    answer = process.ask(media_question(question), limit_s)
    if isinstance(answer, NoAnswer):
        got = f"the process that looked at it {answer.how}"
        if answer.is_crash:
            raise MediaError("look_failed", "the file", got=got, do="Export it again, and send that")
        raise TransientError("side_ended", "the file", got=got, do="Try again in a moment")
    found = media_answer_in(answer)
    if isinstance(found, RefusedMedia):
        if found.is_for_now:
            raise TransientError("side_ended", found.where, got=found.got, do=found.do)
        raise MediaError(found.code, found.where, got=found.got, do=found.do)
    return found
