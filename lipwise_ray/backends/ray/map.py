"""Ray for work outside the dubbing path: a session of it, and one function over many items."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from lipwise_ray.backends.ray.environment import check_token_file, guard_local_ray
from lipwise_ray.errors import InputError, LipwiseError
from lipwise_ray.settings.model import EngineSettings

_Item = TypeVar("_Item")


class ItemHandler(Protocol):
    """Handler that each worker holds: models loaded once, and a call an item."""

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
    else:
        check_token_file()
    from lipwise_ray.backends.ray.session import connect, leave  # after the guard

    folder = connect(address)
    try:
        yield
    finally:
        leave(folder)


def spread(
    make: Callable[[], ItemHandler],
    items: Iterable[_Item],
    *,
    address: str,
    workers: int,
    start_s: float = EngineSettings().start_s,
) -> Iterator[tuple[_Item, Any | InputError]]:
    """Handle items on Ray's workers; yield each with its result, or with the input error it met.

    Args:
        make: Makes a worker's handler, in the worker.
        items: What to handle, in any order; the next is asked for when a worker is free, and those in flight are
            finished after the last.
        address: ``local`` for an embedded Ray.
        workers: How many; 0 for one a core, or one a GPU where there are any.
        start_s: A worker that has not begun after so long is tried once more.

    Raises:
        EngineError: The embedded Ray has ended.
        SetupError: No worker begins.
        LipwiseError: Anything else that stops the work.
    """
    with connected(address):
        import ray  # after its environment is set
        import ray.exceptions

        from lipwise_ray.backends.ray.crew import Crew

        resources = ray.cluster_resources()
        gpus, cores = int(resources.get("GPU", 0)), max(1, int(resources.get("CPU", 1)))
        count = workers or gpus or cores
        crew = Crew(make, count, 1 / -(-count // gpus) if gpus else 0, start_s)  # as many on each as on the fullest
        waiting = iter(items)
        has_more = True
        while has_more or crew.is_busy:
            while has_more and crew.has_idle:
                item = next(waiting, None)
                if item is None:
                    has_more = False
                else:
                    crew.submit(item)
            if not crew.is_busy and not has_more:
                break
            ended = crew.poll()
            if ended is None:
                continue
            done, call = ended
            try:
                result = ray.get(call)
            except ray.exceptions.RayTaskError as error:
                cause: Any = error.cause
                if not isinstance(cause, LipwiseError):
                    raise
                if not isinstance(cause, InputError):
                    raise cause from error
                result = cause
            except ray.exceptions.RayActorError as error:
                crew.lose()
                result = InputError(
                    "clip_fatal",
                    str(done),
                    got=f"the worker's process ended while it was at it: {str(error).splitlines()[0]}",
                )
            yield done, result
