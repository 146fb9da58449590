"""The registry of published checkpoints, and which of them are installed."""

from __future__ import annotations

import difflib
import importlib.util
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from lipwise_ray.errors import WeightsError
from lipwise_ray.models.checkpoints import Checkpoint
from lipwise_ray.models.terms import Commercial
from lipwise_ray.nets.checkpoint import refuse_non_weights
from lipwise_ray.resources import models_folder
from lipwise_ray.storage.digest import sha256_of


class RegistryEntry(BaseModel):
    """One published file.

    ``network`` says which code loads it; ``sha256`` is empty where nobody has stated it; ``reason`` says why it may not
    be used in commerce, or why that is unclear; ``made_for`` (in the file: ``for``) is the only images it was made for,
    empty for photographed ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    network: str
    file: Annotated[str, Field(pattern=r"^[\w.+-]+$")]
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    bytes_total: int | None = None
    urls: list[str]
    crc32_beside: bool = False
    """Beside the file lies one of the same name that ends in ``.hash``, with its CRC32."""
    licence: str
    commercial: Commercial
    reason: str = ""
    bundled: bool = False
    """It ships with the package, in ``models/tiny`` beside the registry."""
    package: str = ""
    """Place in another Python package, which ``extra`` installs: ``package/folder/file``."""
    extra: str = ""
    made_for: str = Field("", alias="for")

    @model_validator(mode="after")
    def _says_why(self) -> RegistryEntry:
        if (self.commercial == "yes") == bool(self.reason):
            raise ValueError("a reason must be given where commercial use is not a plain yes, and only there")
        if not self.sha256 and (self.bundled or self.package):
            raise ValueError("a file that comes with a package must have its sha256")
        return self

    @property
    def packaged(self) -> Path | None:
        """The published file in the package that it comes with; None without that, or with another version's file."""
        return _packaged(self.package, self.sha256)

    @property
    def needs_consent(self) -> bool:
        """True where the user has to accept the terms before the file is fetched."""
        return self.commercial == "no"

    def checkpoint(self, name: str, path: Path) -> Checkpoint:
        """Return the published file as it is found on this machine; where its hash is not known, its own is taken."""
        sha256 = self.sha256 or sha256_of(path)
        return Checkpoint(name, self.network, path, sha256, self.licence, self.commercial, self.reason, self.made_for)


class Registry:
    """The published checkpoints.

    Args:
        path: The TOML file.
        folder: Folder that pulled files are in.
        elsewhere: Says whether workers can fetch a file of that name, where it is not in the folder.

    Raises:
        WeightsError: The registry file is broken.
    """

    def __init__(self, path: Path, folder: Path, elsewhere: Callable[[str], bool] = lambda _: False) -> None:
        self.folder = folder
        self._elsewhere = elsewhere
        self._bundle = path.parent / "tiny"
        try:
            raw = tomllib.loads(path.read_text("utf-8"))
            self.entries = TypeAdapter(dict[str, RegistryEntry]).validate_python(raw)
        except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
            raise WeightsError(
                "registry", str(path), got=f"not a registry of checkpoints: {str(error).splitlines()[0]}"
            ) from error

    def entry(self, name: str) -> RegistryEntry:
        """Return an entry.

        Raises:
            WeightsError: There is none of that name.
        """
        if name not in self.entries:
            near = difflib.get_close_matches(name, self.entries, n=1)
            raise WeightsError(
                "unknown_model",
                "",
                got=f'unknown model "{name}"' + (f' - did you mean "{near[0]}"?' if near else ""),
                do=f"Known: {', '.join(self.entries)}",
            )
        return self.entries[name]

    def path_of(self, name: str) -> Path:
        """Return the path of a checkpoint, whether it is there or not."""
        entry = self.entry(name)
        return (self._bundle if entry.bundled else self.folder) / entry.file

    def installed(self, name: str) -> bool:
        """Tell whether the file is there, or where workers can fetch it; its contents are not looked at."""
        return self._here(name) is not None or self._is_elsewhere(name)

    def _here(self, name: str) -> Path | None:
        """Return the path of a file that is on this machine; in a package it has to be the published one."""
        path = self.path_of(name)
        return path if path.is_file() else self.entry(name).packaged

    def _is_elsewhere(self, name: str) -> bool:
        entry = self.entry(name)
        return not entry.bundled and bool(entry.sha256) and self._elsewhere(entry.file)

    def resolve(self, name: str, network: str | None = None) -> Checkpoint:
        """Return an installed checkpoint after checking its hash; whoever fetches one from elsewhere checks it there.

        Args:
            name: The registry's name.
            network: The network that it must be of.

        Raises:
            WeightsError: It is not installed, is not the published file, or is of another network.
        """
        entry, path = self.entry(name), self._here(name) or self.path_of(name)
        if network not in {None, entry.network}:
            fitting = [other for other, entry in self.entries.items() if entry.network == network]
            raise WeightsError(
                "other_network",
                f"model {name}",
                got=f"is of the network {entry.network}, not {network}",
                do=f"Choose one of {', '.join(fitting)}",
            )
        if not path.is_file() and self._is_elsewhere(name):
            return entry.checkpoint(name, path)
        if not path.is_file():
            raise WeightsError(
                "not_installed",
                f"model {name}",
                got=f"not installed: no file at {path}",
                do=how_to_get(name, entry),
            )
        refuse_non_weights(path)
        self.check(name, path)
        return entry.checkpoint(name, path)

    def check(self, name: str, path: Path) -> None:
        """Compare a file with what was published; where its hash is not known, no file is another one.

        Raises:
            WeightsError: It is another file.
        """
        entry = self.entry(name)
        if not entry.sha256:
            return
        sha256 = sha256_of(path)
        if sha256 != entry.sha256:
            size = path.stat().st_size
            cut = entry.bytes_total is not None and size < entry.bytes_total
            got = (
                f"cut off: {size} of {entry.bytes_total} bytes"
                if cut
                else f"another file, of sha256 {sha256[:12]}... and {size} bytes"
            )
            raise WeightsError(
                "wrong_hash",
                str(path),
                got=got,
                must=f"the published file of {name} has sha256 {entry.sha256[:12]}...",
                do=f"Run `lipwise-ray models pull {name}` again; to use a file of your own, give its path instead",
            )

    def own_file(self, path: Path, network: str) -> Checkpoint:
        """Return a user's own checkpoint; a file that the registry knows must be of that network.

        Raises:
            WeightsError: It is no checkpoint, or a published one of another network.
        """
        refuse_non_weights(path)
        sha256 = sha256_of(path)
        for name, entry in self.entries.items():
            if entry.sha256 == sha256:
                if entry.network != network:
                    raise WeightsError(
                        "other_network",
                        str(path),
                        got=f"is the published {name}, of the network {entry.network}",
                        must=f"a checkpoint of {network} is needed",
                    )
                return entry.checkpoint(name, path)
        return Checkpoint("custom", network, path, sha256)


def how_to_get(name: str, entry: RegistryEntry) -> str:
    """Return the advice by which a user gets a checkpoint."""
    if entry.bundled:
        return "Install lipwise-ray again: the file comes with it"
    if entry.extra:
        return f"Run `pip install 'lipwise-ray[{entry.extra}]'`, or `lipwise-ray models add {name} FILE`"
    accept = " --accept-licence" if entry.needs_consent else ""
    return f"Run `lipwise-ray models pull {name}{accept}`, or `lipwise-ray models add {name} FILE`"


@cache
def _packaged(file: str, sha256: str) -> Path | None:
    package, _, rest = file.partition("/")
    found = importlib.util.find_spec(package) if package else None
    paths = (Path(folder) / rest for folder in (found and found.submodule_search_locations) or ())
    return next((path for path in paths if path.is_file() and sha256_of(path) == sha256), None)


def packaged_copy(sha256: str) -> Path | None:
    """Return this machine's copy of a checkpoint that comes with a Python package, None where it has none."""
    entries = Registry(models_folder() / "registry.toml", Path()).entries.values()
    return next((entry.packaged for entry in entries if entry.sha256 == sha256), None)


def is_published(path: Path) -> bool:
    """Tell whether the registry that comes with this program knows a file's bytes."""
    entries = Registry(models_folder() / "registry.toml", path.parent).entries.values()
    return path.is_file() and sha256_of(path) in {entry.sha256 for entry in entries}
