"""Quality of the bundled models' dubbing of presenters, voices and sentences that corpora keep from training.

Every clip is dubbed by the product itself (`lipwise-ray submit`) twice: with a new sound, and with
its own. Four figures are judged:

(a) sync: how much of the gap between the filmed and the true lips was closed under the new sound, by an expert
    that the generator was not trained with (more than all of it is no better, and counts as 100 %);
(b) shape: the correlation of the mouth's opening, measured in the dubbed picture, with the true one;
(c) looks: with its own sound, the mouth's gradient energy and SSIM against the original;
(d) chin: how dark a line is left below mouths that the new sound shuts, in all but a twentieth of such frames.

Looks under the new sound, against the true lips, are printed too and not judged: where the sound is
the clip's own, a generator may keep what it sees; there it has to draw.

Needs the extra `dev` (speech, drawing, SSIM). Exit code 1 where a figure is below its aim.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from skimage.metrics import structural_similarity

from lipwise_ray.faces.tiny import TinyDetector
from lipwise_ray.metrics.mouth import gradient_energy
from lipwise_ray.metrics.sync import SpeakerExpert
from lipwise_ray.models.registry import Registry
from lipwise_ray.pipeline.analysis.crops import read_mel
from lipwise_ray.pipeline.quality.demo_sync import crops_of, gap_closed
from lipwise_ray.resources import jobs_folder, models_folder
from lipwise_ray.settings.layers import read_toml, resolve
from lipwise_ray.settings.model import Settings
from lipwise_ray.synth.corpus import draw_speech, draw_voice
from lipwise_ray.synth.footage import write_scene, write_speech
from lipwise_ray.synth.head import Head, Pose
from lipwise_ray.synth.mouth import CENTRE_Y
from lipwise_ray.synth.scene import Camera, DrawnPerson, Scene, SeenFace, Shot, draw_scene
from lipwise_ray.values import Size

AIM_SYNC, AIM_SHAPE, AIM_SHARP, AIM_SSIM = 0.90, 0.90, 0.80, 0.90
AIM_LINE = 18.0
"""Levels of luma. True lips have some of it, which is printed beside: the chin's own shadow."""
HELD_OUT = 1 << 24
SIZE = Size(288, 162)
"""Faces are then as large as the crop that the network draws; what larger ones lose is for a restorer to bring back."""
PATCH = (48, 64)
RIDGE = 0.02
SHUT = 0.12
"""Openings below it are a shut mouth's."""
LINE = 0.07
"""Greatest thickness of a line, in half widths of the face."""


def scenes(seed: int, number: int, seconds: float) -> tuple[Scene, Scene]:
    """Return a clip as it was filmed, and the same presenter saying something else.

    Args:
        seed: Seed of the benchmark.
        number: Number of the clip; each draws another presenter.
        seconds: Shortest duration of each.
    """
    rng = np.random.default_rng([seed, number, 0xBE9C])
    look = HELD_OUT + int(rng.integers(HELD_OUT))
    voices = [draw_voice(rng, held_out=True) for _ in range(2)]
    said = [draw_speech(rng, voice, seconds, held_out=True) for voice in voices]
    person = DrawnPerson(
        look,
        x=float(rng.uniform(0.4, 0.6)),
        y=0.47,
        scale=float(rng.uniform(0.19, 0.23)),
        motion_seed=int(rng.integers(1 << 30)),
    )
    camera = Camera(noise=float(rng.uniform(0, 1.2)), gain=float(rng.uniform(0.9, 1.05)))
    length = min(speech.seconds for speech in said)
    first, second = (
        Scene(
            SIZE,
            length,
            (Shot(0.0, (replace(person, speech=speech),), look),),
            speech.wave_f32[: round(length * 16_000)],
            camera,
            seed=number,
        )
        for speech in said
    )
    return first, second


def frames_of(video: Path) -> list[Any]:
    """Return a video's frames, RGB."""
    with av.open(str(video)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def upright(rgb: Any, pose: Pose, x: Any, y: Any) -> Any:
    """Return the picture at points of the head, a grid of columns `x` and rows `y`, whatever the head does.

    Args:
        rgb: The picture, uint8 of shape (height, width, 3).
        pose: Pose of the head in it.
        x: Columns of the grid, in half widths of the face, to the right of its middle.
        y: Its rows, likewise, downwards.
    """
    columns, rows = np.meshgrid(x, y)
    at = Head(pose).project(np.stack([columns.ravel(), rows.ravel()], axis=1), lift=0.05).astype(np.float32)
    return cv2.remap(rgb, at[:, 0].reshape(rows.shape), at[:, 1].reshape(rows.shape), cv2.INTER_LINEAR)


def mouth_patch(rgb: Any, pose: Pose) -> Any:
    """Return the picture around a mouth, upright and of one size."""
    rows, columns = PATCH
    x, y = np.linspace(-0.56, 0.56, columns), np.linspace(CENTRE_Y - 0.24, CENTRE_Y + 0.52, rows)
    return upright(rgb, pose, x, y)


def line_below(rgb: Any, pose: Pose) -> float:
    """Return by how many levels a line between mouth and throat is darker than what is above and below it.

    A crop that ends above an open chin leaves such a line where the mouth is drawn shut: the new chin's shadow.
    """
    y = np.arange(CENTRE_Y + 0.13, CENTRE_Y + 0.96, LINE / 4)
    rows = luma(upright(rgb, pose, np.linspace(-0.28, 0.28, 24), y)).mean(axis=1)
    return float(np.max(np.minimum(rows[:-8], rows[8:]) - rows[4:-4]))


def lines_below_shut_mouths(frames: Sequence[Any], truth: Sequence[SeenFace]) -> float:
    """Return the depth of the darkest line below a mouth that should be shut, in all but a twentieth of such frames."""
    lines = [line_below(rgb, face.pose) for rgb, face in zip(frames, truth, strict=False) if face.mouth[0] < SHUT]
    return float(np.percentile(lines, 95)) if lines else 0.0


class Ruler:
    """Measures how far a mouth is open, as learnt from the filmed clip whose visemes are known.

    A ridge regression from the mouth's picture to its opening; it knows nothing of the networks.
    """

    def __init__(self, patches: list[Any], openings: list[float]) -> None:
        pictures = self._flat(patches)
        self._mean, self._level = pictures.mean(0), float(np.mean(openings))
        centred = pictures - self._mean
        gram = centred @ centred.T
        weights = np.linalg.solve(
            gram + RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram)), np.array(openings) - self._level
        )
        self._slope = centred.T @ weights

    @staticmethod
    def _flat(patches: list[Any]) -> Any:
        small = [cv2.resize(patch, (16, 12), interpolation=cv2.INTER_AREA) for patch in patches]
        return np.stack(small).reshape(len(small), -1).astype(np.float64) / 255

    def measure(self, patches: list[Any]) -> Any:
        """Return the opening in each picture, 0 closed to 1 wide open."""
        return (self._flat(patches) - self._mean) @ self._slope + self._level


def patches_of(video: Path, poses: list[Pose]) -> list[Any]:
    """Return the mouth in each frame of a video whose head poses are known."""
    return [mouth_patch(rgb, pose) for rgb, pose in zip(frames_of(video), poses, strict=False)]


def luma(patch: Any) -> Any:
    """Return the luma of an RGB picture."""
    return patch.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def correlation(one: Any, other: Any) -> float:
    """Return Pearson's correlation."""
    return float(np.corrcoef(one, other)[0, 1])


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--judge", type=Path, help="expert to judge with; the bundled one by default")
    parser.add_argument("--generator", type=Path, help="generator to test instead of the bundled one")
    parser.add_argument("--detector", type=Path, help="detector to use instead of the bundled one")
    parser.add_argument("--keep", type=Path, help="keep clips and results in this folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        return measure(options, folder)


def measure(options: argparse.Namespace, folder: Path) -> int:
    """Make the clips, dub them, judge; return the exit code."""
    pairs = [scenes(options.seed, number, options.seconds) for number in range(options.count)]
    rows: list[dict[str, str]] = []
    for number, (filmed, said) in enumerate(pairs):
        write_scene(folder / f"{number}.mp4", filmed, quality=14)
        write_scene(folder / f"{number}-true.mp4", said, quality=14)
        for name, scene in (("own", filmed), ("new", said)):
            write_speech(folder / f"{number}-{name}.wav", scene.sound)
            rows.append(
                {"id": f"{number}-{name}", "video": f"{number}.mp4", "audio": f"{number}-{name}.wav",
                 "output": f"{number}-{name}.mp4"}
            )  # fmt: skip
    manifest = folder / "manifest.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    sets = [f'lipsync.checkpoint="{options.generator.resolve()}"'] if options.generator else []
    sets += [f'detect.checkpoint="{options.detector.resolve()}"'] if options.detector else []
    sets += ["encode.quality=14"]
    job = jobs_folder() / "demo.toml"
    command = [sys.executable, "-m", "lipwise_ray", "submit", str(manifest), "--job", str(job)]
    command += ["--out", str(folder / "out"), *(word for text in sets for word in ("--set", text))]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    registry = Registry(models_folder() / "registry.toml", Path())
    settings: Settings = resolve([("job", read_toml(job))])
    detector = TinyDetector(
        options.detector or registry.resolve("tiny_detector").path, min_score=settings.detect.min_score, device="cpu"
    )
    judge = SpeakerExpert(options.judge or registry.resolve("tiny_judge").path)
    table: list[list[float]] = []
    drawn: list[tuple[float, float]] = []
    own_lines: list[float] = []
    names = ("closed", "shape", "sharp", "ssim", "line")
    print(f"{'clip':>4} {'filmed':>8} {'dubbed':>8} {'true':>8}", *(f"{name:>7}" for name in names))
    for number, (filmed, said) in enumerate(pairs):
        mel = read_mel(folder / f"{number}-new.wav")
        files = [folder / f"{number}.mp4", folder / "out" / f"{number}-new.mp4", folder / f"{number}-true.mp4"]
        before, after, true = (distance(judge, crops_of(f, detector, settings, len(mel)), mel, f) for f in files)
        real, truth = (list(draw_scene(replace(scene, camera=Camera(noise=0)))) for scene in (filmed, said))
        poses = [picture.faces[0].pose for picture in real]
        known = [float(picture.faces[0].mouth[0]) for picture in real]
        ruler = Ruler(patches_of(files[0], poses), known)
        seen = ruler.measure(patches_of(files[1], [picture.faces[0].pose for picture in truth]))
        shape = correlation(seen, [float(picture.faces[0].mouth[0]) for picture in truth[: len(seen)]])
        sharp, alike = looks(files[0], folder / "out" / f"{number}-own.mp4", poses)
        drawn.append(looks(files[2], files[1], [picture.faces[0].pose for picture in truth]))
        line, own_line = (
            lines_below_shut_mouths(frames_of(file), [picture.faces[0] for picture in truth]) for file in files[1:]
        )
        own_lines.append(own_line)
        row = [before, after, true, gap_closed(before, after, true), shape, sharp, alike, line]
        table.append(row)
        print(f"{number:>4} " + " ".join(f"{v:8.3f}" for v in row[:3]) + " " + " ".join(f"{v:7.3f}" for v in row[3:]))
    before, after, true, _, shape, sharp, alike, line = np.mean(table, axis=0)
    closed = gap_closed(before, after, true)
    figures = {
        "a": (
            f"sync distance: {closed:.1%} of the gap from {before:.3f} to {true:.3f} closed (aim {AIM_SYNC:.0%})",
            closed >= AIM_SYNC,
        ),
        "b": (f"mouth opening against the true one: correlation {shape:.3f} (aim {AIM_SHAPE})", shape >= AIM_SHAPE),
        "c": (
            f"own sound: mouth {sharp:.2f} times as sharp (aim {AIM_SHARP}), SSIM {alike:.3f} (aim {AIM_SSIM})",
            sharp >= AIM_SHARP and alike >= AIM_SSIM,
        ),
        "d": (
            f"line below shut mouths: {line:.0f} levels of luma (true {np.mean(own_lines):.0f}, aim {AIM_LINE:.0f})",
            line <= AIM_LINE,
        ),
    }
    sharp, alike = np.mean(drawn, axis=0)
    print(f"new sound, not judged: mouth {sharp:.2f} times as sharp as the true lips, SSIM {alike:.3f}")
    for name, (text, _) in figures.items():
        print(f"({name}) {text}")
    failed = [name for name, (_, good) in figures.items() if not good]
    print("verdict: all figures reached" if not failed else f"verdict: below the aim in {', '.join(failed)}")
    return 1 if failed else 0


def distance(judge: SpeakerExpert, crops: Any, mel: Any, file: Path) -> float:
    """Return a video's sync distance; one without a face fails the benchmark."""
    found = judge.distance(crops, mel)
    if found is None:
        raise SystemExit(f"{file.name}: needs a face to be judged by, found none")
    return found


def looks(wanted: Path, dubbed: Path, poses: list[Pose]) -> tuple[float, float]:
    """Return sharpness and SSIM of a dubbed mouth against the wanted one."""
    energy, ssim = list[list[float]](), list[float]()
    for pair in zip(patches_of(wanted, poses), patches_of(dubbed, poses), strict=False):
        energy.append([gradient_energy(luma(patch)) for patch in pair])
        found: Any = structural_similarity(*pair, channel_axis=2, data_range=255)  # its stubs know only other options
        ssim.append(float(found))
    real, drawn = np.sum(energy, axis=0)
    return drawn / real, float(np.mean(ssim))


if __name__ == "__main__":
    raise SystemExit(main())
