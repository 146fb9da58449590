"""Secrets of the service, each in a file that its owner alone can read."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from lipwise_ray.errors import SetupError, os_reason

_LEAST_CHARACTERS = 16


def secret_in(path: Path, prefix: str = "") -> str:
    """Return the secret in a file, which is made with a new one where there is none.

    Args:
        path: The file.
        prefix: Start of a new one, by which people see what it is for.

    Raises:
        SetupError: Others may read the file, it holds too little, or the disk refuses.
    """
    # Not `<path>: ...`: what follows a secret's name and a colon is taken for the secret, and not shown.
    where, name = str(path.parent), f'its file "{path.name}"'
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path, prefix + secrets.token_urlsafe(32))
        mode = path.stat().st_mode
        secret = path.read_text("utf-8").strip()
    except (OSError, UnicodeError) as error:
        why = os_reason(error) if isinstance(error, OSError) else "it is not a text"
        raise SetupError("secret_file", where, got=f"{name} cannot be used: {why}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SetupError("secret_file", where, got=f"others may read {name}", do=f"Run: chmod 600 {path}")
    if len(secret) < _LEAST_CHARACTERS or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise SetupError(
            "secret_file",
            where,
            got=f"{name} holds no secret of at least {_LEAST_CHARACTERS} letters and numbers",
            do="Remove it: a new one is made",
        )
    return secret


def _make(path: Path, secret: str) -> None:
    """Write a secret unless the file is there; whoever reads it finds all of it or no file."""
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{secret}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # unlike a rename, it replaces nothing that another process has just made
        except FileExistsError:
            return
    finally:
        draft.unlink(missing_ok=True)
