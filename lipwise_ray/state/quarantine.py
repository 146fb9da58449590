"""Dead letters: tasks that failed until their budget was spent, and all that is known about it."""

from __future__ import annotations

import re

from lipwise_ray.state import layout
from lipwise_ray.state.shapes import Letter, read_typed, record_of
from lipwise_ray.state.store import Store, to_json

SCHEMA = "lipwise.dead_letter/1"
_CHUNK = re.compile(rf"{layout.QUARANTINE}/render-([0-9A-Za-z_]+)-(\d{{1,9}})(?:-original)?\.json")
"""The key of a render task's letter: its job and chunk."""


def keys(store: Store) -> set[str]:
    """Return the keys of all dead letters."""
    return set(store.names(layout.QUARANTINE))


def write(store: Store, letter: Letter) -> str:
    """Write a dead letter and return its key."""
    store.write(layout.dead_letter(letter.task), to_json({"schema": SCHEMA, **record_of(letter)}))
    return layout.dead_letter(letter.task)


def read(store: Store, task_id: str) -> Letter | None:
    """Return a task's dead letter, None where there is none that can be read."""
    letter = read_typed(store, layout.dead_letter(task_id), Letter)
    return letter if letter and letter.task == task_id else None


def lift(store: Store, job_id: str | None) -> list[str]:
    """Remove the dead letters of a job, or all, so that a run tries again; return their tasks.

    A chunk whose original frames were let through is taken back, and the result of its job with it. Which job and chunk
    a letter is of stands in its key too, so one that cannot be read is lifted like any other.

    Args:
        store: The state.
        job_id: Id of the job; None for all.
    """
    lifted: list[str] = []
    for name in sorted(keys(store)):
        letter = read_typed(store, name, Letter)
        if letter is not None and layout.dead_letter(letter.task) != name:  # not of this key
            letter = None
        task = letter.task if letter else name.removeprefix(f"{layout.QUARANTINE}/").removesuffix(".json")
        chunk = _CHUNK.fullmatch(name)
        owner = (letter.job_id if letter else "") or (chunk[1] if chunk else "")
        if job_id is not None and owner != job_id:
            continue
        if chunk:
            store.remove(layout.marker(chunk[1], int(chunk[2])))
            store.remove(layout.result(chunk[1]))
        store.remove(name)
        lifted.append(task)
    return lifted
