"""Sections of docstrings about arguments, held to the signatures beside them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PRODUCT = Path(__file__).resolve().parents[2] / "lipwise_ray"

_SECTION = re.compile(r"^Args:\n((?:(?: {4}.*)?\n?)*)", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}([\w, *]+):", re.MULTILINE)


def _described(documented: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Return the names in the Args section of a docstring, none where it has no such section."""
    section = _SECTION.search(ast.get_docstring(documented) or "")
    entries = _ENTRY.findall(section[1]) if section else []
    return [name.strip(" *") for entry in entries for name in entry.split(",")]


def _taken(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Return the names of a function's arguments, without the object that a method belongs to."""
    given = function.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
    return {argument.arg for argument in arguments} - {"self", "cls"}


def _signatures() -> Iterator[tuple[str, list[str], set[str]]]:
    """Yield the place of each Args section, its names, and the arguments; those of a class are its maker's."""
    for path in sorted(PRODUCT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            makers = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
            function = node if not isinstance(node, ast.ClassDef) else next(iter(makers), None)
            if (names := _described(node)) and function is not None:
                yield f"{path.relative_to(PRODUCT)}:{node.lineno}", names, _taken(function)


def test_args_sections_name_all_arguments_and_no_others() -> None:
    """A docstring that describes arguments describes each of them, once, by the name that it has."""
    sections = list(_signatures())
    assert len(sections) > 100
    assert {place: sorted({*names} ^ taken) for place, names, taken in sections if sorted(names) != sorted(taken)} == {}
