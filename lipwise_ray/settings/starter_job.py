"""A job file to begin with: the keys that are changed most, commented out at their defaults, each with its own text."""

from __future__ import annotations

import textwrap

from lipwise_ray.settings.reference import settings_of

_KEYS = (
    "lipsync.model",
    "lipsync.audio_offset_ms",
    "lipsync.silence",
    "detect.stride",
    "detect.size_px",
    "faces.select",
    "faces.follow",
    "faces.on_no_face",
    "faces.min_face_px",
    "timing.length",
    "timing.extend",
    "composite.mask",
    "composite.occlusion",
    "restore.model",
    "restore.strength",
    "score.judge",
    "gate.max_undubbed_share",
    "tts.engine",
    "mix.background_gain_db",
    "mix.duck_db",
    "encode.deliver",
    "encode.codec",
    "encode.preset",
    "encode.tracks",
    "encode.audio.codec",
    "chunk.length_s",
    "engine.address",
    "engine.workers",
    "engine.on_quarantine",
    "paths.schemes",
    "paths.roots",
    "paths.cache_gb",
    "limits.gb",
    "limits.hours",
)
"""All have a default that TOML can write."""

_WIDTH = 110
_HEAD = """# Settings of a run: lipwise-ray submit MANIFEST --job THIS_FILE
# All keys are at their defaults: take the sign away from one to change it. `lipwise-ray settings` shows every key there
# is, and which of preset, job file and --set has set it. The command line and a row's own columns win over this file.

# The base: quality, fast or parity.
#preset = "quality"
"""


def starter_job() -> str:
    """Return the file's text."""
    known = {one.name: one for one in settings_of()}
    lines, section = [_HEAD], ""
    for name in _KEYS:
        one, (within, _, key) = known[name], name.rpartition(".")
        if within != section:
            section = within
            lines.append(f"[{section}]")
        lines += textwrap.wrap(
            f"{one.about} ({one.kind})".strip(),
            _WIDTH,
            initial_indent="# ",
            subsequent_indent="# ",
            break_on_hyphens=False,
        )
        lines += [f"#{key} = {one.default.strip('`')}", ""]
    return "\n".join(lines)
