"""Published checkpoints that are known by name, with their terms."""

from __future__ import annotations

from collections.abc import Iterator

from docs.generate.markdown import MADE, code, prose, table
from lipwise_ray.models.registry import Registry, RegistryEntry
from lipwise_ray.resources import models_folder

_HEAD = """
`lipwise-ray models pull NAME` fetches a file and checks its hash; `lipwise-ray models list` shows what is installed.
Terms are those of the weights, as their publishers state them, and no legal advice. What may not be used in commerce
needs `--accept-licence`. A report and every `result.json` name the terms of what was used.

"""
_MEGABYTE = 1_000_000
_GROUPS = {
    "yes": "Commercial use is allowed",
    "unclear": "Commercial use is unclear",
    "no": "No commercial use",
}


def page() -> str:
    """Return the page."""
    return "".join([f"# Models and their terms\n\n{MADE}{_HEAD}", *_groups()])


def _groups() -> Iterator[str]:
    registry = Registry(models_folder() / "registry.toml", models_folder())
    for commercial, title in _GROUPS.items():
        entries = {name: one for name, one in registry.entries.items() if one.commercial == commercial}
        head = ["name", "network", "size", "comes from", "terms"]
        yield f"## {title}\n\n{table(head, [_row(name, one) for name, one in sorted(entries.items())])}\n"


def _row(name: str, one: RegistryEntry) -> list[str]:
    size = _size(one.bytes_total or 0)
    notes = [one.licence, one.reason, f"made for {one.made_for} alone" if one.made_for else ""]
    return [code(name), code(one.network), size, _origin(one), prose("; ".join(filter(None, notes)))]


def _size(bytes_total: int) -> str:
    if not bytes_total:
        return ""
    return f"{bytes_total / 1e6:,.1f} MB" if bytes_total >= _MEGABYTE else f"{bytes_total / 1e3:,.0f} kB"


def _origin(one: RegistryEntry) -> str:
    if one.bundled:
        return "this package"
    if one.package:
        return f"the extra `{one.extra}`"
    return "`pull`" if one.urls else "its publisher, by hand"
