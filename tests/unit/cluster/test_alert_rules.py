"""Prometheus's rules: about metrics that exist, each with what to do, and ringing when they should."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from docs.generate.openapi import service_metrics
from lipwise_ray.runs.costs import read_prices
from lipwise_ray.scheduler.metrics import NIGHT_METRICS, STATE_LABEL
from tests.conftest import ROOT
from tests.support.metric_names import METRICS_FOLDER, SHOWN

RUNBOOK = "docs/howto/alerts.md"
_SITE = {"job": "j", "instance": "i"}


def _groups(name: str) -> dict[str, list[dict[str, Any]]]:
    return {group["name"]: group["rules"] for group in yaml.safe_load((METRICS_FOLDER / name).read_text())["groups"]}


def _alerts() -> list[dict[str, Any]]:
    groups = _groups("alerts.yml")
    assert list(groups) == ["lipwise-nights", "lipwise-kubernetes", "lipwise-runs", "lipwise-service"]
    return [rule for rules in groups.values() for rule in rules]


def _figures() -> list[dict[str, Any]]:
    (rules,) = _groups("figures.yml").values()
    return rules


def test_rules_are_about_metrics_that_exist() -> None:
    """Every name in a rule is one that is exported, or recorded by a rule; each figure of a night has an alert."""
    service = {
        f"{one.name}_total" if one.type == "counter" else one.name
        for one in text_string_to_metric_families(service_metrics())
    }
    recorded = {rule["record"] for rule in _figures()}
    for rule in [*_figures(), *_alerts()]:
        used = set(re.findall(r"\w+:\w+:\w+", rule["expr"]))
        assert used <= recorded, rule
        text = re.sub(r"\w+:\w+:\w+", "", rule["expr"])
        assert set(re.findall(r"lipwise_\w+", text)) <= SHOWN | service, rule
    assert set(NIGHT_METRICS) <= {name for rule in _alerts() for name in re.findall(r"lipwise_\w+", rule["expr"])}
    used = {name for rule in [*_figures(), *_alerts()] for name in re.findall(r"\w+:\w+:\w+", rule["expr"])}
    assert recorded - used == {"state_address:lipwise_render_frames:rate15m"}  # is for people to look at


def test_alerts_say_whose_they_are() -> None:
    """Known keys, two severities, and in the summary the state, object or machine that it is about."""
    for rule in _alerts():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert told <= set(_labels(rule)), rule["alert"]
        assert told or rule["alert"] == "LipwiseNoNightKnown"
    loaded = yaml.safe_load((METRICS_FOLDER / "prometheus.yml").read_text())["rule_files"]
    assert loaded == ["figures.yml", "alerts.yml"]


def test_every_alert_has_a_part_of_the_runbook() -> None:
    """Its link leads to a heading of the alert's own name, under which there is text; no heading is left over."""
    parts = re.split(r"^### (\w+)$", (ROOT / RUNBOOK).read_text(), flags=re.MULTILINE)
    texts = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert set(texts) == {rule["alert"] for rule in _alerts()}
    for rule in _alerts():
        assert rule["annotations"]["runbook_url"] == f"{RUNBOOK}#{rule['alert'].lower()}"
        assert len(texts[rule["alert"]].split()) > 10, rule["alert"]


def _labels(rule: dict[str, Any]) -> dict[str, str]:
    """Return the labels that an alert has in tests, besides its own."""
    name = rule["alert"].removeprefix("Lipwise")
    special: dict[str, dict[str, str]] = {
        "NoNightKnown": {},
        "CronJobFailed": {"namespace": "n", "job_name": "lipwise-nightly-1"},
        "AttemptsFail": {STATE_LABEL: "s", "cause": "crash"},
        "GpuIdle": {"ip": "10.0.0.1", "GpuIndex": "0"},
        "ServiceGone": {"job": "lipwise-service", "instance": "i"},
        "ServiceJobsFail": {**_SITE, "status": "failed"},
    }
    if name in special:
        return special[name]
    if name.startswith("Service"):
        return _SITE
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
    labels |= {"lipwise_frames_total": "task", "lipwise_night_rows": "state", "lipwise_retries_total": "cause"}
    labels |= {"lipwise_tasks_total": "outcome"}
    found = {}
    for told, values in figures.items():
        name, _, value = told.partition("__")
        more = f',{labels[name]}="{value}"' if value else ""
        found[f'{prefix}{name}{{{STATE_LABEL}="s"{more}}}'] = values
    return found


_WELL = _run(
    lipwise_queue_depth__gpu="9x600",
    lipwise_workers__busy="2x600",
    lipwise_frames_total__render="0+3000x600",
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


def _service(**figures: str) -> dict[str, str]:
    """Return gauges of a service."""
    return {f'lipwise_service_{name}{{job="j",instance="i"}}': values for name, values in figures.items()}


def _jobs(**by_status: str) -> dict[str, str]:
    """Return a service's numbers of jobs by status."""
    return {f'lipwise_service_jobs{{job="j",instance="i",status="{one}"}}': text for one, text in by_status.items()}


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
    (
        "a task in quarantine now and then, and many at once",
        {**_WELL, **_run(lipwise_run_quarantined="0x20 1x60 2x20 9x60")},
        {"10m": set(), "70m": {"Quarantine"}, "110m": {"Quarantine", "QuarantineGrows"}, "150m": {"Quarantine"}},
    ),
    (
        "attempts of which a fifth fails by one cause, a twentieth by another",
        {**_WELL, **_run(lipwise_tasks_total__done="0+75x90", lipwise_tasks_total__failed="0+25x90",
                         lipwise_retries_total__crash="0+20x90", lipwise_retries_total__input="0+5x90")},
        {"9m": set(), "30m": {"AttemptsFail"}},
    ),
    (
        "a bucket that refuses, for a while",
        {**_WELL, **_run(lipwise_tasks_total__done="0+100x120", lipwise_retries_total__storage="0x10 1+1x20 21x80")},
        {"10m": set(), "25m": {"StorageRefuses"}, "60m": set()},
    ),
    (
        "a card that refuses what the CPU does then",
        {**_WELL, **_run(lipwise_run_fallbacks="0x10 1x60")},
        {"5m": set(), "20m": {"FellBack"}},
    ),
    (
        "a run without the GPU that earlier ones had",
        {**_WELL, **_run(lipwise_gpu_memory_bytes="9e9x60 0x90")},
        {"50m": set(), "75m": set(), "100m": {"NoGpu"}},
    ),
    ("a farm that never had one", {**_WELL, **_run(lipwise_gpu_memory_bytes="0x600")}, {"100m": set()}),
    (
        "a card that nobody uses while tasks wait, and one that is used",
        {**_WELL, **_run("ray_", lipwise_queue_depth__gpu="9x60 1x60"),
         'ray_node_gpus_utilization{ip="10.0.0.1",GpuIndex="0"}': "2x120",
         'ray_node_gpus_utilization{ip="10.0.0.1",GpuIndex="1"}': "90x120"},
        {"9m": set(), "40m": {"GpuIdle"}, "100m": set()},
    ),
    (
        "workers that render little for their money",
        {**_WELL, **_run(lipwise_workers__busy="8x200", lipwise_frames_total__render="0+1500x200")},
        {"50m": set(), "130m": {"VideoHourDear"}},
    ),
    (
        "a service that does well",
        _service(ready="1x300", queue_age_seconds="0+60x30 0x270", queue_limit="100x300", webhooks_owed="0x300"),
        {"29m": set(), "200m": set()},
    ),
    (
        "one that can do nothing, and whose queue fills",
        _service(ready="1x10 0x290", queue_age_seconds="0+60x300", queue_limit="50x300", webhooks_owed="0+1x300")
        | _jobs(pending="0+1x300", processing="2x300"),
        {"10m": set(), "20m": {"ServiceNotReady"}, "54m": {"ServiceNotReady", "ServiceQueueFull"},
         "90m": {"ServiceNotReady", "ServiceQueueFull", "ServiceJobsWait", "ServiceWebhooksOwed"}},
    ),
    (
        "one that is gone",
        {'up{job="lipwise-service",instance="i"}': "1x6 0x20", 'up{job="node",instance="i"}': "0x26"},
        {"50m": set(), "80m": {"ServiceGone"}},
    ),
    (
        "jobs of which half fail, and answers with errors of the server's own",
        _jobs(completed="0+1x120", failed="0+1x120")
        | {'lipwise_service_requests_total{job="j",instance="i",status="500",route="/v2/generate"}': "0+60x120"},
        {"2m": set(), "30m": {"ServiceJobsFail", "ServiceErrors"}},
    ),
    ("jobs of which a few fail", _jobs(completed="0+4x120", failed="0x100 1+1x6 7x20"), {"60m": set(), "118m": set()}),
]  # fmt: skip


@pytest.mark.parametrize(("series", "rings"), [case[1:] for case in _CASES], ids=[case[0] for case in _CASES])
def test_alerts_ring_when_they_should(series: dict[str, str], rings: dict[str, set[str]], tmp_path: Path) -> None:
    """Prometheus's own test of rules: at each time these alerts ring, and no others."""
    alerts = [rule for rule in _alerts() if _may_ring(rule, series)]
    assert set().union(*rings.values()) <= {rule["alert"].removeprefix("Lipwise") for rule in alerts}
    step = f"{_NIGHTS_STEP if any(re.match(r'.*night_begin|kube_|up', name) for name in series) else 1}m"

    def expected(rule: dict[str, Any], at: str) -> dict[str, Any]:
        labels = {**_labels(rule), **rule["labels"]}
        is_ringing = rule["alert"].removeprefix("Lipwise") in rings[at]
        return {"eval_time": at, "alertname": rule["alert"], "exp_alerts": [{"exp_labels": labels}] * is_ringing}

    _check(tmp_path, series, step, alerts, alert_rule_test=[expected(rule, at) for at in rings for rule in alerts])


def test_every_alert_is_seen_to_ring() -> None:
    """None is left without a case in which it rings."""
    rung = {name for _, _, rings in _CASES for names in rings.values() for name in names}
    assert rung == {rule["alert"].removeprefix("Lipwise") for rule in _alerts()}


def _may_ring(rule: dict[str, Any], series: dict[str, str]) -> bool:
    """Tell whether an alert can ring: it asks for a series that is there, or for one that is not."""
    names = {name.partition("{")[0].removeprefix("ray_lip").removeprefix("lip") for name in series}
    return "absent" in rule["expr"] or ":" in rule["expr"] or any(name in rule["expr"] for name in names)


def _check(
    folder: Path, series: dict[str, str], step: str, rules: list[dict[str, Any]], **tests: list[dict[str, Any]]
) -> None:
    """Let Prometheus's own tool test rules, beside those that record figures of runs."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool (Debian's prometheus)")
    figures = _figures() if any("lipwise_frames" in name for name in series) else []
    rules = [{name: value for name, value in rule.items() if name != "annotations"} for rule in figures + rules]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    given = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": step, "input_series": given, **tests}
    told = {"rule_files": ["rules.yml"], "evaluation_interval": step, "tests": [test]}
    (folder / "t.yml").write_text(yaml.safe_dump(told))
    done = subprocess.run([promtool, "test", "rules", folder / "t.yml"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_hour_of_video_costs_what_its_workers_do(tmp_path: Path) -> None:
    """Two workers that render 50 frames a second make two hours of video an hour: one costs a worker's hour."""
    price = read_prices(ROOT / "cluster" / "prices.toml").machine[0].on_demand
    series = _run(lipwise_workers__busy="1x90", lipwise_workers__idle="1x90", lipwise_frames_total__render="0+3000x90")
    wanted = {"state_address:lipwise_video_hours:rate1h": 2.0, "state_address:lipwise_video_hour:cost1h": price}
    wanted["state_address:lipwise_render_frames:rate15m"] = 50.0
    tests = [
        {"expr": name, "eval_time": "80m", "exp_samples": [{"labels": f'{name}{{{STATE_LABEL}="s"}}', "value": value}]}
        for name, value in wanted.items()
    ]
    _check(tmp_path, series, "1m", [], promql_expr_test=tests)
