"""What the documents say is there."""

from __future__ import annotations

import itertools
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

import lipwise_ray
from lipwise_ray.pipeline.manifest.dub_rows import DUBBED
from lipwise_ray.pipeline.manifest.evaluation_rows import EVALUATED
from lipwise_ray.settings.layers import fallbacks, parse_assignment, resolve
from lipwise_ray.settings.model import Settings
from tests.conftest import ROOT
from tests.support.documents import parse_command
from tests.support.dub import run

PACKAGE = Path(lipwise_ray.__file__).parent
PROSE = [path for folder in ("tutorials", "howto", "explanation") for path in (ROOT / "docs" / folder).glob("*.md")]
FOR_USERS = [ROOT / "README.md", *sorted(PROSE)]
DOCUMENTS = [*FOR_USERS, *(ROOT / name for name in ("ARCHITECTURE.md", "EXTENDING.md", "cluster/README.md"))]
MOST_LINES_OF_THE_README = 120


def _named(document: Path) -> str:
    return str(document.relative_to(ROOT))


def test_the_readme_is_a_front_page() -> None:
    """It is short, and begins with the two commands."""
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= MOST_LINES_OF_THE_README
    assert {"make demo", "make test"} <= {line.split("#")[0].strip() for line in lines[:10]}


@pytest.mark.parametrize("document", FOR_USERS, ids=_named)
def test_every_command_within_a_sentence_is_understood(document: Path) -> None:
    """Each exists with the options that are written, and its settings are known."""
    for line in sorted(set(re.findall(r"`(lipwise-ray [^`]+)`", document.read_text()))):
        words = shlex.split(line)[1:]
        if words == ["--install-completion"]:  # it would
            continue
        with pytest.raises(typer.Exit):
            parse_command([*words, "--help"])
        resolve([(line, parse_assignment(value)) for word, value in itertools.pairwise(words) if word == "--set"])


def test_every_setting_that_is_named_exists() -> None:
    """Names like `faces.smooth_s` are keys of the settings."""
    known: dict[str, Any] = Settings().model_dump()
    sections = "|".join(known)
    found = {one for path in FOR_USERS for one in re.findall(rf"`({sections})\.([a-z_.]+)", path.read_text())}
    assert len(found) > 100
    for section, key in found:
        place = known[section]
        for part in key.split("."):
            assert part in place, f"{section}.{key}"
            place = place[part]


def test_every_column_is_described() -> None:
    """The page of columns has all of them, and so has that of finished videos."""
    tables = (ROOT / "docs/reference/manifest.md").read_text().split("## Rows to be evaluated")
    assert set(re.findall(r"`(\w+)`", tables[0])) >= set(DUBBED.all)
    assert set(re.findall(r"`(\w+)`", tables[1])) >= set(EVALUATED.all)
    text = (ROOT / "docs/howto/score-finished-videos.md").read_text()
    assert set(re.findall(r"`(\w+)`", text)) >= set(EVALUATED.all)


def test_the_gate_of_the_documents_is_one() -> None:
    """Its example is a job file that can be used."""
    (text,) = re.findall(
        r"```toml\n(\[gate\].*?)```", (ROOT / "docs/howto/gates-and-retries.md").read_text(), re.DOTALL
    )
    settings = resolve([("gates-and-retries.md", tomllib.loads(text))])
    assert len(fallbacks(settings)) == 2


def _file(name: str, document: Path) -> Path | None:
    """Return a file that a document names: from the root, from the package's folder, or from its own."""
    return next((path for folder in (ROOT, PACKAGE, document.parent) if (path := folder / name).exists()), None)


@pytest.mark.parametrize("document", DOCUMENTS, ids=_named)
def test_every_file_that_is_named_is_there(document: Path) -> None:
    """Paths in the documents exist."""
    named = r"`((?:lipwise_ray|tests|jobs|models|manifests|cluster)/[\w./-]+|[\w/-]+/[\w-]+\.py)`"
    assert [name for name in re.findall(named, document.read_text()) if _file(name, document) is None] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=_named)
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
    targets = ("demo", "test", "test-all", "check", "docs", "pictures", "bench")
    assert all(f"\n{target}:" in makefile for target in targets)
    assert tomllib.loads((ROOT / "jobs" / "demo.toml").read_text())["lipsync"]["model"] == "tiny_generator"
