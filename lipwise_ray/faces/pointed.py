"""The person at a point of a frame."""

from __future__ import annotations

import numpy as np

from lipwise_ray.errors import FaceError
from lipwise_ray.faces.people import People
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.values import Span


def check_looked_at(rule: str, frame: int, looked: Span) -> None:
    """Check that faces were looked for in the frame that a rule names.

    Args:
        rule: The rule, as it was given.
        frame: Number of the frame, from 0.
        looked: Frames of the source that a row looks at.

    Raises:
        FaceError: They were not: the row's start and end leave the frame out.
    """
    if not looked.start <= frame < looked.stop:
        got = (
            f"frame {frame} is outside what the row uses, of which frames {looked.start} to {looked.stop - 1} are seen"
        )
        do = "Take a frame between the row's start and end; frames count from the first of the whole video"
        raise FaceError("nobody_there", f"faces={rule}", got=got, do=do)


def person_at(people: People, tracks: Tracks, frame: int, point: tuple[int, int]) -> list[int]:
    """Tracks of the person whose box holds a point of a frame; of several the one whose middle is nearest.

    Args:
        people: Who is there. Where they are followed over cuts, the tracks are those of the whole video, else those of
            the frame's shot.
        tracks: Of the whole video.
        frame: Number of the frame, from 0.
        point: Column and row in pixels of the shown frame.

    Raises:
        FaceError: The video has no such frame, or nobody is there.
    """
    where = f"faces=at:{frame},{point[0]},{point[1]}"
    if frame >= tracks.frames:
        got = f"frame {frame} is not in a video of {tracks.frames} frames"
        raise FaceError("nobody_there", where, got=got, do="Frames count from 0")
    persons = {number: person for shot in reversed(people.shots) for person in shot for number in person.tracks}
    rows = np.flatnonzero((tracks.frame == frame) & np.isin(tracks.track, [*persons]))
    box, place = tracks.box[rows], np.array(point, np.float32)
    is_hit = ((box[:, :2] <= place) & (place < box[:, 2:])).all(axis=1)
    if not is_hit.any():
        shown = ", ".join(f"{left:.0f},{top:.0f} to {right:.0f},{bottom:.0f}" for left, top, right, bottom in box[:5])
        got = f"no face holds the point; faces of that frame, left,top to right,bottom: {shown or 'none'}"
        raise FaceError("nobody_there", where, got=got, do="Give a point on the face, in pixels of the shown frame")
    off = np.linalg.norm((box[:, :2] + box[:, 2:]) / 2 - place, axis=1)
    nearest = int(rows[np.argmin(np.where(is_hit, off, np.inf))])
    return sorted(persons[int(tracks.track[nearest])].tracks)
