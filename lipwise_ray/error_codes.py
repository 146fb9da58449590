"""Every error code and the class that raises it, by the source: ``python -m lipwise_ray.error_codes > ERRORS.md``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lipwise_ray import errors

_PACKAGE = Path(__file__).parent
_OUTCOME = "Failure"
"""Record of the engine's where no error of ours was raised: its first argument is the blame, its second the code."""

_MEANING = (
    (errors.RequestError, "a request to the service: it is refused, and nothing changes"),
    (errors.InputError, "the row's input: this row fails, the others go on"),
    (errors.SetupError, "settings, weights or state: the run, or the row, does not start"),
    (errors.EngineError, "what runs the workers: the run stops, the same command goes on"),
    (errors.DisconnectedError, "the way to a cluster: its run may go on there, the same command finds it"),
    (errors.StorageError, "a disk or store: tried again"),
    (errors.TransientError, "tried again"),
)
_OF_MANIFESTS = "manifest_"
_HEAD = """# Error codes

Made from the source by `python -m lipwise_ray.error_codes > ERRORS.md`. A code is one class's alone, and stays
what it is. `*` stands for a part that is filled in. Those of an attempt are of workers that
died, stood still or failed inside.

| code | class | whose |
|---|---|---|
"""


@dataclass(frozen=True, slots=True, order=True)
class Raised:
    """A code at a place that raises it.

    Attributes:
        code: It; ``*`` for parts that are filled in.
        kind: The class's name, or ``attempt``.
        where: The file and line.
    """

    code: str
    kind: str
    where: str


def find_codes(package: Path = _PACKAGE) -> list[Raised]:
    """Return every code that the source of a package raises.

    Raises:
        ValueError: A code cannot be read off the source.
    """
    return sorted(found for path in package.rglob("*.py") for found in _codes_in(path, package))


def table(found: list[Raised]) -> str:
    """Return the codes as a document."""
    lines = [
        f"| `{code}` | {kind} | {_whose(code, kind)} |"
        for code, kind in sorted({(one.code, one.kind) for one in found})
    ]
    return _HEAD + "\n".join(lines) + "\n"


def _whose(code: str, kind: str) -> str:
    if kind == "attempt":
        return "an attempt: tried again, then put into quarantine"
    if kind == errors.ManifestError.__name__ and code.startswith(_OF_MANIFESTS):
        return "the manifest as a whole: nothing starts"
    raised = vars(errors)[kind]
    return next(meaning for base, meaning in _MEANING if issubclass(raised, base))


def _codes_in(path: Path, package: Path) -> Iterator[Raised]:
    tree = ast.parse(path.read_text("utf-8"))
    constants = dict(_constants(tree))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        kind = vars(errors).get(name)
        if name == _OUTCOME:
            place, shown = 1, "attempt"
        elif isinstance(kind, type) and issubclass(kind, errors.LipwiseError):
            place, shown = 0, name
        else:
            continue
        where = f"{path.relative_to(package)}:{node.lineno}"
        if len(node.args) > place:
            yield from (Raised(code, shown, where) for code in _texts(node.args[place], constants, where))


def _constants(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield names and values of a module's assignments, of one name or several at a time."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                yield from (
                    (one.id, value) for one, value in zip(names, values, strict=True) if isinstance(one, ast.Name)
                )
            case _:
                pass


def _texts(node: ast.expr, constants: dict[str, ast.expr], where: str) -> Iterator[str]:
    """Yield the texts that an expression can be; nothing for one that passes another error's code on."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=values):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in values)
        case ast.IfExp(body=one, orelse=other):
            yield from _texts(one, constants, where)
            yield from _texts(other, constants, where)
        case ast.Name(id=name) if name in constants:
            yield from _texts(constants[name], constants, where)
        case ast.Attribute() | ast.Starred():
            return
        case _:
            raise ValueError(f"{where}: {ast.unparse(node)} is no code: one is written where it is raised")


if __name__ == "__main__":
    print(table(find_codes()), end="")  # noqa: T201  # the document
