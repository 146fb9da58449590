"""LatentSync 1.5 and 1.6: lips drawn by diffusion over a window of frames, on what Whisper's encoder hears."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lipwise_ray.lipsync.audio_features import LATENTSYNC_STATES
from lipwise_ray.lipsync.crop_alignment import Alignment
from lipwise_ray.lipsync.finite_faces import check_finite
from lipwise_ray.lipsync.frame_windows import FrameWindow
from lipwise_ray.lipsync.latentsync_mask import drawn_opacity, kept_pixels
from lipwise_ray.lipsync.resident_lipsync import ResidentLipSync
from lipwise_ray.lipsync.window_noise import WindowNoise

if TYPE_CHECKING:
    from torch import Tensor

    from lipwise_ray.lipsync.model import LipSync
    from lipwise_ray.nets.precision import Precision

LATENTSYNC_FRAMES = FrameWindow(16, 0, Fraction(25))
"""Source: LatentSync configs/unet/stage2.yaml, num_frames; pipelines/lipsync_pipeline.py, which joins them end to
end."""

_LATENT_PX = 8


@dataclass(frozen=True, slots=True)
class Sampling:
    """Settings by which a window is drawn.

    Attributes:
        steps: Steps of the diffusion.
        guidance: Factor by which lips go from what no audio gives to what the audio gives, and beyond; at 1 they are
            drawn by the audio alone, in half the time.
        seed: Of the noise that they begin with.
        is_noise_shared: All windows begin with one noise; else each with one of its own, by its place and its audio.
    """

    steps: int
    guidance: float
    seed: int
    is_noise_shared: bool


@dataclass(frozen=True, slots=True)
class WindowCalls:
    """Parts of a window that go through the networks at once: it cannot be halved itself for want of memory.

    Attributes:
        images: Images that the autoencoder takes, a divisor of the window's: at 512 pixels one has up to 134 MB a layer
            in float32.
        clips: Clips that the U-Net takes, 1 or 2: with guidance a window is drawn twice.
    """

    images: int
    clips: int


WINDOW_CALLS = WindowCalls(images=4, clips=2)
"""Parts where there is memory enough."""


class LatentSyncLipSync(ResidentLipSync):
    """LatentSync, resident on one device.

    Args:
        unet: Its U-Net, of the published widths or smaller ones.
        autoencoder: Stable Diffusion's autoencoder.
        size_px: Side of the crops: 256 for 1.5, 512 for 1.6. No tensor of the file tells.
        sampling: How windows are drawn.
        device: ``cpu`` or ``cuda``.
        precision: Number format of the networks; latents between steps are float32.
        bfloat16: True where ``auto`` may be bfloat16; None asks the hardware.
        calls: Parts of a window that go through the networks at once.

    Raises:
        WeightsError: A file does not hold the network's tensors.

    Source: LatentSync pipelines/lipsync_pipeline.py; differs in: latents of images are the mode of the autoencoder's
    distribution, not a sample, so that a window does not depend on those before it. All frames of a window begin with
    one noise, as there, and so do all windows where it is shared: then texture does not change from window to window.
    DeepCache is left out.
    """

    feature = LATENTSYNC_STATES
    frames = LATENTSYNC_FRAMES
    alignment: Alignment = "affine3"

    def __init__(
        self,
        unet: Path,
        autoencoder: Path,
        *,
        size_px: int,
        sampling: Sampling,
        device: str,
        precision: Precision,
        bfloat16: bool | None = None,
        calls: WindowCalls = WINDOW_CALLS,
    ) -> None:
        import torch

        from lipwise_ray.nets.diffusion.autoencoder import LATENT_CHANNELS
        from lipwise_ray.nets.diffusion.ddim import ImplicitSchedule
        from lipwise_ray.nets.diffusion.published import load_autoencoder, load_latentsync_unet
        from lipwise_ray.nets.fixed_call import fixed_call
        from lipwise_ray.nets.precision import choose_dtype, computing_in

        dtype = choose_dtype(precision, device, bfloat16=bfloat16)
        network, images = (
            loaded.to(device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the stub
            for loaded in (load_latentsync_unet(unet), load_autoencoder(autoencoder))
        )
        count, side, guidance = self.frames.length, size_px // _LATENT_PX, sampling.guidance
        schedule, is_guided = ImplicitSchedule(sampling.steps), guidance != 1
        keeps = torch.from_numpy(kept_pixels(size_px).copy()).to(device)
        opacity = torch.from_numpy(drawn_opacity(size_px).copy()).to(device)[..., None]
        keeps_latents = keeps[::_LATENT_PX, ::_LATENT_PX].to(dtype).expand(count, 1, side, side)
        shape = (LATENT_CHANNELS, side, side)
        noise = WindowNoise(sampling.seed, shape, device, is_shared=sampling.is_noise_shared)

        def seen(given: Tensor, step: Tensor, tokens: Tensor) -> Tensor:
            with computing_in(dtype):
                return network(given, step, tokens, frames=count)

        def encoded(part: Tensor) -> Tensor:
            with computing_in(dtype):
                return images.encode(part)

        def decoded(part: Tensor) -> Tensor:
            with computing_in(dtype):
                return images.decode(part)

        see, encode, decode = (fixed_call(call, device) for call in (seen, encoded, decoded))

        def in_parts(call: Callable[[Tensor], Tensor], whole: Tensor) -> Tensor:
            return torch.cat([call(part) for part in whole.split(calls.images)])

        def seen_at(step: int, given: Tensor, tokens: Tensor) -> Tensor:
            clips = given.repeat(len(tokens) // count, 1, 1, 1).contiguous(memory_format=torch.channels_last)
            return see(clips, torch.full((len(tokens),), step, device=device), tokens).float()

        def draw(whole_nhwc: Tensor, states: Tensor, first: int = 0) -> Tensor:
            rgb_nchw = (2 * whole_nhwc - 1).flip(3).permute(0, 3, 1, 2)
            whole, masked = (
                image.to(dtype).contiguous(memory_format=torch.channels_last) for image in (rgb_nchw, rgb_nchw * keeps)
            )
            shown = torch.cat((keeps_latents, in_parts(encode, masked), in_parts(encode, whole)), dim=1)
            tokens = states.to(dtype)
            told = torch.cat((torch.zeros_like(tokens), tokens)) if is_guided else tokens
            latents = noise.at(first, states)
            for number, step in enumerate(schedule.steps):
                given = torch.cat((latents.to(dtype), shown), dim=1)
                found = torch.cat([seen_at(step, given, part) for part in told.split(calls.clips * count)])
                if is_guided:
                    unheard, heard = found.chunk(2)
                    found = unheard + guidance * (heard - unheard)
                latents = schedule.followed(number, latents, found)
            made = in_parts(decode, latents.to(dtype)).float().permute(0, 2, 3, 1).flip(3)
            check_finite(made, dtype, unet)
            return (whole_nhwc + opacity * (made / 2 + 0.5 - whole_nhwc)).clamp(0, 1)

        super().__init__(size_px, count, device, draw)
        self._sampling, self._draw_at = sampling, draw

    def at(self, first: int) -> LipSync:
        """Return the network as it draws the window that begins at a frame.

        Args:
            first: The frame's number in the output.
        """
        if self._sampling.is_noise_shared:
            return self
        placed = copy(self)
        placed._draw = partial(self._draw_at, first=first)  # noqa: SLF001  # a copy of itself
        return placed
