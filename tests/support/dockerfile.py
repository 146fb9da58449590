"""Reading the image's Dockerfile: its instructions, and the stages that one variant is made of."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from tests.conftest import ROOT

FOLDER = ROOT / "cluster" / "image"
TEXT = (FOLDER / "Dockerfile").read_text()
VARIANTS = ("gpu", "cpu", "head")


def instructions(text: str = TEXT) -> Iterator[tuple[str, str]]:
    """Yield each instruction's word and the rest of its line, with continued lines joined."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    for line in joined.splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, re.sub(r"\s+", " ", rest)


def of_variant(variant: str) -> list[tuple[str, str]]:
    """Return the instructions that an image of a variant is made by, those of the stages below it first."""
    stages: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    name = ""
    for word, rest in instructions():
        if word == "FROM":
            below, _, name = rest.partition(" AS ")
            stages[name] = (below, [])
        elif name in stages:
            stages[name][1].append((word, rest))
    found: list[tuple[str, str]] = []
    name = ""
    while name in stages:
        below, own = stages[name]
        found = own + found
        name = below.replace("${VARIANT}", variant)
    return found


def environment(variant: str) -> dict[str, str]:
    """Return the environment variables of an image of a variant."""
    told = [word for kind, rest in of_variant(variant) if kind == "ENV" for word in shlex.split(rest)]
    return dict(word.partition("=")[::2] for word in told)
