"""Writes the schemas into this folder."""

from __future__ import annotations

from lipwise_ray.state.schemas import schemas

for path, text in schemas().items():
    path.write_text(text, "utf-8")
