"""Writes the pages of the reference, or tells which of them are not as the source has it."""

from __future__ import annotations

import sys

from docs.generate.pages import stale, written

if "--check" in sys.argv[1:]:
    if names := stale():
        print(f"not as the source has it: {', '.join(names)}. Run: python -m docs.generate", file=sys.stderr)
        sys.exit(1)
else:
    for path, text in written().items():
        path.write_text(text, "utf-8")
