"""Borders of chunks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.pipeline.dubbing.chunk_borders import MOST_AROUND, chunk_spans


def _keys(frames: int, every: int) -> np.ndarray:
    return np.arange(frames) % every == 0


def test_chunks_begin_where_their_reading_finds_a_key_frame() -> None:
    """Each begins as many frames behind a key frame as its rendering looks back, so nothing is decoded in vain."""
    chunks = chunk_spans(np.arange(2000), _keys(2000, 90), 250)
    assert all((chunk.start - MOST_AROUND) % 90 == 0 for chunk in chunks[1:])
    assert [len(chunk) for chunk in chunks[1:-1]] == [270] * len(chunks[1:-1])


def test_where_key_frames_are_rare_chunks_keep_their_length() -> None:
    """A border is moved by a quarter at most, and only where that saves half of what is decoded for it."""
    assert [len(chunk) for chunk in chunk_spans(np.arange(1000), _keys(1000, 1000), 100)] == [100] * 10


def test_a_frame_that_is_held_or_shown_again_is_reckoned_by_its_source() -> None:
    """Slow motion and loops: what counts is where the source frame lies, not the output frame."""
    held = chunk_spans(np.arange(1000) // 2, _keys(500, 40), 200)
    assert all(((chunk.start - MOST_AROUND) // 2) % 40 == 0 for chunk in held[1:])
    looped = chunk_spans(np.arange(1000) % 300, _keys(300, 60), 200)
    assert all(((chunk.start - MOST_AROUND) % 300) % 60 == 0 for chunk in looped[1:])


@given(
    frames=st.integers(1, 700),
    every=st.integers(1, 400),
    length=st.integers(1, 300),
)
def test_every_frame_is_in_one_chunk_of_about_the_length(frames: int, every: int, length: int) -> None:
    """Chunks follow each other without a gap; all but the last are within a quarter of the length that is asked for."""
    chunks = chunk_spans(np.arange(frames), _keys(frames, every), length)
    assert [chunk.start for chunk in chunks] == [0, *(chunk.stop for chunk in chunks[:-1])]
    assert chunks[-1].stop == frames
    assert all(abs(len(chunk) - length) <= length // 4 for chunk in chunks[:-1])
    assert 0 < len(chunks[-1]) <= length + length // 4
