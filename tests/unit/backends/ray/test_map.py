"""One function over many items: what becomes of results, of errors, and of workers that die."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, ClassVar

import pytest
import ray
import ray.exceptions

from lipwise_ray.backends.ray import crew
from lipwise_ray.backends.ray import map as ray_map
from lipwise_ray.errors import InputError, MediaError, SettingsError


class _Crew:
    """Two workers in this process: a call runs when its result is asked for."""

    made: ClassVar[list[_Crew]] = []

    def __init__(self, make: Callable[[], Any], count: int, gpus: float, start_s: float) -> None:
        self.handler, self.count, self.gpus, self.start_s = make(), count, gpus, start_s
        self.calls: list[Any] = []
        self.lost = 0
        _Crew.made.append(self)

    @property
    def has_idle(self) -> bool:
        return len(self.calls) < 2

    @property
    def is_busy(self) -> bool:
        return bool(self.calls)

    def submit(self, item: Any) -> None:
        self.calls.append(item)

    def poll(self) -> Any:
        item = self.calls.pop()
        return item, lambda: self.handler(item)

    def lose(self) -> None:
        self.lost += 1


def _get(call: Callable[[], Any]) -> Any:
    """Return a call's result as Ray does: errors of a worker come as Ray's."""
    try:
        return call()
    except SystemExit as error:
        raise ray.exceptions.ActorDiedError from error
    except Exception as error:
        raise ray.exceptions.RayTaskError("handle", "traceback", error) from error


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What the cluster has; nothing is started."""
    resources = {"CPU": 4.0}
    _Crew.made.clear()
    monkeypatch.setattr(crew, "Crew", _Crew)
    monkeypatch.setattr(ray_map, "connected", lambda address: nullcontext())
    monkeypatch.setattr(ray, "cluster_resources", lambda: resources)
    monkeypatch.setattr(ray, "get", _get)
    return resources


def _doubled(item: Any) -> Any:
    if item == "bad":
        raise MediaError("not_media", "bad.mp4", got="not media")
    if item == "deadly":
        raise SystemExit
    if item == "unset":
        raise SettingsError("settings", "x", got="not set")
    return item * 2


def _spread(items: list[Any], workers: int = 0) -> dict[Any, Any]:
    return dict(ray_map.spread(lambda: _doubled, items, address="auto", workers=workers))


@pytest.mark.usefixtures("cluster")
def test_an_item_that_fails_does_not_stop_the_others() -> None:
    """Each comes back once: with its result, with the error of its input, or as one that ended its worker."""
    found = _spread([1, "bad", 2, "deadly", 3])
    assert {item: value for item, value in found.items() if isinstance(item, int)} == {1: 2, 2: 4, 3: 6}
    assert (found["bad"].code, found["bad"].where) == ("not_media", "bad.mp4")
    assert isinstance(found["deadly"], InputError)
    assert (found["deadly"].code, found["deadly"].where) == ("clip_fatal", "deadly")
    assert _Crew.made[0].lost == 1


@pytest.mark.usefixtures("cluster")
def test_a_wrong_setting_or_a_slip_of_the_code_stops_the_work() -> None:
    """All items would meet it: the user's own error is raised as it is, any other as Ray's, with its traceback."""
    with pytest.raises(SettingsError):
        _spread([1, "unset"])
    with pytest.raises(ray.exceptions.RayTaskError):
        _spread([1, frozenset()])


@pytest.mark.parametrize(
    ("there", "workers", "count", "gpus"),
    [
        ({"CPU": 4.0}, 0, 4, 0),
        ({"CPU": 0.0}, 0, 1, 0),
        ({"CPU": 8.0, "GPU": 2.0}, 0, 2, 1),
        ({"CPU": 8.0, "GPU": 2.0}, 5, 5, 1 / 3),
    ],
)
def test_workers_are_as_many_as_the_cluster_can_have(
    there: dict[str, float], workers: int, count: int, gpus: float, cluster: dict[str, float]
) -> None:
    """One a core, or one a GPU; more than that share the GPUs so that all of them fit."""
    cluster.clear()
    cluster.update(there)
    _spread([1], workers)
    assert (_Crew.made[0].count, _Crew.made[0].gpus) == (count, pytest.approx(gpus))
