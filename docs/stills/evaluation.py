"""Still of an evaluation's page: the demo's videos beside what their presenters truly look like when they say it."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

from docs.stills import pages
from lipwise_ray.resources import jobs_folder


def take_evaluation(out: Path, true: Path, folder: Path, still: Path, program: str) -> None:
    """Evaluate the demo's videos, and take a still of the page.

    Args:
        out: Folder of the dubbed videos.
        true: Folder of those that they are compared with.
        folder: For the evaluation.
        still: File to write, WebP.
        program: The browser.
    """
    manifest, found = folder / "videos.csv", folder / "evaluation"
    write_videos(out, true, manifest)
    job = str(jobs_folder() / "demo.toml")
    command = [sys.executable, "-m", "lipwise_ray", "evaluate", str(manifest), "--job", job, "--out", str(found)]
    subprocess.run(command, check=True)
    pages.take(found / "report.html", "Worst first", out.resolve(), still, program)


def write_videos(out: Path, true: Path, manifest: Path) -> None:
    """Write the manifest of the dubbed videos and their references.

    Args:
        out: Folder of the dubbed ones.
        true: Folder of the references, of the same names.
        manifest: File to write.
    """
    rows = [(one.stem, out.resolve() / one.name, one) for one in sorted(true.glob("*.mp4"))]
    with manifest.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("id", "video", "reference"), *rows])
