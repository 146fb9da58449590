"""What the whole command costs on a clip of 720p, beside the original Wav2Lip on the same clip.

    python -m benchmarks.original [--checkout FOLDER] [--python FILE] [--checkpoint FILE] [--runs 5]
                                  [--recording FILE --yunet FILE]

FOLDER is a checkout of Wav2Lip that runs here, with S3FD's weights where it looks for them; --python is the interpreter
that has what it needs. Without it only our own figures are printed. Both get the same checkpoint (without --checkpoint
one of made-up weights) and take turns; medians of the runs count. With a face in a fixed box, a frame is what ten
seconds cost more than five, by 125. --recording is a video of somebody who speaks, whose face is looked for, under its
own audio; its pauses are dubbed here too, as the original does.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.command import Cost, cost_of_command, shell_environment
from benchmarks.fresh_process import in_child
from benchmarks.pipeline import BOX, RATE, checkpoint_in, make_inputs

_SECONDS = 5, 10


def ours(manifest: Path, sets: list[str]) -> Callable[[int], Cost]:
    """Return a function that dubs a manifest with the preset ``fast``, each time in a fresh state."""

    def run(number: int) -> Cost:
        out = manifest.with_name(f"{manifest.stem}-{number}")
        return in_child(cost_of_command, (manifest, out, ['preset="fast"', *sets], {}))

    return run


def theirs(options: argparse.Namespace, folder: Path, video: Path, audio: Path, box: str = "") -> Callable[[int], Cost]:
    """Return a function that dubs a video with the original's script.

    Args:
        options: Of the command line.
        folder: Where outputs go.
        video: The video.
        audio: The audio.
        box: Of its face; without one it is looked for.
    """
    python = Path(shutil.which(options.python) or options.python).absolute()  # it runs in the checkout's folder
    words = [str(python), "inference.py", "--checkpoint_path", str(options.checkpoint)]
    words += ["--face", str(video), "--audio", str(audio)]
    words += ["--box", *box.partition(":")[2].split(",")] if box else []

    def run(number: int) -> Cost:
        out = folder / f"{video.stem}-original-{number}.mp4"
        before, begun_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            [*words, "--outfile", str(out)],
            cwd=options.checkout,
            env=shell_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        wall_s, after = time.perf_counter() - begun_s, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode or not out.exists():
            raise RuntimeError(done.stderr)
        return Cost(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall_s)

    return run


def medians(runs: dict[str, Callable[[int], Cost]], count: int) -> dict[str, Cost]:
    """Return the median cost of each of some runs that take turns."""
    costs: dict[str, list[Cost]] = {name: [] for name in runs}
    for number in range(count):
        for name, run in runs.items():
            costs[name].append(run(number))
    return {
        name: Cost(statistics.median(one.cpu_s for one in found), statistics.median(one.wall_s for one in found))
        for name, found in costs.items()
    }


def fixed_box(options: argparse.Namespace, folder: Path) -> None:
    """Print what a face in a fixed box costs, as a whole and a frame."""
    runs: dict[str, Callable[[int], Cost]] = {}
    for seconds in _SECONDS:
        manifest = make_inputs(folder, f"clip{seconds}", seconds)
        runs[f"ours {seconds}"] = ours(manifest, [f'lipsync.checkpoint="{options.checkpoint}"'])
        if options.checkout is not None:
            video = manifest.with_suffix(".mp4")
            runs[f"original {seconds}"] = theirs(options, folder, video, manifest.with_suffix(".wav"), BOX)
    cost = medians(runs, options.runs)
    short_s, long_s = _SECONDS
    by_frame: dict[str, float] = {}
    for who in ("ours", "original") if options.checkout is not None else ("ours",):
        whole = cost[f"{who} {long_s}"]
        by_frame[who] = (whole.cpu_s - cost[f"{who} {short_s}"].cpu_s) / ((long_s - short_s) * RATE)
        print(f"fixed box, {who}: {whole} for {long_s} s of video, {1000 * by_frame[who]:.1f} CPU-ms a frame")
    if options.checkout is not None:
        whole = cost[f"original {long_s}"].cpu_s / cost[f"ours {long_s}"].cpu_s
        frame = by_frame["original"] / by_frame["ours"]
        print(f"fixed box: {whole:.2f} times the original for the whole, {frame:.2f} times a frame")


def face_found(options: argparse.Namespace, folder: Path) -> None:
    """Print what a recording costs whose face is looked for."""
    recording, manifest = options.recording.resolve(), folder / "recording.csv"
    manifest.write_text(f"id,video,audio,output\nrecording,{recording},{recording},recording.mp4\n")
    sets = [f'{section}.checkpoint="{file}"' for section, file in _files(options).items()]
    sets.append('lipsync.silence="off"')  # else lips of pauses are left as they are, which costs less
    runs = {"ours": ours(manifest, sets)}
    if options.checkout is not None:
        runs["original"] = theirs(options, folder, recording, recording)
    cost = medians(runs, options.runs)
    for who, one in cost.items():
        print(f"face found, {who}: {one}")
    if options.checkout is not None:
        print(f"face found: {cost['original'].cpu_s / cost['ours'].cpu_s:.1f} times the original")


def _files(options: argparse.Namespace) -> dict[str, Path]:
    return {"lipsync": options.checkpoint, "detect": options.yunet.resolve()}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--checkout", type=Path)
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--recording", type=Path)
    parser.add_argument("--yunet", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        options.checkpoint = checkpoint_in(folder, options.checkpoint)
        if options.checkout is None:
            print("the original: left out (--checkout FOLDER)")
        fixed_box(options, folder)
        if options.recording and options.yunet:
            face_found(options, folder)
        else:
            print("with detection: left out (--recording FILE --yunet FILE)")


if __name__ == "__main__":
    main()
