"""Dead letters: tasks that failed until their budget was spent, and all that is known about it."""

from __future__ import annotations

from lipwise_ray.state import layout
from lipwise_ray.state.store import Store, read_json, to_json
from lipwise_ray.values import Json

SCHEMA = "lipwise.dead_letter/1"


def keys(store: Store) -> set[str]:
    """Return the keys of all dead letters."""
    return set(store.names(layout.QUARANTINE))


def write(store: Store, task_id: str, letter: Json) -> str:
    """Write a task's dead letter and return its key.

    Args:
        store: The state.
        task_id: What was tried.
        letter: The task's descriptor; every failed attempt with worker, node, blame, message, traceback and the end
            of the worker's log; the nodes; the command that reproduces it.
    """
    store.write(layout.dead_letter(task_id), to_json({"schema": SCHEMA, "task": task_id, **letter}))
    return layout.dead_letter(task_id)


def read(store: Store, task_id: str) -> Json | None:
    """Return a task's dead letter, None where there is none that can be read."""
    return read_json(store, layout.dead_letter(task_id))


def lift(store: Store, job_id: str | None) -> list[str]:
    """Remove the dead letters of a job, or all, so that a run tries again; return their tasks.

    A chunk whose original frames were let through is taken back, and the result of its job with it.
    """
    lifted: list[str] = []
    for name in sorted(keys(store)):
        letter = read_json(store, name) or {}
        owner = str(letter.get("job_id", ""))
        if job_id is not None and owner != job_id:
            continue
        if letter.get("kind") == "render" and owner:
            store.remove(layout.marker(owner, int(letter["payload"]["chunk"])))
            store.remove(layout.result(owner))
        store.remove(name)
        lifted.append(str(letter.get("task", name)))
    return lifted
