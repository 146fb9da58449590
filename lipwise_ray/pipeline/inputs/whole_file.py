"""Files of the state that are named after their bytes."""

from __future__ import annotations

from pathlib import Path

from lipwise_ray.state.store import Store
from lipwise_ray.storage.digest import sha256_of


def whole_file(store: Store, folder: str, known_key: str = "") -> Path | None:
    """Return the file of a folder, which is named after its bytes; what has become another is removed.

    Args:
        store: The state.
        folder: The folder.
        known_key: The key of the file, or of one in another folder, where it has just been put: then none is looked
            for.
    """
    keys = [known_key] if known_key.startswith(f"{folder}/") else [] if known_key else store.names(folder)
    for key in keys:
        path = store.fetch(key)
        if path is not None and Path(key).stem == sha256_of(path):
            return path
        store.remove(key)
    return None
