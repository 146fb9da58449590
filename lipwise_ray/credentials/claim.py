"""Claims of delivered files about their making, and the C2PA manifests that make them.

Source: C2PA technical specification 2.2, "Actions" and "Ingredient"; IPTC digital source types.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's name for filmed media of which a part was made by a trained model."""

PRODUCT = "lipwise-ray"
FACTS_LABEL = "org.lipwise-ray.dub"
"""Assertion that holds what C2PA has no words for."""

_PARENT, _COMPONENT = "parentOf", "componentOf"
_EDITED = "Lips were synthesised to follow a new audio track."
_KINDS = {
    ".mp4": "video/mp4",
    ".m4v": "video/x-m4v",
    ".mov": "video/quicktime",
    ".m4a": "audio/mp4",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".flac": "audio/flac",
    ".avi": "video/avi",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".heic": "image/heic",
    ".avif": "image/avif",
    ".dng": "image/x-adobe-dng",
    ".gif": "image/gif",
    ".svg": "image/svg+xml",
    ".pdf": "application/pdf",
}
_BESIDE = frozenset({".mkv", ".webm"})
_MARKS = (
    (4, b"ftyp", "video/mp4"),
    (8, b"WAVE", "audio/wav"),
    (8, b"AVI ", "video/avi"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG", "image/png"),
)
"""First bytes of containers that hold credentials: where they are, they, and the media type."""

SIDE_CAR = ".c2pa"
"""Ending that the name of a file gets for its side-car: ``film.mkv.c2pa``."""


def media_type(path: Path) -> str:
    """Return the media type of a file by its name's ending, ``application/octet-stream`` for one that is not known."""
    return _KINDS.get(path.suffix.lower(), "application/octet-stream")


def type_of_contents(path: Path) -> str:
    """Return the media type of a file by its first bytes, whatever its name; empty where they tell none.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        begin = file.read(12)
    return next((kind for at, mark, kind in _MARKS if begin[at : at + len(mark)] == mark), "")


def is_beside(path: Path) -> bool:
    """Tell whether credentials of a file lie in a side-car: C2PA has no place in its container."""
    return path.suffix.lower() in _BESIDE


@dataclass(frozen=True, slots=True)
class UsedModel:
    """A model that took part in the making of a file.

    Attributes:
        role: Its part in it, such as ``lipsync``.
        name: The registry's, or ``custom``.
        sha256: Of its checkpoint.
        licence: Its terms; empty where they are not known.
    """

    role: str
    name: str
    sha256: str
    licence: str = ""


@dataclass(frozen=True, slots=True)
class UsedMedia:
    """A video or an audio file of which a file is made.

    Attributes:
        title: Name for people: without folder, and without what signs an address.
        path: Local file with its contents, whose own credentials are kept; None where there is none to be read.
        identity: Id of its contents.
        is_source: It is the video that was edited; else something that was put in.
    """

    title: str
    path: Path | None
    identity: str
    is_source: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """All that a delivered file says of its making.

    Attributes:
        title: The file's name.
        version: Of this program.
        made_at: Moment of its making, ISO 8601 in UTC.
        job: Its job.
        row: Id of the row in its manifest.
        language: Of the new audio; None where nobody said.
        models: The models that took part.
        media: What it is made of.
        spoken_by: Engines and voices that spoke texts.
    """

    title: str
    version: str
    made_at: str
    job: str
    row: str
    language: str | None
    models: tuple[UsedModel, ...]
    media: tuple[UsedMedia, ...]
    spoken_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IngredientFile:
    """An ingredient as c2pa takes it.

    Attributes:
        path: Its file; empty for one that only is named.
        kind: Its media type.
        about: What C2PA is told of it, JSON.
    """

    path: str
    kind: str
    about: str


def ingredients_of(claim: Claim) -> list[IngredientFile]:
    """Return the ingredients of a claim, the edited video first."""
    return [
        IngredientFile(
            "" if one.path is None else str(one.path),
            media_type(Path(one.title)),
            json.dumps(
                {
                    "title": one.title,
                    "relationship": _PARENT if one.is_source else _COMPONENT,
                    "label": _label(number),
                    "instance_id": f"urn:{PRODUCT}:{one.identity}",
                }
            ),
        )
        for number, one in enumerate(claim.media)
    ]


def manifest_of(claim: Claim) -> str:
    """Return the definition of a claim's manifest, as c2pa's builder takes it: JSON.

    The edited video was opened, edited by this program, and the other media were placed in it.
    """
    agent = {"name": PRODUCT, "version": claim.version}
    opened = [_label(number) for number, one in enumerate(claim.media) if one.is_source]
    placed = [_label(number) for number, one in enumerate(claim.media) if not one.is_source]
    actions: list[object] = [
        {"action": "c2pa.opened", "parameters": {"ingredientIds": opened}},
        {
            "action": "c2pa.edited",
            "when": claim.made_at,
            "softwareAgent": agent,
            "digitalSourceType": SOURCE_TYPE,
            "description": _EDITED,
        },
    ]
    if placed:
        actions.append({"action": "c2pa.placed", "when": claim.made_at, "parameters": {"ingredientIds": placed}})
    facts = {
        "synthetic": "lips",
        "job": claim.job,
        "row": claim.row,
        "made_at": claim.made_at,
        "models": [{key: value for key, value in asdict(one).items() if value} for one in claim.models],
        "media": [{"title": one.title, "id": one.identity} for one in claim.media],
        **({"language": claim.language} if claim.language else {}),
        **({"spoken_by": list(claim.spoken_by)} if claim.spoken_by else {}),
    }
    manifest = {
        "claim_generator_info": [agent],
        "title": claim.title,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}, "created": True},
            {"label": FACTS_LABEL, "data": facts, "created": True},
        ],
    }
    return json.dumps(manifest)


def _label(number: int) -> str:
    return f"media-{number}"
