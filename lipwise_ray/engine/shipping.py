"""This program as a wheel without dependencies: how it gets to a cluster whose image has what it stands on."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import lipwise_ray
from lipwise_ray.resources import jobs_folder, models_folder

_PACKAGE = Path(lipwise_ray.__file__).resolve().parent
_TIME = (2020, 1, 1, 0, 0, 0)  # equal contents make equal wheels, which a cluster keeps once


def make_wheel(folder: Path) -> Path:
    """Write this program's wheel: code, presets, the registry, the small bundled networks; no other checkpoints.

    Its version has a part that follows from its contents: a cluster knows wheels by their names.

    Args:
        folder: Where to.

    Source: PyPA's binary distribution format.
    """
    contents = [(name, file.read_bytes()) for name, file in _files()]
    all_of_it = hashlib.sha256(repr([(name, _digest(data)) for name, data in contents]).encode()).hexdigest()
    version = f"{lipwise_ray.__version__}+{all_of_it[:12]}"
    about = f"lipwise_ray-{version}.dist-info"
    path = folder / f"lipwise_ray-{version}-py3-none-any.whl"
    contents += [
        (f"{about}/METADATA", f"Metadata-Version: 2.1\nName: lipwise-ray\nVersion: {version}\n".encode()),
        (f"{about}/WHEEL", b"Wheel-Version: 1.0\nGenerator: lipwise-ray\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
    ]
    record = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in contents)
    contents.append((f"{about}/RECORD", f"{record}{about}/RECORD,,\n".encode()))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in contents:
            wheel.writestr(zipfile.ZipInfo(name, _TIME), data, zipfile.ZIP_DEFLATED)
    return path


def _files() -> Iterator[tuple[str, Path]]:
    for file in _within(_PACKAGE):
        if file.parts[0] != "_data":
            yield f"lipwise_ray/{file.as_posix()}", _PACKAGE / file
    for file in _within(jobs_folder()):
        yield f"lipwise_ray/_data/jobs/{file.as_posix()}", jobs_folder() / file
    models = models_folder()
    yield "lipwise_ray/_data/models/registry.toml", models / "registry.toml"
    for file in sorted((models / "tiny").glob("tiny_*.safetensors")):
        yield f"lipwise_ray/_data/models/tiny/{file.name}", file


def _within(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield file.relative_to(folder)


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
