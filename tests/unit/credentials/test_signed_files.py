"""Every container is signed and read back by c2pa itself; nothing that is shown or heard changes."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import c2pa
import numpy as np
import pytest

from lipwise_ray.credentials.claim import SOURCE_TYPE, Claim, UsedMedia, UsedModel, is_beside, media_type
from lipwise_ray.credentials.native import sign_file
from lipwise_ray.credentials.signer import Signer, signer_of
from lipwise_ray.credentials.verification import FileCredentials, verify
from lipwise_ray.errors import OutputError, SettingsError, SignerError
from lipwise_ray.settings.marking import MarkingSettings
from lipwise_ray.storage.redact import redact
from tests.support.signers import company

CONTAINERS = ("mp4", "mov", "m4a", "wav", "mkv", "webm")
_AUDIO = {"webm": "libopus", "wav": "pcm_s16le"}
MODEL = UsedModel("lipsync", "wav2lip_gan", "ab" * 32, "research only")


def _clip(path: Path) -> Path:
    """Write a second of noise and a tone, with what comes first as it is in delivered files."""
    options = {"movflags": "+faststart"} if path.suffix in {".mp4", ".mov"} else {}
    with av.open(str(path), "w", options=options) as file:
        video = None
        if path.suffix not in {".m4a", ".wav"}:
            video = file.add_stream("libvpx-vp9" if path.suffix == ".webm" else "libx264", rate=25)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio: Any = file.add_stream(_AUDIO.get(path.suffix[1:], "aac"), rate=48_000, layout="mono")
        for number in range(8 if video else 0):
            pixels = np.random.default_rng(number).integers(0, 255, (48, 64, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number
            assert video is not None
            file.mux(video.encode(frame))
        if video:
            file.mux(video.encode(None))
        for number in range(20):
            tone = np.sin(np.arange(960) / 9 + number, dtype=np.float32)[None]
            sound = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            sound.sample_rate, sound.pts = 48_000, number * 960
            file.mux(audio.encode(sound))
        file.mux(audio.encode(None))
    return path


def _packets(path: Path) -> list[tuple[int, int | None, int | None, bytes]]:
    with av.open(str(path)) as file:
        return [(one.stream.index, one.pts, one.dts, bytes(one)) for one in file.demux() if one.size]


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return signer_of(MarkingSettings(folder=str(tmp_path_factory.mktemp("own"))))


def _claim(*media: UsedMedia) -> Claim:
    source = (UsedMedia("film.mov", None, "0" * 24, is_source=True),)
    return Claim("ep1.mp4", "1.2", "2026-11-29T00:00:00+00:00", "j" * 24, "ep1", "de", (MODEL,), media or source)


def _signed(folder: Path, ending: str, signer: Signer, claim: Claim | None = None) -> tuple[Path, Path]:
    """Return a clip and the same signed, with a side-car where it needs one."""
    plain, done = _clip(folder / f"plain.{ending}"), folder / f"done.{ending}"
    beside = is_beside(plain)
    sign_file(plain, claim or _claim(), signer, folder / f"done.{ending}.c2pa" if beside else done)
    if beside:
        shutil.copy(plain, done)
    return plain, done


@pytest.mark.parametrize("ending", CONTAINERS)
def test_a_signed_file_plays_the_same_and_a_changed_byte_is_found(tmp_path: Path, ending: str, signer: Signer) -> None:
    """c2pa's own reader says so, in the first, the middle and the last of the samples; a cut file is found too."""
    plain, done = _signed(tmp_path, ending, signer)
    assert _packets(done) == _packets(plain)
    side_car = Path(f"{done}.c2pa")
    beside = side_car.read_bytes() if side_car.exists() else None
    whole = done.read_bytes()

    def state(data: bytes) -> str:
        arguments = {"manifest_data": beside} if beside else {}
        with c2pa.Reader(media_type(done), io.BytesIO(data), **arguments) as reader:
            return str(reader.get_validation_state())

    assert state(whole) == "Valid"
    samples = [bytes(one[3]) for one in _packets(done)]
    for sample in (samples[0], samples[len(samples) // 2], samples[-1]):
        at = whole.index(sample) + len(sample) // 2
        changed = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        assert state(changed) == "Invalid"
    done.write_bytes(changed)
    assert verify(done).verdict == "changed"
    done.write_bytes(whole[: len(whole) * 3 // 4])
    assert verify(done).verdict in {"changed", "invalid", "unreadable"}


@pytest.mark.parametrize("ending", ["mp4", "mov"])
def test_a_progressive_file_stays_one(tmp_path: Path, ending: str, signer: Signer) -> None:
    """The index still comes before the samples, so that a player may begin with the first bytes."""
    _, done = _signed(tmp_path, ending, signer)
    data = done.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_verify_says_who_made_what_of_what_and_with_what(tmp_path: Path, signer: Signer) -> None:
    """Ingredients keep the credentials that they carry; no path of this machine is told."""
    _, source = _signed(tmp_path, "mov", signer)
    media = (
        UsedMedia("film.mov", source, "1" * 24, is_source=True),
        UsedMedia("new.wav", _clip(tmp_path / "x.wav"), "2" * 24, is_source=False),
        UsedMedia("gone.wav", tmp_path / "gone.wav", "3" * 24, is_source=False),
    )
    _, done = _signed(tmp_path, "mp4", signer, _claim(*media))
    found = verify(done)
    assert (found.verdict, found.made_by, found.row, found.language) == ("valid", "lipwise-ray 1.2", "ep1", "de")
    assert found.models == (MODEL,)
    assert (found.signed_by, found.is_trusted) == (signer.name.name, False)
    edited = [one for one in found.actions if one.action == "c2pa.edited"]
    assert [one.source_type for one in edited] == [SOURCE_TYPE.rpartition("/")[2]]
    told = [(one.title, one.relationship, bool(one.signed_by)) for one in found.ingredients]
    assert told == [
        ("film.mov", "parentOf", True),
        ("new.wav", "componentOf", False),
        ("gone.wav", "componentOf", False),
    ]
    assert str(tmp_path).encode() not in done.read_bytes()


def test_a_source_that_was_changed_before_is_not_told_as_its_signers(tmp_path: Path, signer: Signer) -> None:
    """What is made of it is valid, and says that somebody had changed it; one that was whole, or bare, is told so."""
    _, source = _signed(tmp_path, "mov", signer)
    data = bytearray(source.read_bytes())
    data[data.index(b"mdat") + 100] ^= 1
    (tmp_path / "changed.mov").write_bytes(data)
    film = UsedMedia("film.mov", tmp_path / "changed.mov", "1" * 24, is_source=True)
    whole = UsedMedia("whole.mov", source, "3" * 24, is_source=False)
    bare = UsedMedia("bare.wav", _clip(tmp_path / "x.wav"), "2" * 24, is_source=False)
    _, done = _signed(tmp_path, "mp4", signer, _claim(film, whole, bare))
    found = verify(done)
    assert found.verdict == "valid"
    assert [one.verdict for one in found.ingredients] == ["changed", "valid", "unsigned"]


def test_trust_is_what_the_reader_says_it_is(tmp_path: Path) -> None:
    """A certificate that descends from one of the list is trusted, another is not, and neither changes the verdict."""
    files, other = company(tmp_path / "a", name="Example Dubbing"), company(tmp_path / "b")
    signer = signer_of(MarkingSettings(certificate=str(files.chain), key=str(files.key)))
    _, done = _signed(tmp_path, "wav", signer)
    found = verify(done, trust=files.root)
    assert (found.signed_by, found.is_trusted, found.verdict) == ("Example Dubbing", True, "valid")
    foreign = verify(done, trust=other.root)
    assert (foreign.is_trusted, foreign.passes(needs_trust=True), foreign.verdict) == (False, False, "valid")
    with pytest.raises(SettingsError, match="holds no certificate"):
        verify(done, trust=done)


def test_files_without_credentials_are_told_apart(tmp_path: Path, signer: Signer) -> None:
    """Unsigned ones, a side-car that is missing or another file's, folders, empty files and absent ones."""
    plain, done = _signed(tmp_path, "mkv", signer)
    assert verify(plain).verdict == "unsigned"
    assert verify(_clip(tmp_path / "bare.mp4")).verdict == "unsigned"
    other = _clip(tmp_path / "other.mkv")
    other.write_bytes(other.read_bytes() + b"more")
    shutil.copy(f"{done}.c2pa", f"{other}.c2pa")
    foreign = verify(other)
    assert (foreign.verdict, foreign.side_car) == ("changed", f"{other}.c2pa")
    Path(f"{done}.c2pa").write_bytes(b"no credentials")
    assert verify(done).verdict == "unreadable"
    (tmp_path / "empty.mp4").touch()
    for path in (tmp_path, tmp_path / "empty.mp4", tmp_path / "none.mp4"):
        found = verify(path)
        assert found == FileCredentials(file=str(path), verdict="unreadable", problems=found.problems)


def _not_signed(folder: Path, *command: str) -> str:
    files = company(folder / "company")
    signer = signer_of(MarkingSettings(certificate=str(files.chain), sign_command=command))
    into = folder / "out.wav"
    with pytest.raises(SignerError) as raised:
        sign_file(_clip(folder / "a.wav"), _claim(), signer, into)
    assert raised.value.code == "not_signed"
    assert not into.exists()
    return str(raised.value)


def test_a_crash_of_the_library_is_an_error_like_others(tmp_path: Path) -> None:
    """Its process is killed from below as it signs; this one lives, and nothing half is left."""
    assert "its process ended with signal 11" in _not_signed(tmp_path, "sh", "-c", "kill -SEGV $PPID; sleep 1")


def test_a_command_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Its own words are told."""
    assert "the signer: sh ended with status 1: no such key" in _not_signed(
        tmp_path, "sh", "-c", "echo no such key >&2; exit 1"
    )


def test_the_librarys_reason_is_whole_where_it_is_kept(tmp_path: Path) -> None:
    """Nothing of it is taken for a secret; here nobody answers as time-stamp authority."""
    files = company(tmp_path / "company")
    marking = MarkingSettings(
        certificate=str(files.chain), key=str(files.key), timestamp_authority="http://127.0.0.1:9/"
    )
    with pytest.raises(SignerError) as raised:
        sign_file(_clip(tmp_path / "a.wav"), _claim(), signer_of(marking), tmp_path / "b.wav")
    assert redact(str(raised.value)) == str(raised.value)


def test_a_place_that_cannot_be_written_is_the_outputs_fault(tmp_path: Path, signer: Signer) -> None:
    """Its folder is not there."""
    with pytest.raises(OutputError, match="cannot be written"):
        sign_file(_clip(tmp_path / "a.wav"), _claim(), signer, tmp_path / "none" / "b.wav")


@pytest.mark.parametrize("gone", ["chain", "key"])
def test_a_certificate_that_disappears_is_the_signers_fault(tmp_path: Path, gone: str) -> None:
    """The output has a folder, and its disk refused nothing: another attempt may find the certificate again."""
    files = company(tmp_path / "company")
    signer = signer_of(MarkingSettings(certificate=str(files.chain), key=str(files.key)))
    (files.chain if gone == "chain" else files.key).unlink()
    with pytest.raises(SignerError, match=r"the signer: .*no such file"):
        sign_file(_clip(tmp_path / "a.wav"), _claim(), signer, tmp_path / "b.wav")


_PEAK = """
import resource, sys
from pathlib import Path
from lipwise_ray.credentials.claim import Claim, UsedMedia
from lipwise_ray.credentials.native import sign_file
from lipwise_ray.credentials.signer import signer_of
from lipwise_ray.settings.marking import MarkingSettings
folder = Path(sys.argv[1])
claim = Claim("a", "1", "2026-11-29T00:00:00+00:00", "j", "r", None, (), (UsedMedia("a", None, "i", True),))
sign_file(folder / "a.mkv", claim, signer_of(MarkingSettings(folder=str(folder / "own"))), folder / "b" / "a.c2pa")
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
"""


def test_a_long_file_is_signed_in_little_memory_beside_its_output(tmp_path: Path) -> None:
    """What the library copies goes to the output's disk, wherever this machine has its temporary files."""
    with _clip(tmp_path / "a.mkv").open("r+b") as file:
        file.truncate(160 << 20)
    (tmp_path / "b").mkdir()
    told = {**os.environ, "TMPDIR": str(tmp_path / "temporary"), "PYTHONPATH": os.pathsep.join(sys.path)}
    (tmp_path / "temporary").mkdir(0o500)
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(tmp_path)], env=told, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 320  # one copy stays in memory, of the three that the library makes
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["a.c2pa"]


@pytest.mark.parametrize("name", ["done.mkv", "done", "done.txt"])
def test_a_renamed_file_keeps_its_credentials(tmp_path: Path, name: str, signer: Signer) -> None:
    """Whoever gets it under another ending still sees who signed it."""
    _, done = _signed(tmp_path, "mp4", signer)
    assert verify(done.rename(tmp_path / name)).verdict == "valid"


@pytest.mark.parametrize("address", ["https://example.com/a.mp4", "s3://bucket/a.mp4", "http://u:secret@x.com/a.mp4"])
def test_an_address_is_no_file_to_verify(address: str) -> None:
    """It is told as what it is, without its password, and not as a path that is not there."""
    found = verify(address)
    assert found.verdict == "unreadable"
    assert "only files of this machine are read" in found.problems[0]
    assert "secret" not in found.file


def test_the_longest_names_are_verified(tmp_path: Path) -> None:
    """No side-car can lie beside such a file; one of a longer name is not there, as any other that is not."""
    longest, longer = tmp_path / f"{'n' * 251}.mp4", tmp_path / f"{'n' * 300}.mp4"
    longest.write_bytes(b"no video")
    assert verify(longest).verdict in {"unsigned", "unreadable"}
    assert verify(longer).problems == ("it cannot be read: file name too long",)


def test_a_named_pipe_is_no_file_to_verify(tmp_path: Path) -> None:
    """Nobody waits for somebody to write to it."""
    os.mkfifo(tmp_path / "pipe.mp4")
    assert verify(tmp_path / "pipe.mp4").problems == ("it is not a file",)


def test_text_around_certificates_may_be_in_any_encoding(tmp_path: Path) -> None:
    """Those who keep lists of them write names above them; neither signer nor video is wrong for it."""
    files = company(tmp_path / "company")
    for path in (files.chain, files.root):
        path.write_bytes("Müller\n".encode("latin-1") + path.read_bytes())
    signer = signer_of(MarkingSettings(certificate=str(files.chain), key=str(files.key)))
    _, done = _signed(tmp_path, "wav", signer)
    assert verify(done, trust=files.root).is_trusted


def test_a_file_that_c2pa_cannot_parse_is_not_signed(tmp_path: Path, signer: Signer) -> None:
    """The library's words are told, and the file stays as it is."""
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video at all, whatever its name says")
    with pytest.raises(SignerError, match="could not be parsed"):
        sign_file(bad, _claim(), signer, tmp_path / "b.mp4")
    assert not (tmp_path / "b.mp4").exists()
