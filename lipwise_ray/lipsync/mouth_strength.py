"""Strength of the mouth's movements: a scale on what a lip-sync network hears."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

from lipwise_ray.lipsync.mel import LOUDEST, SILENCE
from lipwise_ray.values import F32Array

if TYPE_CHECKING:
    from torch import Tensor


@overload
def louder_mel(mels: F32Array, strength: float) -> F32Array: ...
@overload
def louder_mel(mels: Tensor, strength: float) -> Tensor: ...
def louder_mel(mels: F32Array | Tensor, strength: float) -> F32Array | Tensor:
    """Return a mel whose every band is so many times as far above silence: as it is at 1, silent at 0.

    Args:
        mels: In [-4, 4], of any shape; -4 is silence.
        strength: At least 0. Beyond 1, what would be louder than the loudest that the scale has is that.

    Source: the weight of FaceFusion's lip_syncer; differs in: it multiplies the mel itself by twice the weight, so that
    its weight 0 is not silence but the middle of the scale in every band, and beyond 0.5 the mel leaves the scale.
    """
    if strength == 1:
        return mels
    return ((mels - SILENCE) * strength + SILENCE).clip(SILENCE, LOUDEST)
