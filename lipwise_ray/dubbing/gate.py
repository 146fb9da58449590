"""Whether a finished video passes, and which of several attempts at it is the best. Pure."""

from __future__ import annotations

import math

from lipwise_ray.settings import Gate
from lipwise_ray.state.attempts import ACCEPTED, CHECK, NOT_CHECKED, PASSED
from lipwise_ray.values import Json

_DIGITS = 4


def figures_of(result: Json) -> Json:
    """Return the figures that a result is judged by and what they cost, None for those that were not measured.

    Args:
        result: Of a job, or of an attempt that is not published: ``sync``, ``counts``, ``flicker``, ``video_s`` and
            ``audio_s``.
    """
    sync, counts, flicker = ((result.get(name) or {}) for name in ("sync", "counts", "flicker"))
    after: Json = sync.get("after") or {}
    bare, frames = counts.get("frames_without_face"), counts.get("frames")
    dubbed, filmed = flicker.get("dubbed"), flicker.get("filmed")
    video_s, audio_s = result.get("video_s"), result.get("audio_s")
    return {
        "judge": sync.get("judge_sha256"),
        # What is no LSE is no reason to try again: it may know nothing of such faces, and find none.
        "not_lse": bool(sync.get("note")) or (bool(after) and "lse_c" not in after),
        "lse_c": after.get("lse_c"),
        "offset": after.get("offset"),
        "no_face_share": round(bare / frames, _DIGITS) if frames and bare is not None else None,
        "flicker": None if dubbed is None or filmed is None else round(dubbed - filmed, _DIGITS),
        "length_error_s": None if video_s is None or audio_s is None else round(abs(video_s - audio_s), _DIGITS),
        "render_s": result.get("render_s"),
    }


def verdict(result: Json, gate: Gate) -> Json:
    """Return what the gate says of a result: ``verdict`` and the ``reasons`` of one that is to be checked."""
    return judged(figures_of(result), gate)


def judged(figures: Json, gate: Gate) -> Json:
    """Return the same of figures, as `figures_of` gives them."""
    reasons, checked = _reasons(figures, gate)
    return {"verdict": CHECK if reasons else PASSED if checked else NOT_CHECKED, "reasons": reasons}


def _reasons(figures: Json, gate: Gate) -> tuple[list[str], int]:
    """Return the bounds that are broken, in words, and how many were checked."""
    offset = figures["offset"]
    of_lips = (
        ("LSE-C", figures["lse_c"], gate.min_lse_c, -1),
        ("offset", None if offset is None else abs(offset), gate.max_offset, 1),
    )
    bounds = (
        *(() if figures.get("not_lse") else of_lips),
        ("share of frames without a face", figures["no_face_share"], gate.max_no_face_share, 1),
        ("flicker more than filmed", figures["flicker"], gate.max_flicker, 1),
        ("length error, s", figures["length_error_s"], gate.max_length_error_s, 1),
    )
    found: list[str] = []
    checked = [bound for bound in bounds if bound[2] is not None]
    for name, value, bound, sign in checked:
        assert bound is not None  # left out above
        if value is None:
            found.append(f"{name} was not measured")
        elif value * sign > bound * sign:
            found.append(f"{name} must be at {'most' if sign > 0 else 'least'} {bound:g}, got {value:g}")
    return found, len(checked)


def rank(attempt: Json) -> tuple[bool, int, float]:
    """Return the place of an attempt's record among others that have a video; the largest is the best.

    One that passes comes before one that does not, and one that breaks fewer bounds before one that breaks more: lips
    that are clearly out of time score as high as those in time. Then LSE-C decides; one without a score is the last.
    """
    score, broken = attempt.get("lse_c"), len(attempt.get("reasons") or [])
    return attempt["verdict"] in ACCEPTED, -broken, -math.inf if score is None else float(score)
