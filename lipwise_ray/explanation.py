"""Explanation of an error code or an exit code, by the source: what happened, what to do, and who is to blame."""

from __future__ import annotations

import ast
import difflib
import inspect
import re
from dataclasses import dataclass
from functools import cache

from lipwise_ray import errors, exit_codes
from lipwise_ray.error_codes import ATTEMPT, Raised, find_codes, is_of_manifest, messages_of_column, places_of, whose
from lipwise_ray.errors import DisconnectedError, EngineError, SettingsError
from lipwise_ray.exit_codes import ExitCode, of_error

_ROW = "row_"
_MOST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Exit:
    """An exit code of the command.

    Attributes:
        code: The number.
        when: The case in which it is this one.
        meaning: What it tells whoever ran the command.
    """

    code: int
    when: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """An error code.

    Attributes:
        code: It; in a list with ``*`` for a part that is filled in.
        kind: The class that is raised with it, or ``attempt``.
        meaning: What such errors have in common.
        whose: Whose fault it is, and what follows.
        exits: Exit codes with which a command may end.
        happened: What its messages say, ``...`` for parts that are filled in.
        do: What they advise.
    """

    code: str
    kind: str
    meaning: str
    whose: str
    exits: tuple[Exit, ...]
    happened: tuple[str, ...]
    do: tuple[str, ...]


def explanations() -> list[Explanation]:
    """Return all error codes."""
    found: dict[tuple[str, str], list[Raised]] = {}
    for one in _all_codes():
        found.setdefault((one.code, one.kind), []).append(one)
    return [_explained(code, kind, places) for (code, kind), places in sorted(found.items())]


def explanation_of(code: str) -> Explanation:
    """Return the explanation of an error code.

    Args:
        code: As a message, a record or a JSON line has it.

    Raises:
        SettingsError: There is no such code.
    """
    if places := places_of(code):
        return _explained(code, places[0].kind, places)
    columns = [f"{_ROW}{column}" for column in _columns()] if code.startswith(_ROW) else []
    if code in columns:
        return _explained(code, errors.ManifestError.__name__, messages_of_column(code))
    known = {one.code for one in _all_codes()}
    near = difflib.get_close_matches(code.lower(), [*columns, *known], n=1)
    hint = f' - did you mean "{near[0]}"?' if near else ""
    do = "" if near else "Run `lipwise-ray explain` for the list"
    raise SettingsError("bad_usage", "explain", got=f'unknown code "{code[:_MOST_SHOWN]}"{hint}', do=do)


@cache
def _all_codes() -> tuple[Raised, ...]:
    return tuple(find_codes())


def _columns() -> set[str]:
    from lipwise_ray.pipeline.manifest.dub_rows import DUBBED
    from lipwise_ray.pipeline.manifest.evaluation_rows import EVALUATED

    return {*DUBBED.all, *EVALUATED.all}


def exit_of(number: int) -> Exit:
    """Return the explanation of an exit code.

    Raises:
        SettingsError: The command never ends with it.
    """
    if number not in list(ExitCode):
        known = ", ".join(str(one.value) for one in ExitCode)
        raise SettingsError("bad_usage", "explain", got=f"unknown exit code {number}", do=f"Known: {known}")
    return _exit(ExitCode(number), "")


def _explained(code: str, kind: str, places: list[Raised]) -> Explanation:
    raised = vars(errors).get(kind)
    meaning = "A worker died, stood still or failed inside." if kind == ATTEMPT else inspect.getdoc(raised) or ""
    return Explanation(
        code=code,
        kind=kind,
        meaning=meaning,
        whose=whose(code, kind),
        exits=_exits(code, kind),
        happened=tuple(dict.fromkeys(text for one in places for text in one.happened)),
        do=tuple(dict.fromkeys(text for one in places for text in one.do)),
    )


def _exits(code: str, kind: str) -> tuple[Exit, ...]:
    of_row = _exit(ExitCode.ROWS_FAILED, "where a row fails by it")
    if kind == ATTEMPT:
        return (of_row,)
    raised = vars(errors)[kind]
    ends = of_error(raised(code, ""))
    if is_of_manifest(code, kind) or issubclass(raised, EngineError | DisconnectedError):
        return (_exit(ends, ""),)
    return of_row, _exit(ends, "where the command ends by it")


def _exit(code: ExitCode, when: str) -> Exit:
    return Exit(int(code), when, _exit_meanings()[code.name])


def _exit_meanings() -> dict[str, str]:
    """Return the docstrings below each exit code in the source."""
    body = ast.parse(inspect.getsource(exit_codes.ExitCode)).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for member, below in zip(body.body, body.body[1:], strict=False):
        match member, below:
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = re.sub(r"\s+", " ", text)
            case _:
                pass
    return found
