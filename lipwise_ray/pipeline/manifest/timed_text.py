"""Text files that say what is said, or who speaks, at which times: reading them within bounds."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from lipwise_ray.errors import LipwiseError

MOST_BYTES = 16 << 20


def read_timed_text(path: Path, endings: Collection[str], kind: str, fault: Callable[[str, str], LipwiseError]) -> str:
    """Return the text of a file of a known ending.

    Args:
        path: The file.
        endings: Those that are known, in lower case.
        kind: Kind of file that it is, for messages.
        fault: Makes the error of a file that cannot be used, from what happened and what to do.

    Raises:
        LipwiseError: It cannot be used.
    """
    if path.suffix.lower() not in endings:
        raise fault(f'unknown ending "{path.suffix}"', f"Known: {', '.join(endings)}")
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MOST_BYTES:
            raise fault(f"{size_bytes >> 20} MiB are too large for {kind}", "")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise fault(f"not a text in UTF-8 ({error.reason} at byte {error.start})", "Save it as UTF-8") from error
    except OSError as error:
        raise fault((error.strerror or str(error)).lower(), "Check the path") from error
