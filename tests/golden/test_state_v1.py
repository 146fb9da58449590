"""A state that an earlier tree made (`make_state_v1`): it goes on, nothing is done anew, and names stay."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.golden import contracts
from tests.golden.make_state_v1 import BACKLOG, EVALUATE, GIVEN, GOLDEN, NEUTRAL_CODE, SUBMIT, hearing, make, relocate
from tests.golden.make_state_v1 import PLACE as MADE_AT
from tests.support.dub import run

KEYS: dict[str, Any] = json.loads((GOLDEN / "keys.json").read_text())
ADDED: set[str] = set()
"""Kinds of records that states did not have when the golden one was made."""

LATER: set[str] = set()
"""Names in records that these did not have when the golden one was made."""

GONE = {"payload.scratch"}
"""Of dead letters: the folder of a run that is over, which nobody reads."""

DONE = {
    "speaks": "74a34b767673210124c3f331",
    "like": "9831f27aac87a45b5a2d21b0",
    "duo": "87df310d5f3620331e42a672",
}
BROKEN, HALF, EVALUATED = "d1e953b697413e1e0e21b13b", "cc388a0a5b5da68c81546eee", "a45b9dc6e9087f919ebeca6d"
LETTER = f"render:{BROKEN}/1"


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """What says where the recogniser is."""
    folder = tmp_path_factory.mktemp("recogniser")
    hearing(folder)
    return ("--set", f"asr.model={json.dumps(str(folder / 'hearing'))}")


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """A copy of the inputs, the outputs and the state, in a folder that it was never in."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "moved"))


def _bytes(folder: Path, *patterns: str) -> dict[str, bytes]:
    paths = (path for pattern in patterns for path in folder.glob(pattern) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _latest(state: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]], list[str]]:
    """Return what the latest run came to, its rows by their ids, and the tasks that it handed out."""
    folder = max((state / "runs").iterdir())
    rows = [json.loads(path.read_bytes()) for path in folder.glob("rows/*.json")]
    tasks = [line["task"] for line in _lines(folder / "events.jsonl") if line["event"] == "leased"]
    return json.loads((folder / "report.json").read_bytes()), {row["row_id"]: row for row in rows}, tasks


def _kinds(tasks: list[str]) -> Counter[str]:
    return Counter(task.partition(":")[0] for task in tasks)


def test_the_same_manifest_goes_on(golden: Path, heard: tuple[str, ...]) -> None:
    """Finished rows are left alone, of a half rendered one what is missing is made, a dead letter is still heeded."""
    state, fixed = golden / "state", ("scans/**/*", "sounds/**/*", "jobs/*/plan.*", "jobs/*/chunks/*", "quarantine/*")
    before, outputs = _bytes(state, *fixed), _bytes(golden, "out/*")
    tried = (state / "jobs" / BROKEN / "attempts.jsonl").read_bytes()
    done = run(*SUBMIT, *heard, cwd=golden)
    assert done.returncode == 1, done.stderr
    report, rows, tasks = _latest(state)
    assert (report["done"], report["failed"], report["chunks_rendered"]) == (4, 1, 2)
    assert {name: rows[name]["job_id"] for name in DONE} == DONE
    assert all(rows[name]["reused"] and rows[name]["sync"]["after"] for name in DONE)
    assert (rows["half"]["job_id"], rows["half"]["reused"], rows["half"]["chunks"]) == (HALF, False, 4)
    assert [task for task in tasks if task.startswith("render:")] == [f"render:{HALF}/2", f"render:{HALF}/3"]
    assert _kinds(tasks).keys() <= {"probe", "plan", "sound", "render", "score", "assemble"}
    assert rows["broken"]["code"] == "quarantined"
    assert f"task {LETTER}: is in quarantine: internal error: RuntimeError: injected" in rows["broken"]["message"]
    new = _lines(state / "jobs" / BROKEN / "attempts.jsonl")[len(tried.splitlines()) :]
    assert not [line for line in new if line["task"].startswith("render:")]
    after = _bytes(state, *fixed)
    assert {key: after.get(key) for key in before} == before
    new = {key for key in after.keys() - before.keys() if contracts.record_kind(key) not in ADDED}
    assert {key.partition("/")[0] for key in new} == {"jobs"}
    assert {name: data for name, data in _bytes(golden, "out/*").items() if name in outputs} == outputs

    again = run(*SUBMIT, *heard, cwd=golden)
    assert again.returncode == 1, again.stderr
    report, rows, tasks = _latest(state)
    assert (report["done"], report["failed"], report["chunks_rendered"]) == (4, 1, 0)
    assert rows["half"]["reused"]
    assert _kinds(tasks).keys() <= {"probe", "plan", "sound"}


def test_evaluations_and_nights_are_known(golden: Path) -> None:
    """What was measured is not measured again, and manifests that are done or refused stay so."""
    state = golden / "state"
    measured = _bytes(state, "jobs/*/measures/*")
    done = run(*EVALUATE, cwd=golden)
    assert done.returncode == 0, done.stderr
    _, rows, tasks = _latest(state)
    assert [row["job_id"] for row in rows.values()] == [EVALUATED]
    assert _kinds(tasks) == {"examine": 1}
    assert _bytes(state, "jobs/*/measures/*") == measured

    runs = sorted((state / "runs").iterdir())
    night = run(*BACKLOG, cwd=golden)
    assert night.returncode == 0, night.stderr
    assert sorted((state / "runs").iterdir()) == runs
    record = json.loads((max((state / "nights").iterdir()) / "night.json").read_bytes())
    assert (record["done"], record["left"], record["refused"], record["runs"]) == (0, 0, 0, [])
    told = run("backlog", "status", "drop", "--state", "state", "--json", cwd=golden)
    assert {one["name"]: one["status"] for one in map(json.loads, told.stdout.splitlines())} == {
        "evening.csv": "done",
        "odd.csv": "refused",
    }


def test_people_can_read_it(golden: Path, tmp_path: Path) -> None:
    """Status and reports of every run tell of all that is in it; tracks come out of it."""
    found = json.loads(run("status", "state", "--json", cwd=golden).stdout)
    assert (found["done"], found["failed"], found["left"], found["holder"]) == (1, 0, 0, None)
    assert {(one["job_id"], one["chunks"], one["chunks_done"]) for one in found["unfinished"]} == {
        (HALF, 4, 2),
        (BROKEN, 4, 3),
    }
    (letter,) = found["quarantined"]
    assert (letter["task"], letter["message"].partition(" (")[0]) == (LETTER, "internal error: RuntimeError: injected")
    for path in sorted((golden / "state" / "runs").iterdir()):
        done = run("report", "state", "--run", path.name, "--out", tmp_path / path.name, cwd=golden)
        assert done.returncode == 0, done.stderr
        listed = {row["row_id"]: row["status"] for row in _lines(tmp_path / path.name / "results.jsonl")}
        ended = map(json.loads, _bytes(path, "rows/*").values())
        planned = {str(row["row_id"]): "left" for row in _lines(path / "planned.jsonl")}
        assert listed == planned | {row["row_id"]: row["status"] for row in ended}
    exported = run("tracks", "state", "duo", tmp_path / "tracks.npz", cwd=golden)
    assert exported.returncode == 0, exported.stderr


def test_the_dead_letter_can_be_acted_on(golden: Path) -> None:
    """Its task is rebuilt and works once nothing is injected; lifted from quarantine, a run makes that chunk alone."""
    relocate(golden / "state", {MADE_AT: str(golden), NEUTRAL_CODE: str(contracts.ROOT)})
    hearing(golden)
    done = run("reproduce", "state", LETTER, "--trust", cwd=golden)
    assert done.returncode == 0, done.stderr
    assert f"{LETTER} works now" in done.stderr
    for path in sorted((golden / "state" / "runs").iterdir())[2:]:
        shutil.rmtree(path)  # so that the latest is the one that was killed
    again = run("retry", "state", "--trust", cwd=golden)
    assert again.returncode == 0, again.stderr
    assert f"lifted {LETTER}" in again.stdout
    report, _, tasks = _latest(golden / "state")
    assert (report["done"], report["chunks_rendered"]) == (5, 3)
    rendered = {task for task in tasks if task.startswith("render:")}
    assert rendered == {LETTER, f"render:{HALF}/2", f"render:{HALF}/3"}


@pytest.mark.slow
def test_names_in_records_stay(tmp_path: Path) -> None:
    """A state that is made today from the same inputs has the records of the frozen one, with equal ids and names."""
    for name in GIVEN:
        shutil.copytree(GOLDEN / name, tmp_path / name)
    make(tmp_path)
    found = contracts.names_in_state(tmp_path / "state")
    assert {key for key in found["keys"] if contracts.record_kind(key) not in ADDED} == set(KEYS["keys"])
    assert found["tasks"] == KEYS["tasks"]
    for part in contracts.PARTS:
        here = {kind: names for kind, names in found[part].items() if kind not in ADDED}
        kept = {kind: [name for name in names if name not in LATER] for kind, names in here.items()}
        frozen = {kind: [name for name in names if name not in GONE] for kind, names in KEYS[part].items()}
        assert kept == frozen
