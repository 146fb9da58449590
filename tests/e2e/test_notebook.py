"""The notebook, as Jupyter runs it."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Jupyter's own
def test_the_notebook_runs_with_the_bundled_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample is dubbed, shown, scored and compared from the first cell to the last, without the web."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):  # whatever would ask the web fails
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    notebook = nbformat.read(ROOT / "notebooks" / "dub.ipynb", as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=280, kernel_name="python3", resources=resources).execute()
    told = [out.get("data", {}).get("text/html") for cell in notebook.cells for out in cell.get("outputs", [])]
    pages = [page for page in told if isinstance(page, str)]
    assert any("can do it" in page or "MISSING" in page for page in pages)
    assert any(page.count("<video") == 2 for page in pages)
    assert any("tiny_generator" in page and "passthrough" in page for page in pages)
    assert pages[-1].count("data:image/jpeg") == 2
    assert (tmp_path / "dubbed" / "dubbed.mp4").is_file()
