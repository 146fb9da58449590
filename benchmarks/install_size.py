"""Size of what pip installs for this package, with what each extra adds.

``python -m benchmarks.install_size --extra eval --extra parquet``: by pyproject.toml, and by the files of the packages
that are installed here. torch is as it is here: a build for a CPU is smaller than one for a GPU.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_OWN = "lipwise-ray"
_PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
_SHOWN = 8


def closure(extras: Iterable[str] = ()) -> frozenset[str]:
    """Names of the packages that pip installs on this system for the plain package and its extras."""
    waiting = [Requirement(f"{_OWN}[{','.join(extras)}]")]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        asked = waiting.pop()
        key = canonicalize_name(asked.name), frozenset(asked.extras)
        if key not in seen:
            seen.add(key)
            waiting += _needed(asked)
    return frozenset(name for name, _ in seen) - {_OWN}


def _needed(asked: Requirement) -> list[Requirement]:
    if asked.name == _OWN:
        project: dict[str, Any] = tomllib.loads(_PROJECT.read_text("utf-8"))["project"]
        lists = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in asked.extras)]
        found = [Requirement(text) for texts in lists for text in texts]
    else:
        try:
            found = [Requirement(text) for text in distribution(asked.name).requires or ()]
        except PackageNotFoundError:  # what it needs cannot be told
            return []
    extras = {"", *asked.extras}
    return [one for one in found if one.marker is None or any(one.marker.evaluate({"extra": name}) for name in extras)]


def bytes_of(name: str) -> int | None:
    """Size of a package's files on the disk; None where it is not installed."""
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        return None
    places = {Path(str(file.locate())) for file in files}
    return sum(place.stat().st_size for place in places if place.is_file())


def _line(what: str, names: frozenset[str]) -> str:
    sizes = {name: bytes_of(name) for name in names}
    found = {name: size for name, size in sizes.items() if size is not None}
    largest = sorted(found, key=found.__getitem__, reverse=True)[:_SHOWN]
    absent = sorted(name for name, size in sizes.items() if size is None)
    told = ", ".join(f"{name} {found[name] / 1e6:.0f}" for name in largest if found[name] > 1e6)
    missing = f"; not installed here: {', '.join(absent)}" if absent else ""
    return f"{what:24} {len(names):3} packages {sum(found.values()) / 1e6:6.0f} MB ({told}){missing}"


def main() -> None:
    """Print a line for the plain package, and one for each extra with what it adds."""
    parser = argparse.ArgumentParser(description="Size of what pip installs.")
    parser.add_argument("--extra", action="append", default=[], help="extra of the package; may be repeated")
    options = parser.parse_args()
    plain = closure()
    print(_line(f"pip install {_OWN}", plain))
    for extra in options.extra:
        print(_line(f"  [{extra}] adds", closure([extra]) - plain))


if __name__ == "__main__":
    main()
