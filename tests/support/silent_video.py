"""A video whose audio is silence."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np


def with_silence(source: Path, target: Path) -> None:
    """Write a video with 0.8 s of silence in place of its audio.

    Args:
        source: The video.
        target: The file.
    """
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        video = new.add_stream_from_template(old.streams.video[0])
        sound = new.add_stream("aac", rate=16_000, layout="mono")
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                new.mux(packet)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 12_800), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        new.mux(sound.encode(frame))
        new.mux(sound.encode(None))
