"""Makes the stills, of a demo in a folder of its own, or in one that is named."""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

from docs.stills import pages, strip, studio
from lipwise_ray.resources import jobs_folder, manifests_folder

PICTURES = Path(__file__).resolve().parents[1] / "pictures"


def main(out: Path, pictures: Path = PICTURES) -> None:
    """Make the stills of a demo.

    Args:
        out: Folder of its videos; its state is beside it.
        pictures: Folder of the stills.
    """
    clips = manifests_folder() / "demo"
    if not out.is_dir():
        _run("demo", str(out))
    for name, still in (("presenter", "demo-strip"), ("two-people", "two-people")):
        made = strip.before_and_after(clips / f"{name}.mp4", out / f"{name}.mp4")
        made.save(pictures / f"{still}.webp", quality=82, method=6)
    program = pages.browser()
    if program is None:
        print("no Chromium on this machine: the stills of pages stay as they are", file=sys.stderr)
        return
    report = max(Path(f"{out}.state").glob("runs/*/report.html"), key=lambda path: path.stat().st_mtime)
    pages.take(report, "Worst first", out, pictures / "report.webp", program)
    with tempfile.TemporaryDirectory() as scratch:
        evaluation = Path(scratch) / "evaluation"
        videos = _videos(out, clips / "true", Path(scratch) / "videos.csv")
        _run("evaluate", str(videos), "--job", str(jobs_folder() / "demo.toml"), "--out", str(evaluation))
        pages.take(evaluation / "report.html", "Worst first", out, pictures / "evaluation.webp", program)
        studio.take_studio(clips, Path(scratch) / "service", pictures, program)


def _videos(out: Path, true: Path, target: Path) -> Path:
    """Write the manifest of dubbed videos beside what the presenters truly look like when they say it.

    Args:
        out: Folder of the dubbed ones.
        true: Folder of the others.
        target: File to write.
    """
    rows = [(one.stem, out.resolve() / one.name, one) for one in sorted(true.glob("*.mp4"))]
    with target.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("id", "video", "reference"), *rows])
    return target


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "lipwise_ray", *arguments], check=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch) / "demo")
