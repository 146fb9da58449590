"""Frames in which the person of a part is seen, and those of them in which he is left as he is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lipwise_ray.faces.people import People, may_show
from lipwise_ray.faces.select import BY_PLACE, FaceSelection, SelectionRule
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.values import BoolArray, I64Array


def seen_by_part(
    tracks: Tracks,
    people: People,
    rules: Sequence[SelectionRule],
    chosen: Mapping[int, Sequence[int]],
    turns: Mapping[int, BoolArray],
) -> tuple[I64Array, I64Array]:
    """Return the frames in which the person of each part is seen, or may be, and the part of each: twice shape (K,).

    A frame counts once a part, and under ``all`` once a face. Whom a rule that goes by places leaves out, and no other
    part dubs, may be the one whom it chooses.

    Args:
        tracks: Of the whole video.
        people: Who is there.
        rules: Of all parts.
        chosen: The tracks of those parts whose faces were looked for.
        turns: Mask of the frames in which a track may be dubbed, shape (frames,); all, where it is not named.
    """
    frames: list[I64Array] = [np.zeros(0, np.int64)]
    parts: list[I64Array] = [np.zeros(0, np.int64)]
    for part, picked in chosen.items():
        others = {track for other, numbers in chosen.items() if other != part for track in numbers}
        may_be = {*may_show(people, picked)} - others if rules[part].kind in BY_PLACE else set[int]()
        is_seen = np.isin(tracks.track, [*picked, *may_be])
        for number, has_turn in turns.items():
            rows = tracks.rows(number)
            is_seen[rows] &= has_turn[tracks.frame[rows]]
        found = tracks.frame[is_seen]
        frames.append(found if rules[part].kind == "all" else np.unique(found))
        parts.append(np.full(len(frames[-1]), part, np.int64))
    return np.concatenate(frames), np.concatenate(parts)


def most_undubbed(source: I64Array, chosen: FaceSelection, parts: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Return the frames in which a person is seen, and those in which he is not dubbed, of the part that misses most.

    Args:
        source: Source frame behind each output frame, shape (N,).
        chosen: Faces to dub, by source frame.
        parts: The tracks of each part.
    """
    shown = np.bincount(source, minlength=1)

    def times(frames: I64Array) -> int:
        return int(shown[frames[frames < len(shown)]].sum())

    found = [(0, 0)]
    for part, numbers in enumerate(parts):
        seen = times(chosen.seen[chosen.seen_part == part])
        # A box that stays where it is was not seen by anybody.
        found.append((seen, max(0, seen - times(chosen.frame[np.isin(chosen.track, numbers)]))))
    return max(found, key=lambda one: (one[1] / max(1, one[0]), one[0]))
