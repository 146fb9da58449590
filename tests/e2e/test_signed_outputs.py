"""Delivered files are signed as a whole run delivers them: what the state says of them, and what a later run does."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.credentials.verification import verify
from lipwise_ray.errors import SettingsError
from lipwise_ray.pipeline.delivery.credentials import side_car_of
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import PASSTHROUGH, QUICK, UNSIGNED, Dubbed, dub, packets, run
from tests.support.signers import company

ROW = {"id": "a", "video": "v.mp4", "audio": "s.wav", "language": "de", "faces": "box:20,80,40,100"}
ROWS = [{**ROW, "output": "a.mp4"}, {**ROW, "id": "b", "output": "b.mkv"}]
SIGNED, REQUIRED = 'marking.c2pa="auto"', 'marking.c2pa="require"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A short clip and new audio for it."""
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(160, 112), frames=10))
    write_sound(tmp_path / "s.wav", ToneSpec(0.4, codec="pcm_s16le", rate_hz=16000, channels=1))
    return tmp_path


def _dub(folder: Path, *sets: str, rows: list[dict[str, Any]] | None = None, verify_again: bool = False) -> Dubbed:
    own = f'marking.folder="{folder / "own"}"'
    return dub(folder, rows or ROWS, PASSTHROUGH, QUICK, own, *sets, verify=verify_again)


def _results(folder: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in (folder / "out.state").glob("jobs/*/result.json")]
    return {one["row_id"]: one for one in found}


def test_a_run_delivers_signed_files_and_knows_them_again(folder: Path) -> None:
    """The state has hash and size of the signed file; packets are those of an unsigned run; nobody renders anew."""
    assert dub(folder, ROWS, PASSTHROUGH, QUICK, UNSIGNED, out="plain").exit_code == 0
    assert _dub(folder, SIGNED).exit_code == 0
    results = _results(folder)
    for row, name in (("a", "a.mp4"), ("b", "b.mkv")):
        path = folder / "out" / name
        found = verify(path)
        assert (found.verdict, found.row, found.language, found.title) == ("valid", row, "de", name)
        assert [(one.title, one.relationship) for one in found.ingredients] == [
            ("v.mp4", "parentOf"),
            ("s.wav", "componentOf"),
        ]
        assert results[row]["sha256"] == sha256(path.read_bytes()).hexdigest()
        assert results[row]["bytes_total"] == path.stat().st_size
        assert results[row]["c2pa"]["signed"] is results[row]["c2pa"]["self_made"] is True
        assert packets(path) == packets(folder / "plain" / name)
    assert results["b"]["c2pa"]["side_car"] == side_car_of(str(folder / "out" / "b.mkv"))
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["a.mp4", "b.mkv", "b.mkv.c2pa"]
    again = _dub(folder, SIGNED, verify_again=True)
    assert (again.exit_code, again.chunks_rendered) == (0, 0)
    told = {line for line in (folder / "out" / "b.mkv.c2pa").read_bytes().split(b"\x00") if b"/tmp" in line}
    assert not told


@pytest.mark.parametrize("damage", ["gone", "another"])
def test_a_side_car_that_is_lost_is_put_back(folder: Path, damage: str) -> None:
    """From the state, without rendering; where the state's copy is gone too, the file is made again."""
    rows = ROWS[1:]
    assert _dub(folder, SIGNED, rows=rows).exit_code == 0
    side_car = folder / "out" / "b.mkv.c2pa"
    whole = side_car.read_bytes()
    side_car.unlink() if damage == "gone" else side_car.write_bytes(b"another's")
    again = _dub(folder, SIGNED, rows=rows)
    assert (again.exit_code, again.chunks_rendered) == (0, 0)
    assert side_car.read_bytes() == whole
    (copy,) = (folder / "out.state").glob("jobs/*/credentials.c2pa")
    copy.unlink()
    side_car.unlink()
    assert _dub(folder, SIGNED, rows=rows).chunks_rendered == 1
    assert verify(folder / "out" / "b.mkv").verdict == "valid"


@pytest.mark.parametrize("failure", ["", "signer"])
def test_an_unsigned_file_has_no_side_car_of_an_earlier_one(folder: Path, failure: str) -> None:
    """Whether nobody asked for a signature or it failed: beside another's credentials it would look changed."""
    rows = ROWS[1:]
    assert _dub(folder, SIGNED, rows=rows).exit_code == 0
    (folder / "none").write_text("a file where the folder would be")
    unsigned = (SIGNED, f'marking.folder="{folder / "none"}"') if failure else (UNSIGNED,)
    again = _dub(folder, *unsigned, "encode.quality=30", rows=rows)
    assert (again.exit_code, again.chunks_rendered) == (0, 1)
    assert [path.name for path in (folder / "out").iterdir()] == ["b.mkv"]
    assert verify(folder / "out" / "b.mkv").verdict == "unsigned"


@pytest.mark.parametrize("name", ["n" * 249 + ".mkv", "taken.mkv"])
def test_a_side_car_that_could_not_be_put_there(folder: Path, name: str) -> None:
    """Its name is too long, or a folder has it: what has to be signed is refused early, all else is unsigned."""
    (folder / "out" / "taken.mkv.c2pa").mkdir(parents=True)
    rows = [{**ROW, "output": name}]
    refused = _dub(folder, REQUIRED, rows=rows)
    assert (refused.failed, refused.chunks_rendered) == (1, 0)
    assert f"{name}.c2pa" in str(refused.outcomes[0])
    assert "not_writable" in str(refused.outcomes[0])
    assert not (folder / "out.state" / "quarantine").exists()
    assert _dub(folder, SIGNED, rows=rows).failed == 0
    record = _results(folder)[ROW["id"]]["c2pa"]
    assert not record["signed"]
    assert f"{name}.c2pa" in record["why"]


def test_a_changed_setting_leaves_what_is_delivered(folder: Path) -> None:
    """But where files must be signed those are made again that are not."""
    rows = ROWS[:1]
    assert _dub(folder, UNSIGNED, rows=rows).chunks_rendered == 1
    assert "c2pa" not in _results(folder)["a"]
    assert _dub(folder, SIGNED, rows=rows).chunks_rendered == 0
    required = _dub(folder, REQUIRED, rows=rows)
    assert required.chunks_rendered == 1
    assert [line for line in required.lines if "is not signed, but marking.c2pa is require" in line]
    assert verify(folder / "out" / "a.mp4").verdict == "valid"
    assert _dub(folder, UNSIGNED, rows=rows).chunks_rendered == 0
    assert verify(folder / "out" / "a.mp4").verdict == "valid"


def test_where_nobody_can_sign_the_result_says_why(folder: Path) -> None:
    """`auto` delivers all the same; `require` starts nothing; a key that is named has to sign."""
    (folder / "own").write_text("a file where the folder would be")
    unsigned = _dub(folder, SIGNED)
    assert unsigned.exit_code == 0
    assert len([line for line in unsigned.lines if "outputs are not signed" in line]) == 1
    told = _results(folder)["a"]["c2pa"]
    assert told["signed"] is False
    assert "cannot be written" in told["why"]
    with pytest.raises(SettingsError, match="cannot be written"):
        _dub(folder, REQUIRED, rows=ROWS[:1])
    old = company(folder / "old", days=(-9, -1))
    with pytest.raises(SettingsError, match="expired on"):
        _dub(folder, SIGNED, f'marking.certificate="{old.chain}"', f'marking.key="{old.key}"')


def test_a_command_that_does_not_sign_fails_its_row_and_nothing_is_delivered(folder: Path) -> None:
    """Once something signs the same command goes on, and renders nothing anew: nothing is in quarantine."""
    files = company(folder / "company")
    chain = f'marking.certificate="{files.chain}"'
    failed = _dub(folder, SIGNED, chain, 'marking.sign_command=["false"]', rows=ROWS[:1])
    assert (failed.failed, failed.chunks_rendered) == (1, 1)
    assert "not_signed" in str(failed.outcomes[0])
    assert list((folder / "out").iterdir()) == []
    assert not (folder / "out.state" / "quarantine").exists()
    good = _dub(folder, SIGNED, chain, f'marking.key="{files.key}"', rows=ROWS[:1])
    assert (good.failed, good.chunks_rendered) == (0, 0)


def test_verify_tells_machines_by_its_exit_code(folder: Path) -> None:
    """0 for files that are what was signed, 1 for others, 2 where a trust list cannot be used."""
    assert _dub(folder, SIGNED, rows=ROWS[:1]).exit_code == 0
    output = folder / "out" / "a.mp4"
    good = run("verify", output, "--json")
    assert (good.returncode, json.loads(good.stdout)["verdict"]) == (0, "valid")
    mixed = run("verify", output, folder / "v.mp4")
    assert mixed.returncode == 1
    assert "not on any trust list you gave" in mixed.stdout
    assert f"{folder / 'v.mp4'}: not signed" in mixed.stdout
    chain = folder / "own" / "content-credentials" / "certificate.pem"
    assert run("verify", output, "--trust", chain).returncode == 0
    assert run("verify", output, "--trust", company(folder / "other").root).returncode == 1
    assert run("verify", output, "--trust", folder / "none.pem").returncode == 2
