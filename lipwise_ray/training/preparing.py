"""Preparing all footage on Ray's workers, and the data set that comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from lipwise_ray.backends.ray.map import ItemHandler, spread
from lipwise_ray.errors import InputError
from lipwise_ray.training.clip_table import DataSetNote, write_table
from lipwise_ray.training.contact_sheet import write_contact_sheet
from lipwise_ray.training.files import alone_in, replace_text
from lipwise_ray.training.footage import Clip, Footage
from lipwise_ray.training.prepare import CurationNetworks, PrepareSpec, SortedFace, prepare_source

if TYPE_CHECKING:
    from lipwise_ray.faces.detections import FaceDetector
    from lipwise_ray.models.checkpoints import Checkpoint

Prepared = tuple[SortedFace, ...] | InputError
"""The faces of a video, or what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Preparer:
    """Makes the handler that prepares videos, in a worker.

    Attributes:
        out: The prepared data set.
        spec: Rules by which videos are prepared.
        detector: Makes the face detector for a device; None takes the boxes from the truth.
        detectors: SHA-256 of its weights.
        expert: Weights that measure sync; None for no measure.
        speech: Weights that tell speech from pauses; None goes by the audio's level.
    """

    out: Path
    spec: PrepareSpec
    detector: Callable[[str], FaceDetector] | None
    detectors: tuple[str, ...]
    expert: Checkpoint | None
    speech: Checkpoint | None

    def __call__(self) -> ItemHandler:
        """Return the handler, its models loaded on the worker's GPU where it has one."""
        import torch

        from lipwise_ray.lipsync.silero import SileroVad
        from lipwise_ray.lipsync.voice_activity import SpeechDetector
        from lipwise_ray.metrics.sync_scorers import load_sync_scorer

        device = "cuda" if torch.cuda.is_available() else "cpu"
        networks = CurationNetworks(
            detector=self.detector(device) if self.detector else None,
            detectors=self.detectors,
            expert=load_sync_scorer(self.expert.network, self.expert.path, device) if self.expert else None,
            expert_sha256=self.expert.sha256 if self.expert else "",
            speech=SpeechDetector(self.speech.sha256, SileroVad(self.speech.path)) if self.speech else None,
        )
        return _SourceHandler(self.out, self.spec, networks)

    def note(self) -> DataSetNote:
        """Return the note beside the data set: all that sorted it."""
        spec = self.spec
        return DataSetNote(
            "lipwise.curation/1",
            detectors=self.detectors,
            expert=self.expert.name if self.expert else None,
            expert_sha256=self.expert.sha256 if self.expert else None,
            speech_sha256=self.speech.sha256 if self.speech else None,
            truth=spec.truth,
            size_px=spec.size_px,
            pads=spec.pads,
            pads_share=spec.pads_share,
            most_faces=spec.most_faces,
            rules=spec.rules,
        )


@dataclass(frozen=True, slots=True)
class _SourceHandler:
    out: Path
    spec: PrepareSpec
    networks: CurationNetworks

    def __call__(self, clip: Clip) -> tuple[SortedFace, ...]:
        return prepare_source(clip.path, clip.name, self.out, self.spec, self.networks)


def prepare_footage(
    footage: Footage, out: Path, preparer: Preparer, *, address: str, workers: int, stop: Callable[[], bool]
) -> Iterator[tuple[Clip, Prepared]]:
    """Prepare videos on Ray's workers, and write the data set's lists, table, contact sheet and note.

    Run again, it goes on: what was found, measured and cut stays. A run that is stopped leaves the lists, the table and
    the sheet as the last whole run wrote them.

    Args:
        footage: Files by list.
        out: Folder of the prepared data set.
        preparer: Makes the handler of each worker.
        address: Ray cluster; ``local`` for one on this machine.
        workers: Number of workers; 0 for one a core, or one a GPU where there are any.
        stop: Tells whether to end; videos that are being prepared are finished.

    Yields:
        Each video with its faces, or with what is wrong with it.

    Raises:
        InputError: A list is left without a clip.
        OutputError: The folder cannot be written.
        StateError: Another run prepares it.
    """
    with alone_in(out):
        results: dict[str, Prepared] = {}
        clips = takewhile(lambda _: not stop(), footage.clips)
        for clip, result in spread(preparer, clips, address=address, workers=workers):
            results[clip.name] = result
            yield clip, result
        if len(results) == len(footage.clips):
            _write(footage, out, preparer, results)


def _write(footage: Footage, out: Path, preparer: Preparer, results: dict[str, Prepared]) -> None:
    empty: list[str] = []
    for name, clips in footage.lists.items():
        names = [face.clip for clip in clips for face in kept_of(results[clip.name])]
        replace_text(out / f"{name}.txt", "".join(f"{one}\n" for one in names))
        empty += [] if names else [name]
    ordered = [(clip, results[clip.name]) for clip in footage.clips]
    table = write_table(out, ordered, preparer.note())
    write_contact_sheet(out, ordered)
    if empty:
        raise InputError(
            "small_corpus",
            str(out / f"{empty[0]}.txt"),
            got="no clip could be prepared",
            do=f"See {table}, and add footage",
        )


def kept_of(result: Prepared) -> tuple[SortedFace, ...]:
    """Return the faces of a video that are taken."""
    return () if isinstance(result, InputError) else tuple(face for face in result if face.refused is None)
