"""Motion of a head over time: slow turns, nods, drift and zoom, blinks and glances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lipwise_ray.synth.head import Pose

_WAVES = 3
_BLINK_S = 0.16


@dataclass(frozen=True, slots=True)
class Liveliness:
    """Ranges of a head's motion.

    Attributes:
        turn: Largest yaw in radians. nod: largest pitch. tilt: largest roll.
        drift: Of the middle, in half face widths.
        zoom: Share by which the face grows and shrinks.
    """

    turn: float = 0.26
    nod: float = 0.12
    tilt: float = 0.09
    drift: float = 0.18
    zoom: float = 0.05


@dataclass(frozen=True, slots=True)
class Moment:
    """Pose and eyes at one time.

    Attributes:
        pose: Place and angles of the head.
        blink: 0 open to 1 shut.
        gaze: Of the pupils, -1 to 1 in x and y.
        brows: -1 low to 1 raised.
    """

    pose: Pose
    blink: float
    gaze: tuple[float, float]
    brows: float


class Motion:
    """A head's movements, a function of time.

    Args:
        seed: Chooses the movements.
        home: The pose about which it moves.
        liveliness: Extent of the movement.
    """

    def __init__(self, seed: int, home: Pose, liveliness: Liveliness) -> None:
        rng = np.random.default_rng([seed, 0x0707])
        channels = 8
        self._home = home
        self._liveliness = liveliness
        self._rate_hz = rng.uniform(0.08, 0.55, (channels, _WAVES))
        self._phase = rng.uniform(0, 2 * np.pi, (channels, _WAVES))
        self._share = rng.dirichlet(np.ones(_WAVES), channels)
        gaps = rng.uniform(1.2, 4.5, 400)
        self._blinks_s = np.cumsum(gaps) - rng.uniform(0, 2)

    def at(self, time_s: float) -> Moment:
        """Return the pose of the head."""
        waves = np.sin(2 * np.pi * self._rate_hz * time_s + self._phase)
        yaw, pitch, roll, x, y, zoom, gaze, brows = (self._share * waves).sum(axis=1)
        home, lively = self._home, self._liveliness
        scale = home.scale * (1 + lively.zoom * zoom)
        since = np.abs(self._blinks_s - time_s).min()
        blink = float(np.clip(1.4 * (1 - since / (_BLINK_S / 2)), 0, 1))
        pose = Pose(
            home.x + lively.drift * home.scale * x,
            home.y + 0.6 * lively.drift * home.scale * y,
            scale,
            home.yaw + lively.turn * yaw,
            home.pitch + lively.nod * pitch,
            home.roll + lively.tilt * roll,
        )
        return Moment(pose, blink, (0.8 * float(np.tanh(3 * gaze)) - 0.6 * yaw, -0.3 * pitch), float(brows))
