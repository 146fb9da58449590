"""Process that looks at files of strangers: ``python -m lipwise_ray.service.media_worker``, which a service starts."""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable

from lipwise_ray.errors import InputError, LipwiseError, is_of_the_disk, ran_out_of_memory
from lipwise_ray.service.frame_count import FramesWanted, count_frames
from lipwise_ray.service.media_facts import media_facts
from lipwise_ray.service.media_messages import MediaAnswer, MediaQuestion, RefusedMedia, media_line, media_question_in

_LOG = logging.getLogger("lipwise_ray")
_MOST_BYTES = 2 << 30
"""Of its address space: headers name sizes that nobody has checked. Its libraries take a quarter of it."""

_MOST_COUNTING_BYTES = 8 << 30
"""The same where frames are counted: a first one is decoded, of up to 8K and by a thread a core."""

_MOST_S = 60
"""More than its asker waits. It ends a look whose asker is gone, too."""


def look_at(question: MediaQuestion) -> MediaAnswer:
    """Look at a file; whatever goes wrong is an answer."""
    try:
        return count_frames(question) if isinstance(question, FramesWanted) else media_facts(question)
    except LipwiseError as error:
        return RefusedMedia(error.code, error.happened, error.do, not isinstance(error, InputError))
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
        signal.alarm(_MOST_S + (question.limit_s if isinstance(question, FramesWanted) else 0))
        say(media_line(look_at(question)))
        signal.alarm(0)


def _bound_memory(most_bytes: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)  # the machine's own bound may be narrower
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes if hard < 0 else min(most_bytes, hard), hard))


def _most_bytes(question: MediaQuestion) -> int:
    return _MOST_COUNTING_BYTES if isinstance(question, FramesWanted) else _MOST_BYTES


def main() -> None:
    """Run as a service's process that looks at files."""
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what others print is no answer
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash writes nobody's file to the disk
    answer_files(os.fdopen(os.dup(0), "rb"), output.write)


if __name__ == "__main__":
    main()
