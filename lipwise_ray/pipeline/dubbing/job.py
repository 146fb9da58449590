"""Specification of a row's job, as its tasks get it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from operator import not_
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer

from lipwise_ray.faces.select import parse_selection_rule
from lipwise_ray.pipeline.dubbing.window import OutputWindow
from lipwise_ray.pipeline.inputs.made import made_key
from lipwise_ray.pipeline.inputs.site_pieces import UsedSeconds, used_seconds
from lipwise_ray.pipeline.manifest.background import background_file
from lipwise_ray.pipeline.manifest.speakers import FurtherSound, Script, Seconds, Speaker, portraits, rules_of
from lipwise_ray.settings.model import FacesSettings, Settings
from lipwise_ray.state.shapes import STRICT, Maybe

_MOST_CHARACTERS = 1 << 20


def _settings_in(text: object) -> object:
    if not isinstance(text, str):
        return text
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f"{len(text)} characters of settings")
    return Settings.model_validate_json(text)


KeptParts = Literal["nothing", "segments", "everything"]
"""Parts that stay of what led to a published video, beside its plan and markers."""

SettingsText = Annotated[
    Settings, BeforeValidator(_settings_in), PlainSerializer(lambda settings: settings.model_dump_json(), str)
]
"""Settings that records hold as the text of a JSON document."""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """Specification of a row's job, all defaults filled in.

    ``audio`` is None where the speakers' sounds are mixed; without speakers one rule of the settings chooses the faces.
    With a ``diarisation`` file all of them say the one audio, each in the turns that the file has of them. Before the
    texts of a row are spoken, the ``script`` or the speakers have them; then ``audio`` or the speakers name speech in
    the state.

    Attributes:
        row_id: The row's id.
        video: Path or address.
        audio: Path or address.
        output: Path under the output root.
        output_address: The whole path or address.
        tracks: Address of the row's own face tracks; None to look for faces.
        start_s: First second of the video that is used.
        end_s: Second of the video at which use ends; None for its end.
        language: Of the new audio; ``auto`` where it is to be heard, None where nobody says.
        tags: The row's; the first is its tenant.
        settings: The row's, all layers merged.
        speakers: Faces and what each says; none where one rule of the settings chooses the faces.
        diarisation: Address of a file with the turns of the speakers.
        beside: Further soundtracks of its file.
        script: Text in place of audio.
        background: Path or address of a track that is mixed under the delivered audio, or ``keep`` for that of the
            video, or None.
        window: Part of the output that is made, for a preview of it; None for all.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    row_id: str
    video: str
    audio: str | None
    output: str
    output_address: str
    tracks: str | None
    start_s: Seconds
    end_s: Seconds | None
    language: str | None
    tags: tuple[str, ...]
    settings: SettingsText
    speakers: tuple[Speaker, ...] = ()
    diarisation: Maybe[str] = None
    beside: Annotated[tuple[FurtherSound, ...], Field(exclude_if=not_)] = ()
    script: Maybe[Script] = None
    background: Maybe[str] = None
    window: Maybe[OutputWindow] = None

    @property
    def used_seconds(self) -> UsedSeconds | None:
        """Seconds of the video beside which nothing of it need be read; None where all may count."""
        return used_seconds(self, self.settings)

    def after(self, left_out_s: Fraction) -> JobSpec:
        """Return the specification for a video that lacks its first seconds.

        Args:
            left_out_s: What it lacks.
        """
        if not left_out_s:
            return self
        used = UsedSeconds(self.start_s, self.end_s).after(left_out_s)
        return replace(self, start_s=used.start_s, end_s=used.end_s)

    @property
    def inputs(self) -> list[str]:
        """Addresses of all that the row reads, always in the same order; speech that was made for it is left out."""
        files = [self.video, self.audio, self.tracks, self.diarisation, self.script and self.script.file]
        sounds = [background_file(self.background), *(one.audio for one in (*self.speakers, *self.beside))]
        found = (*files, *sounds, *portraits(rules_of(self.speakers, self.settings)))
        return [address for address in found if address and not made_key(address)]

    @property
    def has_cues(self) -> bool:
        """True where a face says several clips."""
        rules = [parse_selection_rule(speaker.faces) for speaker in self.speakers if self.diarisation is None]
        return len(set(rules)) < len(rules)

    @property
    def kept(self) -> KeptParts:
        """Parts that stay in the state of its published video: segments where a sentence may be replaced."""
        keeps = self.settings.engine.keep_segments
        if keeps == "auto":
            return "segments" if self.has_cues or self.diarisation else "nothing"
        return "everything" if keeps else "nothing"

    @property
    def faces(self) -> FacesSettings:
        """Rules by which faces are selected; the row's own tracks are never doubtful: their scores are the user's."""
        faces = self.settings.faces
        return faces.model_copy(update={"min_confidence": 0.0}) if self.tracks else faces
