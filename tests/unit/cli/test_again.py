"""What `retry` runs of what a state holds."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.cli import again, dub, jobs
from lipwise_ray.cli.again import request_of, run_again, shown_words, words_of
from lipwise_ray.cli.control import retry
from lipwise_ray.errors import StateError
from lipwise_ray.runs.run_request import kept
from lipwise_ray.state.run_records import Request
from lipwise_ray.state.store import as_json, to_json


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """Take what would be submitted."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(jobs, "submit", lambda manifest, **options: found.append({"manifest": manifest, **options}))
    monkeypatch.chdir(tmp_path)
    return found


def _state(tmp_path: Path, **record: object) -> str:
    (tmp_path / "st" / "runs" / "r").mkdir(parents=True)
    whole = {"run_id": "r", "manifest": "m.csv", "rows": 1, "folder": str(tmp_path), **record}
    (tmp_path / "st" / "runs" / "r" / "run.json").write_bytes(to_json(whole))
    return str(tmp_path / "st")


@pytest.mark.parametrize(
    "words",
    [
        ["backlog", "run", "bl", "--notify", "touch NOTIFIED"],
        ["submit", "m.csv", "--notify", "touch NOTIFIED"],
        ["submit", "m.csv", "--webhook=http://127.0.0.1:9/"],
        ["submit", "m.csv", "n.csv"],
        ["submit", "--help"],
        ["submit"],
        ["train", "x"],
        ["evaluate", "compare", "--out", "x"],
        ["-c", "import os"],
        [],
    ],
)
def test_only_submit_and_evaluate_are_run(words: list[str], tmp_path: Path, submitted: list[dict[str, Any]]) -> None:
    """A state that holds any other command, or options that the two do not share, is refused in plain words."""
    state = _state(tmp_path, command=words)
    if words[:2] == ["evaluate", "compare"]:
        request = request_of(words)
        assert request is not None
        assert request.files == ["compare"]  # a video of that name, never the command
        return
    with pytest.raises(StateError, match="no run of submit, evaluate or dub to run again"):
        retry(state)
    assert not submitted
    assert not (tmp_path / "NOTIFIED").exists()


def test_a_request_survives_the_state(tmp_path: Path, submitted: list[dict[str, Any]]) -> None:
    """What was asked for is asked for again, on the state that is named, with files that look like options as files."""
    request = {
        "verb": "submit",
        "files": ["--notify=touch x"],
        "references": [],
        "job": None,
        "assignments": ['engine.kind="inline"'],
        "preset": "fast",
        "out": str(tmp_path / "o"),
        "address": None,
        "workers": 2,
        "as_json": False,
        "verify": False,
    }
    retry(_state(tmp_path, request=request))
    (asked,) = submitted
    assert asked["manifest"] == "--notify=touch x"
    assert asked["state"] == str(tmp_path / "st")
    assert (asked["preset"], asked["workers"], asked["assignments"]) == ("fast", 2, ['engine.kind="inline"'])
    words = words_of(Request(verb="submit", files=["-x"]), "s")
    assert words[-2:] == ["--", "-x"]


def test_commands_of_earlier_versions_are_understood(tmp_path: Path, submitted: list[dict[str, Any]]) -> None:
    """A record without a request holds the command line; it is read word by word."""
    words = [
        "submit",
        "m.csv",
        "--out",
        "o",
        "--state",
        "elsewhere",
        "--set",
        "chunk.frames=5",
        "--workers",
        "1",
        "--json",
    ]
    retry(_state(tmp_path, command=words))
    (asked,) = submitted
    assert (asked["manifest"], asked["out"], asked["workers"], asked["as_json"]) == ("m.csv", "o", 1, True)
    assert asked["state"] == str(tmp_path / "st")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"address": "ray://10.0.0.1:10001"}, "engine.address=ray://10.0.0.1:10001"),
        ({"assignments": ['engine.address="ray://10.0.0.1:1"']}, "engine.address"),
        ({"assignments": ["lipsync.checkpoint=/tmp/x.pth"]}, "lipsync.checkpoint=/tmp/x.pth"),
        ({"assignments": ["faces.expert_checkpoint=x"]}, "faces.expert_checkpoint"),
        ({"assignments": ["restore.upscale.checkpoint=x"]}, "restore.upscale.checkpoint"),
        ({"assignments": ["paths.mirror=s3://theirs/models"]}, "paths.mirror"),
        ({"assignments": ['paths.roots=["/"]']}, "paths.roots"),
        ({"assignments": ['paths.schemes=["http"]', 'paths.hosts=["a"]']}, "paths.hosts"),
        ({"assignments": ["engine.metrics_file=/home/x.prom"]}, "engine.metrics_file"),
        ({"assignments": ["asr.model=/tmp/whisper"]}, "asr.model"),
        ({"assignments": ['gate.retry=[{lipsync={checkpoint="x"}}]']}, "gate.retry 1"),
        ({"out": "s3://theirs/out"}, "out s3://theirs/out"),
        ({"files": ["s3://theirs/m.csv"]}, "file s3://theirs/m.csv"),
    ],
)
def test_a_state_does_not_choose_what_is_trusted(
    changes: dict[str, Any], word: str, tmp_path: Path, submitted: list[dict[str, Any]]
) -> None:
    """Another Ray, checkpoints, places and other buckets are not taken from a state unless that is asked for."""
    request = Request(**{"verb": "submit", "files": ["m.csv"], **changes})
    with pytest.raises(StateError, match="the state names what is to be trusted") as caught:
        run_again(request, str(tmp_path), str(tmp_path / "st"), trust=False)
    assert word in caught.value.got
    assert "lipwise-ray submit" in caught.value.do
    assert not submitted
    run_again(request, str(tmp_path), str(tmp_path / "st"), trust=True)
    assert len(submitted) == 1


def test_a_job_file_counts_too(tmp_path: Path, submitted: list[dict[str, Any]]) -> None:
    """What a job file says is looked at as it would be used, not as it is called."""
    (tmp_path / "job.toml").write_text('paths.mirror = "s3://theirs/models"\n')
    request = Request(verb="submit", files=["m.csv"], job="job.toml")
    with pytest.raises(StateError, match="the state names what is to be trusted"):
        run_again(request, str(tmp_path), str(tmp_path / "st"), trust=False)


def test_the_users_own_cluster_and_bucket_are_no_matter(tmp_path: Path, submitted: list[dict[str, Any]]) -> None:
    """Ray as this machine has it, and outputs in the state's own bucket, are taken as they are."""
    request = Request(verb="submit", files=["s3://b/m.csv"], out="s3://b/out", address="auto")
    run_again(request, str(tmp_path), "s3://b/out.state", trust=False)
    assert len(submitted) == 1


def test_words_do_not_steer_the_terminal() -> None:
    """Control characters of a record are shown as what they are."""
    assert shown_words(["a b", "x\x1b[2J"]) == r"'a b' 'x\x1b[2J'"


def test_records_name_nobody_to_be_told() -> None:
    """A request has no place for a webhook or a command that is told of the end."""
    record = as_json(json.dumps({"verb": "submit", "files": ["m"], "notify": "x", "webhook": "y"}).encode())
    found = again.typed(record, Request)
    assert found is not None
    assert not {"notify", "webhook"} & {*words_of(found, "s"), *Request.__dataclass_fields__}


def test_a_request_keeps_places_that_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A video whose links lead in a circle, or that names no user, is its row's fault and does not end the command."""
    monkeypatch.chdir(tmp_path)
    Path("loop.mp4").symlink_to("loop.mp4")
    files = ["loop.mp4", "~nobody-of-that-name/v.mp4", "v.mp4"]
    request = kept(Request(verb="evaluate", files=files), "out")
    assert request is not None
    assert request.files == [*files[:2], str(tmp_path / "v.mp4")]


def test_words_whose_secret_was_cut_are_not_run(tmp_path: Path, submitted: list[dict[str, Any]]) -> None:
    """A record keeps no secret, so its words are not the ones that were typed."""
    request = {"verb": "submit", "files": ["m.csv"], "assignments": ["paths.mirror=https://[redacted]@host/"]}
    with pytest.raises(StateError, match="held a secret"):
        retry(_state(tmp_path, request=request))
    assert not submitted


@pytest.mark.parametrize("name", ["ep [redacted].csv", "my_token_count=5.csv", "srv/secrets: yes.csv", "key=value"])
def test_names_that_only_look_like_secrets_are_run_again(
    name: str, tmp_path: Path, submitted: list[dict[str, Any]]
) -> None:
    """A record keeps them whole, and says that nothing was cut."""
    asked = kept(Request(verb="submit", files=[f"/x/{name}"], assignments=[f"paths.out={name}"]), "/o")
    assert asked is not None
    retry(_state(tmp_path, request=asdict(asked)))
    assert submitted[0]["manifest"] == f"/x/{name}"
    assert submitted[0]["assignments"] == [f"paths.out={name}"]
    signed = kept(Request(verb="submit", files=["https://h/m.csv?sig=c0ffee"]), "/o")
    assert signed is not None
    with pytest.raises(StateError, match="held a secret"):
        retry(_state(tmp_path / "cut", request=asdict(signed)))


def test_an_unreadable_latest_run_is_not_replaced_by_an_earlier_one(
    tmp_path: Path, submitted: list[dict[str, Any]]
) -> None:
    """What was run last cannot be read, and something else is not run in its place."""
    state = _state(tmp_path, request={"verb": "submit", "files": ["m.csv"]})
    (tmp_path / "st" / "runs" / "s").mkdir()
    (tmp_path / "st" / "runs" / "s" / "run.json").write_bytes(b"{")
    with pytest.raises(StateError, match="the record of the latest run is damaged"):
        retry(state)
    assert not submitted


def test_what_was_sent_to_a_cluster_goes_there_or_nowhere(tmp_path: Path, submitted: list[dict[str, Any]]) -> None:
    """Its `auto` and folder mean the cluster's machines; whoever asks names the cluster, or trusts the state."""
    sent_to = "http://127.0.0.1:8265"
    request = Request(verb="submit", files=["/laptop/m.csv"], address="auto", sent_to=sent_to)
    with pytest.raises(StateError, match="the run was sent to a cluster, and no --address names it") as caught:
        run_again(request, "/tmp/ray/gone", str(tmp_path / "st"), trust=False)
    assert f"--address {sent_to}" in caught.value.do
    assert not submitted
    run_again(request, "/tmp/ray/gone", str(tmp_path / "st"), trust=False, address="http://tunnel:1")
    run_again(request, "/tmp/ray/gone", str(tmp_path / "st"), trust=True)
    assert [(one["manifest"], one["address"]) for one in submitted] == [
        ("/laptop/m.csv", "http://tunnel:1"),
        ("/laptop/m.csv", sent_to),
    ]


def test_a_run_of_this_machine_can_be_retried_on_a_cluster(tmp_path: Path, submitted: list[dict[str, Any]]) -> None:
    """An address that is asked for is no choice of the state's; any other that the state names still is."""
    request = Request(verb="submit", files=["m.csv"], assignments=['engine.address="ray://10.0.0.1:1"'])
    run_again(request, str(tmp_path), str(tmp_path / "st"), trust=False, address="http://mine:8265")
    assert submitted[0]["address"] == "http://mine:8265"


def test_shards_are_retried_by_name_and_never_one_for_all(tmp_path: Path, submitted: list[dict[str, Any]]) -> None:
    """Where rows of several shards are to do, they are named with the command, and nothing is run; of one that is."""
    request = {"verb": "submit", "files": ["/m.csv"], "shard": "2/2", "sent_to": None}
    state = _state(tmp_path, request=request, shard="2/2", rows_total=2, manifest_sha256="m")
    with pytest.raises(StateError, match="rows to do in several shards: 1/2, 2/2") as caught:
        retry(state)
    assert "--shard=NUMBER/2" in caught.value.do
    assert not submitted
    runs = tmp_path / "st" / "runs"
    (runs / "r" / "rows").mkdir()
    (runs / "r" / "rows" / "000002-done.json").write_bytes(b"{}")
    retry(state)
    assert [one["shard"] for one in submitted] == ["1/2"]


@pytest.fixture
def dubbed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """Take what would be dubbed."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(dub, "dub", lambda video, places, **options: found.append({"all": [video, *places], **options}))
    monkeypatch.chdir(tmp_path)
    return found


def test_a_single_video_is_dubbed_again(tmp_path: Path, dubbed: list[dict[str, Any]]) -> None:
    """With its text, voice, language and part of the video, on the state that is named; so do the words shown."""
    asked = Request(
        verb="dub", files=["v.mp4", "o.mp4"], text="Hello", voice="x", language="de", start_s=1.5, end_s=9.0
    )
    record = kept(asked, str(tmp_path))
    assert record is not None
    state = _state(tmp_path, request=asdict(record))
    retry(state)
    (again_asked,) = dubbed
    assert again_asked["all"] == [str(tmp_path / "v.mp4"), str(tmp_path / "o.mp4")]
    options = ("text", "voice", "language", "start", "end", "state")
    assert [again_asked[name] for name in options] == ["Hello", "x", "de", "1.5", "9.0", state]
    words = ["--text=Hello", "--voice=x", "--language=de", "--start=1.5", "--end=9.0", f"--state={state}"]
    assert words_of(record, state) == ["dub", *words, "--", *record.files]


def test_a_single_video_can_be_dubbed_again_on_another_ray(tmp_path: Path, dubbed: list[dict[str, Any]]) -> None:
    """The command has no option for it, but a setting."""
    retry(_state(tmp_path, request=asdict(Request(verb="dub", files=["v", "a", "o"]))), address="auto")
    assert dubbed[0]["assignments"] == ['engine.address="auto"']


def test_a_services_queue_is_its_own_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is in quarantine is lifted, and whoever asked is told who runs it; that is no error."""
    state = _state(tmp_path)
    (tmp_path / "st" / "service" / "jobs").mkdir(parents=True)
    (tmp_path / "st" / "service" / "jobs" / "j1.json").write_text("{}")
    (tmp_path / "st" / "quarantine").mkdir()
    (tmp_path / "st" / "quarantine" / "render-j1-0.json").write_text("{}")
    retry(state)
    said = capsys.readouterr().out
    assert "1 tasks out of quarantine" in said
    assert "a service's: it runs them" in said
    assert not [*(tmp_path / "st" / "quarantine").iterdir()]
