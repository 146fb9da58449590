"""The night by systemd, cron and Airflow: commands that exist, files that are understood."""

from __future__ import annotations

import ast
import configparser
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lipwise_ray.cli.backlog import TELL_S
from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.settings.layers import read_toml, resolve
from lipwise_ray.settings.model import EngineSettings
from tests.conftest import ROOT
from tests.support.dub import run
from tests.support.kube import problems

CRON = ROOT / "cluster" / "cron"
AIRFLOW = ROOT / "cluster" / "airflow" / "lipwise_nightly.py"


def _understood(words: list[str]) -> None:
    """Check a command of ours, written after its program's path."""
    done = run(*words, "--help")
    assert done.returncode == 0, done.stderr
    options = {word for word in words if word.startswith("--")}
    assert all(option in done.stdout for option in options)


def _unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names have capitals
    parser.read_string((CRON / name).read_text())
    return parser


_KNOWN = {
    "Unit": {"Description", "Wants", "After", "StartLimitIntervalSec", "StartLimitBurst"},
    "Service": {
        *("Type", "User", "EnvironmentFile", "ExecStart", "SuccessExitStatus", "KillSignal", "KillMode"),
        *("TimeoutStopSec", "Restart", "RestartSec", "RestartForceExitStatus", "RestartPreventExitStatus"),
        *("CacheDirectory", "CacheDirectoryMode", "StateDirectory", "Environment"),
        *("NoNewPrivileges", "PrivateTmp", "ProtectSystem"),
    },
    "Timer": {"OnCalendar", "Persistent", "RandomizedDelaySec"},
    "Install": {"WantedBy"},
}


def test_systemd_units() -> None:
    """Known keys only; what is started is there; row failures and leftovers are no failures of the unit."""
    for name in ("lipwise-nightly.service", "lipwise-nightly.timer"):
        unit = _unit(name)
        for section in unit.sections():
            assert set(unit[section]) <= _KNOWN[section], f"{name} [{section}]"
    service = _unit("lipwise-nightly.service")["Service"]
    script = shlex.split(service["ExecStart"])[1]
    assert (ROOT / "jobs" / Path(script).name).is_file()
    codes = {int(code) for code in service["SuccessExitStatus"].split()}
    assert codes == {ExitCode.ROWS_FAILED, ExitCode.STOPPED}  # a crash is none of them
    assert service["KillMode"] == "mixed"
    assert service["KillSignal"] == signal.SIGTERM.name
    assert int(service["TimeoutStopSec"]) > EngineSettings().stop_s + 2 * TELL_S + 120  # Ray's end, the report
    assert re.fullmatch(r"\*-\*-\* \d\d:\d\d:\d\d", _unit("lipwise-nightly.timer")["Timer"]["OnCalendar"])


def test_no_exit_code_keeps_the_service_down() -> None:
    """It is started again also after one of those that end a night for good."""
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names have capitals
    parser.read_string((ROOT / "cluster" / "service" / "lipwise-serve.service").read_text())
    unit = parser["Service"]
    assert unit["Restart"] == "always"
    assert int(unit["RestartSec"]) >= 30
    assert "RestartPreventExitStatus" not in unit
    assert parser["Unit"]["StartLimitIntervalSec"] == "0"
    assert int(unit["TimeoutStopSec"]) > EngineSettings().stop_s
    _understood(shlex.split(unit["ExecStart"])[1:-1])


def test_systemd_agrees(tmp_path: Path) -> None:
    """Where systemd is installed, it finds nothing wrong with the units."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    for name in ("lipwise-nightly.service", "lipwise-nightly.timer"):
        text = (CRON / name).read_text().replace("/opt/lipwise-ray/.venv/bin/python", "/bin/true")
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [analyze, "verify", *(str(path) for path in sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "lipwise-nightly" not in done.stderr


def test_crontab() -> None:
    """Lines of five times and a user, variables that Debian's cron takes, a lock, and commands that are understood."""
    lines = [line for line in (CRON / "crontab").read_text().splitlines() if line and not line.startswith("#")]
    *told, night, clean = lines
    assert [one.partition("=")[0] for one in told] == ["LIPWISE_WEBHOOK", "LIPWISE_SCRATCH", "LIPWISE_MODELS"]
    assert all(re.fullmatch(r'\w+=("[^"]*"|[^"\s]+)', one) for one in told)  # an empty one needs quotes
    for line, lock in ((night, r"flock -n -E 2 \S+ "), (clean, "")):
        schedule, command = line.split("/opt/lipwise-ray/.venv/bin/lipwise-ray ")
        assert re.fullmatch(rf"(\S+ ){{5}}lipwise {lock}", schedule)
        assert "%" not in line
        cron = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "x"}}
        pod = {"spec": {"containers": [{"name": "x", "image": "x:1"}]}}
        template = {"spec": {"template": pod}}
        assert problems({**cron, "spec": {"schedule": " ".join(schedule.split()[:5]), "jobTemplate": template}}) == []
        _understood(shlex.split(command))


def test_what_is_cleaned_goes_by_use() -> None:
    """Kubernetes and cron run the same command, but for the state, and it is understood."""
    (timer,) = yaml.safe_load_all((ROOT / "cluster" / "kuberay" / "clean.yaml").read_text())
    (container,) = timer["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    program, verb, _, *options = container["command"]
    line = (CRON / "crontab").read_text().splitlines()[-1]
    command = shlex.split(line.split("/opt/lipwise-ray/.venv/bin/")[1])
    assert [program, verb, *options] == ["lipwise-ray", "clean", "--keep-days", "30"] == [*command[:2], *command[3:]]
    _understood([verb, "STATE", *options])


def test_the_units_environment() -> None:
    """What systemd reads has the variables that the unit names, and options that are understood."""
    lines = (CRON / "nightly.env").read_text().splitlines()
    told = dict(line.partition("=")[::2] for line in lines if line and not line.startswith("#"))
    assert set(told) == {"BACKLOG", "OPTIONS", "LIPWISE_MODELS", "LIPWISE_WEBHOOK", "AWS_REGION"}
    named = re.findall(r"\$(\w+)", _unit("lipwise-nightly.service")["Service"]["ExecStart"])
    assert set(named) == {"BACKLOG", "OPTIONS"}
    _understood(["backlog", "run", told["BACKLOG"], *shlex.split(told["OPTIONS"])])
    (written,) = re.findall(r"engine\.metrics_file=(\S+)", told["OPTIONS"])
    folder = _unit("lipwise-nightly.service")["Service"]["StateDirectory"]
    assert str(Path(written).parent) == f"/var/lib/{folder}"


def test_every_night_has_its_settings() -> None:
    """Each uses jobs/nightly.toml, where the image and a checkout have it."""
    assert "COPY jobs/nightly.toml jobs/" in (ROOT / "cluster" / "image" / "Dockerfile").read_text()
    for name in ("cron/crontab", "airflow/lipwise_nightly.py", "kuberay/rayjob.yaml", "kuberay/raycronjob.yaml"):
        assert "--job /opt/lipwise-ray/jobs/nightly.toml" in (ROOT / "cluster" / name).read_text(), name


def test_airflow() -> None:
    """Valid Python of the task SDK, one run at a time, and a command that is understood."""
    tree = ast.parse(AIRFLOW.read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {"airflow.sdk", "airflow.providers.standard.operators.bash"} <= imported
    options = {word.arg: word.value for node in ast.walk(tree) if isinstance(node, ast.Call) for word in node.keywords}
    assert ast.literal_eval(options["max_active_runs"]) == 1
    assert ast.literal_eval(options["catchup"]) is False
    (delay,) = re.findall(r'"retry_delay": timedelta\(minutes=(\d+)\)', AIRFLOW.read_text())
    assert 60 * int(delay) > EngineSettings().stop_s + 2 * TELL_S + 120
    command = ast.literal_eval(options["bash_command"])
    assert "--exit-zero" in command  # a shell's own arithmetic of codes would hide a crash
    _understood(shlex.split(command)[1:])


def test_kubernetes_entrypoints() -> None:
    """What a RayJob runs is understood."""
    text = (ROOT / "cluster" / "kuberay" / "rayjob.yaml").read_text()
    (entry,) = re.findall(r"entrypoint: >-.*\n((?:    .*\n)+)", text)
    _understood(shlex.split(entry)[1:])


def test_the_nights_settings() -> None:
    """jobs/nightly.toml can be used, and the script beside it passes its arguments on."""
    settings = resolve([("nightly", read_toml(ROOT / "jobs" / "nightly.toml"))])
    assert settings.engine.place == "auto"
    assert len(settings.gate.retry) == 1
    done = subprocess.run(
        [sys.executable, str(ROOT / "jobs" / "nightly_backlog.py"), "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "backlog" in done.stdout


def test_every_entrypoint_tells_whom_it_is_told_to() -> None:
    """Each night has a window, and gets the webhook from where secrets belong, by the variable that is read."""
    assert "LIPWISE_WEBHOOK" in run("backlog", "run", "--help").stdout
    places = ("cron/nightly.env", "cron/crontab", "airflow/lipwise_nightly.py", "kuberay/rayjob.yaml")
    for name in places:
        text = (ROOT / "cluster" / name).read_text()
        assert "LIPWISE_WEBHOOK" in text, name
        assert re.search(r"--from \d\d:\d\d --until \d\d:\d\d", text), name


def test_the_unit_keeps_its_copies() -> None:
    """Scratch is the unit's own folder among the system's caches: what it copies is there in the next night."""
    service = _unit("lipwise-nightly.service")["Service"]
    assert service["Environment"] == f"LIPWISE_SCRATCH=%C/{service['CacheDirectory']}"
