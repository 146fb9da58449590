"""The right person on real footage, by the published detector."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.people import FILMS, Film, measure

pytestmark = pytest.mark.slow

QUICK = ("phone_and_hand in a mirror",)


def _parameters() -> list[object]:
    return [
        pytest.param(film, marks=() if film.name in QUICK else pytest.mark.slow, id=film.name.replace(" ", "_"))
        for film in FILMS
    ]


@pytest.mark.parametrize("film", _parameters())
def test_the_person_is_dubbed_wherever_they_are_seen(film: Film, shared: Path, yunet_file: Path) -> None:
    """In 99 % of the frames at least, nobody and nothing else ever, and the box is on the face also around a jump."""
    assert yunet_file.is_file()
    found = measure(film, shared)
    assert found.seen > 50
    assert found.dubbed >= 0.99 * found.seen
    assert found.wrong == 0
    assert math.isnan(found.error) or found.error <= 0.03
