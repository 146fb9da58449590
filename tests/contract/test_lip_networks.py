"""Networks of lip models beside those of diffusers and transformers, on the same seeded weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lipwise_ray.lipsync.audio_features import LATENTSYNC_STATES
from lipwise_ray.lipsync.mel import mel_bands
from lipwise_ray.lipsync.whisper_states import WhisperStates
from lipwise_ray.nets.diffusion.autoencoder import LATENT_SCALE, ImageAutoencoder, current_names
from lipwise_ray.nets.diffusion.ddim import ImplicitSchedule
from lipwise_ray.nets.diffusion.motion import LONGEST_CLIP, MotionModule
from lipwise_ray.nets.diffusion.unet import LATENTSYNC_UNET, MUSETALK_UNET, LatentUNet, UNetShape
from lipwise_ray.nets.torchvision_compat import declare_torchvision_operators
from lipwise_ray.nets.whisper_encoder import WhisperEncoder, encoder_tensors
from tests.support.seeded import speech_like_wave

_CHANNELS = (32, 32, 64, 64)
_FRAMES = 3
_TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Draw weights and inputs anew for every test; both packages import torchvision."""
    pytest.importorskip("diffusers", reason="diffusers is not installed (extra dev)")
    pytest.importorskip("transformers", reason="transformers is not installed (extra dev)")
    declare_torchvision_operators()
    torch.manual_seed(0)


def _drawn(network: torch.nn.Module) -> Any:
    """Return a network with every weight drawn: layers that begin at zero would hide what is before them."""
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return network.eval()


def _apart(one: torch.Tensor, other: torch.Tensor) -> float:
    assert float(other.std()) > 10 * _TOLERANCE, "outputs near zero tell nothing"
    return float((one - other).abs().max())


def _reference_unet(c_in: int) -> Any:
    from diffusers import UNet2DConditionModel

    return _drawn(
        UNet2DConditionModel(
            in_channels=c_in,
            cross_attention_dim=384,
            block_out_channels=_CHANNELS,
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        )
    )


def _clip(c_in: int, frames: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.randn(frames, c_in, 16, 16), torch.full((frames,), 7), torch.randn(frames, 50, 384)


@torch.inference_mode()
def test_the_unet_is_diffusers_own() -> None:
    """MuseTalk's U-Net makes what diffusers makes; with the halves of its input exchanged it does not."""
    reference, own = _reference_unet(8), LatentUNet(UNetShape(8, _CHANNELS)).eval()
    own.load_state_dict(reference.state_dict())
    latents, step, tokens = _clip(8, 2)
    expected = reference(latents, step, tokens).sample
    assert _apart(own(latents, step, tokens), expected) <= _TOLERANCE
    assert _apart(own(latents.roll(4, dims=1), step, tokens), expected) > 10 * _TOLERANCE


@torch.inference_mode()
def test_frames_of_a_clip_share_their_statistics() -> None:
    """One frame without motion is diffusers' network; three frames are not three times that."""
    reference = _reference_unet(13)
    own = _drawn(LatentUNet(UNetShape(13, _CHANNELS, has_motion=True)))
    own.load_state_dict(reference.state_dict(), strict=False)
    for module in own.modules():
        if isinstance(module, MotionModule):
            torch.nn.init.zeros_(module.temporal_transformer.proj_out.weight)
            torch.nn.init.zeros_(module.temporal_transformer.proj_out.bias)
    latents, step, tokens = _clip(13, _FRAMES)
    one = own(latents[:1], step[:1], tokens[:1])
    assert _apart(one, reference(latents[:1], step[:1], tokens[:1]).sample) <= _TOLERANCE
    assert _apart(own(latents, step, tokens, frames=_FRAMES), reference(latents, step, tokens).sample) > 10 * _TOLERANCE


@torch.inference_mode()
def test_attention_over_frames() -> None:
    """A motion module's block is the transformer block of diffusers with sinusoidal places, over frames."""
    from diffusers.models.attention import BasicTransformerBlock

    channels, frames = 64, 16
    own = _drawn(MotionModule(channels))
    (block,) = own.temporal_transformer.transformer_blocks
    reference = BasicTransformerBlock(
        channels,
        8,
        channels // 8,
        activation_fn="geglu",
        double_self_attention=True,
        positional_embeddings="sinusoidal",
        num_positional_embeddings=LONGEST_CLIP,
    ).eval()
    names = {"attention_blocks.0": "attn1", "attention_blocks.1": "attn2", "norms.0": "norm1", "norms.1": "norm2"}
    tensors: dict[str, torch.Tensor] = {}
    for name, tensor in block.state_dict().items():
        for old, new in {**names, "ff_norm": "norm3"}.items():
            name = name.replace(old, new)  # noqa: PLW2901  # one name after the other
        if not name.endswith("pos_encoder.pe"):
            tensors[name] = tensor
    assert reference.load_state_dict(tensors, strict=False).missing_keys == ["pos_embed.pe"]
    x = torch.randn(10, frames, channels)
    assert _apart(block(x), reference(x)) <= _TOLERANCE


@torch.inference_mode()
def test_attention_over_frames_keeps_positions_apart() -> None:
    """What changes at a position of one frame reaches that position of other frames, and nothing else of them."""
    own = _drawn(MotionModule(32))
    x = torch.randn(4, 32, 8, 8)
    other = x.clone()
    other[1, :, 3, 5] += 1.0
    moved = (own(other, frames=4) - own(x, frames=4)).abs().amax(dim=1)[[0, 2, 3]]
    assert float(moved[:, 3, 5].min()) > 5e-5
    moved[:, 3, 5] = 0
    assert float(moved.max()) < 1e-5  # float32: products of other shapes add up in another order


@torch.inference_mode()
@pytest.mark.parametrize("names", ["today's", "older"])
def test_the_autoencoder_is_diffusers_own(names: str) -> None:
    """Latents are the mode, scaled; both forms of a file give them, and images come back as from diffusers."""
    from diffusers import AutoencoderKL

    reference = _drawn(
        AutoencoderKL(
            block_out_channels=_CHANNELS,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
            layers_per_block=2,
        )
    )
    tensors = reference.state_dict()
    if names == "older":
        old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
        for new, before in old.items():
            tensors = {name.replace(f"attentions.0.{new}", f"attentions.0.{before}"): tensors[name] for name in tensors}
        assert any(".query." in name for name in tensors)
    own = ImageAutoencoder(_CHANNELS).eval()
    own.load_state_dict(current_names(tensors))
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    latents = reference.encode(images).latent_dist.mode() * LATENT_SCALE
    assert _apart(own.encode(images), latents) <= _TOLERANCE
    assert _apart(own.decode(latents), reference.decode(latents / LATENT_SCALE).sample) <= _TOLERANCE


@torch.inference_mode()
@pytest.mark.parametrize("names", ["transformers", "openai"])
def test_the_encoder_is_transformers_own(names: str) -> None:
    """All states before and after layers are those of transformers, from either form of a file, and by its norm."""
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder as ReferenceEncoder

    config = WhisperConfig(d_model=384, encoder_layers=4, encoder_attention_heads=6, encoder_ffn_dim=1536)
    reference = _drawn(ReferenceEncoder(config))
    tensors = {f"model.encoder.{name}": tensor for name, tensor in reference.state_dict().items()}
    tensors["model.decoder.layer_norm.weight"] = torch.zeros(384)
    if names == "openai":
        tensors = {f"encoder.{_openai(name)}": tensor for name, tensor in reference.state_dict().items()}
        assert "encoder.blocks.0.attn.query.weight" in tensors
    own = WhisperEncoder().eval()
    own.load_state_dict(encoder_tensors(tensors))
    mel = torch.randn(1, 80, 3000)
    expected = reference(mel, output_hidden_states=True)
    states = own(mel)
    for layer in range(4):
        assert _apart(states[:, :, layer], expected.hidden_states[layer]) <= _TOLERANCE
    assert _apart(own.layer_norm(states[:, :, 4]), expected.last_hidden_state) <= _TOLERANCE


def _openai(name: str) -> str:
    """Return a tensor's name in Whisper's own files."""
    pairs = (
        ("layers.", "blocks."),
        ("embed_positions.weight", "positional_embedding"),
        ("self_attn.q_proj", "attn.query"),
        ("self_attn.k_proj", "attn.key"),
        ("self_attn.v_proj", "attn.value"),
        ("self_attn.out_proj", "attn.out"),
        ("self_attn_layer_norm", "attn_ln"),
        ("fc1", "mlp.0"),
        ("fc2", "mlp.2"),
        ("final_layer_norm", "mlp_ln"),
    )
    for new, old in pairs:
        name = name.replace(new, old)
    return name.replace("layer_norm", "ln_post") if name.startswith("layer_norm") else name


def test_published_files_have_as_many_tensors() -> None:
    """At their real sizes the networks have the tensors and values that the published files have."""
    with torch.device("meta"):
        networks = (LatentUNet(MUSETALK_UNET), LatentUNet(LATENTSYNC_UNET), ImageAutoencoder(), WhisperEncoder())
    counts = [(len(found := network.state_dict()), sum(map(torch.numel, found.values()))) for network in networks]
    assert counts[:3] == [(686, 849_947_844), (1246, 1_267_944_644), (248, 83_653_863)]
    assert counts[3][0] == 67


@pytest.mark.parametrize("steps", [1, 3, 20, 500])
def test_the_schedule_is_diffusers_own(steps: int) -> None:
    """Steps are those of `DDIMScheduler` by LatentSync's configuration, and so is what each makes of latents."""
    from diffusers import DDIMScheduler

    reference: Any = DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        set_alpha_to_one=False,
        clip_sample=False,
        prediction_type="epsilon",
    )
    reference.set_timesteps(steps)
    own = ImplicitSchedule(steps)
    assert own.steps == reference.timesteps.tolist()
    latents = expected = torch.randn(1, 4, 8, 8)
    for number, step in enumerate(own.steps[:50]):
        noise = torch.randn(1, 4, 8, 8)
        latents = own.followed(number, latents, noise)
        expected = reference.step(noise, step, expected, eta=0.0).prev_sample
        assert _apart(latents, expected) <= _TOLERANCE
    if steps == 20:
        assert [*own.steps[:2], *own.steps[-2:]] == [951, 901, 51, 1]


@torch.inference_mode()
def test_latentsync_hears_the_last_state_as_it_is(tmp_path: Path) -> None:
    """Its fifth state of a step is what comes out of the last layer, of one spectrogram, the rest of it of value 0."""
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder as ReferenceEncoder

    config = WhisperConfig(
        d_model=384, encoder_layers=4, encoder_attention_heads=6, encoder_ffn_dim=1536, max_source_positions=150
    )
    reference = _drawn(ReferenceEncoder(config))
    torch.save({f"model.encoder.{name}": tensor for name, tensor in reference.state_dict().items()}, tmp_path / "w.bin")
    caught: list[torch.Tensor] = []
    reference.layers[3].register_forward_hook(
        lambda _module, _given, made: caught.append(made if isinstance(made, torch.Tensor) else made[0])
    )
    wave = speech_like_wave(2)
    WhisperStates(tmp_path / "w.bin", LATENTSYNC_STATES).write(wave, tmp_path / "s.npy", on_block=lambda: None)
    found = torch.from_numpy(np.load(tmp_path / "s.npy").astype(np.float32))
    assert found.shape == (101, 5, 384)
    mel = torch.zeros(1, 80, 300)
    mel[0, :, :200] = torch.from_numpy(_published_mel(wave))
    expected = reference(mel, output_hidden_states=True)
    (raw,) = caught
    for layer, states in enumerate([*expected.hidden_states[:4], raw]):
        assert _apart(found[:100, layer], states[0, :100]) <= 2e-3  # states are kept in float16
    assert _apart(found[:100, 4], expected.last_hidden_state[0, :100]) > 0.1


def _published_mel(wave: np.ndarray) -> np.ndarray:
    """Return Whisper's spectrogram of a whole file. Source: openai/whisper audio.py, log_mel_spectrogram."""
    window = torch.hann_window(400)
    power = torch.stft(torch.from_numpy(wave), 400, 160, window=window, return_complex=True)[..., :-1].abs() ** 2
    basis = torch.from_numpy(mel_bands(400, 0.0, 8000.0)).float()
    levels = torch.clamp(basis @ power, min=1e-10).log10()
    return ((torch.maximum(levels, levels.max() - 8.0) + 4.0) / 4.0).numpy()
