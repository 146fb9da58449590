"""The Python API: what `lipwise_ray.__all__` names, grouped by where it is at home."""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType

import lipwise_ray
from docs.generate.markdown import MADE
from lipwise_ray.errors import LipwiseError
from lipwise_ray.runs import progress_events

_HEAD = """
Everything here is imported from `lipwise_ray` itself. `import lipwise_ray` alone loads nothing heavy: a name is loaded
when it is first used. Nothing else of the package is promised to stay as it is.

"""


def page() -> str:
    """Return the page; Sphinx fills it in from the docstrings."""
    return "".join([f"---\ntocdepth: 3\n---\n\n# Python API\n\n{MADE}{_HEAD}", *_groups()])


def _groups() -> Iterator[str]:
    named = {name: getattr(lipwise_ray, name) for name in lipwise_ray.__all__}
    groups: dict[str, list[str]] = {"Functions": [], "Settings and results": [], "Events": [], "Errors": []}
    for name, found in named.items():
        groups[_group(found)].append(name)
    for title, names in groups.items():
        yield f"## {title}\n\n"
        for name in names:
            yield _entry(name, named[name])


def _group(found: object) -> str:
    if isinstance(found, FunctionType):
        return "Functions"
    if isinstance(found, type) and issubclass(found, LipwiseError):
        return "Errors"
    return "Events" if getattr(found, "__module__", "") == progress_events.__name__ else "Settings and results"


def _entry(name: str, found: object) -> str:
    if isinstance(found, FunctionType):
        return f"### {name}\n\n```{{eval-rst}}\n.. autofunction:: lipwise_ray.{name}\n```\n\n"
    if not isinstance(found, type):  # one of several types
        members = ", ".join(f"`{one.__name__}`" for one in getattr(found, "__args__", ()))
        return f"### {name}\n\nAny of {members}.\n\n"
    options = "   :members:\n" if any(isinstance(one, FunctionType) for one in vars(found).values()) else ""
    return f"### {name}\n\n```{{eval-rst}}\n.. autoclass:: lipwise_ray.{name}\n{options}```\n\n"
