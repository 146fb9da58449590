"""The files for Prometheus and Grafana: understood by their own readers, and about metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lipwise_ray.scheduler.metrics import METRICS
from tests.conftest import ROOT
from tests.support.metric_names import ALL, METRICS_FOLDER, SHOWN

DASHBOARD = json.loads((METRICS_FOLDER / "grafana-dashboard.json").read_text())


def _expressions() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def _lost(given: Any, understood: Any, at: str = "") -> list[str]:
    """Return what is in a document and not in what its reader understood."""
    if isinstance(given, dict):
        return [
            place
            for name, value in given.items()
            for place in (
                _lost(value, understood[name], f"{at}/{name}")
                if isinstance(understood, dict) and name in understood
                else [f"{at}/{name}"]
            )
        ]
    if isinstance(given, list):
        return [
            place
            for number, value in enumerate(given)
            for place in _lost(value, understood[number] if number < len(understood) else None, f"{at}/{number}")
        ]
    return [] if given == understood else [at]


def _understood(dashboard: Any) -> Any:
    from grafana_foundation_sdk.cog import plugins
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    plugins.register_default_plugins()
    return json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))


def test_grafana_understands_the_dashboard() -> None:
    """Grafana's own model of dashboards loses nothing of it; a misspelt name is lost."""
    assert _lost(DASHBOARD, _understood(DASHBOARD)) == []
    misspelt = json.loads(json.dumps(DASHBOARD).replace('"fieldConfig"', '"fieldConfg"', 1))
    assert _lost(misspelt, _understood(misspelt))
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_panels_are_about_metrics_that_exist() -> None:
    """Every name in a query is one that is exported, split by labels that it has; every metric is shown."""
    names = [name for text in _expressions() for name in re.findall(r'__name__=~"\(ray_\)\?(\w+)"', text)]
    assert set(names) <= SHOWN
    assert set(METRICS) <= {re.sub(r"_(total|bucket|sum)$", "", name) for name in names}
    for text in _expressions():
        labels = {label for group in re.findall(r"by \(([^)]*)\)", text) for label in group.split(", ")} - {"le"}
        (name,) = {re.sub(r"_(total|bucket|sum)$", "", found) for found in re.findall(r"(lipwise_\w+)\"", text)}
        assert labels <= set(ALL[name].all_labels), text


def test_prometheus_understands_its_files(tmp_path: Path) -> None:
    """Prometheus's own check is content with the configuration and with the queries, and sees a typo."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool (Debian's prometheus)")

    def checked(text: str) -> tuple[int, str]:
        (tmp_path / "p.yml").write_text(text)
        done = subprocess.run([promtool, "check", "config", tmp_path / "p.yml"], check=False, capture_output=True)
        return done.returncode, (done.stdout + done.stderr).decode()

    text = (METRICS_FOLDER / "prometheus.yml").read_text()
    for name in ("figures.yml", "alerts.yml"):
        shutil.copy(METRICS_FOLDER / name, tmp_path)
    code, told = checked(text)
    assert code == 0, told
    assert checked(text.replace("scrape_interval", "scrape_intervall"))[0] != 0
    rules = [{"record": f"test:{number}", "expr": text} for number, text in enumerate(_expressions())]
    rules = [{**rule, "expr": rule["expr"].replace("$__range", "6h")} for rule in rules]
    (tmp_path / "r.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", tmp_path / "r.yml"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_kubernetes_scrape_config() -> None:
    """Known keys, and the label and the port that the pods have."""
    (job,) = yaml.safe_load((METRICS_FOLDER / "kubernetes-scrape.yml").read_text())
    keys = {"job_name", "scrape_interval", "kubernetes_sd_configs", "relabel_configs", "metric_relabel_configs"}
    assert set(job) == keys
    known = {"source_labels", "regex", "action", "target_label"}
    assert all(set(rule) <= known for rule in job["relabel_configs"] + job["metric_relabel_configs"])
    assert "app.kubernetes.io/name: lipwise-ray" in (ROOT / "cluster" / "kuberay" / "rayjob.yaml").read_text()
