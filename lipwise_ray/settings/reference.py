"""Every setting with its default, by the source; the documents, the studio and the command show them by it."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lipwise_ray.settings.model import Settings

_WORDS = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    dict: "table",
    type(None): "nothing",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """A key.

    Attributes:
        name: Sections and key, with dots.
        kind: Values that it may have.
        default: As TOML has it; ``-`` for nothing.
        about: Effect of it; empty where its name says it.
        choices: Words that it may have, where it takes nothing but one of some.
    """

    name: str
    kind: str
    default: str
    about: str
    choices: tuple[str, ...] = ()


def settings_of(model: type[BaseModel] = Settings, section: str = "") -> Iterator[Setting]:
    """Yield every key of a section and of those within it.

    Args:
        model: The section's class.
        section: Prefix of its keys, with the dot; empty for the whole.
    """
    about = _docstrings(model)
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings_of(kind, f"{section}{name}.")
        else:
            default = _shown(field.get_default())
            yield Setting(f"{section}{name}", _kind(field), default, about.get(name, ""), _choices(kind))


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstrings below each key in the source."""
    body = ast.parse(inspect.getsource(model)).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for key, below in zip(body.body, body.body[1:], strict=False):
        match key, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = re.sub(r"``(.*?)``", r"`\1`", " ".join(text.split()))
            case _:
                pass
    return found


def _kind(field: FieldInfo) -> str:
    low, high = (
        next((getattr(one, name) for one in field.metadata for name in names if hasattr(one, name)), None)
        for names in (("ge", "gt"), ("le", "lt"))
    )
    words = _words(field.annotation)
    if low is not None and high is not None:
        return f"{words}, {low:g} to {high:g}"
    return f"{words}, from {low:g}" if low is not None else words


def _choices(kind: object) -> tuple[str, ...]:
    return tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else ()


def _words(kind: Any) -> str:  # noqa: ANN401  # whatever an annotation is
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _words(inner[0])
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in inner)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_words(one) for one in inner if one is not type(None)))
    if origin is tuple:
        each = dict.fromkeys(_words(one) for one in inner if one is not Ellipsis)
        return f"list of {len(inner)}" if Ellipsis not in inner else f"list of {', '.join(each)}"
    return _WORDS.get(origin or kind, str(kind))


def _shown(value: object) -> str:
    return "-" if value is None else f"`{json.dumps(value)}`"
