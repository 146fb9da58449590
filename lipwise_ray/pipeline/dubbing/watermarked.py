"""The mark that a job's new audio gets and nobody hears: its networks, and its part in the id of the job."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from lipwise_ray.errors import SettingsError
from lipwise_ray.media.watermark import AudioMarker
from lipwise_ray.nets.mark_reading import MarkReading
from lipwise_ray.settings.marking import MarkingSettings
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.ids import Identity
from lipwise_ray.values import F32Array

WATERMARK_KEY = "watermark"
"""Key of the mark in a job's identity."""


class MarkReader(Protocol):
    """Finds marks in audio at 16 kHz."""

    def detect(self, wave: Iterable[F32Array], on_window: Callable[[], None]) -> MarkReading:
        """Return the reading of a mono wave, in blocks of shape (N,)."""
        ...


@dataclass(frozen=True, slots=True)
class SoundWatermark:
    """Networks that mark a job's new audio, each loaded on its first use.

    Attributes:
        name: Name of the generator's checkpoint.
        marker: Loads the generator.
        reader: Loads the detector; None where nobody reads the mark.
    """

    name: str
    marker: Callable[[], AudioMarker]
    reader: Callable[[], MarkReader] | None


def watermark_identity(marking: MarkingSettings) -> Identity:
    """Return the mark's part of a job's identity beside its network's, nothing where it has none."""
    if marking.watermark == "off":
        return {}
    return {WATERMARK_KEY: {"message": marking.watermark_message, "strength": marking.watermark_strength}}


def check_markable(settings: Settings) -> None:
    """Refuse a mark in audio that is to be copied.

    Raises:
        SettingsError: It is.
    """
    if settings.marking.watermark != "off" and settings.encode.audio.codec == "copy":
        raise SettingsError(
            "watermark_copied",
            "encode.audio.codec = copy",
            got="marking.watermark changes the new audio, and changed audio cannot be copied",
            do='Use encode.audio.codec = "auto"',
        )
