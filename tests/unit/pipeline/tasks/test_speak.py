"""Speech of a row's texts, and all that may be wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.errors import LipwiseError, StorageError
from lipwise_ray.pipeline.dubbing.speeches import speak_id, spoken_job
from lipwise_ray.pipeline.flows.task_kinds import SpeakPayload, SpeakResult
from lipwise_ray.pipeline.inputs.made import made_address, made_key
from lipwise_ray.pipeline.manifest.speakers import Script, Speaker
from lipwise_ray.pipeline.tasks.speak import speak
from lipwise_ray.state import layout
from lipwise_ray.storage.digest import content_id
from tests.support.sayer import said, sayer
from tests.support.task_context import NOTHING_KNOWN, Bench


def _bench(folder: Path, mode: str = "say", **tts: Any) -> Bench:
    command = tuple(sayer(folder, mode))
    return Bench(folder, tts={"engine": "command", "command": command, "voices": ("ann", "bob"), **tts})


def _spoken(bench: Bench, **changes: Any) -> SpeakResult:
    row = bench.with_spec(**{"audio": None, **changes})
    return speak(bench.context, SpeakPayload(row), NOTHING_KNOWN)


def _cues(folder: Path, *cues: tuple[float, float, str, str]) -> Script:
    names = ("start", "end", "text", "voice")
    (folder / "c.json").write_text(json.dumps([dict(zip(names, cue, strict=True)) for cue in cues]))
    return Script(file=str(folder / "c.json"), voice="ann")


def test_equal_texts_are_spoken_once(tmp_path: Path) -> None:
    """By one voice; another voice, or another text, is another speech. The silence around it is cut off."""
    bench = _bench(tmp_path)
    first = _spoken(bench, script=Script("Good evening", voice="ann"))
    assert _spoken(bench, script=Script("Good evening", voice="ann")) == first
    script = _cues(tmp_path, (1, 2, "Good evening", "ann"), (2.5, 4, "Good evening", "bob"), (4, 5, "Good evening", ""))
    cues = _spoken(bench, script=script)
    assert said(tmp_path) == ["ann|Good evening", "bob|Good evening"]
    assert [one.start_s for one in cues.speeches] == [1, 2.5, 4]
    assert [one.audio == first.speeches[0].audio for one in cues.speeches] == [True, False, True]
    key = made_key(first.speeches[0].audio)
    assert key is not None
    record = json.loads((tmp_path / "state" / key).with_name("speech.json").read_bytes())
    assert record["seconds"] == pytest.approx(0.6, abs=0.07)
    assert record["by"]["voice"] == "ann"
    assert "its terms are not known" in record["by"]["licence"]


def test_later_tasks_see_ordinary_audio(tmp_path: Path) -> None:
    """A sentence is the row's audio, cues are speakers of the row's own face, and texts of speakers are theirs; the
    identity is that of a file with the same bytes.
    """
    bench = _bench(tmp_path)
    row = bench.with_spec(audio=None, script=Script("Good evening"))
    job = spoken_job(row.job, speak(bench.context, SpeakPayload(row), NOTHING_KNOWN).speeches)
    assert job.audio is not None
    file = bench.context.media.local(job.audio, "")
    assert bench.context.media.identity(job.audio) == content_id(file)
    row = bench.with_spec(audio=None, script=_cues(tmp_path, (1, 2, "Good evening", ""), (3, 4, "Bye", "")))
    cues = spoken_job(row.job, speak(bench.context, SpeakPayload(row), NOTHING_KNOWN).speeches)
    rule = "box:60,110,50,110"
    assert [(one.faces, one.start_s, one.end_s) for one in cues.speakers] == [(rule, 1, None), (rule, 3, None)]
    assert cues.audio is None
    speakers = (Speaker("left", "", 0.5, None, "", "Good evening", "bob"), Speaker("right", "/a.wav"))
    row = bench.with_spec(audio=None, speakers=speakers)
    both = spoken_job(row.job, speak(bench.context, SpeakPayload(row), NOTHING_KNOWN).speeches)
    assert both.speakers[0].audio.startswith("state://speech/")
    assert (both.speakers[0].text, both.speakers[1]) == ("", speakers[1])


def test_speech_that_runs_into_the_next_cue_is_an_error(tmp_path: Path) -> None:
    """It names the cue, the times of both, and what helps; speech that ends where the next begins is none."""
    long = "a" * 40
    with pytest.raises(LipwiseError) as caught:
        _spoken(_bench(tmp_path), script=_cues(tmp_path, (0.5, 1, "Hi", ""), (1, 2, long, ""), (2.5, 3, "Bye", "")))
    assert caught.value.code == "cue_too_long"
    text = str(caught.value)
    assert "c.json, cue 2: its speech lasts from 1.000 s to 3.0" in text
    assert "cue 3 starts at 2.500 s" in text
    assert "length = fit" in text


@pytest.mark.parametrize(
    ("mode", "script", "code"),
    [
        ("silence", Script("Hello"), "tts_silent"),
        ("garbage", Script("Hello"), "tts_output"),
        ("fail", Script("Hello"), "tts_failed"),
        ("say", Script("Hello", voice="carl"), "tts_voice"),
    ],
)
def test_what_gives_no_speech_leaves_nothing(tmp_path: Path, mode: str, script: Script, code: str) -> None:
    """Neither a record nor a file is in the state, so that the next run tries again."""
    with pytest.raises(LipwiseError) as caught:
        _spoken(_bench(tmp_path, mode), script=script)
    assert caught.value.code == code
    assert not [path for path in tmp_path.glob("state/speech/**/*") if path.is_file()]


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_damaged_speech_is_made_again(tmp_path: Path, damage: str) -> None:
    """Whoever reads it says that it is not what was made, and the next run speaks anew: the same bytes."""
    bench = _bench(tmp_path)
    address = _spoken(bench, script=Script("Hello")).speeches[0].audio
    file = tmp_path / "state" / str(made_key(address))
    whole = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(whole[:-100])
    with pytest.raises(StorageError, match="Run the same command again"):
        bench.context.media.local(address, bench.context.media.identity(address))
    assert _spoken(bench, script=Script("Hello")).speeches[0].audio == address
    assert file.read_bytes() == whole
    assert len(said(tmp_path)) == 2


def test_a_damaged_record_is_written_again(tmp_path: Path) -> None:
    """Beside the file that it names."""
    bench = _bench(tmp_path)
    first = _spoken(bench, script=Script("Hello"))
    (record,) = tmp_path.glob("state/speech/*/speech.json")
    whole = record.read_bytes()
    record.write_bytes(whole[:20])
    assert _spoken(bench, script=Script("Hello")) == first
    assert record.read_bytes() == whole


def test_rows_that_ask_for_the_same_have_one_task(tmp_path: Path) -> None:
    """Whatever their faces and outputs are; another voice, language or engine makes another task."""
    bench, weights = _bench(tmp_path), Bench(tmp_path).row.weights
    one = bench.with_spec(audio=None, script=Script("Hello"), language="en").job
    same = bench.with_spec(audio=None, script=Script("Hello"), language="en", output="other.mp4", row_id="x").job
    others = [
        bench.with_spec(audio=None, script=Script("Hello"), language="de").job,
        bench.with_spec(audio=None, script=Script("Hello", voice="bob"), language="en").job,
        Bench(tmp_path, tts={"engine": "espeak"}).with_spec(audio=None, script=Script("Hello"), language="en").job,
    ]
    ids = [speak_id(job, weights) for job in (one, same, *others)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4


def test_only_speech_of_the_state_has_such_an_address() -> None:
    """Nothing else of a state can be named by one, and what is made never changes, so copies of it are kept."""
    key = layout.speech_file("abc", "0" * 64)
    assert made_key(made_address(key)) == key
    assert layout.is_fixed(key)
    assert not layout.is_fixed(layout.speech_record("abc"))
    for other in ("jobs/x/result.json", "speech/../jobs/x.wav", "speech/abc/x.wav", f"speech/abc/{'0' * 64}.wav/.."):
        assert made_key(f"state://{other}") is None
