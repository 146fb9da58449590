"""A manifest of one row that is to be dubbed, named in code instead of a file."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.pipeline.manifest.evaluation_rows import row_name
from lipwise_ray.pipeline.manifest.manifest import Manifest
from lipwise_ray.storage.address import Policy


def single_row(
    columns: dict[str, Any], out_root: str, presets: Iterable[str], policy: Policy | None = None
) -> Manifest:
    """Return a manifest of one row; relative paths go by the working directory.

    Args:
        columns: The row's, as JSON lines have them, None for those it lacks; its id is made of its output's name.
        out_root: Its output must stay under this folder or prefix.
        presets: Known preset names.
        policy: What inputs may be.

    Raises:
        ManifestError: A column breaks a rule.
    """
    with tempfile.TemporaryDirectory(prefix="lipwise-") as folder:
        path = Path(folder) / "row.jsonl"
        given = {name: value for name, value in columns.items() if value is not None}
        record = {"id": row_name(str(columns["output"])), **given}
        path.write_text(json.dumps(record) + "\n", "utf-8")
        place = f"{Path.cwd()}/{columns['output']}"
        return read_manifest(path, out_root, presets, policy, place, is_alone=True)
