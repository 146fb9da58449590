"""Every error code: whose fault it is, what it means, what to do."""

from __future__ import annotations

from collections.abc import Iterator

from docs.generate.markdown import MADE, code, prose, sentence
from lipwise_ray.explanation import Explanation, explanations

_HEAD = """
A code belongs to one class of errors and stays what it is. Messages, records and JSON lines carry it, and
`lipwise-ray explain CODE` says the same as this page. `*` and `...` stand for a part that is filled in. Codes of an
*attempt* are of workers that died, stood still or failed inside; a run tries again on its own.
"""


def page() -> str:
    """Return the page."""
    parts = [f"---\ntocdepth: 2\n---\n\n# Error codes\n\n{MADE}", _HEAD]
    letter = ""
    for one in explanations():
        if (first := one.code[0].upper()) != letter:
            letter = first
            parts.append(f"## {letter if letter != '*' else 'Filled in'}\n")
        parts += _lines(one)
    return "\n".join(parts)


def _lines(one: Explanation) -> Iterator[str]:
    yield f"### `{one.code}`\n"
    exits = ", ".join(f"{found.code}{f' {found.when}' if found.when else ''}" for found in one.exits)
    yield f"- **Whose:** {prose(one.whose)} ({code(one.kind)})"
    yield f"- **Means:** {prose(sentence(one.meaning))}"
    if one.happened:
        yield f"- **Says:** {_listed(one.happened)}"
    if one.do:
        yield f"- **Do:** {_listed(one.do)}"
    yield f"- **Exit code:** {exits}\n"


def _listed(texts: tuple[str, ...]) -> str:
    return "; or ".join(prose(text.rstrip(".")) if not text.endswith("...") else prose(text) for text in texts)
