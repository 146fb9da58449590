"""What `doctor` says of a cluster's nodes."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lipwise_ray.cli import doctor, node_checks
from lipwise_ray.cli.app import app
from lipwise_ray.settings.execution import PathsSettings
from lipwise_ray.settings.layers import resolve
from lipwise_ray.settings.model import Settings


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_no_secret_of_a_node_is_shown(form: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a node's store or process says may hold a key, and a cluster keeps what its jobs print."""
    said = "10.0.0.2: https://me:hunter2@host/x?X-Amz-Signature=abcdef0123: cannot be read"
    monkeypatch.setattr(node_checks, "everywhere", lambda *_: iter([(False, "place", said)]))
    done = CliRunner().invoke(app, ["doctor", "--address", "auto", *form])
    assert done.exit_code == 1
    assert "10.0.0.2: https://" in done.output
    assert not [secret for secret in ("hunter2", "abcdef0123") if secret in done.output]


def test_a_missing_downloader_is_a_fault_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it is only mentioned; the extra is named either way."""
    known = importlib.metadata.version

    def version(package: str) -> str:
        if package == "yt-dlp":
            raise importlib.metadata.PackageNotFoundError(package)
        return known(package)

    monkeypatch.setattr(importlib.metadata, "version", version)
    web = {"downloader": "yt-dlp", "schemes": ("https",), "hosts": ("video.test",)}
    for paths, good in ((PathsSettings(), True), (PathsSettings(**web), False)):
        is_good, _, text = doctor.downloader_line(Settings(paths=paths))
        assert is_good is good
        assert "not installed" in text
        assert "web" in text


def _pocket_lines(engine: str, models: Path) -> list[str]:
    settings = resolve([("test", {"tts": {"engine": engine}, "paths": {"models": str(models)}})])
    return [text for _, _, text in doctor.check_here(settings, computes=False) if "pocket" in text]


def test_the_files_that_speak_texts_are_looked_for(tmp_path: Path) -> None:
    """Where a job names their engine: one that names none may have no texts."""
    pytest.importorskip("pocket_tts", reason="extra pocket is not installed")
    assert _pocket_lines("auto", tmp_path) == []
    found = _pocket_lines("pocket", tmp_path)
    assert ["models pull pocket_spanish_tokenizer`" in text for text in found] == [False, True]


def test_an_engine_of_texts_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that brings it, where a job names it."""
    monkeypatch.setitem(sys.modules, "pocket_tts", None)
    (line,) = _pocket_lines("pocket", tmp_path)
    assert "pip install 'lipwise-ray[pocket]'" in line
