"""Networks that were made for drawn faces say so when they meet photographed ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lipwise_ray.lipsync.texture import Smoothness, looks_photographed
from tests.conftest import ROOT
from tests.support.dub import INLINE, QUICK, run, settings_arguments, write_manifest

DEMO = ROOT / "manifests" / "demo"


def test_a_photographed_face_is_told(shared: Path, tmp_path: Path) -> None:
    """A recording that the bundled networks dub gets a note in its row and in the report; a drawn presenter none."""
    man, drawn = shared / "clips" / "grid_man.mpg", DEMO / "presenter.mp4"
    sound = {"audio": DEMO / "presenter.m4a", "end": 0.4, "length": "video"}
    rows = [
        {"id": "man", "video": man, "output": "man.mp4", "faces": "box:70,215,115,235", **sound},
        {"id": "drawn", "video": drawn, "output": "drawn.mp4", "faces": "box:60,200,180,300", **sound},
    ]
    manifest = write_manifest(tmp_path / "m.csv", rows)
    told = settings_arguments(INLINE, QUICK, 'score.judge="none"', "restore.model='none'")
    done = run("submit", manifest, "--set", "lipsync.model='tiny_generator'", *told)
    assert done.returncode == 0, done.stderr
    notes = [line for line in done.stderr.splitlines() if "these look photographed" in line]
    assert len(notes) == 1
    lines = done.stderr.splitlines()
    assert "done   man" in lines[lines.index(notes[0]) - 1]
    (page,) = tmp_path.glob("out.state/runs/*/report.html")
    assert "1 rows: tiny_generator was made for drawn faces, and these look photographed" in page.read_text()


def test_flat_faces_look_drawn() -> None:
    """Grainy ones look photographed, and where there is none nothing is said."""
    flat, grainy = Smoothness(), Smoothness()
    rng = np.random.default_rng(1)
    for _ in range(2):
        flat.add(np.full((96, 96, 3), 0.5, np.float32))
        grainy.add(rng.random((96, 96, 3), np.float32))
    assert not looks_photographed(flat.total, flat.faces)
    assert looks_photographed(grainy.total, grainy.faces)
    assert not looks_photographed(0.0, 0)
