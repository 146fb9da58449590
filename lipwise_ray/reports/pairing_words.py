"""Pairing of a video with its reference, in words."""

from __future__ import annotations

_LEAST_S = 0.05
"""Of a part without a reference: what containers round is not told."""


def pairing_words(
    lag_s: float | None, compared_s: float | None, video_s: float | None, fitted: str | None
) -> list[str]:
    """Return sentences that a reader of the figures needs: a lag, a part that was not compared, another size.

    Args:
        lag_s: By so much the video comes later.
        compared_s: Length of the part that both have.
        video_s: Length of the video.
        fitted: The sizes that the video was brought from and to.
    """
    words: list[str] = []
    if lag_s:
        words.append(f"{abs(lag_s):.2f} s {'later' if lag_s > 0 else 'earlier'} than the reference")
    if compared_s is not None and video_s is not None and compared_s < video_s - _LEAST_S:
        words.append(f"{compared_s:.1f} of {video_s:.1f} s compared")
    if fitted:
        words.append(f"scaled from {fitted}")
    return words
