"""Exit codes of the command."""

from __future__ import annotations

from docs.generate.markdown import MADE, prose, table
from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.explanation import exit_of

_HEAD = """
Schedulers decide by these numbers, so each has one meaning. `lipwise-ray explain NUMBER` says the same.
"""


def page() -> str:
    """Return the page."""
    rows = [[f"`{one.value}`", prose(exit_of(one.value).meaning)] for one in ExitCode]
    return f"# Exit codes\n\n{MADE}{_HEAD}\n{table(['exit code', 'meaning'], rows)}"
