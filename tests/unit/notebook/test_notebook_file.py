"""The notebook's file, as it is committed."""

from __future__ import annotations

import ast
import json
from pathlib import Path

from tests.conftest import ROOT

NOTEBOOK: Path = ROOT / "notebooks" / "dub.ipynb"
_MOST_LINES = 12


def _cells() -> list[dict[str, object]]:
    return json.loads(NOTEBOOK.read_text("utf-8"))["cells"]


def test_no_output_is_committed() -> None:
    """A reader sees what their own machine made: cells have neither outputs nor numbers."""
    code = [cell for cell in _cells() if cell["cell_type"] == "code"]
    assert code
    assert [(cell["outputs"], cell["execution_count"]) for cell in code] == [([], None)] * len(code)


def test_cells_are_short() -> None:
    """What takes more than a few lines lives in the package, with tests."""
    sources = ["".join(cell["source"]) for cell in _cells() if cell["cell_type"] == "code"]  # type: ignore[arg-type]
    for source in sources:
        assert len(source.splitlines()) <= _MOST_LINES, source
        tree = ast.parse(source.replace("%pip", "pass  # "))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.For)]
