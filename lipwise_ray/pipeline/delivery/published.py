"""Result that an earlier run published for a job, and whether that file is still what it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lipwise_ray.pipeline.delivery.outputs import Output
from lipwise_ray.state import layout
from lipwise_ray.state.job_result import DubResult
from lipwise_ray.state.shapes import amended, typed
from lipwise_ray.state.store import Store, read_json, to_json
from lipwise_ray.storage.address import shown


@dataclass(frozen=True, slots=True)
class Published:
    """Earlier result of a job, where there is one.

    Attributes:
        result: Result that was published; None where it has to be made, or made again.
        problem: For people: another file lies in its place. Empty where none does.
    """

    result: DubResult | None
    problem: str = ""


def find_published(
    store: Store, job_id: str, address: str, output: Output, *, verify: bool, on_block: Callable[[], None]
) -> Published:
    """Return the published result of a job if the file at its address is still that one.

    A file of the right size that nobody touched counts as that. One that was touched, copied or moved is read, and what
    was seen of it is kept for the next time; so the outputs may have moved together with the state.

    Args:
        store: The state.
        job_id: The job.
        address: Address at which its output belongs now.
        output: The same.
        verify: Read the file also where nobody touched it.
        on_block: Called while it is read.

    Raises:
        StorageError: It cannot be read.
    """
    record = read_json(store, layout.result(job_id))
    result = typed(record, DubResult)
    seen = output.seen() if result else None
    if record is None or result is None or seen is None:
        return Published(None)
    if seen.size == result.bytes_total:
        is_as_seen = result.seen == seen
        current = replace(result, output=address, seen=seen)
        if is_as_seen and not verify:
            return Published(current)
        if output.sha256(on_block) == result.sha256:
            if current != result:
                store.write(layout.result(job_id), to_json(amended(record, current, "output", "seen")))
            return Published(current)
    return Published(None, f"{shown(address)}: is not the file that was published, so it is made again.")
