"""What the documents say is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.exceptions import TyperException

import lipwise_ray
from lipwise_ray.settings.model import Settings
from tests.conftest import ROOT
from tests.support.documents import commands_of, pages, parse_command
from tests.support.dub import run

PACKAGE = Path(lipwise_ray.__file__).parent
DOCUMENTS = pages()
MOST_LINES_OF_THE_README = 120
FILES = (".py", ".md", ".toml", ".json", ".jsonl", ".csv")


def test_the_readme_is_a_front_page() -> None:
    """It is short, and begins with the two commands."""
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= MOST_LINES_OF_THE_README
    assert {"make demo", "make test"} <= {line.split("#")[0].strip() for line in lines[:10]}


def test_the_index_links_every_page() -> None:
    """Readers of the source see no table of contents: links in the text lead to the same pages, and to all of them."""
    text = (ROOT / "docs/index.md").read_text()
    lists = re.findall(r"```\{toctree\}\n(?::[^\n]*\n)*\n(.*?)\n```", text, re.DOTALL)
    listed = re.findall(r"(?:^|<)([\w/-]+)>?$", "\n".join(lists), re.MULTILINE)
    assert len(listed) > 60
    assert sorted(set(re.findall(r"^- \[.+\]\((.+)\.md\)$", text, re.MULTILINE))) == sorted(listed)
    here = [path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").glob("*/*.md")]
    assert {str(page) for page in here if page.parts[0] != "_build"} <= set(listed)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_setting_that_is_named_exists(document: Path) -> None:
    """Names like `faces.smooth_s` are keys of the settings."""
    known: dict[str, Any] = Settings().model_dump()
    for section, key in re.findall(rf"`({'|'.join(known)})\.([a-z0-9_.]+)", document.read_text()):
        if f"{section}.{key}".endswith(FILES) or (PACKAGE / section / f"{key.partition('.')[0]}.py").exists():
            continue  # a file, a module
        place = known[section]
        for part in key.split("."):
            assert part in place, f"{section}.{key}"
            place = place[part]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_within_sentences_are_understood(document: Path) -> None:
    """`lipwise-ray ...` in a sentence names a command, and options, that exist."""
    lines = re.findall(r"`(lipwise-ray [^`]+)`", document.read_text())
    wrong = {line: _unknown(words) for line in lines for words in commands_of(line.replace("...", ""))}
    assert {line: error for line, error in wrong.items() if error} == {}


def _unknown(words: list[str]) -> str:
    """Return what a call names that does not exist; a sentence may leave out what a command needs."""
    try:
        parse_command(words)
    except (SystemExit, typer.Exit, TyperException) as error:  # --help and its like end there
        return str(error) if str(error).startswith("No such") else ""
    return ""


def _file(name: str, document: Path) -> Path | None:
    """Return a file that a document names: from the root, from the package's folder, or from its own."""
    return next((path for folder in (ROOT, PACKAGE, document.parent) if (path := folder / name).exists()), None)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_is_named_is_there(document: Path) -> None:
    """Paths in the documents exist."""
    named = r"`((?:lipwise_ray|tests|jobs|models|manifests|cluster)/[\w./-]+|[\w/-]+/[\w-]+\.py)`"
    assert [name for name in re.findall(named, document.read_text()) if _file(name, document) is None] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_name_is_in_the_file_that_is_named_with_it(document: Path) -> None:
    """Classes, functions and constants that stand before a file's path are in that file."""
    for name, path in re.findall(r"`([\w.]+)` \(`([\w/-]+\.py)`\)", document.read_text()):
        file = _file(path, document)
        assert file, path
        words = set(re.findall(r"\w+", file.read_text()))
        assert words.issuperset(name.split(".")), f"{name}: {path}"


def test_the_demo_manifest_is_good() -> None:
    """`make demo` starts from rows without a problem, and the Makefile has the documented targets."""
    done = run("validate", ROOT / "manifests" / "demo.csv", "--job", ROOT / "jobs" / "demo.toml")
    assert done.returncode == 0, done.stdout
    makefile = (ROOT / "Makefile").read_text()
    assert all(
        f"\n{target}:" in makefile for target in ("demo", "test", "test-all", "check", "docs", "pictures", "bench")
    )
    assert tomllib.loads((ROOT / "jobs" / "demo.toml").read_text())["lipsync"]["model"] == "tiny_generator"
