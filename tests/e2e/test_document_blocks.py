"""Every block of code in the documents works, or says why it is not run (`tests/support/documents.py` tells how)."""

from __future__ import annotations

import ast
import csv
import importlib
import io
import itertools
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.exceptions import TyperException

import lipwise_ray
from lipwise_ray.cli.train import _value
from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.pipeline.manifest.evaluation_rows import EVALUATED
from lipwise_ray.pipeline.manifest.row_validation import ROW_ID
from lipwise_ray.settings.layers import parse_assignment, preset_names, resolve
from lipwise_ray.training.curation import make_rules
from lipwise_ray.training.settings import make_settings
from tests.support.documents import (
    COMMANDS,
    DATA,
    NO_CODE,
    OTHERS,
    ROOT,
    Block,
    blocks_of,
    commands_of,
    pages,
    parse_command,
)

PAGES = pages()
_FILE = re.compile(r"[\w./-]+\.(?!\d)\w+(?:#.*)?")
BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def _of(*languages: str) -> list[Any]:
    found = [block for block in BLOCKS if block.language in languages]
    return [pytest.param(block, id=block.where) for block in found]


def _given(*languages: str) -> list[Any]:
    """Return the blocks that are not marked as something else than their language says."""
    return [one for one in _of(*languages) if not one.values[0].why_not]


def test_every_block_says_what_it_is() -> None:
    """Each has a language that is checked here; one that nothing can run has its reason, in words."""
    known = COMMANDS | DATA | NO_CODE | OTHERS | {"python"}
    assert [one.where for one in BLOCKS if one.language not in known] == []
    assert [one.where for one in BLOCKS if one.language in OTHERS and not one.why_not] == []
    assert [one.where for one in BLOCKS if one.why_not and len(one.why_not.split()) < 2] == []


@pytest.mark.parametrize("block", _of(*COMMANDS))
def test_every_command_is_understood(block: Block) -> None:
    """Each call of `lipwise-ray` names a command and options that exist, with values and settings that they take."""
    for words in commands_of(block.script):
        try:
            parse_command(words)
        except (SystemExit, typer.Exit):  # --help and --version end there
            continue
        given = [value for word, value in itertools.pairwise(words) if word == "--set"]
        if words[:2] == ["train", "prepare"]:
            make_rules(
                {key: value for text in given for key, value in parse_assignment(f"rules.{text}")["rules"].items()}
            )
        elif words[0] == "train":
            pairs = [text.partition("=") for text in given]
            make_settings("generator", {"data": "x", "expert": "x", **{key: _value(value) for key, _, value in pairs}})
        else:
            resolve([(block.where, parse_assignment(text)) for text in given])


@pytest.mark.parametrize("block", _of("python"))
def test_python_names_what_is_there(block: Block) -> None:
    """Each block is Python, and the names of the product that it takes exist."""
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lipwise_ray"):
            home = importlib.import_module(node.module or "")
            assert [alias.name for alias in node.names if not hasattr(home, alias.name)] == []
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "lipwise_ray":
            assert hasattr(lipwise_ray, node.attr), node.attr


@pytest.mark.parametrize("block", _given("toml"))
def test_job_files_can_be_used(block: Block) -> None:
    """A block of TOML is a job file: its settings exist and its values are possible."""
    resolve([(block.where, tomllib.loads(block.text))])


@pytest.mark.parametrize("block", _given("json", "jsonl"))
def test_json_can_be_read(block: Block) -> None:
    """A block of JSON is one value, or one on each line."""
    for text in block.text.splitlines() if block.language == "jsonl" else [block.text]:
        json.loads(text)


@pytest.mark.parametrize("block", _given("yaml"))
def test_yaml_can_be_read(block: Block) -> None:
    """A block of YAML is one document or several."""
    assert list(yaml.safe_load_all(block.text))


@pytest.mark.parametrize("block", _given("csv"))
def test_manifests_are_good(block: Block, tmp_path: Path) -> None:
    """A block of CSV is a manifest without a problem once the files that it names are there."""
    rows = list(csv.DictReader(io.StringIO(block.text)))
    if "audio" not in rows[0] and "text" not in rows[0]:
        assert set(rows[0]) <= {*EVALUATED.required, *EVALUATED.optional}
        assert all(ROW_ID.match(row["id"]) for row in rows)
        return
    for name in {cell.partition("#")[0] for row in rows for cell in row.values() if _FILE.fullmatch(cell or "")}:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "rows.csv").write_text(block.text)
    manifest = read_manifest(tmp_path / "rows.csv", str(tmp_path / "out"), preset_names(ROOT / "jobs"))
    assert [str(problem) for problem in manifest.problems] == []
    assert manifest.good == len(rows)


def _steps(page: Path) -> list[Block]:
    blocks = [block for block in blocks_of(page) if block.language in COMMANDS | {"python"} or block.file]
    return [block for block in blocks if block.file or not block.why_not]


def _runs(page: Path) -> bool:
    return any(not block.file for block in _steps(page))


RUNNING = [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in PAGES if _runs(page)]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", RUNNING)
def test_a_page_works_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    """A reader who types a page's commands one after the other, in one folder, sees each of them succeed."""
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": scripts, "PYTHONPATH": str(ROOT)}
    for block in _steps(page):
        if block.file:
            path = tmp_path / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
            continue
        command = [sys.executable, "-"] if block.language == "python" else ["bash", "-eu", "-o", "pipefail", "-s"]
        done = subprocess.run(
            command, input=block.script, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == block.exit_code, f"{block.where}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


_PAGE = """
1. A step in a list.

   <!-- not run: needs a cluster -->
   ```console
   $ A=b lipwise-ray dub a.csv \\
   >   --out b --set detect.stride=2 | tee log && lipwise-ray models list
   2 models
   ```

<!-- run: touch made -->

```{tab-set-code}
~~~toml
[detect]
~~~
```
"""


def test_blocks_are_found_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In lists and tabs, with what is said of them; commands are told from prompts, output, pipes and variables."""
    monkeypatch.setattr("tests.support.documents.ROOT", tmp_path)
    (tmp_path / "page.md").write_text(_PAGE)
    shown, hidden, tab = blocks_of(tmp_path / "page.md")
    assert (shown.line, shown.why_not, hidden.script, tab.language) == (5, "needs a cluster", "touch made\n", "toml")
    assert list(commands_of(shown.script)) == [
        ["dub", "a.csv", "--out", "b", "--set", "detect.stride=2"],
        ["models", "list"],
    ]


@pytest.mark.parametrize("line", ["dubb a.csv", "dub a.csv --outt b", "cluster inti", "validate"])
def test_a_command_that_is_wrong_is_refused(line: str) -> None:
    """Commands, options and arguments of documents are held to those of the program."""
    with pytest.raises(TyperException):
        parse_command(line.split())
