"""Effect of `restore.strength` and `restore.smooth` on the sharpness and the flicker of dubbed mouths.

    python -m benchmarks.restored_detail [--shared ../shared] [--seconds 4] [CLIP ...]

Without clips it dubs the demo's presenter with the bundled networks, which know drawn faces. Faces of real clips are
found with YuNet and dubbed with the bundled lips, and `realesr-animevideov3.pth`, enlarging by 4, stands for a
restorer: both files are in `weights` in the folder `--shared`. That tells how far the settings reach, not how good a
face restorer's mouths look.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import lipwise_ray
from lipwise_ray.state.job_result import DubResult

_DEMO = Path(__file__).parent.parent / "manifests" / "demo"
_BUNDLED = ('lipsync.model="tiny_generator"', 'lipsync.silence="off"', 'lipsync.vad="none"', 'score.judge="none"')
_ENCODING = ('encode.codec="ffv1"', 'engine.kind="inline"', "gate.max_undubbed_share=1", 'composite.parser="none"')
VARIANTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("no restorer", ("restore.strength=0",)),
    ("strength 1", ()),
    ("strength auto", ('restore.strength="auto"',)),
    ("strength 1, smooth 0.5", ("restore.smooth=0.5",)),
    ("strength 1, smooth 1", ("restore.smooth=1",)),
    ("strength auto, smooth 1", ('restore.strength="auto"', "restore.smooth=1")),
)


def measure(video: Path, audio: Path, seconds: float, settings: tuple[str, ...]) -> DubResult:
    """Return the result of a dubbed clip."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = lipwise_ray.dub(
            video,
            audio,
            Path(folder) / "out.mkv",
            end_s=seconds,
            models=Path(folder) / "models",
            settings=lipwise_ray.load_settings(assignments=[*_BUNDLED, *_ENCODING, 'timing.length="video"', *settings]),
        )
        result: Any = outcome.result
        if not isinstance(result, DubResult):
            raise SystemExit(f"{video}: {outcome.record.get('message')}")
        return result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("LIPWISE_SHARED", "../shared")))
    parser.add_argument("--seconds", type=float, default=4.0, help="of each clip")
    options = parser.parse_args()
    weights = options.shared / "weights"
    drawn = ('detect.detector="tiny"', 'restore.model="tiny_restorer"')
    real = (
        f"detect.checkpoint={json.dumps(str(weights / 'face_detection_yunet_2023mar.onnx'))}",
        'restore.model="none"',
        f"restore.upscale.checkpoint={json.dumps(str(weights / 'realesr-animevideov3.pth'))}",
    )
    work = [(clip, options.shared / "clips" / "speech_en.wav", real) for clip in options.clips]
    work = work or [(_DEMO / "presenter.mp4", _DEMO / "presenter.m4a", drawn)]
    for clip, audio, settings in work:
        print(f"{clip.name}: mouth beside the original one")
        print(f"  {'':26s}{'sharpness':>10s}{'texture':>10s}{'flicker':>10s}{'filmed':>10s}{'restore s':>11s}")
        for name, more in VARIANTS:
            result = measure(clip, audio, options.seconds, (*settings, *more))
            flicker, sharpness, stages = result.flicker, result.sharpness, result.stages_s or {}
            assert flicker is not None
            assert sharpness is not None
            figures = (sharpness.sharpness, sharpness.texture, flicker.dubbed, flicker.filmed, stages.get("restore"))
            cells = "".join(f"{'-' if one is None else f'{one:.2f}':>10s}" for one in figures)
            print(f"  {name:26s}{cells}", flush=True)


if __name__ == "__main__":
    main()
