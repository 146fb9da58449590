"""What the first frame of a video waits for: packages that finding and following a face must not load."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys
import numpy as np
from lipwise_ray.faces.smoothing import smooth
from lipwise_ray.media.side_streams import side_streams
from lipwise_ray.pipeline.analysis.second_look import moves
from tests.support.boxes import link_boxes, make_detections, walk
del moves, side_streams
found = smooth(link_boxes(make_detections(walk(50, 2, range(0, 40, 4)), 40, 4)), 6)
assert len(found.box) > 30, found
print(*sorted({"torch", "langcodes", "scipy.optimize", "scipy.signal", "scipy.interpolate"} & set(sys.modules)))
"""


def test_one_face_is_followed_without_packages_that_take_long_to_load() -> None:
    """Each of them is half a second, and as much again where files come from a disk."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
