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

from lipwise_ray.scheduler.metrics import METRICS, NIGHT_METRICS, STATE_LABEL
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
    assert [group["name"] for group in groups] == ["lipwise-nights", "lipwise-kubernetes", "lipwise-runs"]
    return [rule for group in groups for rule in group["rules"]]


def test_alerts_are_about_metrics_that_exist() -> None:
    """Every name in a rule is one that is exported, each figure of a night has an alert, and the state is told."""
    names = {name for rule in _rules() for name in re.findall(r"lipwise_\w+", rule["expr"])}
    assert names <= SHOWN
    assert set(NIGHT_METRICS) <= names
    for rule in _rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert told <= set(_labels(rule)), rule["alert"]
        assert told or rule["alert"] == "LipwiseNoNightKnown"
    assert yaml.safe_load((FOLDER / "prometheus.yml").read_text())["rule_files"] == ["alerts.yml"]


def _labels(rule: dict[str, Any]) -> dict[str, str]:
    """Return the labels that an alert has in tests, besides its own."""
    name = rule["alert"].removeprefix("Lipwise")
    if name == "NoNightKnown":
        return {}
    if name == "CronJobFailed":
        return {"namespace": "n", "job_name": "lipwise-nightly-1"}
    return {"namespace": "n", "cronjob": "lipwise-nightly"} if name.startswith("CronJob") else {STATE_LABEL: "s"}


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
    labels = {"lipwise_queue_depth": "lane", "lipwise_workers": "state", "lipwise_run_rows": "status"}
    labels |= {"lipwise_frames_total": "task", "lipwise_night_rows": "state"}
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
    lipwise_run_rows__done="0+1x600",
    lipwise_run_rows__failed="0x600",
    lipwise_run_quarantined="0x600",
    lipwise_lease_beat_timestamp_seconds="0+60x600",
)
"""A run of ten hours in which nothing is wrong."""

_TIMER = '{cronjob="lipwise-nightly",namespace="n"}'


def _timer(**figures: str) -> dict[str, str]:
    """Return what kube-state-metrics shows of Kubernetes' timer, made at the beginning."""
    known = {"info": "1x720", "created": "0x720", "spec_suspend": "0x720", **figures}
    return {f"kube_cronjob_{name}{_TIMER}": values for name, values in known.items()}


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
    (
        "one that does not begin",
        _nights("well", days=2),
        {"47h": set(), "51h": {"NightNotStarted"}, "70h": {"NightNotStarted", "NoGoodNight"}},
    ),
    (
        "short nights of a cluster, whose ends are seen a night later, at every time of the day",
        _nights("well", prefix="ray_", hours=2),
        {f"{hours}h": set() for hours in range(3, 120, 9)},
    ),
    (
        "nights of a cluster that do not begin any more",
        _nights("well", prefix="ray_", days=2),
        {"40h": set(), "67h": set(), "70h": {"NoGoodNightOnCluster"}, "119h": {"NoGoodNightOnCluster"}},
    ),
    ("no night ever", {'up{job="node"}': "1x720"}, {"25h": set(), "28h": {"NoNightKnown"}}),
    (
        "a timer of Kubernetes' that never starts a night",
        _timer(),
        {"25h": set(), "28h": {"CronJobNotStarted"}, "40h": {"CronJobNotStarted", "CronJobNotGood"}},
    ),
    ("one that is not meant to", _timer(spec_suspend="1x720"), {"40h": set()}),
    (
        "one whose nights end well, with nothing to do",
        _timer(
            status_last_schedule_time=" ".join(f"{day * 86400}x143" for day in range(5)),
            status_last_successful_time=" ".join(f"{day * 86400 + 60}x143" for day in range(5)),
        ),
        {"20h": set(), "47h": set(), "119h": set()},
    ),
    (
        "a night of Kubernetes' that failed, which is told for a day",
        {
            'kube_job_status_failed{namespace="n",job_name="lipwise-nightly-1",reason="BackoffLimitExceeded"}': "1x300",
            'kube_job_created{namespace="n",job_name="lipwise-nightly-1"}': "0x300",
        },
        {"5h": {"CronJobFailed"}, "25h": set()},
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
        "rows that fail, and a task in quarantine, as Ray shows them; with the run it is over",
        _run("ray_", lipwise_run_rows__done="0+7x60", lipwise_run_rows__failed="0+1x60",
             lipwise_run_quarantined="0x29 1x30", lipwise_lease_beat_timestamp_seconds="1+60x60 0x30"),
        {"9m": set(), "20m": {"RowsFail"}, "40m": {"RowsFail", "Quarantine"}, "80m": set()},
    ),
    (
        "the same by its file, which stays",
        _run(lipwise_run_rows__done="7x90", lipwise_run_rows__failed="1x90", lipwise_run_quarantined="1x90",
             lipwise_lease_beat_timestamp_seconds="1+60x30 0x60"),
        {"20m": {"RowsFail", "Quarantine"}, "40m": set()},
    ),
    (
        "a driver that was killed, whose file stays",
        _run(lipwise_lease_beat_timestamp_seconds="0+60x20 1200x60"),
        {"20m": set(), "30m": {"DriverSilent"}},
    ),
    (
        "a driver that was killed on a cluster, where nothing of it stays",
        _run("ray_", lipwise_lease_beat_timestamp_seconds="0+60x20"),
        {"20m": set(), "30m": {"DriverSilent"}, "60m": set()},
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
    step = f"{_NIGHTS_STEP if any(re.match(r'.*night_begin|kube_|up', name) for name in series) else 1}m"

    def expected(rule: dict[str, Any], at: str) -> dict[str, Any]:
        labels = {**_labels(rule), **rule["labels"]}
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
    keys = {"job_name", "scrape_interval", "kubernetes_sd_configs", "relabel_configs", "metric_relabel_configs"}
    assert set(job) == keys
    known = {"source_labels", "regex", "action", "target_label"}
    assert all(set(rule) <= known for rule in job["relabel_configs"] + job["metric_relabel_configs"])
    assert "app.kubernetes.io/name: lipwise-ray" in (ROOT / "cluster" / "kuberay" / "rayjob.yaml").read_text()
