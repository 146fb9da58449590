from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from lipwise_ray.errors import ManifestError
from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.pipeline.manifest.manifest import Manifest
from lipwise_ray.pipeline.manifest.speakers import Speaker

HEADER = "id,video,audio,output"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("v.mp4", "a.wav", "t.npz"):
        (tmp_path / name).touch()
    return tmp_path


def _read(folder: Path, text: str | bytes, name: str = "m.csv") -> Manifest:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_manifest(path, str(folder / "out"), ["fast", "quality"])


def test_all_columns(folder: Path) -> None:
    """Every column arrives as what it means; pads in pixels are all the pads that a row has."""
    manifest = _read(
        folder,
        "id,video,audio,output,start,end,length,extend,faces,pads,preset,language,priority,tags,tracks\n"
        'a,v.mp4,a.wav,x/a.mp4,1.5,0:01:02.5,video,loop,"box:1,20,3,40","0,5,0,0",fast,de,7,news|eu,t.npz\n',
    )
    (row,) = manifest.rows
    assert not manifest.bad
    assert (row.id, row.output, row.start_s, row.end_s) == ("a", "x/a.mp4", 1.5, 62.5)
    assert (row.preset, row.language, row.priority, row.tags) == ("fast", "de", 7, ("news", "eu"))
    assert (row.video, row.tracks) == (str(folder / "v.mp4"), str(folder / "t.npz"))
    assert row.overrides == {
        "timing": {"length": "video", "extend": "loop"},
        "faces": {"select": "box:1,20,3,40", "pads": [0, 5, 0, 0], "pads_share": [0.0, 0.0, 0.0, 0.0]},
    }


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\na,v.mp4,a.wav,a.mp4\n",
        f"\ufeff{HEADER}\r\na,v.mp4,a.wav,a.mp4\r\n\r\n",
        f"{HEADER}\na,v.mp4,a.wav,a.mp4".replace(",", ";"),
        f"{HEADER}\na,v.mp4,a.wav,a.mp4".replace(",", "\t"),
        f"{HEADER},,\na,v.mp4,a.wav,a.mp4,,\n",
        ' id , video,audio , output\n"a",v.mp4 ,a.wav, a.mp4\n',
    ],
)
def test_spreadsheets_habits(text: str, folder: Path) -> None:
    """A byte order mark, CRLF, semicolons, tabs, blanks and empty lines are fine."""
    manifest = _read(folder, text)
    assert [(row.id, row.output) for row in manifest.rows] == [("a", "a.mp4")]


def test_other_formats_hold_the_same_rows(folder: Path) -> None:
    """JSON lines and Parquet give the row that CSV gives."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    record = {"id": "a", "video": "v.mp4", "audio": "a.wav", "output": "a.mp4", "start": 1.5, "priority": 2}
    (csv,) = _read(folder, f"{HEADER},start,priority\na,v.mp4,a.wav,a.mp4,1.5,2\n").rows
    (lines,) = _read(folder, "\n" + json.dumps(record) + "\n", "m.jsonl").rows
    pq.write_table(pa.Table.from_pylist([record]), folder / "m.parquet")
    (table,) = read_manifest(folder / "m.parquet", str(folder / "out"), []).rows
    for row in (lines, table):
        assert (row.id, row.video, row.start_s, row.priority) == (csv.id, csv.video, csv.start_s, csv.priority)


def test_every_problem_is_listed_at_once(folder: Path) -> None:
    """One reading tells all that is wrong, with line and column, and keeps the good rows."""
    manifest = _read(
        folder,
        f"{HEADER},length,faces,priority,start,end,preset,pads\n"
        "good,v.mp4,a.wav,good.mp4,,,,,,,\n"
        "a,none.mp4,a.wav,a.mp4,audi,,,,,,\n"
        "b,v.mp4,,b.txt,,biggest,x,,,,\n"
        "c d,v.mp4,a.wav,../c.mp4,,,,5,4,fats,\n"
        "e,v.mp4,a.wav,e.mp4,,,,-1,,,1 2\n",
    )
    assert [row.id for row in manifest.rows] == ["good"]
    found = {(p.where.split(" ")[1], p.code) for p in manifest.problems}
    assert found == {
        ("3", "row_video"),
        ("3", "row_length"),
        ("4", "row_audio"),
        ("4", "row_output"),
        ("4", "row_faces"),
        ("4", "row_priority"),
        ("5", "row_id"),
        ("5", "row_output"),
        ("5", "row_end"),
        ("5", "row_preset"),
        ("6", "row_start"),
        ("6", "row_pads"),
    }
    text = str(next(manifest.problems))
    assert text.startswith('line 3 (id=a), column "')
    assert any('did you mean "audio"?' in str(p) for p in manifest.problems)


def test_ids_and_outputs_belong_to_one_row(folder: Path) -> None:
    """Rows that share an id or an output are refused together; paths are compared after resolving."""
    manifest = _read(
        folder,
        f"{HEADER}\na,v.mp4,a.wav,1.mp4\na,v.mp4,a.wav,2.mp4\nb,v.mp4,a.wav,x/../3.mp4\nc,v.mp4,a.wav,3.mp4\n"
        "d,v.mp4,a.wav,4.mp4\n",
    )
    assert [row.id for row in manifest.rows] == ["d"]
    assert 'duplicate id "a" (lines 2 and 3)' in str(next(manifest.problems))


def test_no_output_is_another_ones_folder(folder: Path) -> None:
    """Only one of them could be written, and which would be luck; names that merely begin alike are fine."""
    outputs = ("b/a.mp4", "b/a.mp4/c.mp4", "b/a.mp4.mp4", "b/a.mp4-c/d.mp4", "b/a.mp4/e/f.mp4")
    found = _read(folder, HEADER + "".join(f"\nr{n},v.mp4,a.wav,{one}" for n, one in enumerate(outputs)))
    assert [bad.id for bad in found.bad_rows] == ["r1", "r4"]
    assert {problem.got for problem in found.problems} == {
        "'b/a.mp4/c.mp4' would lie under the output of line 2",
        "'b/a.mp4/e/f.mp4' would lie under the output of line 2",
    }


def test_outputs_stay_under_the_root(folder: Path) -> None:
    """Absolute, climbing and symlinked addresses outside the root are refused; inputs are never overwritten."""
    (folder / "out").mkdir()
    (folder / "elsewhere").mkdir()
    (folder / "out" / "link").symlink_to(folder / "elsewhere")
    (folder / "out" / "v.mp4").touch()
    manifest = _read(
        folder,
        f"{HEADER}\na,v.mp4,a.wav,/etc/a.mp4\nb,v.mp4,a.wav,../b.mp4\nc,v.mp4,a.wav,link/c.mp4\n"
        f"d,v.mp4,a.wav,{folder}/out/d.mp4\ne,out/v.mp4,a.wav,v.mp4\n",
    )
    assert [(row.id, row.output) for row in manifest.rows] == [("d", "d.mp4")]
    assert "overwrite an input" in str(list(manifest.problems)[-1])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,video,audio,outptu\n", 'unknown column "outptu" - did you mean "output"'),
        ("id,video\n", 'column "audio" is missing'),
        ("id,id,video,audio,output\n", "twice"),
        ("", "header"),
        (f"{HEADER}\n", "no rows"),
        (f'{HEADER}\n"a,v.mp4\n', "quotes"),
        (b"id,video\0,audio\n", "NUL"),
        (b"\xff\x00i", "UTF-8"),
    ],
)
def test_files_that_are_no_manifest(text: str | bytes, words: str, folder: Path) -> None:
    """What concerns the whole file stops at once."""
    with pytest.raises(ManifestError, match=words):
        _read(folder, text)


def test_missing_and_foreign_files(folder: Path) -> None:
    """A missing manifest, an unknown ending and a false Parquet file are clear errors."""
    with pytest.raises(ManifestError, match=r"none\.csv: file not found"):
        read_manifest(folder / "none.csv", str(folder / "out"), [])
    with pytest.raises(ManifestError, match=r'unknown ending "\.ods"'):
        _read(folder, "x", "m.ods")
    with pytest.raises(ManifestError, match="Parquet"):
        _read(folder, "x", "m.parquet")


def test_broken_lines_do_not_hide_the_others(folder: Path) -> None:
    """A line that is not JSON, or has too many cells, fails alone."""
    good = json.dumps({"id": "a", "video": "v.mp4", "audio": "a.wav", "output": "a.mp4"})
    manifest = _read(folder, f'{good}\n{{"id": \n[1]\n{{"id": "b", "vidoe": 1}}\n', "m.jsonl")
    assert [row.id for row in manifest.rows] == ["a"]
    assert {bad.line for bad in manifest.bad_rows} == {2, 3, 4}
    manifest = _read(folder, f"{HEADER}\na,v.mp4,a.wav,a.mp4,extra\nb,v.mp4,a.wav,b.mp4\n")
    assert [row.id for row in manifest.rows] == ["b"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("faces", ["left"]),
        ("start", [1]),
        ("language", {"a": 1}),
        ("tags", [{"a": 1}]),
        ("speakers", "s3://bucket/\ud800.rttm"),
        ("id", "\udfff"),
    ],
)
def test_values_of_another_kind_are_row_errors(column: str, value: object, folder: Path) -> None:
    """Lists and objects where a text belongs, and text that is no Unicode, are refused, not dropped."""
    good = {"id": "a", "video": "v.mp4", "audio": "a.wav", "output": "a.mp4"}
    lines = [json.dumps({**good, column: value}), json.dumps({**good, "id": "b", "output": "b.mp4"})]
    manifest = _read(folder, "\n".join(lines), "m.jsonl")
    assert [row.id for row in manifest.rows] == ["b"]
    assert f'column "{column}"' in str(next(manifest.problems))
    str(next(manifest.problems)).encode()


def test_speakers(folder: Path) -> None:
    """Each has a rule, a sound and times; audio may be left out; files are found beside the manifest."""
    (folder / "ben.png").write_bytes(b"x")
    told = [
        {"faces": "left", "audio": "a.wav", "end": "0:04.5"},
        {"faces": "like:ben.png", "audio": "a.wav", "start": 4.5},
    ]
    row = {"id": "a", "video": "v.mp4", "output": "a.mp4", "speakers": told}
    (found,) = _read(folder, json.dumps(row), "m.jsonl").rows
    sound = str(folder / "a.wav")
    assert found.speakers == (
        Speaker("left", sound, 0.0, 4.5),
        Speaker(f"like:{folder / 'ben.png'}", sound, 4.5, None),
    )
    assert found.audio is None
    assert set(found.inputs) == {str(folder / name) for name in ("v.mp4", "a.wav", "ben.png")}


@pytest.mark.parametrize(
    ("speakers", "words"),
    [
        (7, "instead of a list of at most 1000"),
        ([], "empty, but every row needs it"),
        ([{"faces": "left", "audio": "a.wav"}] * 1001, "1001 speakers instead of a list of at most 1000"),
        ({"faces": "left"}, "instead of a list of at most 1000"),
        ([{"faces": "left"}], "faces or audio is missing"),
        ([{"faces": "left", "audio": "a.wav", "begin": 1}], "unknown key 'begin'"),
        ([{"faces": ["left"], "audio": "a.wav"}], "a value that is not one text or number"),
        ([{"faces": "lft", "audio": "a.wav"}], "'lft' is no rule for choosing faces; one is largest"),
        ([{"faces": "like:nobody.png", "audio": "a.wav"}], "file not found"),
        ([{"faces": "left", "audio": "b.wav"}], "file not found"),
        ([{"faces": "left", "audio": ""}], "audio is empty"),
        (
            [{"faces": "left", "audio": "a.wav", "start": 5, "end": 4}],
            "speaker 1: the end, 4 s, is not after the start, 5 s",
        ),
        ([{"faces": "left", "audio": "a.wav", "start": "soon"}], "'soon' is no time"),
        (["left"], "faces or audio is missing"),
        ([{"faces": "\ud800", "audio": "a.wav"}], "a value that is not one text or number"),
    ],
)
def test_speakers_that_are_none(speakers: object, words: str, folder: Path) -> None:
    """What is wrong with a speaker is said, and other rows go on."""
    rows = [
        {"id": "a", "video": "v.mp4", "output": "a.mp4", "speakers": speakers},
        {"id": "b", "video": "v.mp4", "output": "b.mp4", "audio": "a.wav"},
        {
            "id": "c",
            "video": "v.mp4",
            "output": "c.mp4",
            "faces": "left",
            "speakers": [{"faces": "left", "audio": "a.wav"}],
        },
    ]
    manifest = _read(folder, "\n".join(map(json.dumps, rows)), "m.jsonl")
    assert [row.id for row in manifest.rows] == ["b"]
    problems = [str(problem) for problem in manifest.problems]
    assert any(words in problem and "id=a" in problem for problem in problems), problems
    assert any("beside speakers, who have faces of their own" in problem for problem in problems)


def test_a_portrait_is_an_input(folder: Path) -> None:
    """It is found beside the manifest, must be there, and may not be overwritten."""
    (folder / "ben.png").write_bytes(b"x")
    header = f"{HEADER},faces"
    (row,) = _read(folder, f"{header}\na,v.mp4,a.wav,a.mp4,like:ben.png\n").rows
    assert row.overrides["faces"]["select"] == f"like:{folder / 'ben.png'}"
    (problem,) = _read(folder, f"{header}\na,v.mp4,a.wav,a.mp4,like:ann.png\n").problems
    assert "file not found" in str(problem)
    (problem,) = _read(folder, f"{header}\na,v.mp4,a.wav,a.mp4,like:\n").problems
    assert "like:IMAGE" in str(problem)


def test_names_that_are_too_long_fail_alone(folder: Path) -> None:
    """A name that no file system takes is a row error; many rows of one id stay readable."""
    manifest = _read(
        folder, f"{HEADER}\na,{'x' * 300},a.wav,a.mp4\nb,v.mp4,a.wav,{'y' * 300}.mp4\nc,v.mp4,a.wav,c.mp4\n"
    )
    assert [row.id for row in manifest.rows] == ["c"]
    same = "".join(f"a,v.mp4,a.wav,{n}.mp4\n" for n in range(300))
    manifest = _read(folder, f"{HEADER}\n{same}")
    assert max(len(str(problem)) for problem in manifest.problems) < 200


def test_odd_files(folder: Path) -> None:
    """Line ends of Windows, a byte order mark, semicolons, a blank first line and quoted line breaks do not matter;
    absurd numbers, nested JSON and names that UTF-8 cannot hold fail their rows alone.
    """
    for text in (
        "\ufeff\r\nid;video;audio;output\r\n\r\na;v.mp4;a.wav;a.mp4\r\n",
        'id\tvideo\taudio\toutput\tlanguage\na\tv.mp4\ta.wav\ta.mp4\t"de\nAT"\n',
    ):
        assert [row.id for row in _read(folder, text).rows] == ["a"]
    many = "9" * 5000
    manifest = _read(folder, f"{HEADER},priority\na,v.mp4,a.wav,a.mp4,{many}\nb,v.mp4,a.wav,b.mp4,-3.0\n")
    assert [(row.id, row.priority) for row in manifest.rows] == [("b", -3)]
    record = {"id": "c", "video": "v.mp4", "audio": "a.wav", "output": "c.mp4"}
    lines = "\n".join(['{"\\ud800x": 1, "id": "a"}', "[" * 200_000, json.dumps(record)])
    manifest = _read(folder, lines, "m.jsonl")
    assert [row.id for row in manifest.rows] == ["c"]
    assert "".join(map(str, manifest.problems)).encode()


def test_a_manifest_in_a_bucket_names_what_is_beside_it(folder: Path) -> None:
    """Relative paths are objects there, also by way of . and ..; nobody leaves the bucket."""
    (folder / "m.csv").write_text(f"{HEADER}\na,./in/../v.mp4,../up.wav,a.mp4\nb,../../../etc/v.mp4,/no.wav,b.mp4\n")
    manifest = read_manifest(folder / "m.csv", "s3://bucket/out", [], address="s3://bucket/night/m.csv")
    assert [(row.video, row.audio) for row in manifest.rows] == [("s3://bucket/night/v.mp4", "s3://bucket/up.wav")]
    assert {problem.code for problem in manifest.problems} == {"row_video", "row_audio"}


def test_a_path_that_leads_in_a_circle_fails_its_row(folder: Path) -> None:
    """Inputs and outputs by way of a link to itself; the other rows are good."""
    (folder / "loop.mp4").symlink_to("loop.mp4")
    (folder / "out").mkdir()
    (folder / "out" / "circle").symlink_to("circle")
    rows = "a,loop.mp4,a.wav,a.mp4\nb,v.mp4,a.wav,circle/b.mp4\nc,v.mp4,a.wav,c.mp4\n"
    manifest = _read(folder, f"{HEADER}\n{rows}")
    assert [row.id for row in manifest.rows] == ["c"]
    assert [str(problem).split(",")[1].split(":")[0] for problem in manifest.problems] == [
        ' column "video"',
        ' column "output"',
    ]
    assert all("circle" in str(problem) for problem in manifest.problems)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("pads", "9" * 4000 + ",0,0,0"),
        ("faces", "box:0," + "9" * 400 + ",0,9"),
        ("faces", "index:" + "9" * 30),
        ("start", "1e300"),
        ("end", "9" * 5000),
        ("priority", "9" * 5000),
    ],
)
def test_absurd_numbers_fail_their_row(column: str, value: str, folder: Path) -> None:
    """A number that no video can have is refused with the manifest, in a message of bearable length."""
    manifest = _read(folder, f'{HEADER},{column}\na,v.mp4,a.wav,a.mp4,"{value}"\n')
    (problem,) = manifest.problems
    assert problem.code == f"row_{column}"
    assert len(str(problem)) < 500


def test_a_line_without_an_end_is_refused(folder: Path) -> None:
    """A manifest's line is not read whole, however long it is."""
    for name in ("m.csv", "m.jsonl"):
        with pytest.raises(ManifestError) as caught:
            _read(folder, f"{HEADER}\n" + "x" * (5 << 20), name)
        assert caught.value.code == "manifest_line"


def test_a_pipe_in_a_manifests_place_is_not_waited_for(folder: Path) -> None:
    """Only files are read."""
    os.mkfifo(folder / "m.csv")
    with pytest.raises(ManifestError, match="a folder or a device, not a file"):
        read_manifest(folder / "m.csv", str(folder / "out"), [])


def test_damaged_parquet_is_the_manifests_fault(folder: Path) -> None:
    """Seeded damage anywhere in the file is an error of the manifest, or is read."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = {"id": [f"r{n}" for n in range(50)], "video": ["v.mp4"] * 50, "audio": ["a.wav"] * 50}
    pq.write_table(pa.table({**rows, "output": [f"{n}.mp4" for n in range(50)]}), folder / "good.parquet")
    data, rng = (folder / "good.parquet").read_bytes(), random.Random(3)
    failed = 0
    for _ in range(40):
        changed = bytearray(data)
        for _ in range(3):
            at = rng.randrange(len(changed))
            changed[at : at + 2] = rng.choice([b"\xff\xff", b"\0\0", b"\x7f\xff"])
        try:
            _read(folder, bytes(changed), "m.parquet")
        except ManifestError:
            failed += 1
    assert failed > 10


@pytest.mark.timeout(20)
@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_more_columns_than_anybody_has_are_refused_at_once(ending: str, folder: Path) -> None:
    """A line of names without end costs no more than one of a few."""
    names = [f"c{number}" for number in range(100_000)]
    path = folder / f"wide{ending}"
    path.write_text(",".join(names) + "\n" if ending == ".csv" else json.dumps(dict.fromkeys(names, 1)) + "\n")
    try:
        (problem,) = read_manifest(path, "out", []).problems
    except ManifestError as error:
        problem = error
    assert "100000" in str(problem)
