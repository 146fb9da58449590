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

from lipwise_ray.engine.metrics import METRICS, NIGHT_METRICS, STATE_LABEL
from tests.conftest import ROOT

FOLDER = ROOT / "cluster" / "metrics"
DASHBOARD = json.loads((FOLDER / "grafana-dashboard.json").read_text())
ALL = METRICS | NIGHT_METRICS
SHOWN = {
    *(f"{name}_total" for name, metric in METRICS.items() if metric.kind == "counter"),
    *(name for name, metric in ALL.items() if metric.kind == "gauge"),
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
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    assert [group["name"] for group in groups] == ["lipwise-nights", "lipwise-runs"]
    return [rule for group in groups for rule in group["rules"]]


def test_alerts_are_about_metrics_that_exist() -> None:
    """Every name in a rule is one that is exported, each figure of a night has an alert, and the state is told."""
    names = {name for rule in _rules() for name in re.findall(r"lipwise_\w+", rule["expr"])}
    assert names <= SHOWN
    assert set(NIGHT_METRICS) <= names
    for rule in _rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert f"$labels.{STATE_LABEL}" in rule["annotations"]["summary"]
    assert yaml.safe_load((FOLDER / "prometheus.yml").read_text())["rule_files"] == ["alerts.yml"]


_DAYS = 5
_NIGHTS_STEP = 10
"""Minutes between two values of a night's figures; a run's have one a minute."""


def _nights(ends: str, *, prefix: str = "", days: int = _DAYS, hours: int = 8, code: int = 0) -> dict[str, str]:
    """Return the figures of nights that begin at midnight, as a file or (with a prefix) Ray has them.

    Args:
        ends: ``well``, ``badly``, or ``never``.
        prefix: ``ray_`` for what a cluster of a night's own shows while it is there.
        days: How many nights there are; then nothing changes any more.
        hours: How long a night takes.
        code: What bad nights end with.
    """
    begin, running, end, success, exit_code = ([] for _ in range(5))
    is_ray = bool(prefix)
    for step in range(_DAYS * 24 * 60 // _NIGHTS_STEP):
        day, of_day = divmod(step * _NIGHTS_STEP, 24 * 60)
        is_on = (day < days and of_day < hours * 60) or ends == "never"
        day = min(day, days - 1) if ends != "never" else 0
        ended = None if ends == "never" else (day if not is_on else day - 1)
        last = None if ended is None or ended < 0 else ended * 86400 + hours * 3600
        gone = is_ray and not is_on
        begin.append("_" if gone else str(day * 86400))
        running.append("_" if gone else str(int(is_on)))
        end.append("_" if last is None or is_ray else str(last))
        success.append("_" if last is None or ends != "well" or gone else str(last))
        exit_code.append("_" if last is None or is_ray else str(0 if ends == "well" else code))
    found = {
        "begin_timestamp_seconds": begin,
        "running": running,
        "end_timestamp_seconds": end,
        "last_success_timestamp_seconds": success,
        "exit_code": exit_code,
    }
    return {f'{prefix}lipwise_night_{name}{{{STATE_LABEL}="s"}}': " ".join(values) for name, values in found.items()}


def _run(prefix: str = "", **figures: str) -> dict[str, str]:
    """Return figures of a run that is on: name, or name and a label's value after two underscores."""
    labels = {"lipwise_queue_depth": "lane", "lipwise_workers": "state", "lipwise_rows_total": "status"}
    labels |= {"lipwise_tasks_total": "outcome", "lipwise_frames_total": "task", "lipwise_night_rows": "state"}
    found = {}
    for told, values in figures.items():
        name, _, value = told.partition("__")
        more = f',{labels[name]}="{value}"' if value else ""
        found[f'{prefix}{name}{{{STATE_LABEL}="s"{more}}}'] = values
    return found


_WELL = _run(
    lipwise_queue_depth__gpu="9x600",
    lipwise_workers__busy="2x600",
    lipwise_frames_total__render="0+900x600",
    lipwise_rows_total__done="0+1x600",
    lipwise_rows_total__failed="0x600",
    lipwise_lease_beat_timestamp_seconds="0+60x600",
)
"""A run of ten hours in which nothing is wrong."""

_NO_FILE_OR_RAY = ("", "ray_")
_CASES: list[tuple[str, dict[str, str], dict[str, set[str]]]] = [
    ("good nights ring nothing", _nights("well"), {"7h": set(), "20h": set(), "119h": set()}),
    (
        "bad ones ring at once, and in the second day that none is good",
        _nights("badly", code=2),
        {"7h": set(), "9h": {"NightFailed"}, "34h": {"NightFailed", "NeverAGoodNight"}},
    ),
    ("a window that closed is no failure", _nights("badly", code=3), {"9h": set(), "20h": set()}),
    (
        "one that is on for too long",
        _nights("never"),
        {"9h": set(), "11h": {"NightNotEnded"}, "27h": {"NightNotEnded", "NightNotStarted"}},
    ),
    *(
        (f"one that does not begin ({prefix or 'file'})", _nights("well", prefix=prefix, days=2), rings)
        for prefix, rings in zip(
            _NO_FILE_OR_RAY,
            (
                {"47h": set(), "51h": {"NightNotStarted"}, "70h": {"NightNotStarted", "NoGoodNight"}},
                # A cluster's last word on success is of the night before.
                {"40h": set(), "51h": {"NightNotStarted", "NoGoodNight"}},
            ),
            strict=True,
        )
    ),
    (
        "rows and manifests of a night",
        _run(lipwise_night_rows__failed="2x60", lipwise_night_rows__done="8x60")
        | _run(lipwise_night_refused_manifests="1x60"),
        {"30m": {"RowsFailed", "ManifestsRefused"}},
    ),
    ("a few rows of a night", _run(lipwise_night_rows__failed="1x60", lipwise_night_rows__done="9x60"), {"30m": set()}),
    ("a run in which nothing is wrong", _WELL, {"20m": set(), "5h": set(), "9h": set()}),
    (
        "no frames, and no workers but some that load",
        _run("ray_", lipwise_queue_depth__gpu="9x600", lipwise_workers__busy="0x600", lipwise_workers__loading="2x600"),
        {"19m": set(), "25m": {"NoWorkers"}, "40m": {"NoWorkers", "QueueWithoutFrames"}},
    ),
    (
        "workers that finish nothing",
        {**_WELL, **_run(lipwise_frames_total__render="700x600")},
        {"25m": set(), "40m": {"QueueWithoutFrames"}},
    ),
    (
        "rows that fail, and a task in quarantine, as Ray shows them",
        _run("ray_", lipwise_rows_total__done="0+7x60", lipwise_rows_total__failed="0+1x60",
             lipwise_tasks_total__quarantined="_x30 1x30"),
        {"9m": set(), "20m": {"RowsFail"}, "40m": {"RowsFail", "Quarantine"}},
    ),
    (
        "a driver that was killed, whose file stays",
        _run(lipwise_lease_beat_timestamp_seconds="0+60x20 1200x60"),
        {"20m": set(), "30m": {"DriverSilent"}},
    ),
    (
        "a driver that has ended in order",
        _run(lipwise_lease_beat_timestamp_seconds="0+60x20 0x60"),
        {"60m": set()},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("series", "rings"), [case[1:] for case in _CASES], ids=[case[0] for case in _CASES])
def test_alerts_ring_when_they_should(series: dict[str, str], rings: dict[str, set[str]], tmp_path: Path) -> None:
    """Prometheus's own test of rules: at each time these alerts ring, and no others."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool (Debian's prometheus)")
    rules = [{name: value for name, value in rule.items() if name != "annotations"} for rule in _rules()]
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    assert set().union(*rings.values()) <= {rule["alert"].removeprefix("Lipwise") for rule in rules}
    step = f"{_NIGHTS_STEP if any('night_begin' in name for name in series) else 1}m"

    def expected(rule: dict[str, Any], at: str) -> dict[str, Any]:
        labels = {STATE_LABEL: "s", **rule["labels"]}
        is_ringing = rule["alert"].removeprefix("Lipwise") in rings[at]
        return {"eval_time": at, "alertname": rule["alert"], "exp_alerts": [{"exp_labels": labels}] * is_ringing}

    test = {
        "interval": step,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [expected(rule, at) for at in rings for rule in rules],
    }
    (tmp_path / "t.yml").write_text(
        yaml.safe_dump({"rule_files": ["alerts.yml"], "evaluation_interval": step, "tests": [test]})
    )
    done = subprocess.run([promtool, "test", "rules", tmp_path / "t.yml"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_kubernetes_scrape_config() -> None:
    """Known keys, and the label and the port that the pods have."""
    (job,) = yaml.safe_load((FOLDER / "kubernetes-scrape.yml").read_text())
    assert set(job) == {"job_name", "kubernetes_sd_configs", "relabel_configs", "metric_relabel_configs"}
    known = {"source_labels", "regex", "action", "target_label"}
    assert all(set(rule) <= known for rule in job["relabel_configs"] + job["metric_relabel_configs"])
    assert "app.kubernetes.io/name: lipwise-ray" in (ROOT / "cluster" / "kuberay" / "rayjob.yaml").read_text()
