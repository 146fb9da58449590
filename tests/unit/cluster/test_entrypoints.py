"""What schedulers make of every exit code: sh, flock, bash and Airflow by the real programs, systemd's unit as read."""

from __future__ import annotations

import ast
import fcntl
import os
import re
import shlex
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from lipwise_ray.exit_codes import ExitCode, of_lenient_night
from tests.conftest import ROOT

AIRFLOW = ROOT / "cluster" / "airflow" / "lipwise_nightly.py"
SERVICE = ROOT / "cluster" / "cron" / "lipwise-nightly.service"
ENDS = [(code, stopped) for code in ExitCode for stopped in (False, True) if code is ExitCode.STOPPED or not stopped]
"""Every way in which a night ends: its code, and whether something else than its window ended it early."""

# It ends as it is told to, by the product's own rule for --exit-zero.
_PROGRAM = f"""#!{sys.executable}
import os, sys
from lipwise_ray.exit_codes import ExitCode, of_lenient_night
code, stopped = ExitCode(int(os.environ["CODE"])), os.environ["STOPPED"] == "True"
sys.exit(of_lenient_night(code, stopped=stopped) if "--exit-zero" in sys.argv else code)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "lipwise-ray"
    path.parent.mkdir()
    path.write_text(_PROGRAM)
    path.chmod(0o755)
    return path


def _environment(program: Path, code: ExitCode, *, stopped: bool) -> dict[str, str]:
    path = f"{program.parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "CODE": str(int(code)), "STOPPED": str(stopped)}


def _is_fine(code: ExitCode, *, stopped: bool) -> bool:
    """Tell what an operator means: rows that failed, or wait for another night, are for the report alone."""
    return code in (ExitCode.DONE, ExitCode.ROWS_FAILED) or (code is ExitCode.STOPPED and not stopped)


def _bash_command() -> str:
    (command,) = [
        node.value
        for node in ast.walk(ast.parse(AIRFLOW.read_text()))
        if isinstance(node, ast.keyword) and node.arg == "bash_command"
    ]
    return str(ast.literal_eval(command))


def test_a_night_that_is_lenient() -> None:
    """--exit-zero forgives failed rows and the window's end, nothing else."""
    for code, stopped in ENDS:
        wanted = ExitCode.DONE if _is_fine(code, stopped=stopped) else code
        assert of_lenient_night(code, stopped=stopped) is wanted


def test_airflow_by_bash(program: Path) -> None:
    """Its command, run as its operator runs it: 0 where all is well, and any other code fails the try."""
    for code, stopped in ENDS:
        done = subprocess.run(
            ["bash", "-c", _bash_command()], env=_environment(program, code, stopped=stopped), check=False
        )
        assert (done.returncode == 0) is _is_fine(code, stopped=stopped), (code, stopped)
        assert done.returncode != 99  # which Airflow takes for a task that was skipped


def test_kubernetes_by_sh(program: Path) -> None:
    """The entrypoint of a RayJob: Ray calls any code but 0 a failure, which is followed by a try on a new cluster."""
    text = (ROOT / "cluster" / "kuberay" / "rayjob.yaml").read_text()
    (entry,) = re.findall(r"entrypoint: >-.*\n((?:    .*\n)+)", text)
    for code, stopped in ENDS:
        environment = _environment(program, code, stopped=stopped)
        done = subprocess.run(["sh", "-c", " ".join(entry.split())], env=environment, check=False)
        assert (done.returncode == 0) is _is_fine(code, stopped=stopped), (code, stopped)


def test_cron_by_sh(program: Path, tmp_path: Path) -> None:
    """A crontab's line goes to sh: the code comes through flock as it is; a night that is still on is told apart."""
    lines = (ROOT / "cluster/cron/crontab").read_text().splitlines()
    (line,) = [one for one in lines if one[:1].isdigit() and " backlog run " in one]
    lock = tmp_path / "lock"
    line = line.split(" lipwise ", 1)[1].replace("/var/lib/lipwise-ray/nightly.lock", str(lock))
    line = line.replace("/opt/lipwise-ray/.venv/bin/lipwise-ray", str(program))
    for code, stopped in ENDS:
        done = subprocess.run(["sh", "-c", line], env=_environment(program, code, stopped=stopped), check=False)
        assert done.returncode == code
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        environment = _environment(program, ExitCode.DONE, stopped=False)
        done = subprocess.run(["sh", "-c", line], env=environment, check=False)
    assert done.returncode == ExitCode.CANNOT_START


def test_systemd_is_told_every_code() -> None:
    """What the unit says of each code, read from its file (no systemd is started): what fails, what is tried again."""

    def codes(name: str) -> set[int]:
        return {int(code) for code in " ".join(re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)).split()}

    text = SERVICE.read_text()
    assert re.search(r"^Type=exec$", text, re.MULTILINE)  # a oneshot is refused with RestartForceExitStatus
    assert re.search(r"^Restart=on-failure$", text, re.MULTILINE)
    for code, stopped in ENDS:
        ended = of_lenient_night(code, stopped=stopped)
        is_success = ended in {0} | codes("SuccessExitStatus")
        is_last = ended in codes("RestartPreventExitStatus")
        again = not is_last and (not is_success or ended in codes("RestartForceExitStatus"))
        is_fine = _is_fine(code, stopped=stopped)
        assert is_success is (is_fine or code is ExitCode.STOPPED), code
        assert again is not (is_fine or code is ExitCode.CANNOT_START), code


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an Airflow: that of LIPWISE_AIRFLOW, or one that is installed for this."""
    named = os.environ.get("LIPWISE_AIRFLOW")
    if named:
        return Path(named)
    folder = tmp_path_factory.mktemp("airflow")
    venv.create(folder, with_pip=True)
    words = ["-m", "pip", "install", "--quiet", "apache-airflow-core>=3,<4", "apache-airflow-providers-standard>=1"]
    done = subprocess.run([folder / "bin" / "python", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"Airflow cannot be installed here: {done.stderr.splitlines()[-1:]}")
    return folder / "bin" / "python"


_OPERATOR = """
import gc, importlib.util, os, sys
from airflow.providers.standard.operators.bash import BashOperator
spec = importlib.util.spec_from_file_location("dag", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
(operator,) = [one for one in gc.get_objects() if isinstance(one, BashOperator)]
for end in sys.argv[2:]:
    os.environ["CODE"], os.environ["STOPPED"] = end.split("/")
    try:
        operator.execute({})
        print("END", end, "success")
    except Exception as error:
        print("END", end, type(error).__name__)
"""


@pytest.mark.slow
def test_airflow(program: Path, airflow: Path, tmp_path: Path) -> None:
    """The DAG's own operator in a real Airflow: a try fails by the exception that Airflow tries again after."""
    environment = {**_environment(program, ExitCode.DONE, stopped=False), "AIRFLOW_HOME": str(tmp_path / "home")}
    ends = [f"{int(code)}/{stopped}" for code, stopped in ENDS]
    done = subprocess.run(
        [airflow, "-c", _OPERATOR, AIRFLOW, *ends],
        env={**environment, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    found = dict(line.split()[1:] for line in done.stdout.splitlines() if line.startswith("END "))
    assert set(found) == set(ends), done.stderr[-2000:]
    for end, (code, stopped) in zip(ends, ENDS, strict=True):
        assert found[end] == ("success" if _is_fine(code, stopped=stopped) else "AirflowException"), end


def test_words_of_the_commands_are_plain() -> None:
    """No shell does arithmetic of codes: what a command ends with is the program's own."""
    for command in (_bash_command(), SERVICE.read_text().split("ExecStart=")[1].splitlines()[0]):
        assert not {"||", "&&", ";", "|"} & set(shlex.split(command))
