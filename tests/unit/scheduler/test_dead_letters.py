"""What a dead letter says, to people and to the next run."""

from __future__ import annotations

from pathlib import Path

from lipwise_ray.scheduler.dead_letters import KnownLetters, dead_letter, in_quarantine
from lipwise_ray.state import quarantine
from lipwise_ray.state.shapes import FailedTry
from lipwise_ray.state.store import LocalStore
from tests.support.scripted import make_task

TRIES = [FailedTry(message=f"{node} broke", node=node, worker="w", blame="application") for node in ("b", "a", "b")]


def test_a_letter_says_where_a_task_was_tried_and_how_to_do_it_alone() -> None:
    """Nodes are named once each; the command can be pasted into a shell, whatever the state's address is."""
    letter = dead_letter(make_task("render:job/3"), TRIES, "/data/my state")
    assert letter.nodes == ["a", "b"]
    assert [one.message for one in letter.attempts] == ["b broke", "a broke", "b broke"]
    assert (letter.kind, letter.payload) == ("render", {"chunk": 0})
    assert letter.reproduce == "lipwise-ray reproduce '/data/my state' render:job/3"


def test_a_later_run_says_why_a_task_is_not_tried(tmp_path: Path) -> None:
    """It repeats the last failure and names what lifts it; a damaged letter still keeps the task from being tried."""
    store = LocalStore(tmp_path)
    quarantine.write(store, dead_letter(make_task("render:job/3"), TRIES, "state"))
    failure = in_quarantine(store, "render:job/3")
    assert (failure.blame, failure.code) == ("application", "quarantined")
    assert "b broke" in failure.message
    assert "lipwise-ray retry" in failure.message
    assert "cannot be read" in in_quarantine(store, "render:job/4").message


def test_a_letter_that_was_lifted_refuses_nothing_more(tmp_path: Path) -> None:
    """Also in the run that wrote it, or found it when it began: others may be asked for once more meanwhile."""
    store = LocalStore(tmp_path)
    found = quarantine.write(store, dead_letter(make_task("render:job/3"), TRIES, "state"))
    letters = KnownLetters(store)
    assert letters.refusal("render:job/4") is None
    assert letters.refusal("render:job/3") is not None
    letters.add(quarantine.write(store, dead_letter(make_task("render:job/4"), TRIES, "state")))
    assert letters.refusal("render:job/4") is not None
    store.remove(found)
    assert letters.refusal("render:job/3") is None
