"""What the documents say is there."""

from __future__ import annotations

import itertools
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

import lipwise_ray
from lipwise_ray.cli.train import _value
from lipwise_ray.pipeline.manifest.dub_rows import DUBBED
from lipwise_ray.pipeline.manifest.evaluation_rows import EVALUATED
from lipwise_ray.settings.layers import fallbacks, parse_assignment, resolve
from lipwise_ray.settings.model import Settings
from lipwise_ray.training.settings import make_settings
from tests.conftest import ROOT
from tests.support.dub import run

README = (ROOT / "README.md").read_text()
PACKAGE = Path(lipwise_ray.__file__).parent
DOCUMENTS = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "EXTENDING.md", "cluster/README.md")]
COMMANDS = sorted(
    {line.strip() for text in re.findall(r"```\n(.*?)```", README, re.DOTALL) for line in text.splitlines()}
    | set(re.findall(r"`(lipwise-ray [^`]+)`", README))
)
COMMANDS = [line for line in COMMANDS if line.startswith("lipwise-ray ")]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_readme_is_understood(line: str) -> None:
    """Each command exists with the options that are written, and its settings are known."""
    words = shlex.split(line.split(" or ", maxsplit=1)[0])[1:]
    done = run(*words, "--help")
    assert done.returncode == 0, done.stderr
    layers: list[tuple[str, dict[str, Any]]] = []
    for word, value in itertools.pairwise(words):
        if word == "--set" and words[0] == "train":
            make_settings(
                "generator", {"data": "x", "expert": "x", value.partition("=")[0]: _value(value.partition("=")[2])}
            )
        elif word == "--set":
            layers.append((line, parse_assignment(value)))
    resolve(layers)


def test_every_setting_of_the_readme_exists() -> None:
    """Names like `faces.smooth_s` are keys of the settings."""
    known: dict[str, Any] = Settings().model_dump()
    sections = "|".join(known)
    found = re.findall(rf"`({sections})\.([a-z_.]+)", README)
    assert len(found) > 10
    for section, key in found:
        place = known[section]
        for part in key.split("."):
            assert part in place, f"{section}.{key}"
            place = place[part]


def test_every_column_is_described() -> None:
    """The table of columns has all of them; those of videos that are evaluated stand where that is told."""
    table = README.split("### Manifest columns")[1].split("###")[0]
    assert set(re.findall(r"`(\w+)`", table)) >= set(DUBBED.all)
    text = README.split("A manifest of videos has")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", text)) >= set(EVALUATED.all)


def test_the_gate_of_the_readme_is_one() -> None:
    """Its example is a job file that can be used."""
    (text,) = re.findall(r"```toml\n(\[gate\].*?)```", README, re.DOTALL)
    settings = resolve([("README", tomllib.loads(text))])
    assert len(fallbacks(settings)) == 2


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
    assert all(f"\n{target}:" in makefile for target in ("demo", "test", "test-all", "check", "bench"))
    assert tomllib.loads((ROOT / "jobs" / "demo.toml").read_text())["lipsync"]["model"] == "tiny_generator"
