"""A made-up model in the layout of Pocket TTS: seeded noise, of the package's own classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

VOICES = ("lola", "bill_boerst")
RATE_HZ = 8_000
_LETTERS = {chr(code): index for index, code in enumerate(range(32, 127))}
_SEANET = {
    "dimension": 8,
    "channels": 1,
    "n_filters": 4,
    "n_residual_layers": 1,
    "ratios": [10, 10],
    "kernel_size": 3,
    "residual_kernel_size": 3,
    "last_kernel_size": 3,
    "dilation_base": 2,
    "pad_mode": "constant",
    "compress": 2,
}
_MIMI_TRANSFORMER = {
    "d_model": 8,
    "num_heads": 2,
    "num_layers": 1,
    "layer_scale": 0.01,
    "context": 20,
    "dim_feedforward": 8,
    "input_dimension": 8,
    "output_dimensions": [8],
}
_CONFIG: dict[str, Any] = {
    # A folder's own file may name what lies elsewhere: nothing of that is fetched.
    "weights_path_without_voice_cloning": "hf://nobody/nothing/model.safetensors",
    "flow_lm": {
        "insert_bos_before_voice": True,
        "dtype": "float32",
        "flow": {"depth": 1, "dim": 8},
        "transformer": {"d_model": 8, "hidden_scale": 2, "max_period": 10_000, "num_heads": 2, "num_layers": 1},
        "lookup_table": {
            "dim": 8,
            "n_bins": len(_LETTERS),
            "tokenizer": "tokenizers",
            "tokenizer_path": "hf://nobody/nothing/tokenizer.json",
        },
    },
    "mimi": {
        "dtype": "float32",
        "sample_rate": RATE_HZ,
        "inner_dim": 4,
        "outer_dim": 8,
        "channels": 1,
        "frame_rate": 20,
        "seanet": _SEANET,
        "transformer": _MIMI_TRANSFORMER,
        "quantizer": {"dimension": 4, "output_dimension": 8},
    },
}


def write_pocket(folder: Path, seed: int = 1, *, heads: int = 2) -> Path:
    """Write a folder as it is published, with a description of its own: its layers are none of the package's."""
    from pocket_tts import TTSModel, export_model_state

    (folder / "embeddings").mkdir(parents=True)
    tokenizer = Tokenizer(models.WordLevel(_LETTERS, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = json.loads(json.dumps(_CONFIG))
    config["flow_lm"]["transformer"]["num_heads"] = heads
    (folder / "config.yaml").write_text(json.dumps(config))
    config["flow_lm"]["lookup_table"]["tokenizer_path"] = str(folder / "tokenizer.json")
    ours = folder / "unread.yaml"
    ours.write_text(json.dumps(config))
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = TTSModel.load_model(config=ours)  # without weights it draws them
        # But for those that begin at zero, with which neither text nor voice is heard.
        for weights in (model.flow_lm.speaker_proj_weight, *model.flow_lm.flow_net.parameters()):
            weights.data += 0.2 * torch.randn_like(weights)
        save_file(model.state_dict(), folder / "model.safetensors")
        for voice in VOICES:
            state = model.get_state_for_audio_prompt(torch.rand(1, RATE_HZ) - 0.5)
            export_model_state(state, folder / "embeddings" / f"{voice}.safetensors")
    return folder


def never_ending(folder: Path) -> Path:
    """Let a model never come to the end of what it says."""
    weights = load_file(folder / "model.safetensors")
    weights["flow_lm.out_eos.bias"] -= 100
    save_file(weights, folder / "model.safetensors")
    return folder


def with_sentences(folder: Path) -> Path:
    """Give a model a tokenizer of the other kind, of as many pieces."""
    from sentencepiece import SentencePieceTrainer

    (folder / "tokenizer.json").unlink()
    SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(_LETTERS)]),
        model_prefix=str(folder / "tokenizer"),
        model_type="char",
        vocab_size=len(_LETTERS),
        minloglevel=2,
    )
    return folder
