"""Settings of how new mouths are laid over the old ones, and made sharp."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from lipwise_ray.settings.execution import Section
from lipwise_ray.settings.unions import NUMBER, Auto, text_or_number

MIN_RESTORED_PX = 48

Share = Annotated[float, Field(ge=0.0, le=1.0)]
_Strength = Annotated[Annotated[Share, Tag(NUMBER)] | Auto, Discriminator(text_or_number)]
PrecisionSetting = Literal["auto", "float32", "bfloat16", "float16"]


class CompositeSettings(Section):
    """Compositing of the new mouth over the old one."""

    mask: Literal["face", "soft", "box"] = "face"
    """``face`` follows the lower face down to the jaw, and turns with it; ``soft`` fades at the sides of the box,
    ``box`` overwrites it as the original does."""
    feather: Annotated[float, Field(gt=0, le=0.3)] = 0.1
    """Share of the box over which the mask fades at its rim."""
    match_light: bool = True
    """Give the new mouth the light and colour of the skin around it; not with ``box``."""
    linear_light: bool = True
    """Mix the mask's edge as light adds up, not as it is stored."""
    grain: bool = True
    """Give the new mouth the grain of the skin around it."""
    parser: str = "none"
    """Keep hair, hats, glasses and what is held before a face out of the mask: ``face_parsing``, or ``none``; not with
    ``box``. It computes in `lipsync.precision`, in batches of `restore.batch_faces`."""
    parser_checkpoint: str | None = None
    """A file instead of the registry's."""
    occlusion: bool = True
    """Leave hands, microphones and the like in front of a face as they are; not with ``box``."""
    occluder: str = "auto"
    """Finds them: a name of the registry, or ``auto`` for xseg_1 where that is installed. Without, or with ``none``, a
    lower face is compared with those of the twelve frames before and after, which finds what comes and goes, and not
    what stays."""
    occluder_checkpoint: str | None = None
    """A file of such a network instead of the registry's."""
    kernel: Literal["cubic", "linear"] = "cubic"
    """Resampling of a face on its way to the network and back; the original's way is ``linear``, which blurs."""


class UpscaleSettings(Section):
    """Enlarging by a network."""

    model: str = "none"
    """A name of the registry, or ``none``."""
    checkpoint: str | None = None
    """A file instead of the registry's."""
    scope: Literal["face", "frame"] = "face"
    """Image that is enlarged: the restored (or, without a restorer, the new) face before it is laid over the frame, or
    the finished frame, which makes the output larger."""
    tile_px: Annotated[int, Field(ge=64, le=2048, multiple_of=16)] = 256
    """Frames are enlarged in squares of this side, for memory's sake."""


class RestoreSettings(Section):
    """Making the new face sharp."""

    model: str = "auto"
    """A name of the registry, or ``none``; ``auto`` takes gfpgan_1_4 where it is installed and workers have a GPU."""
    checkpoint: str | None = None
    """A file instead of the registry's, of any architecture that spandrel knows."""
    strength: _Strength = 1.0
    """Share of the restored face; the rest is what the lip-sync network made. ``auto`` chooses it over time, so that
    the mouth is as sharp as the original one."""
    smooth: Share = 0.5
    """Weight of the frames around in the restored detail, as far as the mouth is still; 0 leaves it alone."""
    min_face_px: Annotated[int, Field(ge=0, le=4096)] = MIN_RESTORED_PX
    """Side of its crop in the frame from which on a new face is restored: what a restorer adds to smaller ones is finer
    than the frame's pixels. The network draws 96 pixels; shrunk to 48 they are sharp, even where they were not."""
    fidelity: Share = 0.5
    """CodeFormer's weight: 0 for the sharpest face, 1 for the one most like what it was given."""
    batch_faces: Annotated[int, Field(ge=0, le=256)] = 0
    """Faces, or tiles of a frame, a network call; 0 means 1 on a CPU, 8 on a GPU."""
    precision: PrecisionSetting = "auto"
    """``auto`` is bfloat16 where the hardware and the network bear it, else float32, as the bundled one always is."""
    upscale: UpscaleSettings = UpscaleSettings()
