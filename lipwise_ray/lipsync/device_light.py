"""`Lights` with torch: the faces of many frames by one weighted least squares, where they are.

Sums are made by halving, so that the faces beside one change no bit of its result; see `device_sampling`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from lipwise_ray.lipsync.compose import light_rules
from lipwise_ray.lipsync.device_copies import DeviceCopies, device_images

if TYPE_CHECKING:
    from torch import Tensor

    from lipwise_ray.lipsync.light import FacePair
    from lipwise_ray.media.planes import FaceImage
    from lipwise_ray.values import F32Array


class DeviceLights:
    """Works with torch, many faces in a call.

    Args:
        device: ``cuda``, or ``cpu`` where the same arithmetic is to be tested.
        faces_a_call: Faces that are best given to it together.
    """

    def __init__(self, device: str, faces_a_call: int = 32) -> None:
        self.faces_a_call = faces_a_call
        self._copies = DeviceCopies(torch.device(device))

    def shifts(self, pairs: Sequence[FacePair]) -> Sequence[F32Array | None]:
        """Return the shift of colours for each new face."""
        if not pairs:
            return []
        rules = light_rules()
        masks = np.stack([one.mask for one in pairs])[:, :: rules.band_step, :: rules.band_step]
        with self._copies.working():
            old, new = (
                torch.stack(self._copies.gathered(faces))[:, :: rules.band_step, :: rules.band_step]
                for faces in ([one.old for one in pairs], [one.new for one in pairs])
            )
            before, after = (one.flatten(1, 2).transpose(1, 2) for one in (old, new))
            place = _places(len(pairs[0].mask))[:: rules.band_step]
            shift, is_found = self._fitted(before, after, masks, place)
            told = self._copies.downloaded(torch.cat([shift.flatten(1), is_found[:, None].to(shift.dtype)], dim=1))
        return [row[:9].reshape(3, 3).astype(np.float32) if row[9] else None for row in told]

    def relit(self, faces: Sequence[FaceImage], shifts: Sequence[F32Array]) -> Sequence[FaceImage]:
        """Return faces with shifts added."""
        if not faces:
            return []
        with self._copies.working():
            image = torch.stack(self._copies.gathered(faces))
            shift = self._copies.sent(np.stack(shifts))[:, None, None]
            place = self._copies.sent(_places(image.shape[1]))
            across = shift[..., 0] + place[:, None] * shift[..., 1]
            down = place[:, None, None] * shift[..., 2]
            return device_images(((image + across) + down).clamp(0, 1))

    def _fitted(self, before: Tensor, after: Tensor, masks: F32Array, place: F32Array) -> tuple[Tensor, Tensor]:
        """Return the planes through the differences of colours, and where enough skin is compared.

        Args:
            before: Colours of the original faces, shape (B, 3, P).
            after: Of the new ones, the same.
            masks: Opacities at these pixels, shape (B, N, N), N * N == P.
            place: Of rows and columns, shape (N,).

        Returns:
            Shapes (B, 3, 3) and (B,).
        """
        rules, sent = light_rules(), self._copies.sent
        middle = np.array([[rules.middle(mask, place)] for mask in masks], np.float32)
        opacity = sent(masks).flatten(1)
        band = 4 * opacity * (1 - opacity)
        across, down = sent(np.tile(place, len(place))), sent(np.repeat(place, len(place)))
        here = band > rules.some
        upper = here & (down < sent(middle))
        skins = [_median(colours, upper)[..., None] for colours in (before, after)]
        is_alike = (skins[0] - skins[1]).abs().amax(dim=(1, 2)) <= rules.most_shift
        off = [(colours - skin).abs().amax(dim=1) for colours, skin in zip((before, after), skins, strict=True)]
        use = here & (torch.maximum(*off) < rules.skin)
        is_found = upper.any(dim=1) & is_alike & (use.sum(dim=1) >= rules.fewest_pixels)
        shift = _plane(before - after, across, down, band, use)
        return torch.where(is_found[:, None, None], shift, 0), is_found


def _plane(wanted: Tensor, across: Tensor, down: Tensor, band: Tensor, use: Tensor) -> Tensor:
    """Return the planes that fit shifts robustly, as `compose.light_shifts` has them, shape (B, 3, 3), float64.

    Args:
        wanted: Shifts of pixels, shape (B, 3, P).
        across: Places of the pixels, from -1 to 1, shape (P,).
        down: The same.
        band: Weight of each, shape (B, P).
        use: Pixels that count, the same.
    """
    rules = light_rules()
    ones = torch.ones_like(across)
    design = [ones, across, down]
    products = torch.stack([*design, across * across, across * down, down * down])
    shift = torch.zeros((*wanted.shape[:2], 3), dtype=torch.float64, device=wanted.device)
    shift[..., 0] = _median(wanted, use)
    counts = (band * use)[:, None]
    for _ in range(rules.reweightings):
        now = shift.to(torch.float32)
        residual = wanted - (now[..., :1] + now[..., 1:2] * across + now[..., 2:] * down)
        width = (rules.to_deviation * _median(residual.abs(), use)).clamp_min(rules.least_width) * rules.tukey
        weight = (1 - torch.square(residual / width[..., None])).clamp_min(0)
        weight = torch.where(use[:, None], weight * weight * counts, 0)
        right = weight * torch.where(use[:, None], wanted, 0)
        parts = torch.cat([weight[..., None, :] * products, right[..., None, :] * products[:3]], dim=2)
        sums = _sums(parts).to(torch.float64)
        shift = _solved(sums[..., :6], sums[..., 6:])
    return shift.clamp(-rules.most_shift, rules.most_shift)


def _solved(products: Tensor, right: Tensor) -> Tensor:
    """Return the solutions of normal equations that lean no more than the pixels insist on, shape (..., 3).

    Args:
        products: Sums of the products of 1, across and down: 1, a, d, aa, ad, dd, shape (..., 6), float64.
        right: Right sides, shape (..., 3).
    """
    rules = light_rules()
    count, a, d, aa, ad, dd = products.unbind(-1)
    steady = (count * part + rules.least_pivot for part in rules.leans)
    n, aa, dd = (one + more for one, more in zip((count, aa, dd), steady, strict=True))
    # By Cramer's rule: a routine for matrices may take another way for another number of them.
    c0, c1, c2 = aa * dd - ad * ad, ad * d - a * dd, a * ad - aa * d
    c3, c4, c5 = n * dd - d * d, a * d - n * ad, n * aa - a * a
    determinant = n * c0 + a * c1 + d * c2
    x, y, z = right.unbind(-1)
    solved = (c0 * x + c1 * y + c2 * z, c1 * x + c3 * y + c4 * z, c2 * x + c4 * y + c5 * z)
    return torch.stack([one / determinant for one in solved], dim=-1)


def _sums(values: Tensor) -> Tensor:
    """Return sums over the last dimension, whose halves are added until one is left."""
    count = values.shape[-1]
    values = torch.nn.functional.pad(values, (0, (1 << (count - 1).bit_length()) - count))
    while values.shape[-1] > 1:
        half = values.shape[-1] // 2
        values = values[..., :half] + values[..., half:]
    return values[..., 0]


def _median(values: Tensor, use: Tensor) -> Tensor:
    """Return medians of some of the numbers of rows, shape (B, C); a row of which none is used gives infinity.

    Args:
        values: Shape (B, C, P).
        use: Shape (B, P).
    """
    ordered = torch.sort(torch.where(use[:, None], values, torch.inf), dim=-1).values
    count = use.sum(dim=1)
    middle = torch.stack([(count - 1).clamp_min(0) // 2, count // 2], dim=1).clamp_max(values.shape[-1] - 1)
    low, high = torch.gather(ordered, 2, middle[:, None].expand(-1, values.shape[1], -1)).unbind(-1)
    return (low + high) / 2


def _places(size_px: int) -> F32Array:
    return np.linspace(-1, 1, size_px, dtype=np.float32)
