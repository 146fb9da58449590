"""`lipwise-ray explain`: what a code means, and what to do."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from lipwise_ray.cli.completed_ids import codes

if TYPE_CHECKING:
    from lipwise_ray.explanation import Exit, Explanation


_MOST_DIGITS = 9
"""Of an exit code; Python refuses to read thousands of them."""


def explain(
    code: Annotated[
        str | None,
        typer.Argument(
            help="An error code, such as no_audio, or an exit code, such as 3. Default: all error codes.",
            metavar="[CODE]",
            autocompletion=codes,
        ),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object per code.")] = False,
) -> None:
    """Explain an error code or an exit code: what happened, whose fault it is, and what to do."""
    from lipwise_ray.explanation import exit_of, explanation_of, explanations

    if code is None:
        for one in explanations():
            typer.echo(json.dumps(asdict(one)) if as_json else f"{one.code:28} {one.whose}")
    elif code.isascii() and code.isdigit() and len(code) <= _MOST_DIGITS:
        ended = exit_of(int(code))
        typer.echo(json.dumps(asdict(ended)) if as_json else _exit_line(ended))
    else:
        found = explanation_of(code)
        typer.echo(json.dumps(asdict(found)) if as_json else "\n".join(_lines(found)))


def _exit_line(ended: Exit) -> str:
    return f"exit code {ended.code}{' ' if ended.when else ''}{ended.when}: {ended.meaning}"


def _lines(found: Explanation) -> list[str]:
    lines = [f"{found.code} ({found.kind}): {found.meaning}", f"whose: {found.whose}"]
    lines += [_exit_line(one) for one in found.exits]
    for title, texts in (("what happened", found.happened), ("what to do", found.do)):
        if texts:
            lines += [f"{title}, as its messages say it:", *(f"  {text}" for text in texts)]
    return lines
