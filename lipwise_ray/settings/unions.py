"""Settings of several types: tags by which pydantic tells the types apart."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Tag

UNION_TAG = "~"
"""Prefix of the tags of unions; they are no part of a setting's name."""

NUMBER, TEXT, SWITCH = f"{UNION_TAG}number", f"{UNION_TAG}text", f"{UNION_TAG}switch"
Auto = Annotated[Literal["auto"], Tag(TEXT)]


def text_or_number(value: object) -> str:
    """Return the tag of a value that is a number or ``auto``."""
    return TEXT if isinstance(value, str) else NUMBER


def text_or_switch(value: object) -> str:
    """Return the tag of a value that is true, false or ``auto``."""
    return TEXT if isinstance(value, str) else SWITCH
