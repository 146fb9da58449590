"""The models that requests may name: this server's presets, and names of sync.so's that stand for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lipwise_ray.errors import RequestError
from lipwise_ray.settings.layers import clipped

_DESCRIPTIONS = {
    "quality": "Sharp faces, matched light, grain.",
    "fast": "No restorer and no scores: a quick look.",
    "parity": "The rules of Wav2Lip's own program, for comparison.",
}
_ALIASES = {
    "lipsync-2": "quality",
    "lipsync-2-pro": "quality",
    "sync-3": "quality",
    "lipsync-1.9.0-beta": "fast",
}
"""Names that programs send already, by the preset that does their work here: the networks are other ones."""

_NOT_HERE = {"react-1": "changes emotions, and this server dubs lips alone"}


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model that requests may name.

    Attributes:
        name: Its name.
        preset: The preset that it means.
        description: Its description, for people.
    """

    name: str
    preset: str
    description: str


def listed_models(presets: Sequence[str]) -> Iterator[ListedModel]:
    """Yield the models of a server.

    Args:
        presets: Its presets.
    """
    for preset, description in _DESCRIPTIONS.items():
        if preset in presets:  # beside them lie job files
            yield ListedModel(preset, preset, description)
    for alias, preset in _ALIASES.items():
        if preset in presets:
            yield ListedModel(alias, preset, f"Another name of {preset}: Wav2Lip's networks, not sync.so's.")


def preset_of(model: str, presets: Sequence[str]) -> str:
    """Return the preset that a model's name means.

    Args:
        model: The name.
        presets: The server's presets.

    Raises:
        RequestError: There is no such model.
    """
    known = {one.name: one.preset for one in listed_models(presets)}
    if model not in known:
        why = _NOT_HERE.get(model)
        got = f"{model} {why}" if why else f"unknown model {clipped(model)!a}"
        raise RequestError("no_model", "model", got=got, do=f"Known: {', '.join(known)}")
    return known[model]
