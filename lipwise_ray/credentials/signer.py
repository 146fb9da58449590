"""Signers of delivered files: a certificate with a key or a command, or a self-made certificate."""

from __future__ import annotations

import importlib.util
import shutil
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from lipwise_ray.credentials import certificate
from lipwise_ray.credentials.certificate import CERTIFICATE, KEY, SignerName
from lipwise_ray.errors import SettingsError
from lipwise_ray.settings.marking import MarkingSettings

PACKAGES = ("c2pa", "cryptography", "platformdirs")
"""Modules that the extra `c2pa` brings."""

_MOST_KNOWN = 16


@dataclass(frozen=True, slots=True)
class Signer:
    """A signer that was looked at: its certificate is valid, and its key fits.

    Attributes:
        certificate: File of the certificate and its chain.
        key: File of its key; empty where a command signs.
        command: Program and arguments that sign; none where a key does.
        algorithm: Of the signatures.
        authority: Address of a time-stamp authority; empty for none.
        name: Who it is, by its certificate.
        is_self_made: This program made the certificate.
        warning: Of a key that others of this machine may read or replace; mostly empty.
    """

    certificate: str
    key: str
    command: tuple[str, ...]
    algorithm: str
    authority: str
    name: SignerName
    is_self_made: bool
    warning: str = ""


def is_installed() -> bool:
    """Tell whether the extra `c2pa` is installed here."""
    return all(importlib.util.find_spec(package) is not None for package in PACKAGES)


def check_signing(marking: MarkingSettings) -> None:
    """Find out before any work whether files can be signed, where they have to be.

    Args:
        marking: The settings.

    Raises:
        SettingsError: They cannot.
    """
    if marking.is_needed:
        signer_of(marking)


def signer_of(marking: MarkingSettings) -> Signer:
    """Return the signer that settings name; the self-made certificate is made where it is not there.

    Args:
        marking: The settings.

    Raises:
        SettingsError: The extra is not installed, or the certificate, the key or the command cannot be used.
    """
    if not is_installed():
        raise SettingsError(
            "no_c2pa",
            f"marking.c2pa = {marking.c2pa}",
            got="c2pa-python is not installed on this machine",
            do="`pip install 'lipwise-ray[c2pa]'` on all machines",
        )
    if marking.certificate is None:
        folder = _self_made_folder(marking)
        certificate.make(folder)
        chain, key = folder / CERTIFICATE, str(folder / KEY)
    else:
        chain, key = Path(str(marking.certificate)).expanduser(), marking.key or ""
        key = str(Path(key).expanduser()) if key else ""
    signer = _signer(marking.model_dump_json(), chain, key, (_stamp(chain), _stamp(Path(key)) if key else None))
    certificate.check_dates(chain)  # it may expire while a process runs
    if marking.sign_command and shutil.which(marking.sign_command[0]) is None:
        raise SettingsError(
            "signing_key",
            "marking.sign_command",
            got=f"{marking.sign_command[0]} is not a program that can be run on this machine",
            do="Check the path, and that the file may be executed",
        )
    return signer


def _openness(key: Path) -> str:
    """Return a warning of a key that everybody on this machine may use; empty where it is none."""
    try:
        mode = stat.S_IMODE(key.stat().st_mode)
    except OSError:
        return ""
    can = [word for bit, word in ((stat.S_IROTH, "read"), (stat.S_IWOTH, "replace")) if mode & bit]
    if not can:
        return ""
    return (
        f"marking.key: every user of this machine may {' and '.join(can)} {key} (mode {mode:04o}). Run chmod 600 on it"
    )


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None  # whoever reads it says why
    return found.st_mtime_ns, found.st_size, found.st_mode


@lru_cache(_MOST_KNOWN)
def _signer(text: str, chain: Path, key: str, stamps: object) -> Signer:
    del stamps  # other files at the same paths are looked at anew
    marking = MarkingSettings.model_validate_json(text)
    algorithm = certificate.check(chain, key, marking.algorithm)
    return Signer(
        certificate=str(chain.absolute()),
        key=key,
        command=marking.sign_command,
        algorithm=algorithm,
        authority=marking.timestamp_authority or "",
        name=certificate.name_of(chain),
        is_self_made=marking.certificate is None,
        warning=_openness(Path(key)) if key else "",
    )


def _self_made_folder(marking: MarkingSettings) -> Path:
    """Return the folder of the self-made certificate, below the user's own settings.

    Raises:
        SettingsError: The user has no home.
    """
    from platformdirs import user_config_path  # an extra

    try:
        root = Path(marking.folder).expanduser() if marking.folder else user_config_path("lipwise-ray")
    except RuntimeError as error:
        raise _homeless(str(error)) from error
    if not root.is_absolute() and not marking.folder:
        raise _homeless(f"{root} is not an absolute path")
    return root / "content-credentials"


def _homeless(reason: str) -> SettingsError:
    got = f"there is no home folder: {reason}"
    return SettingsError("no_signer_folder", "marking.folder", got=got, do="Name a folder")
