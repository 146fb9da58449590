"""The video and the audio of a notebook: the bundled sample, or files of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from lipwise_ray.errors import MediaError
from lipwise_ray.resources import manifests_folder

SAMPLE = "presenter"


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """Files that are dubbed.

    Attributes:
        video: A video, or a still image.
        audio: The new audio.
    """

    video: Path
    audio: Path


def sample_files() -> SourceFiles:
    """Return the bundled sample: a drawn presenter, and another sentence."""
    folder = manifests_folder() / "demo"
    return SourceFiles(folder / f"{SAMPLE}.mp4", folder / f"{SAMPLE}.m4a")


def sent_files(folder: str | Path, video: str = "", audio: str = "") -> SourceFiles:
    """Return files of one's own: by their paths, or else, on Colab, chosen in the browser and kept in a folder.

    Args:
        folder: Where chosen files go.
        video: Path of the video; empty to choose one.
        audio: Path of the audio; empty to choose one.

    Raises:
        MediaError: A file is not there, or this is not Colab and no path was given.
    """
    place = Path(folder)
    return SourceFiles(_file(video, "video", place), _file(audio, "audio", place))


def _file(path: str, what: str, folder: Path) -> Path:
    found = Path(path).expanduser() if path else _chosen(what, folder)
    if not found.is_file():
        raise MediaError("missing_file", str(found), got=f"the {what} is not there", do="Check its path")
    return found


def _chosen(what: str, folder: Path) -> Path:
    try:
        colab = import_module("google.colab.files")
    except ImportError as error:
        do = f"Upload it by the notebook's file list, and write its path to {what.upper()}"
        raise MediaError("missing_file", f"the {what}", got="no path was given", do=do) from error
    sent: Mapping[str, bytes] = colab.upload()  # Colab's own, which asks for one or more
    if not sent:
        raise MediaError("missing_file", f"the {what}", got="none was chosen", do="Run the cell again, and choose one")
    name, data = next(iter(sent.items()))
    place = folder / what  # a video and its audio may have one name
    place.mkdir(parents=True, exist_ok=True)
    target = place / Path(name).name
    target.write_bytes(data)
    return target
