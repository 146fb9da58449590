"""Process that looks at files of strangers: ``python -m lipwise_ray.service.media_worker``, which a service starts."""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from lipwise_ray.errors import InputError, LipwiseError, is_of_the_disk, ran_out_of_memory
from lipwise_ray.service.frame_count import FramesWanted, count_frames
from lipwise_ray.service.media_facts import media_facts
from lipwise_ray.service.media_messages import MediaAnswer, MediaQuestion, RefusedMedia, media_line, media_question_in
from lipwise_ray.service.row_estimate import EstimateWanted, estimate_wanted

_LOG = logging.getLogger("lipwise_ray")
_MOST_BYTES = 2 << 30
"""Of memory that it may write to: headers name sizes that nobody has checked. What is only reserved, as JavaScript
runtimes of a site's reader do, does not count."""

_MOST_COUNTING_BYTES = 8 << 30
"""The same where frames are counted: a first one is decoded, of up to 8K and by a thread a core."""

_MOST_S = 60
"""More than its asker waits. It ends a look whose asker is gone, too."""


def look_at(question: MediaQuestion) -> MediaAnswer:
    """Look at a file; whatever goes wrong is an answer."""
    try:
        match question:
            case FramesWanted():
                return count_frames(question)
            case EstimateWanted():
                return estimate_wanted(question)
            case file:
                return media_facts(file)
    except LipwiseError as error:
        refused = RefusedMedia(error.code, error.happened, error.do, not isinstance(error, InputError))
        return replace(refused, where=error.where) if isinstance(question, EstimateWanted) else refused
    except Exception as error:  # noqa: BLE001  # the next file may well be looked at
        if is_of_the_disk(error):
            return RefusedMedia("side_ended", "the server's disk refused to read it", "Try again later", True)
        if ran_out_of_memory(error):
            got = f"looking at it takes more than {_most_bytes(question) >> 30} GiB of memory"
        else:
            _LOG.exception("a file could not be looked at")
            got = f"looking at it failed: {type(error).__name__}"
        return RefusedMedia("look_failed", got, "Export it again, and send that")


def answer_files(lines: Iterable[bytes], say: Callable[[bytes], object]) -> None:
    """Answer until there are no more questions.

    Args:
        lines: Questions.
        say: Takes answers.
    """
    for line in lines:
        question = media_question_in(line)
        _bound_memory(_most_bytes(question))
        signal.alarm(_MOST_S + (0 if isinstance(question, Path) else question.limit_s))
        say(media_line(look_at(question)))
        signal.alarm(0)


def _bound_memory(most_bytes: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)  # the machine's own bound may be narrower
    resource.setrlimit(resource.RLIMIT_DATA, (most_bytes if hard < 0 else min(most_bytes, hard), hard))


def _most_bytes(question: MediaQuestion) -> int:
    return _MOST_BYTES if isinstance(question, Path) else _MOST_COUNTING_BYTES


def main() -> None:
    """Run as a service's process that looks at files."""
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what others print is no answer
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash writes nobody's file to the disk
    answer_files(os.fdopen(os.dup(0), "rb"), output.write)


if __name__ == "__main__":
    main()
