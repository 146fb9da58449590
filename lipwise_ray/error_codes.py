"""Every error code, by the source: what raises it, and what its messages say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
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
    (errors.SignerError, "what signs files: tried again, and by the same command once that works"),
    (errors.StorageError, "a disk or store: tried again"),
    (errors.TransientError, "tried again"),
)
_OF_MANIFESTS = "manifest_"
ATTEMPT = "attempt"
"""In the place of a class: no error was raised, a worker died, stood still or failed inside."""

_ROW = "row_"
_WRONG, _CELL = "wrong", "cell"
"""Notes that a column of a row is wrong: its arguments are the column, what happened, and what to do."""

_FILLED = "..."
_SEVERAL_FILLED = re.compile(r"(?:\.\.\.){2,}")
_RAISING = re.compile(rf"\b(?:\w+Error|{_OUTCOME}|{_WRONG})\(")


@dataclass(frozen=True, slots=True, order=True)
class Raised:
    """A code at a place that raises it.

    Attributes:
        code: It; ``*`` for parts that are filled in.
        kind: The class's name, or ``attempt``.
        where: The file and line.
        happened: Messages that it may have there, ``...`` for parts that are filled in; those that are put together
            elsewhere are left out.
        do: Advice that goes with them.
    """

    code: str
    kind: str
    where: str
    happened: tuple[str, ...] = ()
    do: tuple[str, ...] = ()


def find_codes(package: Path = _PACKAGE) -> list[Raised]:
    """Return every code that the source of a package raises.

    Raises:
        ValueError: A code cannot be read off the source.
    """
    return sorted(found for found in _raised(package) if found.kind != _CELL)


def places_of(code: str) -> list[Raised]:
    """Return the places that raise an error code; nothing for one that does not exist."""
    return sorted(found for found in _raised(_PACKAGE, code) if found.kind != _CELL and found.code == code)


def messages_of_column(code: str) -> list[Raised]:
    """Return the places that find a column of a manifest's rows wrong, with their messages.

    Args:
        code: The column's, such as ``row_video``.
    """
    column = code.removeprefix(_ROW)
    return sorted(found for found in _raised(_PACKAGE, column) if found.kind == _CELL and found.code == code)


def _raised(package: Path, holding: str = "") -> Iterator[Raised]:
    """Yield all places of the files that hold a text."""
    for path in sorted(package.rglob("*.py")):
        text = path.read_text("utf-8")
        if holding in text and _RAISING.search(text):
            yield from _codes_in(ast.parse(text), path.relative_to(package).as_posix())


def whose(code: str, kind: str) -> str:
    """Return in words whose fault an error is, and what follows from it.

    Args:
        code: Its code.
        kind: The class's name, or ``attempt``.
    """
    if kind == ATTEMPT:
        return "an attempt: tried again, then put into quarantine"
    if is_of_manifest(code, kind):
        return "the manifest as a whole: nothing starts"
    raised = vars(errors)[kind]
    return next(meaning for base, meaning in _MEANING if issubclass(raised, base))


def is_of_manifest(code: str, kind: str) -> bool:
    """Tell whether an error is of a manifest as a whole, not of a row."""
    return kind == errors.ManifestError.__name__ and code.startswith(_OF_MANIFESTS)


def _codes_in(tree: ast.Module, path: str) -> Iterator[Raised]:
    constants = dict(_constants(tree))
    for node, names in _calls(tree, {name: [value] for name, value in constants.items()}):
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        kind = vars(errors).get(name)
        told = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        if name == _OUTCOME:
            place, shown = 1, ATTEMPT
            happened = node.args[2:3]
        elif name == _WRONG and isinstance(node.args[0], ast.Constant) and node.args[0].value:
            place, shown = 0, _CELL
            happened, told = node.args[1:2], dict(zip(["do"], node.args[2:], strict=False))
        elif isinstance(kind, type) and issubclass(kind, errors.LipwiseError):
            place, shown = 0, name
            happened = [told[key] for key in sorted(told.keys() - {"do"})]  # it, and then what is expected instead
        else:
            continue
        where = f"{path}:{node.lineno}"
        messages = _said("; ".join(parts) for parts in product(*(_sentences(one, names) for one in happened)))
        advice = _said(_sentences(told["do"], names)) if "do" in told else ()
        if len(node.args) > place:
            codes = [f"{_ROW}{one}" if shown == _CELL else one for one in _texts(node.args[place], constants, where)]
            yield from (Raised(code, shown, where, messages, advice) for code in codes)


def _calls(tree: ast.AST, names: dict[str, list[ast.expr]]) -> Iterator[tuple[ast.Call, dict[str, list[ast.expr]]]]:
    """Yield the calls of a module, each with what the names that it sees may be."""
    open_nodes = [(tree, names)]
    while open_nodes:
        node, seen = open_nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            seen = {**seen, **_assigned(node)}
        elif isinstance(node, ast.Call):
            yield node, seen
        open_nodes += [(child, seen) for child in ast.iter_child_nodes(node)]


def _assigned(function: ast.AST) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found.setdefault(name, []).append(value)
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                for one, value in zip(names, values, strict=True):
                    if isinstance(one, ast.Name):
                        found.setdefault(one.id, []).append(value)
            case _:
                pass
    return found


def _said(texts: Iterable[str]) -> tuple[str, ...]:
    """Return texts of which something is known, each once."""
    return tuple(dict.fromkeys(_SEVERAL_FILLED.sub(_FILLED, text) for text in texts if text.strip(". ")))


def _sentences(node: ast.expr, names: dict[str, list[ast.expr]]) -> list[str]:
    """Return the texts that a part of a message can be, dots where it is filled in."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=values):
            return ["".join(str(part.value) if isinstance(part, ast.Constant) else _FILLED for part in values)]
        case ast.IfExp(body=one, orelse=other):
            return [*_sentences(one, names), *_sentences(other, names)]
        case ast.Name(id=name) if name in names:
            inner = {key: value for key, value in names.items() if key != name}
            return [text for value in names[name] for text in _sentences(value, inner)]
        case _:
            return [_FILLED]


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
            raise ValueError(f"{where}: {ast.unparse(node)} is not a code: one is written where it is raised")
