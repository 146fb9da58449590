"""What the first frame of a video waits for: packages that finding and following a face must not load."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys
import numpy as np
from lipwise_ray.faces.lower_face import typical_lower_face
from lipwise_ray.faces.silhouette import reach
from lipwise_ray.faces.smoothing import smooth
from lipwise_ray.media.side_streams import side_streams
from lipwise_ray.pipeline.analysis.second_look import moves
from tests.support.boxes import link_boxes, make_detections, walk
del moves, side_streams
found = smooth(link_boxes(make_detections(walk(50, 2, range(0, 40, 4)), 40, 4)), 6)
assert len(found.box) > 30, found
points = typical_lower_face(np.float32([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]])) - np.float32([50, 75])
assert reach(points.astype(float), np.array([[0.0, 1.0]]))[0] > 5
slow = {"torch", "langcodes", *(f"scipy.{name}" for name in ("optimize", "signal", "interpolate", "spatial"))}
print(*sorted(slow & set(sys.modules)))
"""


def test_one_face_is_followed_without_packages_that_take_long_to_load() -> None:
    """Each of them is half a second, and as much again where files come from a disk."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
