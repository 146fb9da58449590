from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.errors import SettingsError
from lipwise_ray.resources import jobs_folder
from lipwise_ray.settings.layers import parse_assignment, preset_names, read_preset, read_toml, resolve
from lipwise_ray.settings.model import Settings
from lipwise_ray.settings.reference import settings_of


def test_later_layers_win_key_by_key() -> None:
    """A layer replaces the keys that it names and leaves the others."""
    settings = resolve([("a", {"detect": {"stride": 5, "size_px": 300}}), ("b", {"detect": {"stride": 2}})])
    assert (settings.detect.stride, settings.detect.size_px) == (2, 300)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ({"detect": {"strid": 2}}, r'^job.toml: unknown setting "detect.strid" - did you mean "detect.stride"\?$'),
        ({"detct": {}}, r'unknown setting "detct" - did you mean "detect"\?'),
        ({"detect": {"stride": 0}}, r"job.toml: detect.stride = 0: it should be greater"),
        ({"detect": {"stride": "2"}}, r"detect.stride = '2': it should be .*integer"),
        ({"encode": {"codec": "h264"}}, r"encode.codec = 'h264': .*libx264"),
        ({"faces": {"pads": [1, 2]}}, r"faces.pads"),
        ({"restore": {"strength": "0.5"}}, r"restore.strength = '0.5': it should be 'auto' or a number\.$"),
        ({"restore": {"strength": 2}}, r"restore.strength = 2: it should be less than or equal to 1\.$"),
        ({"source": {"still_rate": "fast"}}, r"still_rate"),
        ({"limits": {"gb": float("inf")}}, r"limits.gb = .*: it should be .*finite"),
        ({"engine": {"stall_s": float("nan")}}, r"engine.stall_s = "),
        ({"paths": {"downloader": "yt-dlp"}}, r"a downloader needs https among the schemes"),
        ({"paths": {"cookies": "cookies.txt"}}, r"paths.cookies = 'cookies.txt'"),
        ({"paths": {"cache_gb": 1e308}}, r"paths.cache_gb = 1e\+308: .*less than or equal"),
        ({"source": {"still_rate": "1000000"}}, r"still_rate = '1000000': it must be at most 240"),
    ],
)
def test_mistakes_are_named_with_their_origin(layer: dict, words: str) -> None:
    """Unknown keys and impossible values say where they stand and what was meant."""
    with pytest.raises(SettingsError, match=words):
        resolve([("job.toml", layer)])


def test_all_mistakes_come_at_once() -> None:
    """Two mistakes are told together."""
    with pytest.raises(SettingsError) as caught:
        resolve([("x", {"detect": {"strid": 2, "size_px": -1}})])
    assert "strid" in str(caught.value)
    assert "size_px" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("detect.stride=2", {"detect": {"stride": 2}}),
        ("encode.audio.codec=aac", {"encode": {"audio": {"codec": "aac"}}}),
        ("faces.pads=[0, 1, 2, 3]", {"faces": {"pads": [0, 1, 2, 3]}}),
        ("lipsync.checkpoint=/a b/c=d.pth", {"lipsync": {"checkpoint": "/a b/c=d.pth"}}),
        ("source.static=true", {"source": {"static": True}}),
    ],
)
def test_assignments(text: str, value: dict) -> None:
    """Values are TOML where they can be, else text."""
    assert parse_assignment(text) == value


@pytest.mark.parametrize("text", ["stride=2", "detect.stride", ".=1"])
def test_bad_assignments(text: str) -> None:
    """What is no assignment shows an example."""
    with pytest.raises(SettingsError, match=r"section\.key=value"):
        parse_assignment(text)


def test_every_shipped_job_file_is_valid() -> None:
    """Presets and job files hold known settings only."""
    names = preset_names(jobs_folder())
    assert {"fast", "parity", "quality"} <= set(names)
    for name in names:
        resolve([(name, read_preset(jobs_folder(), name))])
    with pytest.raises(SettingsError, match='did you mean "quality"'):
        read_preset(jobs_folder(), "qualty")


def test_parity_has_no_rule_that_the_original_lacks() -> None:
    """Every detection is a face, of its shot, and is dubbed; nothing looks for people, jaws or pauses."""
    settings = resolve([("parity", read_preset(jobs_folder(), "parity"))])
    faces, composite = settings.faces, settings.composite
    assert (faces.min_confidence, faces.follow, faces.min_face_px, faces.max_yaw_deg) == (0, "shot", 0, 90)
    assert (faces.embedder, faces.landmarks, faces.align) == ("none", "none", False)
    assert (faces.pads, faces.pads_share) == ((0, 10, 0, 0), (0, 0, 0, 0))
    assert (composite.mask, composite.occlusion, composite.parser) == ("box", False, "none")
    assert (settings.lipsync.vad, settings.lipsync.silence) == ("none", "off")
    assert (settings.restore.model, settings.restore.upscale.model) == ("none", "none")


def test_fast_leaves_out_what_costs() -> None:
    """No landmarks are needed for its mask, nothing is looked for in front of faces, and nothing is restored."""
    settings = resolve([("fast", read_preset(jobs_folder(), "fast"))])
    assert (settings.composite.mask, settings.composite.occlusion, settings.composite.parser) == ("soft", False, "none")
    assert (settings.restore.model, settings.restore.smooth) == ("none", 0)


def test_files_that_are_no_toml(tmp_path: Path) -> None:
    """Missing and broken job files are clear errors."""
    (tmp_path / "bad.toml").write_text("a = [")
    for name in ("bad.toml", "none.toml"):
        with pytest.raises(SettingsError, match=name):
            read_toml(tmp_path / name)


def test_identity_ignores_where_and_how_fast() -> None:
    """Workers, folders and file names do not change a job; what is drawn does."""
    base = Settings().identity()
    assert resolve([("x", {"engine": {"workers": 9}, "lipsync": {"batch_frames": 3}})]).identity() == base
    assert resolve([("x", {"composite": {"feather": 0.2}})]).identity() != base


@pytest.mark.parametrize("key", ["steps", "guidance", "seed"])
def test_settings_of_diffusion_count_where_it_draws(key: str) -> None:
    """Jobs of LatentSync are told apart by its steps, guidance and seed; others keep the ids that they had."""

    def identity(**lipsync: Any) -> dict[str, Any]:
        return resolve([("x", {"lipsync": lipsync})]).identity()

    assert identity(**{key: 3}) == identity()
    assert key not in identity()["lipsync"]
    told = identity(model="latentsync_16")
    assert identity(model="latentsync_16", **{key: 3}) != told
    assert told["lipsync"]["drawn_px"] == 512
    assert identity(model="latentsync_15")["lipsync"]["drawn_px"] == 256


def test_noise_of_windows_counts_where_latentsync_draws() -> None:
    """By shared noise its jobs keep the ids that they had; other models' ids have no word of it."""

    def identity(**lipsync: Any) -> dict[str, Any]:
        return resolve([("x", {"lipsync": lipsync})]).identity()

    assert identity(noise="window") == identity()
    told = identity(model="latentsync_16")
    assert "noise" not in told["lipsync"]
    assert identity(model="latentsync_16", noise="shared") == told
    assert identity(model="latentsync_16", noise="window")["lipsync"]["noise"] == "window"
    with pytest.raises(SettingsError, match=r"lipsync\.noise"):
        resolve([("x", {"lipsync": {"noise": "own"}})])


@pytest.mark.parametrize(
    ("key", "value"), [("steps", 0), ("steps", 501), ("guidance", 0.9), ("guidance", 11), ("seed", -1)]
)
def test_bounds_of_diffusion(key: str, value: float) -> None:
    """Steps that the schedule does not have, and factors that draw nothing, are refused by their name."""
    with pytest.raises(SettingsError, match=f"lipsync.{key}"):
        resolve([("x", {"lipsync": {key: value}})])


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("deep", "[a" + ".a" * 3000 + "]\nx = 1\n", "too_deep"),
        ("array", "[lipsync]\nmodel = " + "[" * 3000 + "]" * 3000, "bad_toml"),
        ("number", "[lipsync]\nmodel = " + "9" * 10_000, "bad_toml"),
        ("long", "[lipsync]\nmodel = '" + "x" * 2_000_000 + "'", "bad_toml"),
        ("wide", "[lipsync]\nmodel = '" + "x" * 500_000 + "'\nmodell = 1", "settings"),
        ("nul", "a = '\0'", "bad_toml"),
    ],
)
def test_a_hostile_job_file_is_a_short_error(name: str, text: str, code: str, tmp_path: Path) -> None:
    """Deep, huge and broken files are refused in one message of bearable length."""
    (tmp_path / f"{name}.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        resolve([(name, read_toml(tmp_path / f"{name}.toml"))])
    assert caught.value.code == code
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("value", ["[" * 5000 + "]" * 5000, "9" * 10_000, "x" * 100_000, "{a" + ".a" * 900 + " = 1}"])
def test_a_hostile_assignment_is_a_short_error(value: str) -> None:
    """The command line's values are bounded in the same way."""
    with pytest.raises(SettingsError) as caught:
        resolve([("--set", parse_assignment(f"detect.stride={value}"))])
    assert len(str(caught.value)) < 1000


def test_a_device_is_no_job_file(tmp_path: Path) -> None:
    """What has no end is not read to its end, and a pipe is not waited for."""
    os.mkfifo(tmp_path / "pipe.toml")
    for path in (Path("/dev/zero"), tmp_path / "pipe.toml", tmp_path, tmp_path / "nul\0.toml"):
        with pytest.raises(SettingsError) as caught:
            read_toml(path)
        assert caught.value.code == "no_job_file"


def test_settings_are_described_in_words() -> None:
    """Every key has its default, and none is of another kind than people can read."""
    found = {one.name: one for one in settings_of()}
    assert (found["detect.stride"].default, found["detect.stride"].kind) == ("`3`", "whole number, 1 to 50")
    assert found["restore.upscale.tile_px"].default == "`256`"
    assert found["lipsync.checkpoint"].default == "-"
    assert not [one for one in found.values() if "typing" in one.kind or "<" in one.kind]


def test_a_gate_that_nothing_can_pass_is_a_mistake() -> None:
    """A bound on the score needs somebody who scores."""
    with pytest.raises(SettingsError, match=r"score\.judge is none"):
        resolve([("job.toml", {"score": {"judge": "none"}, "gate": {"min_lse_c": 1.0}})])
