"""Words of a manifest or a state that a shell can complete: ids of rows and jobs, tasks; and codes of errors.

What a shell asks for between two strokes of a key may fail in no way: whatever cannot be read offers nothing. Places in
the network are not asked at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.storage.address import is_local

if TYPE_CHECKING:
    from lipwise_ray.state.store import Store

_MOST_ROWS = 20_000
"""Of a manifest or a run that are looked through: more take longer than somebody waits for a key."""

_MOST_OFFERED = 500
_RAISED = re.compile(r'\b(?:(?!Pydantic)\w+Error\(|Failure\(\s*"[a-z]+",)\s*"([a-z][a-z0-9_]*)"')
"""A code where the source raises it. The list of `explain` is read off the source's trees, which takes seconds."""


def codes(incomplete: str) -> list[str]:
    """Return the error codes and exit codes that begin so."""
    return _offered(incomplete, _codes)


def manifest_rows(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the ids of a manifest's rows that begin so."""
    return _offered(incomplete, lambda: _ids_in(_place(ctx, "manifest")))


def state_rows(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the ids of rows that the latest run of a state had, or of a service's jobs, that begin so."""
    return _offered(incomplete, lambda: _rows_of(_store(ctx)))


def quarantined_tasks(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the tasks in a state's quarantine that begin so."""
    return _offered(incomplete, lambda: (task for task, _ in _letters(_store(ctx))))


def quarantined_jobs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the jobs that have something in a state's quarantine and begin so."""
    return _offered(incomplete, lambda: (job for _, job in _letters(_store(ctx)) if job))


def _offered(incomplete: str, words: Callable[[], Iterable[str]]) -> list[str]:
    try:
        found = {word for word in words() if word.startswith(incomplete) and word.isprintable()}
    except Exception:  # noqa: BLE001  # nobody looks for a traceback below a half-written command
        return []
    return sorted(found)[:_MOST_OFFERED]


def _codes() -> Iterator[str]:
    import lipwise_ray

    yield from (str(code.value) for code in ExitCode)
    for path in Path(lipwise_ray.__file__).parent.rglob("*.py"):
        yield from _RAISED.findall(path.read_text("utf-8"))


def _place(ctx: typer.Context, name: str) -> Path:
    # An option that waits for its value, the one to complete, ends the reading of words: those before it are left over.
    place = str(ctx.params.get(name) or ctx.args[0])
    if not is_local(place) or not Path(place).exists():  # nothing is made where there is nothing
        raise FileNotFoundError(place)
    return Path(place)


def _store(ctx: typer.Context) -> Store:
    from lipwise_ray.state.store import open_store

    return open_store(str(_place(ctx, "state")))


def _ids_in(manifest: Path) -> Iterator[str]:
    from lipwise_ray.pipeline.manifest.formats import READERS, Columns

    columns = Columns(required=("id",), optional=(), keeps_extra=True)
    for _, row in islice(READERS[manifest.suffix.lower()](manifest, columns), _MOST_ROWS):
        if isinstance(row.get("id"), str | int):
            yield str(row["id"])


def _rows_of(store: Store) -> Iterator[str]:
    from lipwise_ray.state import layout
    from lipwise_ray.state.overview import latest_run
    from lipwise_ray.state.row_outcome import outcome_in
    from lipwise_ray.state.store import as_json

    yield from (Path(name).stem for name in store.names(layout.SERVICE_JOBS)[:_MOST_ROWS])
    latest = latest_run(store)
    if latest is None:
        return
    ended = store.names(layout.rows(latest.run_id))[:_MOST_ROWS]
    yield from (outcome.row_id for data in store.read_all(ended) if (outcome := outcome_in(as_json(data))))
    manifest = Path(latest.folder, latest.request.files[0]) if latest.request else None
    if manifest is not None and manifest.is_file():
        yield from _ids_in(manifest)


def _letters(store: Store) -> Iterator[tuple[str, str]]:
    """Yield the task and the job of each dead letter."""
    from lipwise_ray.state import quarantine
    from lipwise_ray.state.shapes import Letter, read_typed

    for key in quarantine.keys(store):
        letter = read_typed(store, key, Letter)
        if letter is not None:
            yield letter.task, letter.job_id
