"""Files for whoever works on the project: workflows, forms, hooks, change notes, how it is cited."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lipwise_ray.version import __version__
from tests.conftest import ROOT
from tests.support.dub import run

BIN = Path(sys.executable).parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
_OF_RUNNERS = {"cd", "docker", "python", "sed", "sha256sum"}
"""Commands of a step that a runner has by itself."""

_SCHEMAS = {
    "github-workflows": ".github/workflows/*.yml",
    "github-issue-forms": ".github/ISSUE_TEMPLATE/[0-9]*.yml",
    "github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
    "dependabot": ".github/dependabot.yml",
    "citation-file-format": "CITATION.cff",
}


def _read(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(), yaml.BaseLoader)  # texts alone: "on" is no truth value


def _steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in _read(path)["jobs"].values():
        yield from job["steps"]


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def _unknown(step: str, targets: set[str]) -> list[str]:
    """Commands of a step that neither the project nor a runner has."""
    unknown = []
    for line in step.splitlines():
        words = shlex.split(line)
        name = words[0].rpartition("/")[2]
        if name == "make":
            wanted = [word for word in words[1:] if "=" not in word]
            unknown += [f"make {word}" for word in wanted if word not in targets]
        elif "/bin/" in words[0]:
            is_there = name in PROJECT["project"]["scripts"] or (BIN / name).exists()
            unknown += [] if is_there else [name]
        elif name not in _OF_RUNNERS:
            unknown.append(name)
    return unknown


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_a_workflow_runs_is_there(path: Path) -> None:
    """Each command is a target of the Makefile, a script of the project or its tools, or a runner's own."""
    ran = [step["run"] for step in _steps(path) if "run" in step]
    assert ran
    assert [found for step in ran for found in _unknown(step, _targets())] == []


def test_a_command_that_is_nowhere_is_found() -> None:
    """The test above would see a target that was renamed, and a tool that went."""
    assert _unknown("make chekc\n.venv/bin/pip list\nx/bin/nothing-here\ncurl x", _targets()) == [
        "make chekc",
        "nothing-here",
        "curl",
    ]


def test_the_programs_own_commands_are_understood() -> None:
    """What a workflow has the installed program do exists, with the arguments that are written."""
    ran = [line for path in WORKFLOWS for step in _steps(path) for line in step.get("run", "").splitlines()]
    commands = [shlex.split(line)[1:] for line in ran if "/bin/lipwise-ray " in line]
    assert len(commands) >= 3
    for words in commands:
        done = run(*words, "--help")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_may_read_alone(path: Path) -> None:
    """They have a token that reads, run pinned actions, end by themselves, and test the Pythons that are promised."""
    found = _read(path)
    assert found["permissions"] == {"contents": "read"}
    for job in found["jobs"].values():
        assert "permissions" not in job
        assert int(job["timeout-minutes"]) <= 180
    uses = [line.strip() for line in path.read_text().splitlines() if "uses:" in line]
    assert all(re.fullmatch(r"- uses: actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line) for line in uses), uses


def test_every_promised_python_is_tested() -> None:
    """The matrix has those of the classifiers, from the oldest that pip accepts on."""
    matrix = _read(ROOT / ".github" / "workflows" / "test.yml")["jobs"]["unit"]["strategy"]["matrix"]["python"]
    named = [one.rpartition(" ")[2] for one in PROJECT["project"]["classifiers"] if re.search(r":: 3\.\d+$", one)]
    assert matrix == named
    assert PROJECT["project"]["requires-python"] == f">={matrix[0]}"


_BOUNDED = """
[project]
dependencies = ["one>=1,<2"]
[project.optional-dependencies]
more = ["two[extra]>=1.5,<3.1", "three"]
[project.scripts]
[tool.other]
requires = "four>=1,<2"
"""


def test_the_nightly_job_strikes_out_upper_bounds(tmp_path: Path) -> None:
    """What is left is the same project, without one, and with all its lower bounds; that job runs this test too."""
    (step,) = [one["run"] for one in _steps(ROOT / ".github/workflows/newest.yml") if "sed" in one.get("run", "")]

    def struck(text: str) -> dict[str, Any]:
        (tmp_path / "pyproject.toml").write_text(text)
        subprocess.run(["sh", "-ec", step], cwd=tmp_path, check=True)
        return tomllib.loads((tmp_path / "pyproject.toml").read_text())

    changed = struck((ROOT / "pyproject.toml").read_text())
    before, after = (
        [
            text
            for texts in [one["project"]["dependencies"], *one["project"]["optional-dependencies"].values()]
            for text in texts
        ]
        for one in (PROJECT, changed)
    )
    assert [text.partition(",<")[0] for text in before] == after
    assert PROJECT["tool"] == changed["tool"]
    planted = struck(_BOUNDED)
    assert planted["project"] == {
        "dependencies": ["one>=1"],
        "optional-dependencies": {"more": ["two[extra]>=1.5", "three"]},
        "scripts": {},
    }
    assert planted["tool"]["other"]["requires"] == "four>=1,<2"


@pytest.mark.parametrize("schema", _SCHEMAS)
def test_files_for_the_host_are_as_it_reads_them(schema: str, tmp_path: Path) -> None:
    """By the schemas that come with the checker; an unknown key is found."""
    files = sorted(ROOT.glob(_SCHEMAS[schema]))
    assert files
    broken = tmp_path / "broken.yml"
    broken.write_text("nobody-knows-this: 1\n")

    def checked(*paths: Path) -> subprocess.CompletedProcess[str]:
        words = [BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *paths]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    done = checked(*files)
    assert done.returncode == 0, done.stdout
    assert checked(broken).returncode == 1


def test_bugs_are_reported_with_what_is_needed() -> None:
    """The form asks for the doctor's findings and the dead letter, and its commands are the program's."""
    form = _read(ROOT / ".github" / "ISSUE_TEMPLATE" / "1-bug.yml")
    fields = {field["id"]: field for field in form["body"] if "id" in field}
    assert fields["doctor"]["attributes"]["label"] == "lipwise-ray doctor --json"
    assert fields["doctor"]["validations"]["required"] == "true"
    assert "STATE/quarantine/" in fields["letter"]["attributes"]["description"]


def test_hooks_run_without_a_network(tmp_path: Path) -> None:
    """They are those of the environment: a fault in a file is found, with nothing fetched."""
    hooks = [hook for repo in _read(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert [_unknown(hook["entry"], _targets()) for hook in hooks] == [[]] * len(hooks)
    shutil.copy(ROOT / ".pre-commit-config.yaml", tmp_path)
    (tmp_path / ".venv").symlink_to(BIN.parent)
    (tmp_path / "pyproject.toml").write_text("[tool.ruff.lint]\nselect = ['F']\n")
    (tmp_path / "a.py").write_text("import os\n")
    for words in (["init", "--quiet"], ["add", "a.py"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    environment = {**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "cache"), "https_proxy": "http://127.0.0.1:9"}
    words = [BIN / "pre-commit", "run", "ruff", "--files", "a.py"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "F401" in done.stdout, done.stdout + done.stderr


def test_change_notes_are_collected(tmp_path: Path) -> None:
    """A release puts them under its number, above what was; one of an unknown type is refused."""
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "changes", tmp_path / "changes")
    (tmp_path / "changes" / "+planted.fixed.md").write_text("A planted note.\n")

    def build(*words: str) -> subprocess.CompletedProcess[str]:
        program = [BIN / "towncrier", "build", "--version", "9.9.9", "--date", "2026-01-01", *words]
        return subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)

    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    assert build("--yes").returncode == 0
    text = (tmp_path / "CHANGELOG.md").read_text()
    head, _, rest = text.partition("## 9.9.9 (2026-01-01)")
    assert head.startswith("# Changelog")
    assert "- A planted note." in rest.partition("\n## ")[0]
    assert text.endswith((ROOT / "CHANGELOG.md").read_text().partition("change notes begin -->")[2].lstrip())
    assert [path.name for path in (tmp_path / "changes").iterdir()] == ["README.md"]
    (tmp_path / "changes" / "+planted.bettered.md").write_text("Of no type.\n")
    assert build("--draft").returncode != 0


def test_change_notes_have_names_of_no_number() -> None:
    """There are no numbers of issues in the changelog, which only their host could read."""
    assert [
        path.name for path in (ROOT / "changes").iterdir() if path.name != "README.md" and path.name[0] != "+"
    ] == []


def test_it_is_cited_as_what_it_is() -> None:
    """Version, licence and author are those of the package."""
    found, project = _read(ROOT / "CITATION.cff"), PROJECT["project"]
    assert (found["version"], found["license"]) == (__version__, project["license"])
    assert [one["name"] for one in found["authors"]] == [one["name"] for one in project["authors"]]


def test_the_dev_container_installs_what_make_does() -> None:
    """It makes the stamp that every target waits for."""
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    first, second = container["postCreateCommand"].split(" && ")
    assert first == "make .venv/installed"
    assert _unknown(second, _targets()) == []


def test_documents_name_files_that_are_there() -> None:
    """Whoever follows a link or a path of the contributor's pages gets somewhere."""
    for name in ("CONTRIBUTING.md", "RELEASING.md", "SECURITY.md", "CODE_OF_CONDUCT.md"):
        text = (ROOT / name).read_text()
        links = [link.partition("#")[0] for link in re.findall(r"\]\(([^):]+)\)", text)]
        paths = re.findall(r"`((?:tests|cluster|changes|\.devcontainer|lipwise_ray)/[\w./-]*\w)`", text)
        assert [one for one in [*links, *paths] if not (ROOT / one).exists()] == [], name
        targets = re.findall(r"\bmake ([a-z-]+)`", text)
        assert set(targets) <= _targets(), name
