"""Answer to a form whose preview is asked for: lines of JSON, its progress first and what came of it last."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator, Mapping

from fastapi.responses import StreamingResponse

from lipwise_ray.service.side_messages import PreviewProgress

LINES = "application/x-ndjson"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""A proxy that gathers an answer before it passes it on would show the progress at its end."""

_KNOWN_EVERY_S = 5.0
"""A client that has gone is noticed when a line is written to it."""

Make = Callable[[Callable[[PreviewProgress], object], Callable[[], bool]], Mapping[str, object]]
"""Makes a preview, tells of its progress, asks who still listens, and returns the last line; it raises nothing."""


def preview_stream(make: Make) -> StreamingResponse:
    """Return the answer that tells of a preview while it is being made.

    Once begun it is made to its end also where nobody listens any more: it is kept, and is there at once when it is
    asked for again. One that still waits for its turn then gives it up.

    Args:
        make: Makes it, in a thread of its own.
    """
    return StreamingResponse(_lines(make), media_type=LINES, headers=_HEADERS)


def _lines(make: Make) -> Iterator[str]:
    told: queue.SimpleQueue[Mapping[str, object] | None] = queue.SimpleQueue()
    has_gone = threading.Event()

    def tell(progress: PreviewProgress) -> None:
        told.put({"stage": progress.stage, "done": progress.frames_done, "total": progress.frames_total})

    def work() -> None:
        try:
            told.put(make(tell, lambda: not has_gone.is_set()))
        finally:
            told.put(None)

    threading.Thread(target=work, name="preview", daemon=True).start()
    try:
        while True:
            try:
                line = told.get(timeout=_KNOWN_EVERY_S)
            except queue.Empty:
                yield "\n"
                continue
            if line is None:
                return
            yield f"{json.dumps(line)}\n"
    finally:
        has_gone.set()
