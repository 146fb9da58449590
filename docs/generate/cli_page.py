"""Every command with its arguments and options, by the program's own parser."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from typer.main import get_command

from docs.generate.markdown import MADE, code, prose, table
from lipwise_ray.cli.app import app

_HEAD = """
Every command takes `--help`. Options may stand before or after arguments. Words in capitals stand for values; those of
`--set` are in [Settings](settings.md), [exit codes](exit-codes.md) have a page of their own.
"""
_PROGRAM = "lipwise-ray"
_WORDS = {int: "whole number", float: "number", Path: "path"}
_NOT_SHOWN = frozenset({"help", "install_completion", "show_completion"})


def page() -> str:
    """Return the page."""
    command: Any = get_command(app)
    return "\n".join([f"# Command line\n\n{MADE}", *_command(command, _PROGRAM), ""])


def _command(command: Any, words: str) -> Iterator[str]:
    inner = [one for _, one in sorted(getattr(command, "commands", {}).items()) if not one.hidden]
    if words == _PROGRAM:
        yield _HEAD
        yield _parameters(command)
    else:
        yield f"## {words}\n\n{_help(command)}\n\n```text\n{_usage(command, words)}\n```\n"
        yield _parameters(command)
    for one in inner:
        yield from _command(one, f"{words} {one.name}")


def _usage(command: Any, words: str) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    pieces = [f"{_name(one)}{'...' if _is_repeated(one) else ''}" for one in arguments]
    shown = [piece if one.required else f"[{piece}]" for one, piece in zip(arguments, pieces, strict=True)]
    return " ".join([words, "[OPTIONS]", *(["COMMAND"] if hasattr(command, "commands") else shown)])


def _is_repeated(argument: Any) -> bool:
    """Tell whether an argument may be repeated; one of several words names each that it takes."""
    return argument.nargs != 1 and " " not in _name(argument)


def _name(argument: Any) -> str:
    return str(argument.metavar or argument.name).strip("[]").upper()


def _help(command: Any) -> str:
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    return "\n\n".join(prose(one.replace("\b", "")) for one in paragraphs)


def _parameters(command: Any) -> str:
    rows = [_row(one) for one in command.params if one.name not in _NOT_SHOWN and not one.hidden]
    return table(["argument or option", "value", "default", "meaning"], rows) if rows else ""


def _row(parameter: Any) -> list[str]:
    is_option = parameter.param_type_name == "option"
    names = "/".join([*parameter.opts, *parameter.secondary_opts]) if is_option else _name(parameter)
    is_flag = getattr(parameter, "is_flag", False)
    takes = "" if is_flag or not is_option else _takes(parameter)
    default = parameter.default
    shown = "" if callable(default) or default in (None, False, [], ()) else _text(default)
    about = parameter.help or ""
    notes = [
        "needed" if parameter.required else "",
        "several" if getattr(parameter, "multiple", False) or parameter.nargs != 1 else "",
        f"environment: `{parameter.envvar}`" if parameter.envvar else "",
    ]
    note = "; ".join(filter(None, notes))
    return [code(names), takes, code(shown), prose(about) + (f" ({note})" if note else "")]


def _takes(parameter: Any) -> str:
    """Return the values of an option in words; its own word for them where it has one."""
    kind = parameter.bare_type
    if parameter.metavar:
        return code(parameter.metavar)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(code(one.value) for one in kind)
    return _WORDS.get(kind, "text")


def _text(value: object) -> str:
    return str(getattr(value, "value", value))
