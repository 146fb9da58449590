"""MuseTalk 1.5: lips drawn in one step among an autoencoder's latents, on what Whisper's encoder hears."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lipwise_ray.lipsync.audio_features import WHISPER_STATES
from lipwise_ray.lipsync.crop_alignment import Alignment
from lipwise_ray.lipsync.finite_faces import check_finite
from lipwise_ray.lipsync.frame_windows import FRAME_BY_FRAME
from lipwise_ray.lipsync.resident_lipsync import ResidentLipSync

if TYPE_CHECKING:
    from torch import Tensor

    from lipwise_ray.nets.precision import Precision

MUSETALK_PX = 256
"""Side of the crops. Source: MuseTalk models/vae.py."""


class MuseTalkLipSync(ResidentLipSync):
    """MuseTalk 1.5, resident on one device.

    Args:
        unet: Its U-Net, of the published widths or smaller ones.
        autoencoder: Stable Diffusion's autoencoder.
        device: ``cpu`` or ``cuda``.
        precision: Number format.
        batch_faces: Faces a call.
        bfloat16: True where ``auto`` may be bfloat16; None asks the hardware.

    Raises:
        WeightsError: A file does not hold the network's tensors.

    Source: MuseTalk models/vae.py, models/unet.py and scripts/inference.py; differs in: latents are the mode of the
    autoencoder's distribution, as in training, not a sample, so that frames repeat; images are not rounded.
    """

    feature = WHISPER_STATES
    frames = FRAME_BY_FRAME
    alignment: Alignment = "box"

    def __init__(
        self,
        unet: Path,
        autoencoder: Path,
        *,
        device: str,
        precision: Precision,
        batch_faces: int,
        bfloat16: bool | None = None,
    ) -> None:
        import torch

        from lipwise_ray.nets.diffusion.published import load_autoencoder, load_musetalk_unet
        from lipwise_ray.nets.fixed_call import fixed_call
        from lipwise_ray.nets.precision import choose_dtype, computing_in
        from lipwise_ray.nets.sinusoids import sinusoids

        dtype = choose_dtype(precision, device, bfloat16=bfloat16)
        network, images = (
            loaded.to(device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the stub
            for loaded in (load_musetalk_unet(unet), load_autoencoder(autoencoder))
        )
        # The original adds these places to the tokens outside of its network, whose file does not hold them.
        places = sinusoids(*self.feature.shape).to(device, dtype)
        steps = torch.zeros(batch_faces, dtype=torch.long, device=device)

        def drawn(tokens: Tensor, masked: Tensor, whole: Tensor) -> Tensor:
            with computing_in(dtype):
                latents = torch.cat((images.encode(masked), images.encode(whole)), dim=1)
                return images.decode(network(latents, steps, tokens + places))

        call = fixed_call(drawn, device)

        def draw(whole_nhwc: Tensor, states: Tensor) -> Tensor:
            rgb_nchw = (2 * whole_nhwc - 1).flip(3).permute(0, 3, 1, 2)
            whole = rgb_nchw.to(dtype).contiguous(memory_format=torch.channels_last)
            masked = whole.clone()
            masked[:, :, MUSETALK_PX // 2 :] = -1
            made = call(states.to(dtype), masked, whole).float().permute(0, 2, 3, 1).flip(3)
            check_finite(made, dtype, unet)
            return (made / 2 + 0.5).clamp(0, 1)

        super().__init__(MUSETALK_PX, batch_faces, device, draw)
