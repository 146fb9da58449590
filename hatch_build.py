"""The package's addresses: they follow from that of the repository which it is built in."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_REPOSITORY = re.compile(
    r"(?!https?://[^/]*:(?!443/)\d+/)"  # the page that others open may be at another port
    r"(?:(?:https?|ssh)://(?:[^/]*@)?|[\w.-]+@)"  # https://user:token@, ssh://git@, git@
    r"(?P<host>(?:[a-z0-9-]+\.)+(?P<last>[a-z]{2,}))(?::\d+)?"
    r"[/:](?P<path>(?:[\w.-]+/)+[\w.-]+?)(?:\.git)?/?"
)
_PRIVATE = frozenset(
    {"corp", "home", "internal", "intranet", "invalid", "lan", "local", "localhost", "private", "test"}
)
"""Last parts of names that hosts have in networks of their own."""

_FILES = {"github.com": "blob/HEAD", "gitlab.com": "-/blob/HEAD"}
"""Where hosts show a file of the newest state."""


class RepositoryAddresses(MetadataHookInterface):
    """Fills in `urls`. What is made of an sdist keeps the sdist's, which hatchling takes from its PKG-INFO."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the addresses, where the repository has one that others can open.

        Args:
            metadata: The project's table, with what was read of an sdist.
        """
        root = Path(self.root)
        if "urls" in metadata or (root / "PKG-INFO").exists():
            return
        found = _REPOSITORY.fullmatch(_of_workflow() or _origin(root))
        if not found or found["last"] in _PRIVATE:
            return
        address = f"https://{found['host']}/{found['path']}"
        metadata["urls"] = {"Homepage": address, "Repository": address}
        if files := _FILES.get(found["host"]):
            metadata["urls"] |= {
                "Issues": f"{address}/issues",
                "Changelog": f"{address}/{files}/CHANGELOG.md",
                "Documentation": f"{address}/{files}/docs/index.md",
            }


def _of_workflow() -> str:
    parts = [os.environ.get(name, "") for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY")]
    return "/".join(parts) if all(parts) else ""


def _origin(root: Path) -> str:
    if not (root / ".git").exists():  # another repository, that this folder lies in, would answer
        return ""
    words = ["git", "config", "--get", "remote.origin.url"]  # as written: `git remote` applies the user's rewriting
    try:
        return subprocess.run(words, cwd=root, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603  # a fixed command
    except OSError:  # no git on this machine
        return ""
