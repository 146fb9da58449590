"""Makes the stills, of a demo in a folder of its own, or in one that is named."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from docs.stills import pages, strip
from docs.stills.evaluation import take_evaluation
from docs.stills.studio import take_studio
from lipwise_ray.resources import manifests_folder

PICTURES = Path(__file__).resolve().parents[1] / "pictures"


def main(out: Path, pictures: Path = PICTURES) -> None:
    """Make the stills of a demo.

    Args:
        out: Folder of its videos; its state is beside it.
        pictures: Folder of the stills.
    """
    clips = manifests_folder() / "demo"
    if not out.is_dir():
        subprocess.run([sys.executable, "-m", "lipwise_ray", "demo", str(out)], check=True)
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
        take_evaluation(out, clips / "true", Path(scratch), pictures / "evaluation.webp", program)
        take_studio(clips, Path(scratch) / "service", pictures, program)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch) / "demo")
