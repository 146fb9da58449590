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

from lipwise_ray.engine.metrics import METRICS
from lipwise_ray.engine.night_record import NIGHT_METRICS
from tests.conftest import ROOT

FOLDER = ROOT / "cluster" / "metrics"
DASHBOARD = json.loads((FOLDER / "grafana-dashboard.json").read_text())
SHOWN = {
    *(f"{name}_total" for name, metric in METRICS.items() if metric.kind == "counter"),
    *(name for name, metric in METRICS.items() if metric.kind == "gauge"),
    *(f"{name}_{end}" for name, metric in METRICS.items() if metric.kind == "histogram" for end in ("bucket", "sum")),
}


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
    assert {re.sub(r"_(total|bucket|sum)$", "", name) for name in names} == set(METRICS)
    for text in _expressions():
        labels = {label for group in re.findall(r"by \(([^)]*)\)", text) for label in group.split(", ")} - {"le"}
        (name,) = {re.sub(r"_(total|bucket|sum)$", "", found) for found in re.findall(r"(lipwise_\w+)\"", text)}
        assert labels <= set(METRICS[name].labels), text


def test_prometheus_understands_its_files(tmp_path: Path) -> None:
    """Prometheus's own check is content with the configuration and with the queries, and sees a typo."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool (Debian's prometheus)")

    def checked(text: str) -> int:
        (tmp_path / "p.yml").write_text(text)
        return subprocess.run(
            [promtool, "check", "config", tmp_path / "p.yml"], check=False, capture_output=True
        ).returncode

    text = (FOLDER / "prometheus.yml").read_text()
    shutil.copy(FOLDER / "alerts.yml", tmp_path)
    assert checked(text) == 0
    assert checked(text.replace("scrape_interval", "scrape_intervall")) != 0
    rules = [{"record": f"test:{number}", "expr": text} for number, text in enumerate(_expressions())]
    rules = [{**rule, "expr": rule["expr"].replace("$__range", "6h")} for rule in rules]
    (tmp_path / "r.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", tmp_path / "r.yml"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


def test_alerts_are_about_metrics_that_exist() -> None:
    """Every name in a rule is one that a night leaves, and each figure that can be bad has an alert."""
    names = {name for rule in _rules() for name in re.findall(r"lipwise_\w+", rule["expr"])}
    assert names == set(NIGHT_METRICS)
    assert all(set(rule) <= {"alert", "expr", "for", "labels", "annotations"} for rule in _rules())
    assert yaml.safe_load((FOLDER / "prometheus.yml").read_text())["rule_files"] == ["alerts.yml"]


def test_alerts_ring_when_they_should(tmp_path: Path) -> None:
    """Prometheus's own test of rules: a bad night, none for two days, and a good one, which is quiet."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool (Debian's prometheus)")
    rules = [{name: value for name, value in rule.items() if name != "annotations"} for rule in _rules()]
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump({"groups": [{"name": "nights", "rules": rules}]}))

    def series(**values: str) -> list[dict[str, str]]:
        return [{"series": f'lipwise_night_{name}{{instance="a"}}', "values": value} for name, value in values.items()]

    def rings(alert: str, at: str, *, often: int) -> dict[str, Any]:
        labels = {rule["alert"]: rule["labels"] for rule in _rules()}[alert]
        found = [{"exp_labels": {"instance": "a", **labels}}] * often
        return {"eval_time": at, "alertname": alert, "exp_alerts": found}

    good = series(exit_code="0x3000", last_success_timestamp_seconds="0x3000", end_timestamp_seconds="0x3000")
    bad = series(exit_code="1x3000", end_timestamp_seconds="0x3000")
    tests = {
        "rule_files": ["alerts.yml"],
        "tests": [
            {"interval": "1m", "input_series": good, "alert_rule_test": [
                rings("LipwiseNightFailed", "24h", often=0), rings("LipwiseNoGoodNight", "24h", often=0),
                rings("LipwiseNeverAGoodNight", "48h", often=0), rings("LipwiseNoGoodNight", "48h", often=1),
            ]},
            {"interval": "1m", "input_series": bad, "alert_rule_test": [
                rings("LipwiseNightFailed", "1h", often=1), rings("LipwiseNeverAGoodNight", "30h", often=1),
            ]},
        ],
    }  # fmt: skip
    (tmp_path / "t.yml").write_text(yaml.safe_dump(tests))
    done = subprocess.run([promtool, "test", "rules", tmp_path / "t.yml"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_kubernetes_scrape_config() -> None:
    """Known keys, and the label and the port that the pods have."""
    (job,) = yaml.safe_load((FOLDER / "kubernetes-scrape.yml").read_text())
    assert set(job) == {"job_name", "kubernetes_sd_configs", "relabel_configs", "metric_relabel_configs"}
    known = {"source_labels", "regex", "action", "target_label"}
    assert all(set(rule) <= known for rule in job["relabel_configs"] + job["metric_relabel_configs"])
    assert "app.kubernetes.io/name: lipwise-ray" in (ROOT / "cluster" / "kuberay" / "rayjob.yaml").read_text()
