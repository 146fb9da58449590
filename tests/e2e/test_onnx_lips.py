"""Videos dubbed by lip-sync networks that are ONNX files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwise_ray.errors import SettingsError, WeightsError
from lipwise_ray.resources import models_folder
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.e2e.test_exactness import digest
from tests.support.dub import BY_LEVEL, LOSSLESS, UNJUDGED, UNSIGNED, dub
from tests.support.latent_models import write_musetalk
from tests.support.occluder import write_occluder
from tests.support.onnx_lips import write_edtalk, write_exported, write_pair_lips

BOX, FRAMES = "box:60,220,80,240", 5
TINY = models_folder() / "tiny" / "tiny_generator.safetensors"
EXACT = (
    *(LOSSLESS, BY_LEVEL, UNJUDGED, UNSIGNED, 'composite.mask="box"', 'restore.model="none"'),
    *('engine.cpu_runtime="torch"', "composite.match_light=false", "composite.grain=false", 'lipsync.silence="off"'),
)


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A row of a few frames with a tone."""
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder / "v.mp4", ClipSpec(size=Size(320, 240), frames=FRAMES))
    write_sound(folder / "s.wav", ToneSpec(FRAMES / 25, codec="pcm_s16le", rate_hz=16000, channels=1))
    return {"id": "a", "video": folder / "v.mp4", "audio": folder / "s.wav", "output": "a.mkv", "faces": BOX}


def _named(checkpoint: Path, *settings: str) -> list[str]:
    return [f"lipsync.checkpoint={json.dumps(str(checkpoint))}", *settings]


def _result(folder: Path) -> dict[str, Any]:
    (found,) = folder.rglob("result.json")
    return json.loads(found.read_text())


def _frames(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(int)


def _dubbed(folder: Path, row: dict[str, Any], out: str, *settings: str) -> np.ndarray:
    report = dub(folder, [row], *EXACT, *settings, out=out)
    assert report.exit_code == 0, report.lines
    return _frames(folder / out / "a.mkv")


def test_an_onnx_file_dubs_as_torch_does(row: dict[str, Any], tmp_path: Path) -> None:
    """A checkpoint as an ONNX file gives torch's frames within a level; a strength changes them and the job's id."""
    path = write_exported(tmp_path / "lips.bin", TINY)
    by_torch = _dubbed(tmp_path, row, "torch", *_named(TINY, 'lipsync.precision="float32"'))
    by_onnx = _dubbed(tmp_path, row, "onnx", *_named(path))
    assert np.abs(by_onnx - by_torch).max() <= 1
    plain = _dubbed(tmp_path, row, "plain", *_named(path, "lipsync.strength=1.0"))
    weak = _dubbed(tmp_path, row, "weak", *_named(path, "lipsync.strength=0.3"))
    assert np.array_equal(plain, by_onnx)
    assert np.abs(weak - by_onnx).max() > 3
    ids = {out: _result(tmp_path / f"{out}.state")["job_id"] for out in ("onnx", "plain", "weak")}
    assert ids["onnx"] == ids["plain"] != ids["weak"]


@pytest.mark.parametrize("kind", ["pair 96", "pair 256", "edtalk"])
def test_chunks_do_not_show(kind: str, row: dict[str, Any], tmp_path: Path) -> None:
    """Frames of chunks of two are those of one chunk, to the bit, for each layout."""
    path = tmp_path / "lips.onnx"
    if kind == "edtalk":
        write_edtalk(path)
    else:
        write_pair_lips(path, int(kind.split()[1]))
    for out, length in (("parts", 2), ("whole", 100)):
        report = dub(tmp_path, [row], *EXACT, *_named(path), f"chunk.frames={length}", out=out)
        assert report.exit_code == 0, report.lines
    assert digest(tmp_path / "parts" / "a.mkv") == digest(tmp_path / "whole" / "a.mkv")


def test_another_networks_file_ends_the_run(row: dict[str, Any], tmp_path: Path) -> None:
    """An occluder's ONNX file draws no lips: no row starts, and the message says what it takes."""
    path = write_occluder(tmp_path / "wav2lip_gan_96.onnx")
    with pytest.raises(WeightsError, match=r"takes input \(N x 256 x 256 x 3\)"):
        dub(tmp_path, [row], *EXACT, *_named(path))


def test_what_a_model_does_not_bear_is_refused(row: dict[str, Any], tmp_path: Path) -> None:
    """A number format of torch for an ONNX file, and a strength where no mel is heard, end a run before work."""
    path = write_pair_lips(tmp_path / "lips.onnx")
    with pytest.raises(SettingsError, match="precision = float16: an ONNX lip-sync model computes in float32"):
        dub(tmp_path, [row], *EXACT, *_named(path, 'lipsync.precision="float16"'))
    latent = [f'lipsync.{key}="{value}"' for key, value in write_musetalk(tmp_path / "latent").items()]
    with pytest.raises(SettingsError, match=r"strength = 1\.5: musetalk_15 has no such strength"):
        dub(tmp_path, [row], *EXACT, *latent, "lipsync.strength=1.5")


def test_a_model_of_the_registry_is_known_by_its_own_hash(row: dict[str, Any], tmp_path: Path) -> None:
    """A file whose hash nobody has stated is taken from the models' folder, and results name its own and its terms."""
    (tmp_path / "models").mkdir()
    write_exported(tmp_path / "models" / "wav2lip_96.onnx", TINY)
    report = dub(tmp_path, [row], *EXACT, 'lipsync.model="wav2lip_96"', models=tmp_path / "models")
    assert report.exit_code == 0, report.lines
    (weights,) = [one for one in _result(tmp_path / "out.state")["weights"].values() if one]
    assert weights["name"] == "wav2lip_96"
    assert weights["commercial"] == "no"
    assert len(weights["sha256"]) == 64
