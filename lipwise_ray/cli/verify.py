"""`lipwise-ray verify`: who made a file, of what and with what, and whether it was changed since."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import lipwise_ray
from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.printable import on_one_line

if TYPE_CHECKING:
    from lipwise_ray import FileCredentials

_VERDICTS = {
    "valid": "signed, and not changed since",
    "changed": "CHANGED since it was signed",
    "invalid": "its content credentials are WRONG",
    "unsigned": "not signed",
    "unreadable": "cannot be read",
}
_WRONG = ("changed", "invalid")


def verify(
    files: Annotated[list[str], typer.Argument(help="Videos, audio files or images.", metavar="FILE")],
    *,
    trust: Annotated[
        Path | None,
        typer.Option("--trust", help="Certificates that you trust: a file signed by others fails.", metavar="FILE.pem"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per file.")] = False,
) -> None:
    """Show who made files, when, of what and with which models (C2PA), and whether they were changed since.

    Exit codes: 0 every file is the one that was signed, 1 one is unsigned, changed or unreadable, or signed by somebody
    else than those of --trust, 2 nothing could be looked at.
    """
    fails = False
    for file in files:
        found = lipwise_ray.verify(file, trust=trust)
        fails |= not found.passes(needs_trust=trust is not None)
        typer.echo(
            json.dumps(asdict(found))
            if as_json
            else "\n".join(map(on_one_line, _lines(found, has_list=trust is not None)))
        )
    raise typer.Exit(ExitCode.ROWS_FAILED if fails else ExitCode.DONE)


def _lines(found: FileCredentials, *, has_list: bool) -> Iterator[str]:
    yield f"{found.file}: {_VERDICTS[found.verdict]}"
    yield from (f"  {problem}" for problem in found.problems)
    if found.side_car:
        yield f"  credentials  {found.side_car}"
    if found.signed_by is None:
        return
    whose = f"{found.signed_by} ({found.organisation})" if found.organisation else found.signed_by
    trusted = "not on your trust list" if has_list else "not on any trust list you gave"
    yield f"  signed by    {whose}: {'on your trust list' if found.is_trusted else trusted}"
    stamp = f"{found.signed_at}, by a time-stamp authority" if found.signed_at else found.made_at
    told = (("made with", found.made_by), ("title", found.title), ("when", stamp), ("language", found.language))
    yield from (f"  {name:12} {value}" for name, value in (*told, ("row", found.row)) if value)
    for one in found.actions:
        parts = (one.action, one.source_type, one.by, one.at, one.description)
        yield f"  action       {', '.join(part for part in parts if part)}"
    for one in found.ingredients:
        own = f", made with {one.made_by}, signed by {one.signed_by}" if one.signed_by else ""
        own += f"; when it was used: {_VERDICTS[one.verdict]}" if one.verdict in _WRONG else ""
        yield f"  made of      {one.title} ({one.relationship}{own})"
    for one in found.models:
        licence = f", {one.licence}" if one.licence else ""
        yield f"  model        {one.role}: {one.name}, sha256 {one.sha256[:12]}{licence}"
