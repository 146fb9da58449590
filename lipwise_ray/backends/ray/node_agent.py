"""Watches for the end of a spot machine, and drains its Ray node before it comes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from urllib3.exceptions import HTTPError

from lipwise_ray.errors import SetupError
from lipwise_ray.storage.plain_http import answered_nearby
from lipwise_ray.storage.retries import RetryPolicy

_EC2, _GCE = "http://169.254.169.254", "http://metadata.google.internal"
_TOKEN_S, _RENEW_SHARE = 21_600, 0.8
_ANSWER_S, _MOST_BYTES = 2.0, 1 << 16
_RETRIES = RetryPolicy(tries=2, total_s=_ANSWER_S, first_wait_s=0.1, longest_wait_s=0.5)
"""Short: most machines have no such service, and a notice is asked for again soon."""

_OK = 200
_GCE_LEFT_S = 25.0
"""Google gives 30 seconds; some of them are over when the notice is read."""

_EC2_LEFT_S = 110.0
_DRAIN_S = 30.0


class Cloud(Protocol):
    """Cloud service that announces a machine's end."""

    name: str

    def is_here(self) -> bool:
        """Tell whether this machine is one of this cloud."""
        ...

    def seconds_left(self) -> float | None:
        """Return the seconds until the machine goes away, None while no notice says so."""
        ...


class Ec2:
    """The notices of EC2's spot machines, by its metadata service of the second version.

    Args:
        address: Of the service.
    """

    name = "aws"

    def __init__(self, address: str = _EC2) -> None:
        self._address = address
        self._token, self._renew_s = "", 0.0

    def is_here(self) -> bool:
        """Tell whether the service gives a token."""
        return bool(self._fresh_token())

    def seconds_left(self) -> float | None:
        """Return the seconds until the time that the notice names."""
        token = self._fresh_token()
        answer = _asked("GET", f"{self._address}/latest/meta-data/spot/instance-action", _token_header(token))
        if answer is None or answer.status != _OK:
            return None
        try:
            end = datetime.strptime(str(json.loads(answer.text)["time"]), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except (ValueError, KeyError, TypeError):
            return _EC2_LEFT_S  # a notice all the same
        return max(0.0, end.timestamp() - time.time())

    def _fresh_token(self) -> str:
        if time.monotonic() >= self._renew_s:
            header = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_S)}
            answer = _asked("PUT", f"{self._address}/latest/api/token", header)
            if answer is None or answer.status != _OK:
                return self._token
            self._token, self._renew_s = answer.text, time.monotonic() + _TOKEN_S * _RENEW_SHARE
        return self._token


class Gce:
    """The notices of Google's preemptible and spot machines.

    Args:
        address: Of the metadata service.
    """

    name = "gcp"

    def __init__(self, address: str = _GCE) -> None:
        self._address = address

    def is_here(self) -> bool:
        """Tell whether the service answers."""
        return self._asked() is not None

    def seconds_left(self) -> float | None:
        """Return the seconds that are left once the machine is marked."""
        return _GCE_LEFT_S if self._asked() == "TRUE" else None

    def _asked(self) -> str | None:
        url = f"{self._address}/computeMetadata/v1/instance/preempted"
        answer = _asked("GET", url, {"Metadata-Flavor": "Google"})
        return answer.text.strip() if answer is not None and answer.flavor == "Google" else None


def _token_header(token: str) -> dict[str, str]:
    return {"X-aws-ec2-metadata-token": token}


@dataclass(frozen=True, slots=True)
class _Metadata:
    """An answer of a metadata service.

    Attributes:
        status: Of HTTP.
        text: Its body.
        flavor: Name by which Google's service says that it is the one.
    """

    status: int
    text: str
    flavor: str


def _asked(method: str, url: str, headers: dict[str, str]) -> _Metadata | None:
    """Return the answer of a metadata service, None where nobody answers."""
    try:
        with answered_nearby(method, url, _RETRIES, headers, _ANSWER_S) as answer:
            text = answer.read(_MOST_BYTES).decode(errors="replace")
            return _Metadata(answer.status, text, answer.headers.get("Metadata-Flavor", ""))
    except HTTPError:
        return None


def cloud_of(name: str, metadata: str | None = None) -> Cloud | None:
    """Return the cloud whose notices tell of this machine's end, None where none does.

    Args:
        name: ``aws``, ``gcp``, ``none``, or ``auto``, which asks both.
        metadata: The address of the metadata service; each cloud's own without it.

    Raises:
        SetupError: The named cloud's service does not answer.
    """
    made: dict[str, Cloud] = {"aws": Ec2(metadata or _EC2), "gcp": Gce(metadata or _GCE)}
    if name == "none":
        return None
    if name == "auto":
        return next((one for one in made.values() if one.is_here()), None)
    if not made[name].is_here():
        raise SetupError(
            "no_metadata",
            f"--cloud {name}",
            got="its metadata service does not answer, so this machine is not there",
            do="Use --cloud auto",
        )
    return made[name]


@dataclass(frozen=True, slots=True)
class DrainedNode:
    """A node of a Ray cluster: where the cluster is, and its own id."""

    address: str
    id: str

    @staticmethod
    def here(address: str) -> DrainedNode:
        """Return the node of this machine.

        Raises:
            SetupError: The cluster cannot be reached, or has no node here.
        """
        import ray

        from lipwise_ray.backends.ray import session

        folder = session.connect(address)
        try:
            return DrainedNode(address, ray.get_runtime_context().get_node_id())
        finally:
            session.leave(folder)

    def drain(self, reason: str, seconds: float) -> None:
        """Let the node take no more work; what runs may end.

        Args:
            reason: A text for people, which Ray shows.
            seconds: Time until the machine goes away; Ray is told whole seconds, at least one.

        Raises:
            SetupError: The cluster did not take it.
        """
        options = {
            "--address": self.address,
            "--node-id": self.id,
            "--reason": "DRAIN_NODE_REASON_PREEMPTION",
            "--reason-message": reason,
            "--deadline-remaining-seconds": str(max(1, int(seconds))),
        }
        words = [
            sys.executable,
            "-P",
            "-m",
            "ray.scripts.scripts",
            "drain-node",
            *(w for pair in options.items() for w in pair),
        ]
        done = subprocess.run(  # noqa: S603  # ours
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_DRAIN_S, check=False
        )
        if done.returncode:
            got = (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1][:200]
            raise SetupError("not_drained", self.id, got=f"Ray refused to drain this node: {got}")


def watch(
    node: DrainedNode, cloud: Cloud | None, every_s: float, is_ending: threading.Event, say: Callable[[str], None]
) -> None:
    """Drain a node once its machine is about to go.

    Args:
        node: The node.
        cloud: Tells of the machine's end.
        every_s: How often that is asked.
        is_ending: Set when somebody asked this process to end.
        say: Tells people.

    Raises:
        SetupError: The cluster did not take that the node is drained.
    """
    while True:
        if is_ending.wait(every_s):
            left_s, reason = _DRAIN_S, "asked to end"
            break
        left_s = cloud.seconds_left() if cloud else None
        if left_s is not None and cloud is not None:
            reason = f"{cloud.name} takes the machine back"
            break
    say(f"draining {node.id}: {reason}, {left_s:.0f} s left")
    node.drain(reason, left_s)
