"""Presets as cards: what each is for, with a picture of what it makes of the demo."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from lipwise_ray.service.studio.shell import STATIC
from lipwise_ray.settings.layers import preset_names


@dataclass(frozen=True, slots=True)
class PresetCard:
    """A preset.

    Attributes:
        name: Its name.
        about: The comment with which its file begins.
        picture: Name of the static file with its picture; empty for a preset that has none.
    """

    name: str
    about: str
    picture: str


def preset_picture(name: str) -> str:
    """Return the name of the static file that shows a preset."""
    return f"preset-{name}.webp"


def preset_cards(folder: Path, first: str) -> list[PresetCard]:
    """Return the presets of a folder.

    Args:
        folder: Folder of preset files.
        first: Name of the one that stands first: the service's own.
    """
    names = sorted(preset_names(folder), key=lambda name: (name != first, name))
    return [
        PresetCard(name, _comment(folder / f"{name}.toml"), picture if (STATIC / picture).is_file() else "")
        for name in names
        for picture in [preset_picture(name)]
    ]


def _comment(file: Path) -> str:
    lines = file.read_text("utf-8").splitlines()
    return " ".join(line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), lines))
