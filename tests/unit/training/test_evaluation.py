"""Figures of a checkpoint: as its run has them, as others measure them, as TensorBoard shows them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from typer.testing import CliRunner

from lipwise_ray.cli.train import app
from lipwise_ray.errors import InputError, LipwiseError, WeightsError
from lipwise_ray.nets.expert import LipSyncExpert
from lipwise_ray.nets.quality_disc import VisualQualityDisc
from lipwise_ray.training.evaluation import evaluate_checkpoint
from lipwise_ray.training.generator import psnr
from lipwise_ray.training.run import make_task
from lipwise_ray.training.task import Team
from tests.unit.training.conftest import GAN, small, train
from tests.unit.training.original import write_original


def _rows(folder: Path, step: int, split: str = "val") -> dict[str, str]:
    with (folder / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["split"], row["step"]) == (split, str(step))]
    return {row["metric"]: row["value"] for row in rows}


@pytest.fixture(scope="module")
def tuned(begun_expert: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator's run of four steps with all that its figures depend on, of which every second step is kept."""
    folder = tmp_path_factory.mktemp("tuned") / "run"
    more = {"expert": str(begun_expert / "last.pth"), "sync_weight": 0.03, "lead_frames": 0, "take_share": 0.5}
    train("generator", prepared, folder, steps=4, eval_every=2, keep_every=2, precision="bfloat16", **more)
    return folder


@pytest.mark.slow
def test_every_nth_checkpoint_is_kept_and_can_be_gone_back_to(tuned: Path, prepared: Path, tmp_path: Path) -> None:
    """Two of four steps are there beside the last and the best; a run that goes back to one ends as the whole did."""
    assert {path.name for path in tuned.glob("*.pth")} == {
        "last.pth", "best.pth", "checkpoint-0000002.pth", "checkpoint-0000004.pth"
    }  # fmt: skip
    again = shutil.copytree(tuned, tmp_path / "run")
    shutil.copy(again / "checkpoint-0000002.pth", again / "last.pth")
    settings = json.loads((again / "settings.json").read_text())
    more = {name: settings[name] for name in ("expert", "sync_weight", "lead_frames", "take_share", "precision")}
    train("generator", prepared, again, steps=4, eval_every=2, keep_every=1, **more)
    whole, parts = (torch.load(folder / "last.pth", weights_only=True) for folder in (tuned, again))
    assert all(torch.equal(value, parts["state_dict"][key]) for key, value in whole["state_dict"].items())
    assert (again / "checkpoint-0000003.pth").is_file()


def test_a_checkpoint_has_the_figures_of_its_run(tuned: Path, prepared: Path, tmp_path: Path) -> None:
    """Moved away from its run, each gives the numbers of metrics.csv at its step, by the command and as JSON."""
    for step in (2, 4):
        alone = tmp_path / f"{step}.pth"
        shutil.copy(tuned / f"checkpoint-{step:07d}.pth", alone)
        done = CliRunner().invoke(app, ["evaluate", str(alone), str(prepared), "--json"])
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        known = _rows(tuned, step)
        assert {name: f"{value:.6g}" for name, value in found["metrics"].items()} == known
        assert {"l1", "l1_of_copying", "psnr", "ssim", "sync", "sync_of_other_lips", "sync_of_true_lips"} == set(known)
        assert (found["network"], found["step"]) == ("generator", step)
    sheet = tmp_path / "sheet.png"
    done = CliRunner().invoke(app, ["evaluate", str(alone), str(prepared), "--samples", str(sheet)])
    assert f"generator, step 4: l1 {float(known['l1']):.4f}" in done.stdout
    assert np.array_equal(cv2.imread(str(sheet)), cv2.imread(str(tuned / "samples-0000004.png")))


def test_an_evaluation_needs_the_validation_clips_alone(begun_expert: Path, prepared: Path, tmp_path: Path) -> None:
    """A data set without train.txt will do."""
    data = shutil.copytree(prepared, tmp_path / "data", ignore=shutil.ignore_patterns(".pack*", "train.txt"))
    found = evaluate_checkpoint(begun_expert / "last.pth", data, {}, "cpu")
    assert {name: f"{value:.6g}" for name, value in found.result.metrics.items()} == _rows(begun_expert, 2)


def test_the_originals_files_are_evaluated_by_the_defaults(tuned: Path, prepared: Path, tmp_path: Path) -> None:
    """A file without settings has its network and width told by its layers; the sync figures need an expert."""
    made = torch.load(tuned / "last.pth", weights_only=True)
    write_original(tmp_path / "own.pth", made["state_dict"], None, step=9, prefix="module.")
    few = {"eval_batches": 1, "batch": 2}
    found = evaluate_checkpoint(tmp_path / "own.pth", prepared, few, "cpu")
    assert (found.network, found.step) == ("generator", 9)
    assert set(found.result.metrics) == {"l1", "l1_of_copying", "psnr", "ssim"}
    task = make_task(small("generator", prepared, init=str(tmp_path / "own.pth"), **few), Team())
    task.begin()
    assert task.evaluate().metrics == found.result.metrics


@pytest.mark.slow
def test_what_cannot_be_evaluated_is_named(tuned: Path, prepared: Path, tmp_path: Path) -> None:
    """A discriminator, another program's network, a missing expert and missing clips each have a message."""
    torch.save({"state_dict": VisualQualityDisc(0.0625).state_dict()}, tmp_path / "disc.pth")
    with pytest.raises(WeightsError, match="the discriminator, which is measured with its generator"):
        evaluate_checkpoint(tmp_path / "disc.pth", prepared, {}, "cpu")
    torch.save({"conv1_1.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "s3fd.pth")
    with pytest.raises(WeightsError, match="of no network that is trained here"):
        evaluate_checkpoint(tmp_path / "s3fd.pth", prepared, {}, "cpu")
    with pytest.raises(WeightsError, match=r"gone\.pth: no such file, which is the expert"):
        evaluate_checkpoint(tuned / "last.pth", prepared, {"expert": str(tmp_path / "gone.pth")}, "cpu")
    assert "sync" not in evaluate_checkpoint(tuned / "last.pth", prepared, {"expert": ""}, "cpu").result.metrics
    with pytest.raises(InputError, match="folder not found"):
        evaluate_checkpoint(tuned / "last.pth", tmp_path / "gone", {}, "cpu")
    with pytest.raises(LipwiseError, match='did you mean "eval_batches"'):
        evaluate_checkpoint(tuned / "last.pth", prepared, {"eval_batchs": 2}, "cpu")


def test_likeness_is_that_of_scikit_image(tuned: Path, prepared: Path) -> None:
    """PSNR and SSIM of an evaluation are the means of the library's figures over the faces that it drew."""
    found = evaluate_checkpoint(tuned / "last.pth", prepared, {"expert": "", "precision": "float32"}, "cpu")
    drawn, target = _faces_of(tuned / "last.pth", prepared)
    known: list[tuple[float, float]] = []
    for one, other in zip(drawn, target, strict=True):
        likeness = structural_similarity(one, other, channel_axis=2, data_range=1.0, use_sample_covariance=False)
        known.append((peak_signal_noise_ratio(other, one, data_range=1.0), float(likeness)))
    assert found.result.metrics["psnr"] == pytest.approx(np.mean([a for a, _ in known]), abs=1e-5)
    assert found.result.metrics["ssim"] == pytest.approx(np.mean([b for _, b in known]), abs=1e-6)
    same = torch.rand(2, 3, 96, 96)
    assert psnr(same, same) == pytest.approx(100)


def _faces_of(checkpoint: Path, data: Path) -> tuple[list[Any], list[Any]]:
    """Return the faces that an evaluation draws, and the true ones, by the network alone."""
    from lipwise_ray.nets.checkpoint import load_network
    from lipwise_ray.nets.wav2lip import Wav2Lip
    from lipwise_ray.training.pack import open_pack
    from lipwise_ray.training.samples import generator_samples

    network = load_network(Wav2Lip, checkpoint, "Wav2Lip").eval()
    pack = open_pack(data, "val", 96)
    drawn, true = list[Any](), list[Any]()
    for number in range(2):  # eval_batches
        rng = np.random.default_rng([1 << 30, number])
        arrays = generator_samples(pack, rng, 4, slice(None), window=5, lead_frames=0, take_share=0.5)
        target, reference = (
            torch.from_numpy(arrays[name]).flatten(0, 1).movedim(-1, 1).float() / 255
            for name in ("target", "reference")
        )
        masked = target.clone()
        masked[:, :, 48:] = 0
        with torch.no_grad():
            faces = network(
                torch.from_numpy(arrays["mels"]).flatten(0, 1).unsqueeze(1), torch.cat((masked, reference), 1)
            )
        drawn += [face.movedim(0, 2).double().numpy() for face in faces]
        true += [face.movedim(0, 2).double().numpy() for face in target]
    return drawn, true


@pytest.mark.slow
def test_tensorboard_reads_numbers_and_pictures(prepared: Path, tmp_path: Path) -> None:
    """Its own reader finds every row of metrics.csv and every sheet of samples, also of a run that went on."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for steps in (2, 4):
        train("generator", prepared, tmp_path / "run", steps=steps, eval_every=2, **GAN)
    board = EventAccumulator(str(tmp_path / "run/tensorboard"), size_guidance={"scalars": 0, "images": 0})
    board.Reload()
    pictures = board.Images("val/samples")
    assert [event.step for event in pictures] == [0, 2, 4]
    for event in pictures:
        shown = cv2.imdecode(np.frombuffer(event.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
        assert np.array_equal(shown, cv2.imread(str(tmp_path / f"run/samples-{event.step:07d}.png")))
    with (tmp_path / "run/metrics.csv").open(newline="") as file:
        rows = {(r["split"], r["metric"], int(r["step"])): float(r["value"]) for r in csv.DictReader(file)}
    found = {
        (*tag.split("/"), event.step): event.value for tag in board.Tags()["scalars"] for event in board.Scalars(tag)
    }
    assert {key: found[key] for key in rows} == pytest.approx(rows, rel=1e-5)
    # What a stop measured is in the table no longer; TensorBoard forgets by the step alone.
    assert {key[0] for key in found.keys() - rows.keys()} <= {"train"}


def test_a_half_precision_expert_can_be_evaluated(begun_expert: Path, prepared: Path, tmp_path: Path) -> None:
    """An exported file, in float16 and without settings, is known by its layers."""
    from lipwise_ray.training.checkpoints import export

    export(begun_expert / "last.pth", tmp_path / "e.safetensors", half=True)
    found = evaluate_checkpoint(tmp_path / "e.safetensors", prepared, {"eval_batches": 1, "batch": 4}, "cpu")
    assert (found.network, found.step) == ("expert", 0)
    assert LipSyncExpert.width_of(torch.load(begun_expert / "last.pth", weights_only=True)["state_dict"]) == 0.125
    assert 0 < found.result.metrics["loss"] < 10
