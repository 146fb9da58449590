"""Codes in words."""

from __future__ import annotations

import pytest

from lipwise_ray.cli.explain import explain
from lipwise_ray.error_codes import find_codes
from lipwise_ray.errors import SettingsError
from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.explanation import exit_of, explanation_of, explanations


def test_every_code_has_an_explanation() -> None:
    """Each of them says what it is, whose fault it is, and how a command ends with it."""
    found = explanations()
    assert {one.code for one in found} == {one.code for one in find_codes()}
    assert all(one.meaning and one.whose and one.exits for one in found)
    silent = [one.code for one in found if not one.happened]
    assert len(silent) < 0.05 * len(found), silent


def test_messages_are_those_of_the_source() -> None:
    """Alternatives, names that stand for texts, and parts that are filled in."""
    found = explanation_of("no_pairs")
    assert found.happened == ("no audio in ... has the name of a video in ...",)
    assert found.do == ("Name them alike: ep1.mp4 with ep1.wav, ep1.de.wav or ep1_pt-BR.m4a",)
    assert "the end, ... s, is not after the start, ... s" in explanation_of("row_end").happened
    assert explanation_of("row_video").kind == "ManifestError"


@pytest.mark.parametrize(
    ("code", "exits"),
    [
        ("no_video", [1, 2]),
        ("manifest_empty", [2]),
        ("stopped", [3]),
        ("worker_died", [1]),
    ],
)
def test_exit_codes_are_those_of_the_command(code: str, exits: list[int]) -> None:
    """A row's error is 1, one that lets nothing start 2, one after which the same command goes on 3."""
    assert [one.code for one in explanation_of(code).exits] == exits


@pytest.mark.parametrize("code", list(ExitCode))
def test_every_exit_code_is_explained(code: ExitCode) -> None:
    """By what stands in the source."""
    assert exit_of(code).meaning.endswith(".")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("no_vidoe", r'unknown code "no_vidoe" - did you mean "no_video"\?'),
        ("row_vidoe", r'did you mean "row_video"\?'),
        ("NO_VIDEO", r'did you mean "no_video"\?'),
        ("*", r"lipwise-ray explain"),
        ("q" * 999, r"lipwise-ray explain"),
    ],
)
def test_an_unknown_code_suggests_the_nearest(code: str, words: str) -> None:
    """Or the list of all."""
    with pytest.raises(SettingsError, match=words):
        explanation_of(code)
    with pytest.raises(SettingsError, match="unknown exit code 7"):
        exit_of(7)


def test_a_number_of_thousands_of_digits_is_no_code() -> None:
    """Python reads none so long; whoever types one gets the sentence that any unknown code gets."""
    with pytest.raises(SettingsError, match="unknown"):
        explain("9" * 5000)
