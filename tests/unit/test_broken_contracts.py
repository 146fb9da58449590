"""Contracts between modules, broken in a copy: the type checker reports each."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CONTRACTS = {
    "a field of a probe's result": ("pipeline/flows/task_kinds.py", "ProbeResult", "to_do"),
    "a field of a job's result": ("state/job_result.py", "DubResult", "bytes_total"),
    "a word that render tasks are told": ("pipeline/flows/task_kinds.py", "RenderPayload", "original"),
    "a field of a network's role": ("models/role.py", "ModelRole", "in_job_id"),
}
"""Where each is declared: its module, class and field."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_type_checker_sees_broken_contracts(tmp_path: Path) -> None:
    """A field that has another name by now is reported in a module that goes by the old one."""
    package = tmp_path / "lipwise_ray"
    shutil.copytree(ROOT / "lipwise_ray", package, ignore=shutil.ignore_patterns("__pycache__"))
    for module, owner, field in CONTRACTS.values():
        path = package / module
        text, count = re.subn(
            rf"(class {owner}\b.*?^    ){field}(:)",
            r"\1renamed\2",
            path.read_text("utf-8"),
            count=1,
            flags=re.DOTALL | re.MULTILINE,
        )
        assert count == 1, f"{module} has no {owner}.{field}"
        path.write_text(text, "utf-8")
    settings = {"include": ["lipwise_ray"], "typeCheckingMode": "basic", "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    errors = [found for found in json.loads(done.stdout)["generalDiagnostics"] if found["severity"] == "error"]
    missed = [
        what
        for what, (module, _, field) in CONTRACTS.items()
        if not any(f'"{field}"' in found["message"] and not found["file"].endswith(module) for found in errors)
    ]
    assert missed == []
