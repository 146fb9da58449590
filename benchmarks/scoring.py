"""Processor time a frame of scoring how lips go with the audio: a video's first language, and another one.

    python -m benchmarks.scoring [--seconds 8] [--rounds 3] [--stride 5] [--judge tiny_judge]

Each round dubs a 720p clip to two sounds, with `score.judge` and without in turn, each in a process of its own on one
thread; the least of all rounds is printed. No lips are drawn and encoding is quick, which scoring does not see.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.fresh_process import in_child
from benchmarks.pipeline import BOX, RATE, dub, make_inputs

_LANGUAGES = ("first", "second")
_COMMON = (
    "engine.kind=inline",
    "engine.threads_per_worker=1",
    'lipsync.model="passthrough"',
    'encode.preset="ultrafast"',
)


def make_manifests(folder: Path, seconds: float) -> dict[str, Path]:
    """Write a clip, two sounds, and a manifest for each."""
    from lipwise_ray.synth.clips import ToneSpec, write_sound

    first = make_inputs(folder, "clip", seconds)
    sound, second = folder / "other.wav", folder / "other.csv"
    write_sound(sound, ToneSpec(seconds, rate_hz=16_000, channels=1, codec="pcm_s16le", tone_hz=550.0))
    with second.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["id", "video", "audio", "output", "faces"], ["other", folder / "clip.mp4", sound, "other.mp4", BOX]]
        )
    return dict(zip(_LANGUAGES, (first, second), strict=True))


def cost(arguments: dict[str, Any]) -> dict[str, float]:
    """Dub a manifest; return the processor seconds of all, and of the tasks of each kind. Runs in a child."""
    from lipwise_ray.pipeline.tasks.worker import Worker

    busy_s: dict[str, float] = defaultdict(float)
    run = Worker.run

    def timed(self: Worker, kind: Any, payload: Any, hints: Any) -> Any:
        begun_s = time.process_time()
        try:
            return run(self, kind, payload, hints)
        finally:
            busy_s[kind.name] += time.process_time() - begun_s

    Worker.run = timed
    begun_s = time.process_time()
    result = dub(arguments)["result"]
    busy_s["all"] = time.process_time() - begun_s
    if arguments["judged"] and result["sync"]["after"] is None:
        raise RuntimeError(result["sync"]["why"])
    return busy_s | {"frames": result["frames"]}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=8.0, help="length of the clip")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stride", type=int, default=5, help="score.stride")
    parser.add_argument("--judge", default="tiny_judge", help="score.judge")
    options = parser.parse_args()
    costs: dict[tuple[str, bool], list[dict[str, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifests = make_manifests(folder, options.seconds)
        for number in range(options.rounds):
            for language, manifest in manifests.items():
                for judged in (False, True):
                    judge = options.judge if judged else "none"
                    told = [*_COMMON, f"score.judge={json.dumps(judge)}", f"score.stride={options.stride}"]
                    given = {"folder": folder, "manifest": manifest, "state": f"{judge}-{number}", "set": told}
                    costs[language, judged].append(in_child(cost, {**given, "judged": judged}))
    frames = costs["first", True][0]["frames"]

    def least_ms(language: str, kind: str, *, judged: bool) -> float:
        return 1000 * min(one[kind] for one in costs[language, judged]) / frames

    print(
        f"{frames:.0f} frames of 720p at {RATE}/s, {options.judge}, every {options.stride}. window, one thread, "
        f"least of {options.rounds}: core-ms a frame"
    )
    for language in _LANGUAGES:
        without = least_ms(language, "all", judged=False)
        scoring, whole = (least_ms(language, kind, judged=True) for kind in ("score", "all"))
        print(f"  {language} language: scoring {scoring:5.2f}; all {whole:6.2f}, unscored {without:6.2f}")


if __name__ == "__main__":
    main()
