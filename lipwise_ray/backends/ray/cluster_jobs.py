"""Runs on a running cluster by Ray's Jobs API: the driver lives on the cluster, this machine sends and watches."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import logging
import os
import re
import shlex
import time
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from lipwise_ray.backends.ray.environment import check_token_file, default_token_file
from lipwise_ray.backends.ray.job_lines import MOST_MESSAGE, WHAT, JobLine, job_line
from lipwise_ray.errors import DisconnectedError, SetupError
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.storage.redact import redact

_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
_PREFIX = "lipwise-"
_SENDER = ("program", "lipwise-ray")
_PROGRAM = ("python", "-P", "-m", "lipwise_ray")
_STOP_S = "300"
"""So long running chunks may take to end after a cancel; Ray would kill the driver after 3 s."""

_CHATTY = ("dashboard.modules.dashboard_sdk", "dashboard.modules.job.sdk", "_private.runtime_env.packaging")
_POLL_S = 1.0
_YOUNG_S = 60.0
_PROBE_S, _ASK_S = 120.0, 300.0
_PROBE = """
import importlib.metadata as m, json, platform, ray
ray.init(log_to_driver=False)
def version(name):
    try:
        return m.version(name)
    except m.PackageNotFoundError:
        return ""
print("PROBE" + json.dumps({"python": platform.python_version(), "ray": ray.__version__,
    "packages": {n: version(n) for n in ("av", "obstore")},
    "nodes": sum(n["Alive"] for n in ray.nodes()), "gpus": ray.cluster_resources().get("GPU", 0)}))
"""


class ClusterJobs:
    """The jobs of a running cluster.

    Args:
        address: Of its dashboard, such as ``http://127.0.0.1:8265``.

    Raises:
        SetupError: It cannot be reached, or refuses the token.
    """

    def __init__(self, address: str) -> None:
        _take_token()
        check_token_file()
        self.address = address.rstrip("/")
        with self._told("does not answer as a cluster's dashboard"):
            from lipwise_ray.backends.ray.job_client import JobClient  # after its environment is set

            for name in _CHATTY:  # they would tell of every upload
                logging.getLogger(f"ray.{name}").setLevel(logging.WARNING)
            self._client = JobClient(self.address)
            self.ray_version = self._client.ray_version()

    def must_fit(self) -> None:
        """Refuse a cluster whose Ray this program does not run on.

        Raises:
            SetupError: It is one.
        """
        if not _supported().contains(self.ray_version):
            raise SetupError(
                "ray_version",
                self.address,
                got=f"runs Ray {self.ray_version}",
                must=f"this version of lipwise-ray needs Ray {_supported()}",
                do="Use an image with such a version, see cluster/README.md",
            )

    def find(self, name: str) -> JobLine | None:
        """Return a job by its submission id."""
        return next((one for one in self.runs() if one.id == name), None)

    def must_find(self, name: str) -> JobLine:
        """Return a job by its submission id.

        Raises:
            SetupError: There is none; a head that was started anew knows none of before.
        """
        found = self.find(name)
        if found is None:
            raise SetupError(
                "no_run",
                name,
                got=f"no such run on {self.address}",
                do=f"`lipwise-ray status --address {self.address}` lists those that are there",
            )
        return found

    def runs(self) -> list[JobLine]:
        """Return the runs that this program sent, latest first."""
        with self._told("did not list its jobs"):
            mine = [one for one in self._client.list_jobs() if (one.metadata or {}).get(_SENDER[0]) == _SENDER[1]]
        return sorted(map(job_line, mine), key=lambda one: -one.began_s)

    def submit(
        self, name: str | None, key: str, words: list[str], folder: Path, program: list[Path]
    ) -> tuple[str, bool]:
        """Send a run, or find the one that is there; return its id, and whether it was sent now.

        Args:
            name: The id to take; a job that has it already is not sent again, whatever became of it, unless it ended
                before anything was begun.
            key: The state that the run works on. Without a name the id follows from it: while such a job is at work no
                other is sent, and after it the next one goes on where it stopped.
            words: The command line, without the program.
            folder: Small files that the command names: it runs in a copy of this folder.
            program: Its modules (`wheel.write_program`).

        Raises:
            SetupError: The cluster refuses, or another command has that name, or works on that state.
            DisconnectedError: It got out of reach meanwhile; nobody knows whether it has the run.
        """
        if name is not None and not _ID.match(name):
            raise SetupError(
                "submission_id",
                "--id",
                got=f"{name[:140]!r} cannot be a run's id",
                must="an id has letters, digits, or ._- (at most 128)",
            )
        base = _PREFIX + hashlib.sha256(key.encode()).hexdigest()[:12]
        digest = _digest(words, folder)
        mine = [one for one in self.runs() if one.id == name or (name is None and _is_of(one.id, base))]
        existing = next((one for one in mine if name is not None or not one.ended), None)
        if existing is not None and existing.did_nothing and name is not None:
            self._forget(existing, digest)
        elif existing is not None:
            return self._same(existing, digest), False
        chosen = name or f"{base}.{max((int(one.id.rpartition('.')[2]) for one in mine), default=0) + 1}"
        try:
            with self._told("did not take the job"):
                self._hand_over(
                    entrypoint=shlex.join([*_PROGRAM, *words, "--sent-to", self.address]),
                    submission_id=chosen,
                    runtime_env=_environment(folder, program),
                    metadata={_SENDER[0]: _SENDER[1], "manifest": redact(words[1])[:200], WHAT: digest},
                )
        except SetupError as error:
            return self._same(self._other(chosen, error), digest), False
        return chosen, True

    def _forget(self, job: JobLine, what: str) -> None:
        """Remove a run that did not begin, so that its name is free; somebody else may just have sent it again."""
        try:
            with self._told("did not forget a run that had not begun"):
                self._client.delete_job(job.id)
        except SetupError as error:
            other = self._other(job.id, error)
            if other.did_nothing:
                raise
            self._same(other, what)

    def _other(self, name: str, error: SetupError) -> JobLine:
        """Return the job of that name where somebody was quicker, or the answer got lost; else raise the error."""
        try:
            other = self.find(name)
        except SetupError as still:
            raise DisconnectedError(
                "maybe_sent",
                self.address,
                got=f"the connection was lost while the run was being sent ({still.happened})",
                do="It may be there already: run the same command again, which finds it or sends it",
            ) from error
        if other is None:
            raise error
        return other

    def _hand_over(self, **job: Any) -> None:
        """Submit a job; a cluster that has just been started is given time to take it."""
        deadline_s = time.monotonic() + _YOUNG_S
        while True:
            try:
                self._client.submit_job(**job)
            except RuntimeError as error:
                if "No available agent" not in str(error) or time.monotonic() > deadline_s:
                    raise
            else:
                return
            time.sleep(_POLL_S)

    def _same(self, job: JobLine, what: str) -> str:
        if job.what != what:
            raise SetupError(
                "other_run",
                f"{job.id} on {self.address}",
                got="is a run with another manifest or other settings",
                do="Wait until it has ended, or name another --state or --id",
            )
        return job.id

    def stop(self, name: str) -> None:
        """Ask a job to end; what it has done stays done."""
        with self._told("did not stop the job"):
            self._client.stop_job(name)

    def logs(self, name: str) -> str:
        """Return the log of a job so far."""
        with self._told("did not give the job's log"):
            return self._client.get_job_logs(name)

    def tail(self, name: str) -> AsyncIterator[str]:
        """Yield the log of a job: what is there, then what comes."""
        return self._client.tail_job_logs(name)

    def probe(self) -> dict[str, Any]:
        """Return the facts that a small job gathers on the cluster: versions of Python, Ray and packages, nodes, GPUs.

        Raises:
            SetupError: It does not answer.
        """
        log, job = self._ask(_PROBE_S, entrypoint=shlex.join(["python", "-P", "-c", _PROBE]))
        line = next((one for one in log.splitlines() if one.startswith("PROBE")), None)
        if line is None:
            raise SetupError(
                "probe",
                self.address,
                got=f"a small job gave no answer ({job.message or job.status})",
                do="See the cluster's dashboard",
            )
        return dict(json.loads(line.removeprefix("PROBE")))

    def ask(self, words: list[str], folder: Path, program: list[Path]) -> list[str]:
        """Let this program look at something over there, and return the lines that it prints.

        Args:
            words: The command line, without the program.
            folder: Small files that the command names: it runs in a copy of this folder.
            program: Its modules (`wheel.write_program`).

        Raises:
            SetupError: It does not come to an end, or cannot begin.
        """
        entrypoint = shlex.join([*_PROGRAM, *words])
        log, job = self._ask(_ASK_S, entrypoint=entrypoint, runtime_env=_environment(folder, program))
        if job.code is None:
            raise SetupError(
                "look",
                self.address,
                got=f"`lipwise-ray {words[0]}` could not be run there ({job.message or job.status})",
                do="See the cluster's dashboard",
            )
        return log.splitlines()

    def _ask(self, most_s: float, **job: Any) -> tuple[str, JobLine]:
        """Run a job of which nothing stays; return its log and how it ended."""
        name = f"{_PREFIX}doctor-{os.urandom(4).hex()}"
        with self._told("did not run a small job"):
            self._hand_over(submission_id=name, **job)
            deadline_s = time.monotonic() + most_s
            while not (found := job_line(self._client.get_job_info(name))).ended:
                if time.monotonic() > deadline_s:
                    self._client.stop_job(name)
                    raise RuntimeError(f"no answer in {most_s:.0f} s")
                time.sleep(_POLL_S)
            log = self.logs(name)
            self._client.delete_job(name)
        return log, found

    @contextlib.contextmanager
    def _told(self, failed: str) -> Generator[None]:
        """Turn the exceptions of Ray's client into this program's errors, which lead with the request that failed."""
        from ray.exceptions import AuthenticationError  # after its environment is set

        try:
            yield
        except AuthenticationError as error:
            raise SetupError(
                "token",
                self.address,
                got="refused the token"
                if os.environ.get("RAY_AUTH_MODE") == "token"
                else "asks for a token, and none was given",
                do="Set RAY_AUTH_TOKEN_PATH to the file that holds the cluster's token",
            ) from error
        except OSError as error:  # those of requests are, too
            raise SetupError(
                "unreachable",
                self.address,
                got=f"cannot be reached: {_first_line(error)}",
                do="Check the address, and that a tunnel to the dashboard is open",
            ) from error
        except (RuntimeError, ValueError, KeyError) as error:
            raise SetupError(
                "cluster", self.address, got=f"{failed}: {_first_line(error)}", do="See the cluster's dashboard"
            ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")[:MOST_MESSAGE]


def _take_token() -> None:
    """Send the token that is there: Ray does so only where its mode is set before it is imported."""
    there = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if there or default_token_file().is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _supported() -> Any:  # noqa: ANN401  # packaging's set of specifiers
    """Return the versions of Ray that this program is made for."""
    needs = (Requirement(one) for one in importlib.metadata.requires("lipwise-ray") or [])
    return next(one.specifier for one in needs if one.name == "ray" and one.marker is None)


def _environment(folder: Path, program: list[Path]) -> dict[str, Any]:
    """Return the runtime environment of a job that runs this program; Ray adds what its driver asks of its workers."""
    return {
        "working_dir": str(folder),
        "py_modules": [str(module) for module in program],
        "env_vars": {
            "PYTHONUNBUFFERED": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_JOB_STOP_WAIT_TIME_S": _STOP_S,
        },
    }


def _digest(words: list[str], folder: Path) -> str:
    files = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
    return hashlib.sha256(json.dumps([words, files]).encode()).hexdigest()[:24]


def _is_of(name: str, base: str) -> bool:
    head, _, number = name.rpartition(".")
    return head == base and number.isdigit()
