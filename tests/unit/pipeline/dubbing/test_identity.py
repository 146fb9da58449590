"""Ids stay: what earlier runs left in a state is found again by its name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.pipeline.dubbing.identity import (
    comparison_id,
    detector_id_of,
    identity_of,
    listeners,
    protocol_of,
    rendering_id,
)
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.task_parts import ReferencePart, RowPart
from lipwise_ray.pipeline.flows.evaluation_parts import (
    ExaminePayload,
)
from lipwise_ray.pipeline.inputs.resolver import Media, cache_of, media_of
from lipwise_ray.pipeline.manifest.speakers import Speaker
from lipwise_ray.pipeline.tasks.evaluate import _identity
from lipwise_ray.roles.embedder import EMBEDDER
from lipwise_ray.roles.table import ROLES
from lipwise_ray.settings.layers import parse_assignment, resolve
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.ids import Identity, record_id


def _checkpoint(sha256: str) -> Checkpoint:
    return Checkpoint("x", "x", Path("x"), sha256)


_YUNET, _FAN = _checkpoint("a" * 64), _checkpoint("b" * 64)
_NUMBERED: tuple[str, ...] = (
    *("lipsync", "restorer", "upscaler", "parser", "judge", "embedder", "expert", "inception", "active_speaker"),
)


def _checkpoints(roles: str) -> Checkpoints:
    found: dict[str, Checkpoint | tuple[Checkpoint, ...]] = {
        role: _checkpoint(f"{number:064x}") for number, role in enumerate(_NUMBERED, 1) if role in roles.split()
    }
    if "s3fd" in roles:
        found["detector"] = (_YUNET, _FAN)
    elif "detector" in roles:
        found["detector"] = (_YUNET,)
    return Checkpoints(found)


@dataclass(frozen=True)
class _Case:
    """Settings and checkpoints, and the ids that they had before roles were a table."""

    sets: tuple[str, ...]
    roles: str
    job: str = ""
    detector: str = ""
    protocol: str = ""
    evaluation: str = ""
    voices: str = ""
    looks: str = ""
    has_tracks: bool = False
    has_speakers: bool = False
    has_reference: bool = False
    images: tuple[str, ...] = ()


CASES = {
    "plain": _Case(
        (),
        "lipsync judge detector",
        job="c5cefdf96b42c54a057fac36",
        detector="9ff1583ac6132e5da907e164",
        protocol="e5430b5fee69a2d95c7f7642",
        evaluation="5a9ddb881e5e26db754f4c3a",
    ),
    "passthrough": _Case(
        ('lipsync.model="passthrough"', 'faces.select="box:1,2,3,4"', 'score.judge="none"'),
        "",
        job="16b14297d0e9f6aee5dfc5c3",
        detector="053bf547335c4435e7e43219",
        protocol="25bcb2897a859d3dfe88d10e",
        evaluation="b793b374abf641358a4eeffc",
    ),
    "restored": _Case(
        ('restore.model="gfpgan_1_4"', 'detect.detector="s3fd"'),
        "lipsync restorer judge s3fd",
        job="1f09e2e7855c83215423688b",
        detector="b8bc3f18f94446c69a00d63c",
        protocol="86d943518c8b529a2f8221e0",
        evaluation="53c949dd70504b691f20fa95",
    ),
    "upscaled": _Case(
        ('restore.upscale.model="realesrgan_x2plus"', 'composite.parser="face_parsing"'),
        "lipsync upscaler parser judge detector",
        job="fb19ca204a09f161be6ef2dc",
        detector="9ff1583ac6132e5da907e164",
        protocol="e5430b5fee69a2d95c7f7642",
    ),
    "speaking": _Case(
        ('faces.select="speaking"', 'restore.model="gfpgan_1_4"', 'restore.upscale.scope="frame"'),
        "lipsync restorer upscaler expert judge detector",
        job="df7a3988aa080747d722dec1",
        detector="9ff1583ac6132e5da907e164",
        protocol="a37190d8d3901c7f79b82fe0",
        voices="c1e4635d76b4eb86b2b50b76",
    ),
    "portrait": _Case(
        ('faces.select="like:face.png"',),
        "lipsync judge embedder detector",
        job="04e7f1901c9a9f09fa0f0ef4",
        detector="9ff1583ac6132e5da907e164",
        protocol="9a20f2b93079cba3f2089801",
        looks="f42a9b4038f26699278d55d2",
        images=("face.png",),
    ),
    "speakers": _Case(
        ("chunk.length_s=4",),
        "lipsync expert embedder detector",
        job="27ed81b72da8a7f0046e9755",
        detector="1c132bb83af525e51bf28d73",
        protocol="13868e99ee141fe28ea194df",
        voices="22f2ad2df6f6f5f647802a5b",
        looks="5a922f6028c16a4a2a4fa49e",
        has_speakers=True,
        images=("face.png",),
    ),
    "tracks": _Case(
        (),
        "lipsync judge",
        job="b5540535a4a6de9c8feecc01",
        detector="053bf547335c4435e7e43219",
        protocol="2ee6bd96b5969cf6bc1f562c",
        evaluation="bd441c532e471dbcc63d2d98",
        has_tracks=True,
    ),
    "measured": _Case(
        (),
        "judge detector embedder inception",
        detector="9ff1583ac6132e5da907e164",
        protocol="e5430b5fee69a2d95c7f7642",
        evaluation="162bd45174eb53026eccce1e",
        has_reference=True,
    ),
}


def _spec(case: _Case, folder: Path, settings: Settings) -> JobSpec:
    for name in ("video", "audio", "tracks", "reference"):
        (folder / name).write_bytes(name.encode())
    audio = str(folder / "audio")
    speakers = (Speaker("like:face.png", audio), Speaker("speaking", audio, 1.0)) if case.has_speakers else ()
    return JobSpec(
        row_id="a",
        video=str(folder / "video"),
        audio=None if speakers else audio,
        output="o.mp4",
        output_address="/o/o.mp4",
        tracks=str(folder / "tracks") if case.has_tracks else None,
        start_s=0.0,
        end_s=None,
        language="de",
        tags=(),
        settings=settings,
        speakers=speakers,
    )


def _media(settings: Settings) -> Media:
    return media_of(settings, cache_of(settings.paths))


@pytest.mark.parametrize("name", CASES)
def test_ids_stay(name: str, tmp_path: Path) -> None:
    """A state made by an earlier version is gone on with: nothing is found, dubbed or measured again."""
    case = CASES[name]
    settings = resolve([("test", parse_assignment(text)) for text in case.sets])
    spec, media, checkpoints = _spec(case, tmp_path, settings), _media(settings), _checkpoints(case.roles)
    identity = identity_of(spec, media, checkpoints, "cpu", dict.fromkeys(case.images, "i" * 24))
    assert detector_id_of(settings, checkpoints) == case.detector
    assert protocol_of(spec, checkpoints, identity["tracks"], dubs=bool(case.job)) == case.protocol
    if case.job:
        assert record_id(identity) == case.job
    if case.voices:
        assert comparison_id(spec, identity, listeners(identity), "0-9") == case.voices
    if case.looks:
        assert comparison_id(spec, identity, [EMBEDDER.name], "0-9") == case.looks
    if case.evaluation:
        reference = str(tmp_path / "reference") if case.has_reference else None
        payload = ExaminePayload(RowPart(spec, checkpoints, "cpu"), ReferencePart(reference))
        assert record_id(_identity(payload, media)) == case.evaluation


def test_an_active_speaker_network_has_records_of_its_own(tmp_path: Path) -> None:
    """Its hash counts in the job's id and in that of the speaker's records; without it there is no word of it."""
    settings = resolve([("test", parse_assignment('faces.select="speaking"'))])
    spec, media = _spec(CASES["plain"], tmp_path, settings), _media(settings)
    ids: set[tuple[str, str]] = set()
    for roles in ("expert detector", "active_speaker expert detector", "active_speaker detector"):
        identity = identity_of(spec, media, _checkpoints(roles), "cpu", {})
        assert ("active_speaker" in identity["weights"]) == ("active_speaker" in roles)
        ids.add((record_id(identity), comparison_id(spec, identity, listeners(identity), "")))
    assert len({one for one, _ in ids}) == len({other for _, other in ids}) == 3


def test_faces_are_embedded_once_for_rows_with_and_without_portraits(tmp_path: Path) -> None:
    """Whoever is sought, and however far people are followed, the records of a video's faces are the same."""
    looks: set[str] = set()
    for sets in ("faces.select='largest'", "faces.follow='shot'", "faces.select='like:face.png'"):
        settings = resolve([("test", parse_assignment(sets))])
        spec, media = _spec(CASES["plain"], tmp_path, settings), _media(settings)
        identity = identity_of(spec, media, _checkpoints("embedder detector"), "cpu", {"face.png": "i" * 24})
        looks.add(comparison_id(spec, identity, [EMBEDDER.name], ""))
    assert len(looks) == 1


def test_turns_of_a_diarisation_count(tmp_path: Path) -> None:
    """What the file holds decides the job, not where it is, and so does who has which name; records of who speaks are
    of all faces then.
    """
    settings = Settings()
    checkpoints, media = _checkpoints("active_speaker detector"), _media(settings)
    spec = _spec(CASES["plain"], tmp_path, settings)
    files = [tmp_path / f"{number}.rttm" for number in range(3)]
    for file, text in zip(files, ("a", "a", "b"), strict=True):
        file.write_text(text)
    audio = str(tmp_path / "audio")

    def identity(file: Path | None, *speakers: Speaker) -> Identity:
        job = replace(spec, speakers=speakers, diarisation=file and str(file))
        return identity_of(job, media, checkpoints, "cpu", {})

    one, same, other = (identity(file, Speaker("speaking", audio)) for file in files)
    named = identity(files[0], Speaker("speaking", audio, name="ANNA"), Speaker("", audio, name="BEN"))
    assert record_id(one) == record_id(same)
    assert len({record_id(found) for found in (one, other, named)}) == 3
    plain = identity(None, Speaker("speaking", audio))
    assert "diarisation" not in plain
    diarised = replace(spec, diarisation=str(files[0]))
    assert comparison_id(spec, plain, listeners(plain), "") != comparison_id(diarised, one, listeners(one), "")


def test_what_stretches_slots_counts_where_it_is_the_video(tmp_path: Path) -> None:
    """Clips that only their audio fits keep the ids that they had; video and both have mixes of their own."""
    audio = str(tmp_path / "a.wav")
    Path(audio).write_bytes(b"sound")
    speaker = Speaker("speaking", audio, 0.5, 1.5)

    def identity(*speakers: Speaker, **timing: str) -> Identity:
        settings = resolve([("test", {"timing": timing})])
        job = replace(_spec(_Case((), ""), tmp_path, settings), audio=None, speakers=speakers)
        return identity_of(job, _media(settings), Checkpoints({}), "cpu", {})

    by_audio = identity(speaker, length="fit")
    assert by_audio["speakers"][0]["fitted"] is True
    mixes = {identity(speaker, length="fit", fit=fit)["audio"] for fit in ("video", "both")}
    assert len(mixes | {by_audio["audio"], identity(speaker, length="video")["audio"]}) == 4
    endless = replace(speaker, end_s=None)
    assert identity(endless, length="fit", fit="video")["audio"] == identity(endless, length="fit")["audio"]


def test_the_bound_on_doubtful_faces_counts_in_figures(tmp_path: Path) -> None:
    """Whom it leaves out is not measured; of a user's own tracks it leaves out none. People are those of each shot."""
    case, media = CASES["plain"], _media(Settings())

    def evaluation(*sets: str, tracks: str | None = None) -> str:
        settings = resolve([("test", parse_assignment(text)) for text in sets])
        spec = replace(_spec(case, tmp_path, settings), tracks=tracks)
        payload = ExaminePayload(RowPart(spec, _checkpoints(case.roles), "cpu"), ReferencePart(None))
        return record_id(_identity(payload, media))

    assert evaluation() == evaluation("faces.min_confidence=0.6") == evaluation("faces.follow='video'")
    assert evaluation() == case.evaluation != evaluation("faces.min_confidence=0.5")
    own = str(tmp_path / "tracks")
    assert evaluation(tracks=own) == evaluation("faces.min_confidence=0.5", tracks=own)


@pytest.mark.parametrize("role", ROLES)
def test_of_checkpoints_the_hashes_count(role: str, tmp_path: Path) -> None:
    """The name of a checkpoint and where its file is decide nothing."""
    case, found = CASES["plain"], ROLES[role]
    name = {"tts": "espeak", "watermark": "off"}.get(role, "tiny")  # theirs are closed lists
    settings = resolve([("test", parse_assignment(f"{key}='{name}'")) for key in (found.setting, found.file_setting)])
    spec = _spec(case, tmp_path, settings)
    assert record_id(identity_of(spec, _media(settings), _checkpoints(case.roles), "cpu", {})) == case.job


def test_what_tells_pauses_counts_where_it_does(tmp_path: Path) -> None:
    """Without a detector ids are those of before there was one; with it jobs and who is found to speak are others."""
    settings = resolve([("test", parse_assignment('faces.select="speaking"'))])
    spec, roles = _spec(CASES["speaking"], tmp_path, settings), _checkpoints("lipsync expert detector")
    heard = Checkpoints({**roles.by_role, "vad": _checkpoint("c" * 64)})
    other = Checkpoints({**roles.by_role, "vad": _checkpoint("d" * 64)})
    identities = [identity_of(spec, _media(settings), one, "cpu", {}) for one in (roles, heard, other)]
    assert "vad" not in identities[0]["weights"]
    assert len({record_id(one) for one in identities}) == 3
    assert len({comparison_id(spec, one, listeners(one), "") for one in identities}) == 3


@pytest.mark.parametrize("role", [role for role, found in ROLES.items() if found.evaluates])
def test_whatever_measures_a_video_counts_in_its_figures_id(role: str, tmp_path: Path) -> None:
    """Figures of another checkpoint are other figures, whichever network it is of."""
    settings = Settings()
    spec, media = _spec(CASES["plain"], tmp_path, settings), _media(settings)
    used = _checkpoints("judge embedder detector inception")
    others = Checkpoints({**used.by_role, role: _checkpoint("f" * 64)})
    base = [RowPart(spec, checkpoints, "cpu") for checkpoints in (used, others)]
    payloads = [ExaminePayload(part, ReferencePart(str(tmp_path / "reference"))) for part in base]
    assert len({record_id(_identity(payload, media)) for payload in payloads}) == 2


def test_chunks_of_a_video_are_rendered_alike_whatever_is_said() -> None:
    """Sound, length and names decide nothing of how frames are made; settings, networks and what is not known do."""
    identity: Identity = {
        "pipeline": 8,
        "video": "v",
        "audio": "a",
        "speakers": [],
        "start_s": 0.0,
        "output": "one.mkv",
        "weights": {"lipsync": "w"},
        "settings": {
            "composite": {"feather": 0.1},
            "timing": {"length": "audio"},
            "encode": {"quality": 1, "keep": []},
        },
    }
    alike = rendering_id(identity, "one.mkv")
    said = identity | {"audio": "b", "speakers": [1], "start_s": 3.0, "output": "two.mkv"}
    settings = identity["settings"]
    said["settings"] = settings | {"timing": {"length": "video"}, "encode": {"quality": 1, "keep": ["chapters"]}}
    assert rendering_id(said, "two.mkv") == alike
    others = [
        identity | {"video": "w"},
        identity | {"weights": {"lipsync": "x"}},
        identity | {"runtime": "openvino"},
        identity | {"settings": settings | {"composite": {"feather": 0.2}}},
        identity | {"settings": settings | {"encode": {"quality": 2, "keep": []}}},
    ]
    assert len({alike, rendering_id(identity, "one.mp4"), *(rendering_id(one, "one.mkv") for one in others)}) == 7
