"""Every settings file and price list that ships: valid as it is, refused with any of its names misspelt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lipwise_ray.errors import LipwiseError
from lipwise_ray.runs.costs import read_prices
from lipwise_ray.settings.layers import read_toml, resolve
from tests.conftest import ROOT

FILES = [*sorted((ROOT / "jobs").glob("*.toml")), ROOT / "cluster" / "prices.toml"]


def _check(path: Path) -> None:
    if path.name == "prices.toml":
        read_prices(path)
        return
    values = read_toml(path)
    values.pop("preset", None)
    resolve([(str(path), values)])


def _is_refused(path: Path) -> bool:
    try:
        _check(path)
    except LipwiseError:
        return True
    return False


def _misspelt(text: str) -> Iterator[tuple[str, str]]:
    """Yield a text for every name in it, with that name misspelt."""
    for found in re.finditer(r"^(?:\[+)?([a-z_0-9]+(?:\.[a-z_0-9]+)*)(?:\]+$|\s*=)", text, re.MULTILINE):
        start, stop = found.span(1)
        if found[1] != "preset":
            yield found[1], f"{text[:start]}{found[1]}x{text[stop:]}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_misspelt_name_is_refused(path: Path, tmp_path: Path) -> None:
    """The file is understood; with one letter more in any name it is not."""
    _check(path)
    copy = tmp_path / path.name
    variants = list(_misspelt(path.read_text()))
    assert variants
    for name, text in variants:
        copy.write_text(text)
        assert _is_refused(copy), f"{path.name}: {name}"
