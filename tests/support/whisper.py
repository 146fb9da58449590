"""A made-up speech recogniser in CTranslate2's layout, which hears the same sentence in every sound."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from ctranslate2.specs import WhisperSpec
from tokenizers import AddedToken, Tokenizer, models

_WIDTH, _POSITIONS, _FRAMES, _BANDS = 64, 448, 1500, 80
_TIMES = 1501
_PROMPT = 4
"""Tokens before the first word: start, language, task, no times."""


def write_recogniser(folder: Path, sentence: str, language: str) -> Path:
    """Write a network that says `sentence`, in `language` (of two letters), whatever it hears.

    Its layers pass everything on, so that a token's place alone decides which one follows.
    """
    languages = sorted({language, "de", "en"})
    special = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{one}|>" for one in languages)]
    special += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>"]
    special += ["<|notimestamps|>", *(f"<|{n * 0.02:.2f}|>" for n in range(_TIMES))]
    words = sentence.split()
    # By an empty token CTranslate2 tells a recogniser of many languages from one of English alone.
    vocabulary = ["", "[unknown]", *dict.fromkeys(words), *special]
    place = {token: number for number, token in enumerate(vocabulary)}

    follows = [f"<|{language}|>", *["<|endoftext|>"] * (_PROMPT - 2), *words, "<|endoftext|>"]
    spec = WhisperSpec(1, 1, 1, 1)
    _fill(spec)
    positions = np.zeros((_POSITIONS, _WIDTH), np.float32)
    projection = np.zeros((len(vocabulary), _WIDTH), np.float32)
    for number, token in enumerate(follows):
        positions[number, number] = 10.0
        projection[place[token], number] = 10.0
    spec.decoder.position_encodings.encodings = positions
    spec.decoder.embeddings.weight = np.zeros_like(projection)
    spec.decoder.projection.weight = projection
    spec.encoder.position_encodings.encodings = np.zeros((_FRAMES, _WIDTH), np.float32)
    spec.encoder.conv1.weight = np.zeros((_WIDTH, _BANDS, 3), np.float32)
    spec.encoder.conv1.bias = np.zeros(_WIDTH, np.float32)
    spec.encoder.conv2.weight = np.zeros((_WIDTH, _WIDTH, 3), np.float32)
    spec.encoder.conv2.bias = np.zeros(_WIDTH, np.float32)
    spec.config.lang_ids = [place[f"<|{one}|>"] for one in languages]
    spec.register_vocabulary(vocabulary)
    spec.validate()
    spec.optimize()
    folder.mkdir(parents=True)
    spec.save(str(folder))
    tokenizer = Tokenizer(models.WordLevel(place, "[unknown]"))
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": _BANDS}))
    return folder


def _fill(spec: WhisperSpec) -> None:
    """Give every layer weights that change nothing."""
    one, none = np.ones(_WIDTH, np.float32), np.zeros(_WIDTH, np.float32)

    def norm(layer: object) -> None:
        layer.gamma, layer.beta = one, none  # type: ignore[attr-defined]

    def linear(layer: object, rows: int, columns: int) -> None:
        layer.weight, layer.bias = np.zeros((rows, columns), np.float32), np.zeros(rows, np.float32)  # type: ignore[attr-defined]

    norm(spec.encoder.layer_norm)
    norm(spec.decoder.layer_norm)
    for layers in (spec.encoder.layer, spec.decoder.layer):
        for layer in layers:
            norm(layer.self_attention.layer_norm)
            linear(layer.self_attention.linear[0], 3 * _WIDTH, _WIDTH)
            linear(layer.self_attention.linear[1], _WIDTH, _WIDTH)
            norm(layer.ffn.layer_norm)
            linear(layer.ffn.linear_0, 4 * _WIDTH, _WIDTH)
            linear(layer.ffn.linear_1, _WIDTH, 4 * _WIDTH)
    for layer in spec.decoder.layer:
        norm(layer.attention.layer_norm)
        linear(layer.attention.linear[0], _WIDTH, _WIDTH)
        linear(layer.attention.linear[1], 2 * _WIDTH, _WIDTH)
        linear(layer.attention.linear[2], _WIDTH, _WIDTH)
