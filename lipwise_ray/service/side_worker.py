"""Process for short media work: ``python -m lipwise_ray.service.side_worker``, which a service starts."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from lipwise_ray.errors import LipwiseError
from lipwise_ray.runs.preview import preview
from lipwise_ray.runs.progress_events import Event, RowsProgress
from lipwise_ray.service.frame_faces import FrameFaceFinder
from lipwise_ray.service.row_reader import ClientPolicy, RowReader
from lipwise_ray.service.side_messages import (
    PREVIEWS,
    BeginSideWork,
    FacesWanted,
    MadePreview,
    PreviewProgress,
    PreviewWanted,
    SideAnswer,
    SideFailure,
    SideQuestion,
    begin_of,
    question_of,
    side_line,
)
from lipwise_ray.service.upload_reading import with_uploads

_LOG = logging.getLogger("lipwise_ray")


class SideWorker:
    """Answers questions, one after the other.

    Args:
        begin: Settings and places.
        tell: Takes the progress of what takes long.
    """

    def __init__(self, begin: BeginSideWork, tell: Callable[[PreviewProgress], object]) -> None:
        source = begin.source
        self._source = with_uploads(source, begin.uploads)
        self._tell = tell
        self._previews = Path(begin.folder) / PREVIEWS  # which `runs.kept_previews` bounds
        policy = ClientPolicy.of(source.for_run().paths, begin.uploads)
        self._faces = FrameFaceFinder(self._source, Path(begin.folder), policy)
        self._reader = RowReader(source, policy, str(self._previews))

    def answer(self, question: SideQuestion) -> SideAnswer:
        """Return the answer to a question: whatever goes wrong is one."""
        try:
            match question:
                case FacesWanted():
                    return self._faces.find(question)
                case PreviewWanted():
                    return self._preview(question)
        except LipwiseError as error:
            return SideFailure(error.code, error.where, error.must, error.got, error.do)
        except Exception:  # noqa: BLE001  # the next question may well be answered
            _LOG.exception("a question of the studio could not be answered")
            return SideFailure("internal", "", "", "the server met a fault of its own; its log says which", "")

    def _preview(self, wanted: PreviewWanted) -> MadePreview:
        row = self._reader.row({**wanted.columns, "id": "preview", "output": "preview.mp4"})
        made = preview(
            row,
            wanted.at_s,
            wanted.seconds,
            settings=self._source,
            cache=self._previews,
            progress=self._note,
        )
        return MadePreview(made.file.parent.name, made.file.name, made.notes)

    def _note(self, event: Event) -> None:
        for row in event.rows if isinstance(event, RowsProgress) else ():
            self._tell(PreviewProgress(stage=row.stage, frames_done=row.frames_done, frames_total=row.frames_total))


def work(lines: Iterable[bytes], say: Callable[[bytes], object]) -> None:
    """Answer until there are no more questions.

    Args:
        lines: The first message, then questions.
        say: Takes answers, and the progress towards them.
    """
    worker: SideWorker | None = None
    for line in lines:
        if worker is None:
            worker = SideWorker(begin_of(line), lambda progress: say(side_line(progress)))
        else:
            say(side_line(worker.answer(question_of(line))))


def main() -> None:
    """Run as a service's process for short media work."""
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what others print is no answer
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    work(os.fdopen(os.dup(0), "rb"), output.write)


if __name__ == "__main__":
    main()
