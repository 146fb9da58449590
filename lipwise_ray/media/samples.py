"""Frames of audio as arrays and back, with any number of channels.

Always by packed samples: PyAV counts one plane too many in planar frames of eight channels and more, and reads past
their end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

Samples = npt.NDArray[Any]


def samples_of(frame: AudioFrame) -> Samples:
    """Return the samples of a packed frame, shape (channels, N)."""
    assert not frame.format.is_planar
    return frame.to_ndarray().reshape(-1, frame.layout.nb_channels).T


def frame_of(samples: Samples, kind: str, layout: str, rate_hz: int) -> AudioFrame:
    """Return a packed frame of samples of shape (channels, N).

    Args:
        samples: Of the type that `kind` says.
        kind: FFmpeg's name of a packed format, such as ``flt``.
        layout: FFmpeg's name of the channels.
        rate_hz: Samples a second.
    """
    packed = np.ascontiguousarray(samples.T).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(cast("Any", packed), format=kind, layout=layout)
    frame.sample_rate = rate_hz
    return frame
