"""Ids stay: what earlier runs left in a state is found again by its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.pipeline.dubbing.identity import comparison_id, detector_id_of, identity_of, protocol_of
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.task_parts import ReferencePart, RowPart
from lipwise_ray.pipeline.flows.task_kinds import ExaminePayload
from lipwise_ray.pipeline.inputs.resolver import Media, cache_of, media_of
from lipwise_ray.pipeline.manifest.speakers import Speaker
from lipwise_ray.pipeline.tasks.evaluate import _identity
from lipwise_ray.roles.embedder import EMBEDDER
from lipwise_ray.roles.expert import EXPERT
from lipwise_ray.roles.table import ROLES
from lipwise_ray.settings.layers import parse_assignment, resolve
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.ids import record_id


def _checkpoint(sha256: str) -> Checkpoint:
    return Checkpoint("x", "x", Path("x"), sha256)


_YUNET, _FAN = _checkpoint("a" * 64), _checkpoint("b" * 64)
_NUMBERED = ("lipsync", "restorer", "upscaler", "parser", "judge", "embedder", "expert", "inception")


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
        job="580a26a3a7d12a79799da71d",
        detector="b580df07051ce5d28b3e9a35",
        protocol="6c55ae7e18f078a118ce56f3",
        evaluation="c4de18a63fbf0992984b54a2",
    ),
    "passthrough": _Case(
        ('lipsync.model="passthrough"', 'faces.select="box:1,2,3,4"', 'score.judge="none"'),
        "",
        job="da709efea5d2f773a7ae967e",
        detector="8b39b1710c59227762b81caf",
        protocol="e20fd0e519e62bfd9b31508c",
        evaluation="3a9927004e697c94ecbb5a65",
    ),
    "restored": _Case(
        ('restore.model="gfpgan_1_4"', 'detect.detector="s3fd"'),
        "lipsync restorer judge s3fd",
        job="2dd1a6090b565a02c9f80927",
        detector="c99eff05e12d5dc8d7a5f8db",
        protocol="bbb4d2edb368e7a65b073637",
        evaluation="fb44e18d7fa4d0fea1a0c0d5",
    ),
    "upscaled": _Case(
        ('restore.upscale.model="realesrgan_x2plus"', 'composite.parser="face_parsing"'),
        "lipsync upscaler parser judge detector",
        job="607a68fdb7e97157621c7513",
        detector="b580df07051ce5d28b3e9a35",
        protocol="6c55ae7e18f078a118ce56f3",
    ),
    "speaking": _Case(
        ('faces.select="speaking"', 'restore.model="gfpgan_1_4"', 'restore.upscale.scope="frame"'),
        "lipsync restorer upscaler expert judge detector",
        job="e2780d0a344d283d08afdaf5",
        detector="b580df07051ce5d28b3e9a35",
        protocol="4584a622a4140655e0bcf72f",
        voices="e11855e74bc0e945a5e7eb6e",
    ),
    "portrait": _Case(
        ('faces.select="like:face.png"',),
        "lipsync judge embedder detector",
        job="b23bf2bac2bfeaf9141572ff",
        detector="b580df07051ce5d28b3e9a35",
        protocol="57c32b919921ed46d100ac95",
        looks="c3649f847bc3fa7b7e311795",
        images=("face.png",),
    ),
    "speakers": _Case(
        ("chunk.length_s=4",),
        "lipsync expert embedder detector",
        job="27a8a1edcaca0f9d9c54d3de",
        detector="d8202eb71afbb067453be725",
        protocol="959d73049971b41a68de366c",
        voices="a6070b965a59b9d3b728aa2d",
        looks="1b12551dbba1b612df837955",
        has_speakers=True,
        images=("face.png",),
    ),
    "tracks": _Case(
        (),
        "lipsync judge",
        job="816518510c485235485f69b4",
        detector="8b39b1710c59227762b81caf",
        protocol="2ee6bd96b5969cf6bc1f562c",
        evaluation="20894bb042be25384373a630",
        has_tracks=True,
    ),
    "measured": _Case(
        (),
        "judge detector embedder inception",
        detector="b580df07051ce5d28b3e9a35",
        protocol="6c55ae7e18f078a118ce56f3",
        evaluation="cd2b60d00b302577cc8321c4",
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
    assert protocol_of(spec, checkpoints, identity["tracks"]) == case.protocol
    if case.job:
        assert record_id(identity) == case.job
    if case.voices:
        assert comparison_id(spec, identity, EXPERT, "0-9") == case.voices
    if case.looks:
        assert comparison_id(spec, identity, EMBEDDER, "0-9") == case.looks
    if case.evaluation:
        reference = str(tmp_path / "reference") if case.has_reference else None
        payload = ExaminePayload(RowPart(spec, checkpoints, "cpu"), ReferencePart(reference))
        assert record_id(_identity(payload, media)) == case.evaluation


@pytest.mark.parametrize("role", ROLES)
def test_of_checkpoints_the_hashes_count(role: str, tmp_path: Path) -> None:
    """The name of a checkpoint and where its file is decide nothing."""
    case, found = CASES["plain"], ROLES[role]
    settings = resolve([("test", parse_assignment(f"{key}='tiny'")) for key in (found.setting, found.file_setting)])
    spec = _spec(case, tmp_path, settings)
    assert record_id(identity_of(spec, _media(settings), _checkpoints(case.roles), "cpu", {})) == case.job


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
