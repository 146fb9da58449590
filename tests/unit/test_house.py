"""The habits of the source that no linter knows, each with its bound."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ROOT / "lipwise_ray"
ROOMS = ("pipeline", "scheduler", "runs", "backends")
"""Where a row's life is driven: what flows through them has types."""

_UNTYPED = re.compile(r"\b(?:Json|Identity)\b|\b(?:dict|Mapping)\[str, Any\]")
"""A JSON object by any of its names."""

_MAY_HOLD_JSON = ("state/", "reports/rows.py", "reports/row_sheet.py", "values.py")
_HOLD_IT_YET = {
    "cli/inspect.py",
    "models/checkpoints.py",
    "pipeline/delivery/assemble.py",
    "pipeline/flows/attempts.py",
    "pipeline/quality/inspection.py",
    "pipeline/quality/inspection_facts.py",
    "scheduler/task.py",
    "synth/corpus.py",
    "synth/footage.py",
    "synth/truth.py",
    "training/settings.py",
}
"""Modules that write or read a record by hand still: none may join them; one that stops doing so leaves the list."""

_MOST_LINES = 400

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_NAMES_NOTHING = re.compile(
    r"\s*(?:(?:return|yield)\s+)?(?:what|who|whose|how|where|which|whether|when|why)\b", re.IGNORECASE
)
"""The start of a docstring that leaves open what it documents."""


def _modules(*rooms: str) -> Iterator[tuple[str, ast.Module]]:
    for folder in [PRODUCT / room for room in rooms] or [PRODUCT]:
        for path in sorted(folder.rglob("*.py")):
            yield path.relative_to(PRODUCT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def _signature(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    given = function.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
    annotations = [*(argument.annotation for argument in arguments), function.returns]
    return " ".join(ast.unparse(annotation) for annotation in annotations if annotation is not None)


def test_signatures_name_types() -> None:
    """At most 3.5 of 100 functions that drive a row take or return a bare JSON object."""
    functions = [
        (name, node)
        for name, module in _modules(*ROOMS)
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    untyped = [f"{name}:{node.name}" for name, node in functions if _UNTYPED.search(_signature(node))]
    assert len(untyped) / len(functions) <= 0.035, untyped


def test_json_objects_stay_at_the_border() -> None:
    """`Json` is a word of the state, of reports' rows and of its own definition; of others fewer and fewer."""
    users = {
        name
        for name, module in _modules()
        if not name.startswith(_MAY_HOLD_JSON)
        and any(isinstance(node, ast.Name) and node.id == "Json" for node in ast.walk(module))
    }
    assert users == _HOLD_IT_YET


def _names_a_type(value: ast.expr) -> bool:
    """Tell whether what a module assigns is a type, and no option of a command."""
    if isinstance(value, ast.Call):
        return ast.unparse(value.func) == "NewType"
    if isinstance(value, ast.BinOp):
        return isinstance(value.op, ast.BitOr)
    return isinstance(value, ast.Name | ast.Attribute | ast.Subscript) and "typer." not in ast.unparse(value)


def _types(module: ast.Module) -> Iterator[str]:
    """Yield the classes of a module, and the types to which it gives names of their own."""
    yield from (node.name for node in ast.walk(module) if isinstance(node, ast.ClassDef))
    for node in module.body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
            yield ast.unparse(node.target)
        elif isinstance(node, ast.Assign) and _names_a_type(node.value):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            yield from (name for name in names if re.match("_?[A-Z]+[a-z]", name))


def test_a_type_has_a_name_of_its_own() -> None:
    """A reader who looks a class or an alias up finds one."""
    places: dict[str, set[str]] = defaultdict(set)
    for name, module in _modules():
        for found in _types(module):
            places[found].add(name)
    assert {name: sorted(files) for name, files in places.items() if len(files) > 1} == {}


def _docstrings(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of the docstrings of a module, its classes, functions and attributes."""
    for node in ast.walk(module):
        for part in getattr(node, "body", []) if isinstance(node, _DOCUMENTED) else []:
            if (
                isinstance(part, ast.Expr)
                and isinstance(part.value, ast.Constant)
                and isinstance(part.value.value, str)
            ):
                yield part.lineno, part.value.value


def test_docstrings_lead_with_a_noun() -> None:
    """No docstring begins with a question word, or says that one is returned: it names the thing."""
    found = [
        f"{name}:{line}: {text.partition(chr(10))[0]}"
        for name, module in _modules()
        for line, text in _docstrings(module)
        if _NAMES_NOTHING.match(text)
    ]
    assert found == []


def test_linters_are_seldom_told_to_look_away() -> None:
    """At most 2 `noqa` in 1,000 lines."""
    texts = [path.read_text(encoding="utf-8") for path in PRODUCT.rglob("*.py")]
    lines, exceptions = sum(text.count("\n") for text in texts), sum(text.count("# noqa") for text in texts)
    assert exceptions / lines <= 0.002


@pytest.mark.parametrize("folder", ["lipwise_ray", "tests", "benchmarks", "cluster", "jobs"])
def test_files_have_one_owner(folder: str) -> None:
    """No file is longer than 400 lines."""
    lengths = {path: path.read_text(encoding="utf-8").count("\n") for path in (ROOT / folder).rglob("*.py")}
    assert {str(path): lines for path, lines in lengths.items() if lines > _MOST_LINES} == {}


def test_every_module_upstairs_is_imported_by_a_test() -> None:
    """Each module of the rooms has a unit or contract test that imports it."""
    imported: set[str] = set()
    for path in [*(ROOT / "tests" / "unit").rglob("*.py"), *(ROOT / "tests" / "contract").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
    modules = {
        "lipwise_ray." + name.removesuffix(".py").replace("/", ".")
        for name, _ in _modules(*ROOMS)
        if not name.endswith("__init__.py")
    }
    assert sorted(modules - imported) == []
