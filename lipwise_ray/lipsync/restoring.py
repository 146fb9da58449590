"""The stages that restore new faces, in batches over frames, each steadied by the frames around it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from lipwise_ray.lipsync.background import Stage, in_batches, in_groups
from lipwise_ray.lipsync.drafts import FaceDraft, FrameDraft, same_face
from lipwise_ray.lipsync.neighbours import with_neighbours
from lipwise_ray.lipsync.restoration import NewFace, Restoration, RestoredFace


class Restoring:
    """Restores the new faces of a stream of frames.

    Args:
        restoration: Does the steps.
        network: The network's time is counted there.
        images: The time of the other steps is counted there.
        most_waiting: Says how many frames may wait for a call of so many faces.
    """

    def __init__(
        self, restoration: Restoration, network: Stage, images: Stage, most_waiting: Callable[[int], int]
    ) -> None:
        self._restoration = restoration
        self.radius = restoration.radius
        """Frames before and after a face that have a say in how it is restored."""
        self._network = network
        self._images = images
        self._most_waiting = most_waiting

    def most_ahead(self, most_bytes: int) -> int:
        """Return the most frames that wait for a stage, given what their restored faces may take of memory."""
        # Less than a batch ahead, the network would wait for its next one.
        return max(2, min(self._restoration.batch_faces, most_bytes // self._restoration.face_bytes))

    def with_inputs(self, items: Iterator[FrameDraft]) -> Iterator[FrameDraft]:
        """Yield frames with the restorer's inputs of those faces of which something would be seen."""
        restoration = self._restoration
        for group in self._groups(items, lambda item: item.faces):
            begin = time.perf_counter()
            faces = [face for item in group for face in item.faces if restoration.is_seen(face.place)]
            new = [NewFace(face.job.frame, face.target.landmarks, face.new, face.place) for face in faces]
            for face, source in zip(faces, restoration.inputs(new), strict=True):
                face.restorer_input = source
            self._images.add(time.perf_counter() - begin)
            yield from group

    def restored(self, items: Iterator[FrameDraft]) -> Iterator[FrameDraft]:
        """Yield frames with restored faces."""

        def run(batch: list[FaceDraft]) -> None:
            begin = time.perf_counter()
            sources = [face.restorer_input for face in batch if face.restorer_input is not None]
            for face, source, image in zip(batch, sources, self._restoration(sources), strict=True):
                face.restored = RestoredFace(source, image)
            self._network.add(time.perf_counter() - begin)

        size = self._restoration.batch_faces
        return in_batches(items, FrameDraft.to_restore, run, size=size, most_waiting=self._most_waiting(size))

    def finished(self, items: Iterator[FrameDraft]) -> Iterator[FrameDraft]:
        """Yield the frames to show, with what goes over their new faces: matched to the original ones and steadied."""
        if self._restoration.radius:
            items = self._steadied(self._sampled(items))
        for group in self._groups(items, FrameDraft.to_restore):
            begin = time.perf_counter()
            faces = _restored(group)
            for (draft, _), over in zip(faces, self._restoration.outputs([face for _, face in faces]), strict=True):
                draft.restorer_input, draft.restored, draft.over = None, None, over
            self._images.add(time.perf_counter() - begin)
            yield from group

    def _sampled(self, items: Iterator[FrameDraft]) -> Iterator[FrameDraft]:
        for group in self._groups(items, FrameDraft.to_restore):
            begin = time.perf_counter()
            faces = _restored(group)
            for (draft, _), sample in zip(faces, self._restoration.samples([face for _, face in faces]), strict=True):
                draft.sample = sample
            self._images.add(time.perf_counter() - begin)
            yield from group

    def _steadied(self, items: Iterator[FrameDraft]) -> Iterator[FrameDraft]:
        for group in self._groups(self._with_samples(items), FrameDraft.to_restore):
            begin = time.perf_counter()
            faces = _restored(group)
            steadied = self._restoration.steadied([face for _, face in faces], [draft.around for draft, _ in faces])
            for (draft, _), face in zip(faces, steadied, strict=True):
                draft.restored, draft.around = face, []
            self._images.add(time.perf_counter() - begin)
            yield from group

    def _with_samples(self, items: Iterator[FrameDraft]) -> Iterator[FrameDraft]:
        """Yield the items to show, with the samples around each of their faces."""
        radius = self._restoration.radius
        for item, near in with_neighbours(items, radius):
            if item.job.outside:
                continue
            begin = time.perf_counter()
            for face in item.to_restore():
                same = same_face(face, near, radius)
                face.around = [(distance, other.sample) for distance, other in same if other.sample is not None]
            self._images.add(time.perf_counter() - begin)
            yield item

    def _groups(
        self, items: Iterator[FrameDraft], faces_of: Callable[[FrameDraft], list[FaceDraft]]
    ) -> Iterator[list[FrameDraft]]:
        size = self._restoration.faces_a_call
        return in_groups(items, faces_of, size, self._most_waiting(size))


def _restored(group: list[FrameDraft]) -> list[tuple[FaceDraft, RestoredFace]]:
    return [(draft, draft.restored) for item in group for draft in item.faces if draft.restored is not None]
