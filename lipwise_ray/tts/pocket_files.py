"""Files of Pocket TTS: their places in a model's folder as it is published, and what a model speaks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from lipwise_ray.errors import SettingsError

MODEL = "model.safetensors"
TOKENIZERS = ("tokenizer.json", "tokenizer.model")
"""Of one vocabulary; a folder may have either or both, and the first is taken."""

CONFIG = "config.yaml"
"""Not published: of a model that its user trained, which the package has no description of."""

_VOICES = "embeddings"
_PUBLISHED = re.compile(r"pocket_(?P<model>[a-z]+)(_tokenizer|_voice_(?P<voice>\w+))?\.(json|safetensors)")
"""Names of the registry's files, which lie in one folder."""

_LANGUAGES = {
    "english": ("en", "alba"),
    "french": ("fr", "estelle"),
    "german": ("de", "juergen"),
    "portuguese": ("pt", "rafael"),
    "italian": ("it", "giovanni"),
    "spanish": ("es", "lola"),
    "dutch": ("nl", "daan"),
}
"""Language and usual voice of the models whose names begin so, as in the package."""


def files_in(folder: Path) -> list[str]:
    """Return the paths of a model's files in its folder, whether those that it cannot do without are there or not."""
    tokenizer = next((name for name in TOKENIZERS if (folder / name).is_file()), TOKENIZERS[0])
    config = [CONFIG] if (folder / CONFIG).is_file() else []
    voices = sorted((folder / _VOICES).glob("*.safetensors"))
    return [*(str(folder / name) for name in (MODEL, tokenizer, *config)), *map(str, voices)]


def place_of(path: Path) -> str:
    """Return the place of a file in a model's folder."""
    published = _PUBLISHED.fullmatch(path.name)
    if published is None:
        return f"{_VOICES}/{path.name}" if path.parent.name == _VOICES else path.name
    if published["voice"]:
        return f"{_VOICES}/{published['voice']}.safetensors"
    return TOKENIZERS[0] if path.suffix == ".json" else MODEL


def voice_in(place: str) -> str:
    """Return the name of the voice that a file is of; empty where it is of none.

    Args:
        place: Of `place_of`.
    """
    return Path(place).stem if place.startswith(f"{_VOICES}/") else ""


def model_name(paths: Iterable[Path]) -> str:
    """Return the name of the model that files are of: its folder's, or the registry's; empty where none is a model."""
    path = next((one for one in paths if place_of(one) == MODEL), None)
    published = path and _PUBLISHED.fullmatch(path.name)
    return published["model"] if published else path.parent.name if path else ""


def usual_voice(model: str) -> str:
    """Return the voice that speaks where none is named.

    Args:
        model: Name of the model.
    """
    return _known(model)[1]


def check_language(model: str, language: str) -> None:
    """Find out whether a model speaks a language; of one that the package does not know, nobody can tell.

    Args:
        model: Name of the model.
        language: As the row states it; empty where nobody says.

    Raises:
        SettingsError: It speaks another.
    """
    spoken = _known(model)[0]
    if spoken and language and language.partition("-")[0].lower() != spoken:
        got = f"the model {model} speaks {spoken}, and the row's language is {language!r}"
        do = "Set tts.model to the folder of a model that speaks it, or tts.engine to another engine"
        raise SettingsError("tts_language", "tts.model", got=got, do=do)


def _known(model: str) -> tuple[str, str]:
    return _LANGUAGES.get(model.partition("_")[0], ("", ""))
