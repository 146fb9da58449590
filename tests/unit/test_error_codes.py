"""The table of error codes."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from lipwise_ray.error_codes import find_codes
from lipwise_ray.storage.redact import redact


def test_a_code_is_one_class_alone() -> None:
    """Whoever reads a code knows whose fault it is."""
    codes = find_codes()
    kinds: dict[str, set[str]] = defaultdict(set)
    for one in codes:
        kinds[one.code].add(one.kind)
    several = {code: sorted(found) for code, found in kinds.items() if len(found) > 1}
    assert not several, [one for one in codes if one.code in several]


def test_a_code_that_cannot_be_read_off_is_found(tmp_path: Path) -> None:
    """Constants, alternatives and filled-in parts are read; anything else is an error of the source."""
    (tmp_path / "a.py").write_text(
        'from x import InputError, Failure\nA, B = "one", "two"\nC = "three"\n'
        'InputError(A, "w", "m"); InputError(C, "w", "m"); InputError("f" if B else f"row_{C}", "w", "m")\n'
        'Failure("input", B, "m"); InputError(*old.args); InputError(old.code, "w", "m")\n'
    )
    assert [one.code for one in find_codes(tmp_path)] == ["f", "one", "row_*", "three", "two"]
    (tmp_path / "b.py").write_text('InputError(name() + "x", "w", "m")\n')
    with pytest.raises(ValueError, match=r"b\.py:1"):
        find_codes(tmp_path)


def test_no_words_of_an_error_are_taken_for_a_secret() -> None:
    """Answers and records are rid of secrets: advice such as where to put a key has to be left."""
    texts = {text for one in find_codes() for text in (one.where, *one.happened, *one.do) if "://" not in text}
    assert {text: redact(text) for text in texts if redact(text) != text} == {}
