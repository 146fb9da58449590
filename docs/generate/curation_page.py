"""How footage is sorted: rules with their defaults, and the columns of the table."""

from __future__ import annotations

import inspect
from dataclasses import fields
from types import UnionType
from typing import Any, get_args, get_type_hints

from docs.generate.markdown import MADE, attributes, code, prose, sentence, table
from lipwise_ray.settings.reference import settings_of
from lipwise_ray.training.clip_table import ClipLine, DataSetNote
from lipwise_ray.training.curation import CurationRules

_HEAD = """
`lipwise-ray train prepare` measures every face of every video, sorts them by rules, and writes what it found into the
data set. [Prepare footage](../howto/prepare-footage.md) shows the use of it.

## Rules

`--set KEY=VALUE` gives one, `--job FILE.toml` several. They are asked in the order `min_frames`, `min_score`,
`min_face_px`, `max_yaw_deg`, `min_sharpness`, `min_speech_share`, `min_mouth_change`, offset, distance; the first that
a face breaks is its reason.

"""
_WORDS = {int: "whole number", float: "number", str: "text"}


def page() -> str:
    """Return the page."""
    rules = [[code(one.name), one.kind, one.default, prose(one.about)] for one in settings_of(CurationRules)]
    about = dict(attributes(inspect.getdoc(ClipLine) or ""))
    kinds = get_type_hints(ClipLine)
    columns = [[code(one.name), _kind(kinds[one.name]), prose(sentence(about[one.name]))] for one in fields(ClipLine)]
    note = [[code(name), prose(sentence(text))] for name, text in attributes(inspect.getdoc(DataSetNote) or "")]
    return "".join(
        [
            f"# Curation\n\n{MADE}{_HEAD}",
            table(["rule", "value", "default", "effect"], rules),
            "\n## clips.csv\n\nUTF-8, commas, one line a face and one a video that cannot be used.\n\n",
            table(["column", "value", "meaning"], columns),
            "\n## curation.json\n\nAll that sorted the data set, by contents.\n\n",
            table(["field", "meaning"], note),
        ]
    )


def _kind(annotation: Any) -> str:  # whatever an annotation is
    if isinstance(annotation, UnionType):
        return f"{_WORDS[get_args(annotation)[0]]}, or empty"
    return _WORDS[annotation]
