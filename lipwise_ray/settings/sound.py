"""Settings of the delivered audio: what is mixed under the voice, how loud it becomes, how it is encoded."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lipwise_ray.settings.execution import Section

LEAST_GAIN_DB, MOST_GAIN_DB = -60.0, 20.0
"""Bounds on a background's gain."""


class MixSettings(Section):
    """Backgrounds under the new voice, in rows that have one. The networks hear the voice alone."""

    background_gain_db: Annotated[float, Field(ge=LEAST_GAIN_DB, le=MOST_GAIN_DB)] = 0.0
    """Gain of the background; a row's own column goes before it."""
    duck_db: Annotated[float, Field(ge=0, le=60)] = 0.0
    """The background is so much lower while somebody speaks, and over pauses of less than a second; it takes half a
    second down and up again. 0 leaves it."""
    separator: str = "htdemucs"
    """Takes the voices out of the video's own audio, for rows with ``background = keep``: a name of the registry. It
    needs the extra `stems`."""
    separator_checkpoint: str | None = None
    """A file of HTDemucs instead of the registry's."""


class AudioEncodeSettings(Section):
    """The delivered audio."""

    codec: Literal["auto", "copy", "aac", "libopus", "flac", "pcm_s16le", "alac"] = "auto"
    bitrate: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Bits a second of ``aac`` and ``libopus``; 0 is 64,000 a channel, for six at most."""
    loudness_lufs: Annotated[float, Field(ge=-40, le=-5)] | None = None
    """Integrated loudness of the delivered audio (EBU R 128), such as -23 for broadcast or -16; nothing leaves it as
    loud as it is."""
    true_peak_dbtp: Annotated[float, Field(ge=-9, le=0)] = -1.0
    """With `loudness_lufs`: peaks are limited to this, those between samples and those that the encoder adds too."""

    @model_validator(mode="after")
    def _loudness_can_be_changed(self) -> Self:
        if self.loudness_lufs is not None and self.codec == "copy":
            raise ValueError("encode.audio.loudness_lufs changes the audio, but encode.audio.codec is copy")
        return self
