"""The contact sheet of a prepared data set: one page with the faces that were taken, and those that were refused."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lipwise_ray.errors import InputError
from lipwise_ray.printable import printable
from lipwise_ray.training.files import replace_text
from lipwise_ray.training.footage import Clip
from lipwise_ray.training.prepare import SortedFace, stills_of

SHEET = "contact.html"
_MOST_SHOWN = 200
"""Faces of each group: a strip is about 10 kB, so that a page of a dozen groups stays below 30 MB."""


@dataclass(frozen=True, slots=True)
class SheetFace:
    """A face on the page: its clip, figures in words, and stills as a data address; empty where they are gone."""

    clip: str
    figures: str
    image: str


@dataclass(frozen=True, slots=True)
class SheetGroup:
    """Faces with one fate.

    Attributes:
        title: Its name.
        count: Faces that belong to it.
        faces: Those that are shown.
        reasons: Videos without a face that was measured, and why.
    """

    title: str
    count: int
    faces: tuple[SheetFace, ...]
    reasons: tuple[str, ...] = ()


def write_contact_sheet(out: Path, results: Sequence[tuple[Clip, tuple[SortedFace, ...] | InputError]]) -> None:
    """Write the page; it needs no other file, and no network.

    Args:
        out: The data set.
        results: Its videos in order, each with its faces or with what is wrong with it.

    Raises:
        StorageError: The disk is full.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    by_code: dict[str, list[tuple[str, SortedFace]]] = defaultdict(list)
    broken: list[str] = []
    for clip, result in results:
        if isinstance(result, InputError):
            broken.append(printable(str(result)))
            continue
        for face in result:
            by_code[face.refused.code if face.refused else ""].append((clip.name, face))
    kept = by_code.pop("", [])
    groups = [_group(out, "taken", kept)]
    groups += [_group(out, f"refused: {code}", faces) for code, faces in sorted(by_code.items())]
    if broken:
        groups.append(SheetGroup("videos that cannot be used", len(broken), (), tuple(broken[:_MOST_SHOWN])))
    environment = Environment(
        loader=PackageLoader("lipwise_ray.training", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("contact_sheet.html.jinja").render(
        title=f"faces of {printable(out.resolve().name)}", groups=groups
    )
    replace_text(out / SHEET, page)


def _group(out: Path, title: str, faces: Sequence[tuple[str, SortedFace]]) -> SheetGroup:
    step = max(1, -(-len(faces) // _MOST_SHOWN))
    shown = tuple(_shown(out, name, face) for name, face in faces[::step])
    return SheetGroup(title, len(faces), shown)


def _shown(out: Path, name: str, one: SortedFace) -> SheetFace:
    face, sync = one.face, one.sync
    figures = (
        f"{face.frames} frames, {face.size_px:g} px, {face.yaw_deg:g}°, score {face.score:g}, "
        f"sharpness {face.sharpness:g}, speech {face.speech_share:.0%}"
    )
    if sync is not None:
        figures += f", offset {sync.offset_frames}, distance {sync.distance:g}"
    if one.shift_frames:
        figures += f", audio moved by {one.shift_frames}"
    try:
        data = stills_of(out, name, face.track).read_bytes()
    except OSError:
        return SheetFace(printable(one.clip), figures, "")
    return SheetFace(printable(one.clip), figures, f"data:image/jpeg;base64,{base64.b64encode(data).decode()}")
