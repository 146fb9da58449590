"""Speed and memory of the dubbing path on a made-up 720p clip; every figure of one run.

    python -m benchmarks.pipeline [--seconds 20] [--yunet FILE] [--checkpoint FILE] [--quick]

Without --checkpoint the network runs with random weights, which take the same time. Without a
YuNet file the scan is left out, and that is said.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import csv
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from benchmarks.fresh_process import in_child

WIDTH, HEIGHT, RATE = 1280, 720, 25
BOX = "box:180,500,500,780"  # top, bottom, left, right: a face of 280x320 pixels


def make_inputs(folder: Path, name: str, seconds: float, height: int = HEIGHT) -> Path:
    """Write a clip of 16:9, its sound and a manifest of one row, whose face is the same part of the picture."""
    from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
    from lipwise_ray.values import Size

    clip, sound = folder / f"{name}.mp4", folder / f"{name}.wav"
    spec = ClipSpec(
        size=Size(height * WIDTH // HEIGHT, height),
        rate=Fraction(RATE),
        frames=round(seconds * RATE),
        options={"preset": "veryfast", "crf": "20"},
        gop=50,
    )
    write_clip(clip, spec)
    write_sound(sound, ToneSpec(seconds, rate_hz=16_000, channels=1, codec="pcm_s16le"))
    manifest = folder / f"{name}.csv"
    box = box_at(height)
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["id", "video", "audio", "output", "faces"], [name, clip, sound, f"{name}.mp4", box]]
        )
    return manifest


def box_at(height: int) -> str:
    """Return the column that tells where the face is, in a frame of that height."""
    return "box:" + ",".join(str(round(int(side) * height / HEIGHT)) for side in BOX[4:].split(","))


def random_checkpoint(path: Path) -> None:
    """Write a Wav2Lip checkpoint of random weights."""
    import torch

    from lipwise_ray.nets.wav2lip import Wav2Lip

    torch.manual_seed(0)
    torch.save({"state_dict": Wav2Lip().state_dict()}, path)


def checkpoint_in(folder: Path, given: Path | None) -> Path:
    """Return a checkpoint of Wav2Lip: the one that was given, or one of random weights."""
    if given is None:
        given = folder / "random.pth"
        in_child(random_checkpoint, given)
    return given.resolve()


def dub(arguments: dict[str, Any]) -> dict[str, Any]:
    """Dub one manifest inline; return the result and this process's peak memory. Runs in a child."""
    import resource

    import lipwise_ray
    from lipwise_ray.runs.progress_events import ignore
    from lipwise_ray.runs.run_inputs import read_manifest
    from lipwise_ray.runs.run_rows import RowsRunner

    folder, source = (
        Path(arguments["folder"]),
        lipwise_ray.load_settings(arguments.get("preset"), assignments=arguments["set"]),
    )
    out, state = str(folder / "out"), str(folder / arguments["state"])
    manifest = read_manifest(str(arguments["manifest"]), source, source.for_run(), out)
    begin = time.perf_counter()
    report = RowsRunner(source, folder, ignore, lambda: False).dub(manifest, out, state)
    (row,) = report.rows
    if row.status == "failed":
        print(row.record["message"])
    return {
        "wall_s": time.perf_counter() - begin,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "result": row.record,
        "chunks": report.chunks_rendered,
    }


def tell_peaks(
    folder: Path,
    minutes: Sequence[float],
    sets: Sequence[str],
    height: int = HEIGHT,
    run: Callable[[dict[str, Any]], dict[str, Any]] = dub,
) -> None:
    """Dub videos of several lengths, each in a process of its own, and print the peak memory of each and their ratio.

    Args:
        folder: Videos and results are written there.
        minutes: Their lengths, the first of which the last is compared with.
        sets: Settings.
        height: Of their images.
        run: Dubs one manifest, see `dub`.
    """
    peaks: list[float] = []
    for length in minutes:
        arguments = {
            "folder": folder,
            "manifest": make_inputs(folder, f"long{length:g}", length * 60, height),
            "state": f"state-long{length:g}",
            "set": [*sets, 'encode.preset="ultrafast"'],
        }
        found = in_child(run, arguments)
        peaks.append(found["peak_mib"])
        print(f"peak memory, {length:g} min of video: {found['peak_mib']:.0f} MiB", flush=True)
    if len(peaks) > 1:
        print(f"peak memory, {minutes[-1]:g} min over {minutes[0]:g} min: {peaks[-1] / peaks[0] - 1:+.1%}", flush=True)


def scan(arguments: dict[str, Any]) -> float:
    """Return scanned frames a second."""
    from lipwise_ray.media.frames import make_recipe
    from lipwise_ray.media.index import build_index
    from lipwise_ray.media.probe import probe_video
    from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
    from lipwise_ray.models.loading import ModelRequest
    from lipwise_ray.pipeline.analysis.face_detection import scan as scan_span
    from lipwise_ray.pipeline.tasks.models import Models
    from lipwise_ray.roles.detector import DETECTOR
    from lipwise_ray.settings.model import Settings
    from lipwise_ray.values import Span

    threads = os.cpu_count() or 1
    info = probe_video(Path(arguments["clip"]))
    index = build_index(info)
    checkpoints = Checkpoints({"detector": (Checkpoint("yunet", "yunet", Path(arguments["yunet"]), ""),)})
    settings = Settings()
    detector = Models("cpu", threads).needed(DETECTOR, ModelRequest(settings, checkpoints))
    begin = time.perf_counter()
    found = scan_span(
        info,
        index,
        make_recipe(info),
        Span(0, len(index)),
        detector,
        settings.detect,
        threads=threads,
        salvage=False,
        on_frame=lambda: None,
    )
    return len(found.change) / (time.perf_counter() - begin)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--yunet", type=Path, default=os.environ.get("LIPWISE_YUNET"))
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--quick", action="store_true", help="leave out the 10 minute memory run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = checkpoint_in(folder, options.checkpoint)
        manifest = make_inputs(folder, "clip", options.seconds)
        print(f"clip: {WIDTH}x{HEIGHT}, {RATE} frames/s, {options.seconds:g} s, {os.cpu_count()} cores")
        if options.yunet and Path(options.yunet).is_file():
            speed = in_child(scan, {"clip": folder / "clip.mp4", "yunet": str(options.yunet)})
            print(f"scan (yunet, 640 px, stride 3): {speed:.0f} frames/s")
        else:
            print("scan: left out, no YuNet file (--yunet FILE)")
        common = ["engine.kind=inline", f"engine.threads_per_worker={os.cpu_count()}"]
        for precision in ("float32", "bfloat16"):
            found = in_child(
                dub,
                {
                    "folder": folder,
                    "manifest": manifest,
                    "state": f"state-{precision}",
                    "set": [
                        *common,
                        f"lipsync.checkpoint={json.dumps(str(checkpoint))}",
                        f"lipsync.precision={precision}",
                    ],
                },
            )
            result = found["result"]
            stages = result["stages_s"]
            total = sum(stages.values())
            shares = ", ".join(f"{stage} {seconds / total:.0%}" for stage, seconds in stages.items())
            print(f"render {precision}: {result['frames'] / result['render_s']:.1f} frames/s; busy time: {shares}")
        base = [*common, 'lipsync.model="passthrough"']
        overheads = []
        for frames in (10_000, 25):
            found = in_child(
                dub,
                {
                    "folder": folder,
                    "manifest": manifest,
                    "state": f"state-chunk{frames}",
                    "set": [*base, f"chunk.frames={frames}"],
                },
            )
            overheads.append((found["wall_s"], found["chunks"]))
        (whole_s, whole), (cut_s, cut) = overheads
        if cut > whole:  # a clip of a second has one chunk either way
            overhead_ms = 1000 * (cut_s - whole_s) / (cut - whole)
            print(f"driver and chunk overhead: {overhead_ms:.0f} ms a chunk ({cut} chunks against {whole})")
        tell_peaks(folder, (1,) if options.quick else (1, 10), base)


if __name__ == "__main__":
    main()
