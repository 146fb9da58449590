"""Ray for work outside the dubbing path: a session of it, and one function over many items."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from lipwise_ray.engine.factory import guard_local_ray
from lipwise_ray.errors import InputError, LipwiseError

_Item = TypeVar("_Item")


class Handler(Protocol):
    """What each worker holds: models loaded once, and a call an item."""

    def __call__(self, item: Any, /) -> Any:  # noqa: ANN401  # any value that can be sent
        """Handle one item."""
        ...


@contextmanager
def connected(address: str) -> Generator[None]:
    """Start an embedded Ray (``local``) or join a cluster, for as long as the block lasts.

    Raises:
        SetupError: Ray cannot be started or reached.
    """
    if address == "local":
        guard_local_ray()
    from lipwise_ray.engine.ray_session import connect, leave  # noqa: PLC0415  # after the guard

    folder = connect(address)
    try:
        yield
    finally:
        leave(folder)


def spread(
    make: Callable[[], Handler], items: Iterable[_Item], *, address: str, workers: int
) -> Iterator[tuple[_Item, Any | InputError]]:
    """Handle items on Ray's workers; yield each with its result, or with the input error it met.

    Args:
        make: Makes a worker's handler, in the worker.
        items: What to handle, in any order; a few are in flight at a time.
        address: ``local`` for an embedded Ray.
        workers: How many; 0 for one a core, or one a GPU where there are any.

    Raises:
        LipwiseError: Anything else that stops the work.
    """
    with connected(address):
        import ray  # noqa: PLC0415  # after its environment is set
        import ray.exceptions  # noqa: PLC0415  # the same

        resources = ray.cluster_resources()
        gpus, cores = int(resources.get("GPU", 0)), max(1, int(resources.get("CPU", 1)))
        count = workers or gpus or cores
        options: dict[str, Any] = {"num_cpus": 0}
        if gpus:
            options["num_gpus"] = 1 / -(-count // gpus)  # as many on each as on the fullest
        remote: Any = ray.remote(_Worker).options(**options)
        idle = [remote.remote(make) for _ in range(count)]
        busy: dict[Any, tuple[Any, _Item]] = {}
        waiting = iter(items)
        while True:
            while idle and (item := next(waiting, None)) is not None:
                worker = idle.pop()
                busy[worker.handle.remote(item)] = (worker, item)
            if not busy:
                return
            ready, _ = ray.wait(list(busy), num_returns=1)
            worker, item = busy.pop(ready[0])
            try:
                result = ray.get(ready[0])
            except ray.exceptions.RayTaskError as error:
                cause: Any = error.cause
                if not isinstance(cause, LipwiseError):
                    raise
                if not isinstance(cause, InputError):
                    raise cause from error
                result = cause
            except ray.exceptions.RayActorError as error:
                worker = remote.remote(make)
                result = InputError("clip_fatal", str(item), "must not end its worker", str(error).splitlines()[0])
            idle.append(worker)
            yield item, result


class _Worker:
    def __init__(self, make: Callable[[], Handler]) -> None:
        self._make = make
        self._handler: Handler | None = None

    def handle(self, item: Any) -> Any:  # noqa: ANN401  # see Handler
        # Here rather than on creation: what is wrong with a model then comes back as the error it is.
        self._handler = self._handler or self._make()
        return self._handler(item)
