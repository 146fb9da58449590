"""SMPTE time code as text: ``01:00:00:00``, with a semicolon before the frames where frame numbers are dropped."""

from __future__ import annotations

import re
from fractions import Fraction

_TEXT = re.compile(r"^(\d\d):([0-5]\d):([0-5]\d)([:;.])(\d\d)\Z")
_DAY_S = 24 * 3600
_MINUTES_BETWEEN = 10


def timecode_after(text: str, frames: int, rate: Fraction) -> str | None:
    """Return the time code so many frames later, None for a text that is none at that rate.

    Args:
        text: ``HH:MM:SS:FF``; ``;`` or ``.`` before the frames means drop frame.
        frames: Number of frames.
        rate: Of the frames.

    Source: SMPTE ST 12-1. Drop frame leaves out 2 numbers (4 at 60/1.001) at the start of each minute but every tenth.
    """
    match = _TEXT.match(text.strip())
    nominal = round(rate)
    if match is None or nominal < 1 or int(match[5]) >= nominal:
        return None
    hours, minutes, seconds, number = (int(match[group]) for group in (1, 2, 3, 5))
    drops = match[4] != ":"  # containers write it back as a semicolon
    if drops and nominal % 30:
        return None
    dropped = nominal // 15 if drops else 0
    total_minutes = hours * 60 + minutes
    count = (total_minutes * 60 + seconds) * nominal + number
    count -= dropped * (total_minutes - total_minutes // _MINUTES_BETWEEN)
    return _text(count + frames, nominal, dropped, ";" if drops else ":")


def _text(count: int, nominal: int, dropped: int, mark: str) -> str:
    ten_minutes = _MINUTES_BETWEEN * 60 * nominal - dropped * (_MINUTES_BETWEEN - 1)
    minute = 60 * nominal - dropped
    count %= _DAY_S // (_MINUTES_BETWEEN * 60) * ten_minutes
    tens, within_ten = divmod(count, ten_minutes)
    # The first of ten minutes drops nothing; the others lack their first numbers.
    extra = 0 if within_ten < 60 * nominal else 1 + (within_ten - 60 * nominal) // minute
    number = count + dropped * (tens * (_MINUTES_BETWEEN - 1) + extra)
    seconds, frame = divmod(number, nominal)
    return f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{mark}{frame:02}"
