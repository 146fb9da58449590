"""What an operator has to fill in is marked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

FILES = sorted(
    path
    for path in (ROOT / "cluster").rglob("*")
    if path.is_file() and path.suffix not in (".md", ".lock", ".json", ".toml", ".txt")
)
_NEAR = 4
"""Lines before a placeholder in which its mark may be."""

_PLACEHOLDER = re.compile(
    r"example\.com|my-(bucket|project|network)|0{12}|/srv/|name: minio|shared-files|us-west|replace-me"
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / "cluster")))
def test_every_placeholder_is_marked(path: Path) -> None:
    """A name that stands for one of the operator's has FILL IN on its line, or shortly before."""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        if _PLACEHOLDER.search(line):
            near = lines[max(0, number - _NEAR) : number + 1]
            assert any("FILL IN" in one for one in near), f"{path.name}:{number + 1}: {line.strip()}"
