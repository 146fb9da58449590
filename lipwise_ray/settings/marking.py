"""Settings of what tells people, and their programs, that an output was dubbed."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lipwise_ray.settings.execution import Section

LabelCorner = Literal["top-left", "top-right", "bottom-left", "bottom-right"]


class MarkingSettings(Section):
    """Marks on what is delivered."""

    label: Literal["off", "start", "always"] = "off"
    """A sign in a corner of the frames that says what they are: at the ``start``, all along (``always``), or none. Its
    letters are a twentieth as high as the frame's shorter side, white on a dark plate."""
    label_text: Annotated[str, Field(min_length=1, max_length=40)] = "AI"
    """Text of the sign, on one line; a long one is made smaller, so that it fits into the frame."""
    label_corner: LabelCorner = "top-left"
    """Its corner, for who watches."""
    label_s: Annotated[float, Field(gt=0, le=86_400)] = 5.0
    """Seconds from the output's first frame on in which ``start`` shows it."""
    label_font: str | None = None
    """A file of a font (TrueType or OpenType) that every worker reads at this path. The one that is there without has
    letters without accents, digits and signs alone."""

    watermark: Literal["off", "audioseal"] = "off"
    """A mark in the new audio that nobody hears and a detector finds: by AudioSeal's generator, or none. What is kept
    of the video's own audio has none. The audio is encoded then, and not copied."""
    watermark_checkpoint: str | None = None
    """A file of AudioSeal's generator (16 bits) instead of the registry's."""
    watermark_detector: str = "auto"
    """Reads the mark of the delivered audio, for the result: a name of the registry, or none. ``auto`` is AudioSeal's
    where it is installed."""
    watermark_detector_checkpoint: str | None = None
    """A file of AudioSeal's detector (16 bits) instead of the registry's."""
    watermark_message: Annotated[int, Field(ge=0, le=65_535)] = 0
    """The message of 16 bits in the mark."""
    watermark_strength: Annotated[float, Field(gt=0, le=4)] = 1.0
    """Factor of the mark: above 1 it is found more surely, and nearer to being heard."""

    @model_validator(mode="after")
    def _label_can_be_drawn(self) -> Self:
        text = self.label_text
        if not text.isprintable() or not text.strip():
            raise ValueError("marking.label_text must be one line that shows something")
        if self.label_font is None and not text.isascii():
            odd = next(letter for letter in text if not letter.isascii())
            raise ValueError(f"marking.label_text has {odd!r}: name a font that has it in marking.label_font")
        return self
