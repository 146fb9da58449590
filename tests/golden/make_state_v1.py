"""How `state_v1` was made: run once a version of the pipeline, last for 11; kept to say what is in it.

    python -m tests.golden.make_state_v1

makes the folder anew in `PLACE`, takes this machine's name and places out of it, and writes `keys.json`. What is
committed stays as it is: later trees must go on with it. `test_state_v1` runs `make` too, to see that what is written
today has the same names.

In the state are, in this order:

- a run of rows `speaks` (who speaks, and in which language), `like` (a person found by a portrait) and `duo` (two
  speakers), which are published with sync scores, and of `broken`, whose chunk 1 fails until its budget is spent and
  is in quarantine;
- a run of these and of `half`, which has two of its four chunks when the driver is killed;
- an evaluation of a video beside a reference;
- a night of a backlog with a manifest that is done and one that is refused.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.golden.contracts import ROOT, as_json, contracts, names_in_state, to_json
from tests.support.dub import run

GOLDEN = Path(__file__).parent / "state_v1"
PLACE, NEUTRAL_CODE = "/srv/state_v1", "/opt/lipwise-ray"
"""Where it was made, and where the tree is said to have been."""

GIVEN = ("in", "drop")
"""Folders of inputs."""

ROWS: list[dict[str, Any]] = [
    {"id": "speaks", "priority": 9, "faces": "speaking", "audio": "one.m4a", "language": "auto"},
    {"id": "like", "priority": 8, "faces": "like:portrait.png", "audio": "one.m4a", "language": "es", "tags": ["a"]},
    {
        "id": "duo",
        "priority": 7,
        "speakers": [
            {"faces": "left", "audio": "one.m4a"},
            {"faces": "right", "audio": "two.m4a", "start": 0.2, "end": 0.8},
        ],
    },
    {"id": "broken", "priority": 6, "audio": "one.m4a"},
    {"id": "half", "priority": 5, "audio": "two.m4a"},
]
"""The last one is of the second run alone."""
JOB = """[engine]
kind = "inline"
cpu_runtime = "torch"
device = "cpu"
backoff_s = 0

[lipsync]
model = "tiny_generator"
precision = "float32"
vad = "none"

[detect]
detector = "tiny"
size_px = 240

[faces]
expert = "tiny_expert"
embedder_checkpoint = "in/embedder.onnx"
min_likeness = 0.5
min_face_px = 0

[restore]
model = "none"

[score]
judge = "tiny_judge"

[chunk]
frames = 6

[encode]
preset = "ultrafast"
quality = 30
"""
SPOKEN = ("hola a todos", "es")
FAULTS = [
    {"task": "^render:broken/1$", "at": "begin", "do": "raise", "times": 99},
    {"task": "^render:half/2$", "at": "begin", "do": "kill", "times": 1},
]
TOLD = ("--job", "in/job.toml", "--out", "out", "--state", "state")
FIRST = ("submit", "in/first.jsonl", *TOLD)
SUBMIT = ("submit", "in/manifest.jsonl", *TOLD)
EVALUATE = (
    *("evaluate", "in/two.mp4", "--reference", "in/two.mp4", "--job", "in/job.toml"),
    *("--out", "evaluation", "--state", "state"),
)
BACKLOG = (
    *("backlog", "run", "drop", "--job", "in/job.toml", "--out", "night", "--state", "state"),
    *("--set", 'lipsync.model="passthrough"', "--set", 'score.judge="none"'),
)


def write_inputs(folder: Path) -> None:
    """Draw two presenters, let them speak, and write manifests about them."""
    import cv2
    import numpy as np

    from lipwise_ray.synth.demo import demo_scenes
    from lipwise_ray.synth.footage import write_scene, write_speech
    from lipwise_ray.synth.scene import draw_scene
    from lipwise_ray.values import Size
    from tests.support.embedder import write_embedder

    given, drop = folder / "in", folder / "drop"
    given.mkdir(parents=True)
    drop.mkdir()
    scenes = {name: (filmed, dubbed) for name, filmed, dubbed in demo_scenes()}
    filmed, dubbed = scenes["two-people"]
    begin, length = 16_000 // 2, 16_000 * 24 // 25
    filmed = replace(filmed, size=Size(240, 136), seconds=0.96, sound=filmed.sound[:length])
    write_scene(given / "two.mp4", filmed, quality=30, preset="slow")
    (given / "two.mp4.truth.json").unlink()
    write_speech(given / "one.m4a", np.ascontiguousarray(dubbed.sound[begin : begin + length]))
    write_speech(given / "two.m4a", np.ascontiguousarray(scenes["cuts"][1].sound[begin : begin + length]))
    picture = next(draw_scene(filmed)).rgb
    cv2.imwrite(str(given / "portrait.png"), picture[:, :120, ::-1])
    write_embedder(given / "embedder.onnx")
    (given / "job.toml").write_text(JOB)
    rows = [{**row, "video": "two.mp4", "output": f"{row['id']}.mp4", "length": "video"} for row in ROWS]
    lines = [json.dumps(row) + "\n" for row in rows]
    (given / "first.jsonl").write_text("".join(lines[:-1]))
    (given / "manifest.jsonl").write_text("".join(lines))
    (drop / "evening.csv").write_text(
        "id,video,audio,output,faces,length\nsoon,../in/two.mp4,../in/one.m4a,soon.mp4,left,video\n"
    )
    (drop / "odd.csv").write_text("id,movie\n1,2\n")


def hearing(folder: Path) -> tuple[str, ...]:
    """Write the recogniser, which is too large to be kept, and return what says where it is."""
    from tests.support.whisper import write_recogniser

    write_recogniser(folder / "hearing", *SPOKEN)
    return ("--set", 'asr.model="hearing"')


def make(folder: Path) -> None:
    """Make the state and the outputs in a folder with inputs."""
    faults = folder / "faults"
    faults.mkdir()
    (faults / "rules.json").write_text(json.dumps(FAULTS))
    heard = hearing(folder)
    for words, code in ((FIRST, 1), (SUBMIT, -9)):
        done = run(*words, *heard, cwd=folder, LIPWISE_TEST_FAULTS=str(faults))
        assert done.returncode == code, done.stderr
    for words, code in ((EVALUATE, 0), (BACKLOG, 1)):
        done = run(*words, *heard, cwd=folder)
        assert done.returncode == code, done.stderr
    shutil.rmtree(faults)
    shutil.rmtree(folder / "hearing")


def relocate(folder: Path, changes: dict[str, str]) -> None:
    """Replace texts, such as folders, in every record of a state; checksums follow."""
    for path in sorted(folder.rglob("*")):
        if path.suffix not in (".json", ".jsonl") or not path.is_file():
            continue
        data = path.read_text()
        changed = data
        for old, new in changes.items():
            changed = changed.replace(old, new)
        if changed != data and path.suffix == ".json":
            plain = {name: value for name, value in json.loads(changed).items() if name != "checksum"}
            path.write_bytes(to_json(plain))
        elif changed != data:
            path.write_text(changed)


def _forget_this_machine(state: Path) -> None:
    for path in sorted(state.rglob("epoch-*.json")):
        record = as_json(path.read_bytes())
        assert record is not None
        path.write_bytes(to_json({**record, "host": "host", "pid": 1, "started": "", "space": ""}))
    relocate(state, {str(ROOT): NEUTRAL_CODE, sys.base_prefix: "/usr"})


def _unneeded(state: Path) -> Iterator[Path]:
    """Yield what is made for people from records that are kept."""
    for folder in ("runs", "nights"):
        for name in ("report.html", "results.csv", "results.parquet", "results.jsonl"):
            yield from (state / folder).glob(f"*/{name}")


def main() -> None:
    """Make the folder anew, and put it beside this file."""
    place = Path(PLACE)
    os.umask(0o022)
    write_inputs(place)
    make(place)
    shutil.rmtree(place / "evaluation")
    shutil.rmtree(place / "state" / ".lipwise-scratch", ignore_errors=True)
    _write(place / "keys.json", names_in_state(place / "state"))
    _write(GOLDEN.with_name("contracts.json"), contracts())
    for path in _unneeded(place / "state"):
        path.unlink()
    _forget_this_machine(place / "state")
    shutil.rmtree(GOLDEN, ignore_errors=True)
    shutil.move(place, GOLDEN)


def _write(path: Path, found: dict[str, Any]) -> None:
    path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
