"""Layout of a state, as a number in it: a program leaves states alone whose layout is newer than it is."""

from __future__ import annotations

from lipwise_ray.errors import StateError
from lipwise_ray.state import layout
from lipwise_ray.state.shapes import FormatRecord, typed
from lipwise_ray.state.store import Store, as_json, to_json

LAYOUT = 1
"""The newest that this program knows. A state that says nothing was made before there were others."""


def check_format(store: Store) -> bool:
    """Refuse a state that this program does not know; return whether it says how it is laid out.

    Raises:
        StateError: A newer program made it, or what says so is damaged; or it is none: other programs keep folders
            named ``runs`` too, and what they hold must not be cleaned away.
    """
    data = store.read(layout.FORMAT)
    if data is None:
        runs = store.folders(layout.RUNS)
        if runs and all(store.size(layout.run_record(run)) is None for run in runs):
            got = "not a state, but a folder with another program's runs"
            raise StateError("no_state", store.address, got=got, do="Choose another --state")
        return False
    found = typed(as_json(data), FormatRecord)
    if found is None:
        raise _damaged(store, "holds no number of a layout")
    if found.layout > LAYOUT:
        raise StateError(
            "newer_state",
            store.address,
            got=f"was made by a newer lipwise-ray, with layout {found.layout}",
            must=f"this program knows layouts up to {LAYOUT}",
            do="Nothing was changed. Install the newer version here, or choose another --state",
        )
    return True


def settle_format(store: Store) -> None:
    """Refuse a state that this program does not know, and let one that says nothing say how it is laid out.

    Raises:
        StateError: As `check_format`.
        StorageError: It cannot be written.
    """
    if check_format(store) or store.create(layout.FORMAT, to_json({"layout": LAYOUT})):
        return
    if not check_format(store):  # somebody else has just made it, or what lies there is no record
        raise _damaged(store, "cannot be read")


def _damaged(store: Store, happened: str) -> StateError:
    do = "Unless a newer lipwise-ray works here, remove it: it is made again"
    return StateError("damaged_format", f"{store.address}/{layout.FORMAT}", got=happened, do=do)
