"""The faces and people of a video, as `inspect` lists them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from lipwise_ray.faces.people import People, Person, present
from lipwise_ray.faces.select import yaw_degrees
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.media.frames import FrameRecipe
from lipwise_ray.media.index import FrameIndex
from lipwise_ray.media.probe import VideoInfo
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.media.region import box_to_shown, read_region
from lipwise_ray.pipeline.quality.inspection_facts import FaceFacts, FacesFacts, PersonFacts
from lipwise_ray.values import F32Array

_MOST_TRACKS, _MOST_PEOPLE, _CROP_PX, _VIEW = 12, 24, 160, 1.6


@dataclass(slots=True)
class _Views:
    """Images that are to be cut out: their names and boxes by frame."""

    by_frame: dict[int, list[tuple[str, F32Array]]] = field(default_factory=dict[int, list[tuple[str, F32Array]]])

    def add(self, name: str, tracks: Tracks, row: int) -> None:
        """Add the face in a row of the tracks."""
        x0, y0, x1, y1 = tracks.box[row]
        half, x, y = max(x1 - x0, y1 - y0) * _VIEW / 2, (x0 + x1) / 2, (y0 + y1) / 2
        view = np.array([x - half, y - half, x + half, y + half], np.float32)
        self.by_frame.setdefault(int(tracks.frame[row]), []).append((name, view))

    def jpegs(self, info: VideoInfo, index: FrameIndex, recipe: FrameRecipe) -> Iterator[tuple[str, bytes]]:
        """Yield the images by their names."""
        order = sorted(self.by_frame)
        with VideoReader(info.path, info.stream_index, index) as reader:
            for number, decoded in zip(order, reader.read_order(order), strict=True):
                frame = recipe.apply(decoded)
                for name, view in self.by_frame[number]:
                    crop = read_region(frame, recipe.canvas, box_to_shown(view, _CROP_PX), _CROP_PX)
                    yield name, cv2.imencode(".jpg", np.rint(crop * 255).astype(np.uint8))[1].tobytes()


def inspect_faces(
    info: VideoInfo, index: FrameIndex, recipe: FrameRecipe, tracks: Tracks, people: People
) -> tuple[FacesFacts, dict[str, bytes]]:
    """Return facts about the faces of a video, and images (JPEG) of them by name.

    Args:
        info: The video.
        index: Its frames.
        recipe: What is done to them.
        tracks: Of the whole video.
        people: Who is in them.
    """
    rate = float(index.mean_rate)
    numbers = sorted(tracks.numbers, key=lambda n: tracks.rows(n).start - tracks.rows(n).stop)[:_MOST_TRACKS]
    views = _Views()
    for number in numbers:
        rows = tracks.rows(number)
        views.add(f"face-{number}", tracks, (rows.start + rows.stop - 1) // 2)
    listed = list(_people(tracks, people, rate))
    for facts, person in listed:
        views.add(_name_of(facts), tracks, _best_row(tracks, person))
    side = np.minimum(tracks.box[:, 2] - tracks.box[:, 0], tracks.box[:, 3] - tracks.box[:, 1])
    yaw = np.abs(yaw_degrees(tracks.landmarks, tracks.aspect)) if len(tracks.frame) else np.zeros(0)
    doubtful = np.isin(tracks.track, people.doubtful)
    found = FacesFacts(
        shots=len(tracks.shots),
        share_of_frames=round(len(np.unique(tracks.frame[~doubtful])) / max(1, tracks.frames), 4),
        most_in_a_shot=max(_counts(tracks, people), default=0),
        median_side_px=round(float(np.median(side)), 1) if len(side) else None,
        smallest_side_px=round(float(side.min()), 1) if len(side) else None,
        median_yaw_deg=round(float(np.median(yaw)), 1) if len(yaw) else None,
        longest=tuple(_track(tracks, number, rate) for number in numbers),
        people=tuple(facts for facts, _ in listed),
        doubtful_frames=len(np.unique(tracks.frame[doubtful])),
    )
    return found, dict(views.jpegs(info, index, recipe))


def _counts(tracks: Tracks, people: People) -> Iterator[int]:
    """Yield the number of people in each shot."""
    everybody = [person for group in people.shots for person in group]
    for start, stop in tracks.shots:
        yield sum(any(span.start < stop and start < span.stop for span in person.spans) for person in everybody)


def _people(tracks: Tracks, people: People, rate: float) -> Iterator[tuple[PersonFacts, Person]]:
    """Yield the people of the video or of each shot, from left to right; who is hardly there last and unnumbered."""
    left = _MOST_PEOPLE
    for number, group in enumerate(people.shots):
        here = present(group)
        others = [person for person in group if person not in here]
        shot = None if people.over_cuts and not number else _shot_of(tracks, group[0].spans[0].start)
        for place, person in enumerate([*here, *others][:left]):
            spans = person.spans
            yield (
                PersonFacts(
                    person=place if place < len(here) else None,
                    shot=shot,
                    from_s=round(spans[0].start / rate, 2),
                    to_s=round(max(span.stop for span in spans) / rate, 2),
                    seconds=round(person.frames / rate, 2),
                    share_of_frames=round(person.frames / max(1, tracks.frames), 4),
                    confidence=round(person.confidence, 3),
                    box=_median_box(tracks, person.tracks),
                    faces=person.tracks,
                ),
                person,
            )
            left -= 1


def _shot_of(tracks: Tracks, frame: int) -> int:
    return int(np.searchsorted(tracks.shots[:, 0], frame, side="right")) - 1


def _name_of(facts: PersonFacts) -> str:
    """Return the name of a person's image."""
    number = f"{facts.person}" if facts.person is not None else f"passing-{facts.faces[0]}"
    return f"person-{number}" if facts.shot is None else f"shot-{facts.shot}-person-{number}"


def _best_row(tracks: Tracks, person: Person) -> int:
    """Return the row that shows a person best: seen, sure, large, and from the front."""
    rows = np.concatenate([np.arange(tracks.rows(n).start, tracks.rows(n).stop) for n in person.tracks])
    side = np.sqrt((tracks.box[rows, 2:] - tracks.box[rows, :2]).prod(axis=1))
    front = np.cos(np.radians(np.minimum(np.abs(yaw_degrees(tracks.landmarks[rows], tracks.aspect)), 85.0)))
    worth = tracks.score[rows] * side * front * np.where(tracks.seen[rows], 1.0, 0.5)
    return int(rows[np.argmax(worth)])


def _median_box(tracks: Tracks, numbers: tuple[int, ...]) -> tuple[int, int, int, int]:
    left, top, right, bottom = np.median(tracks.box[np.isin(tracks.track, numbers)], axis=0)
    return round(float(left)), round(float(top)), round(float(right)), round(float(bottom))


def _track(tracks: Tracks, number: int, rate: float) -> FaceFacts:
    rows = tracks.rows(number)
    return FaceFacts(
        face=number,
        from_s=round(float(tracks.frame[rows.start]) / rate, 2),
        to_s=round(float(tracks.frame[rows.stop - 1] + 1) / rate, 2),
        box=_median_box(tracks, (number,)),
    )
