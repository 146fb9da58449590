"""Process that looks at files of strangers: ``python -m lipwise_ray.service.media_worker``, which a service starts."""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from lipwise_ray.errors import InputError, LipwiseError, is_of_the_disk, ran_out_of_memory
from lipwise_ray.service.media_facts import media_facts
from lipwise_ray.service.media_messages import MediaAnswer, RefusedMedia, media_file_in, media_line

_LOG = logging.getLogger("lipwise_ray")
_MOST_BYTES = 2 << 30
"""Of its address space: headers name sizes that nobody has checked. Its libraries take a quarter of it."""

_MOST_S = 60
"""More than its asker waits. It ends a look whose asker is gone, too."""


def look_at(file: Path) -> MediaAnswer:
    """Look at a file; whatever goes wrong is an answer."""
    try:
        return media_facts(file)
    except LipwiseError as error:
        return RefusedMedia(error.code, error.happened, error.do, not isinstance(error, InputError))
    except Exception as error:  # noqa: BLE001  # the next file may well be looked at
        if is_of_the_disk(error):
            return RefusedMedia("side_ended", "the server's disk refused to read it", "Try again later", True)
        if ran_out_of_memory(error):
            got = f"looking at it takes more than {_MOST_BYTES >> 30} GiB of memory"
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
        signal.alarm(_MOST_S)
        say(media_line(look_at(media_file_in(line))))
        signal.alarm(0)


def main() -> None:
    """Run as a service's process that looks at files."""
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what others print is no answer
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash writes nobody's file to the disk
    answer_files(os.fdopen(os.dup(0), "rb"), output.write)


if __name__ == "__main__":
    main()
