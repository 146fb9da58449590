"""Every network is trained for a few dozen steps on a miniature corpus."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lipwise_ray.errors import InputError, SettingsError, StateError, StorageError, WeightsError
from lipwise_ray.nets.checkpoint import load_network, load_state_dict
from lipwise_ray.nets.expert import LipSyncExpert
from lipwise_ray.nets.wav2lip import Wav2Lip
from lipwise_ray.training import checkpoints
from lipwise_ray.training.files import alone_in
from lipwise_ray.training.run import run
from lipwise_ray.training.settings import make_settings
from lipwise_ray.training.task import Team
from tests.unit.training.conftest import SMALL, Listener, small, train


def _losses(folder: Path, metric: str = "loss") -> list[float]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(r["value"]) for r in csv.DictReader(file) if r["split"] == "train" and r["metric"] == metric]


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def data(network: str, request: pytest.FixtureRequest) -> Path:
    """What a network learns from."""
    return request.getfixturevalue({"visemes": "speech", "detector": "scenes"}.get(network, "prepared"))


@pytest.mark.slow
@pytest.mark.parametrize("network", sorted(SMALL))
def test_the_loss_falls(network: str, data: Path, tmp_path: Path) -> None:
    """A few dozen steps lower the training loss, and leave metrics, curves, samples and checkpoints."""
    train(network, data, tmp_path / "run", steps=60)
    losses = _losses(tmp_path / "run")
    assert len(losses) == 3
    assert losses[-1] < 0.97 * losses[0]
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"metrics.csv", "curves.png", "samples-0000060.png", "last.pth", "best.pth", "tensorboard"} <= names


@pytest.mark.slow
@pytest.mark.parametrize("network", sorted(SMALL))
def test_a_resumed_run_is_the_same_run(network: str, data: Path, tmp_path: Path) -> None:
    """Stopped after 3 of 5 steps and resumed, weights and optimiser are bit-equal to an unbroken run's."""
    often = {"eval_every": 100, "save_every": 100}
    train(network, data, tmp_path / "whole", steps=5, **often)
    train(network, data, tmp_path / "parts", steps=3, **often)
    train(network, data, tmp_path / "parts", steps=5, **often)
    whole, parts = (torch.load(tmp_path / name / "last.pth", weights_only=True) for name in ("whole", "parts"))
    assert whole["global_step"] == parts["global_step"] == 5
    assert all(torch.equal(value, parts["state_dict"][key]) for key, value in whole["state_dict"].items())
    for key, state in whole["optimizer"]["state"].items():
        assert all(torch.equal(value, parts["optimizer"]["state"][key][name]) for name, value in state.items())
    train(network, data, tmp_path / "whole", steps=8, **often)
    train(network, data, tmp_path / "parts", steps=8, **often)
    metrics = [[r for r in _rows(tmp_path / name) if r["step"] == "8"] for name in ("whole", "parts")]
    assert metrics[0] == metrics[1] != []


def test_the_generators_defaults_are_the_originals() -> None:
    """The sync loss weighs more and Adam's momentum is lower with a discriminator than without."""
    plain = make_settings("generator", {"data": "x", "expert": "e"})
    gan = make_settings("generator", {"data": "x", "expert": "e", "disc_weight": 0.07})
    assert (plain.sync_weight, plain.betas) == (0.01, (0.9, 0.999))
    assert (gan.sync_weight, gan.betas) == (0.03, (0.5, 0.999))


@pytest.mark.slow
def test_frozen_normalisation_keeps_its_statistics(prepared: Path, tmp_path: Path) -> None:
    """With norm_frozen weights move and running statistics do not, also after an evaluation in between."""
    train("expert", prepared, tmp_path / "first", steps=4)
    begun = str(tmp_path / "first" / "last.pth")
    train("expert", prepared, tmp_path / "run", steps=4, eval_every=2, init=begun, norm_frozen=True)
    before, after = (load_state_dict(tmp_path / name / "last.pth") for name in ("first", "run"))
    moved = {key for key, value in before.items() if not torch.equal(value, after[key])}
    assert not any("running" in key for key in moved)
    assert any(key.endswith("weight") for key in moved)


@pytest.mark.slow
def test_the_half_that_listens_comes_from_a_mouth_reader(speech: Path, prepared: Path, tmp_path: Path) -> None:
    """With `sound` the generator hears as the mouth reader does, before and after training, also resumed."""
    train("visemes", speech, tmp_path / "reader", steps=3)
    reader = load_state_dict(tmp_path / "reader" / "last.pth")
    train("generator", prepared, tmp_path / "other", steps=1)
    more = {"sound": str(tmp_path / "reader" / "last.pth"), "init": str(tmp_path / "other" / "last.pth")}
    for steps in (1, 2):
        train("generator", prepared, tmp_path / "run", steps=steps, eval_every=1, edge_weight=0.5, **more)
    trained, before = (load_state_dict(tmp_path / name / "last.pth") for name in ("run", "other"))
    heard = [key for key in trained if key.startswith("audio_encoder")]
    assert heard
    assert all(torch.equal(trained[key], reader[key]) for key in heard)
    assert not all(torch.equal(before[key], trained[key]) for key in before if key not in heard)
    assert _losses(tmp_path / "run", "edges")


@pytest.mark.slow
def test_a_mouth_reader_of_another_width_is_refused(
    begun_expert: Path, speech: Path, prepared: Path, tmp_path: Path
) -> None:
    """The message names the width that it must have."""
    train("visemes", speech, tmp_path / "reader", steps=2, width=0.125)
    with pytest.raises(WeightsError, match=r"width 0\.0625"):
        train("generator", prepared, tmp_path / "run", sound=str(tmp_path / "reader" / "last.pth"))
    with pytest.raises(WeightsError, match="mouth reader"):
        train("generator", prepared, tmp_path / "run", sound=str(begun_expert / "last.pth"))


@pytest.mark.parametrize("network", ["expert", "generator"])
@pytest.mark.parametrize("width", [0.2, 0.21, 0.3, 0.7])
def test_any_width_that_is_trained_can_be_loaded(network: str, width: float, tmp_path: Path) -> None:
    """A checkpoint tells its width, also where the channels had to be rounded."""
    kind = {"expert": LipSyncExpert, "generator": Wav2Lip}[network]
    made = kind(width).state_dict()
    torch.save({"state_dict": made}, tmp_path / "w.pth")
    loaded = load_network(kind, tmp_path / "w.pth", network).state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in made.items())


@pytest.mark.slow
def test_a_resumed_run_with_all_losses_is_the_same_run(begun_expert: Path, prepared: Path, tmp_path: Path) -> None:
    """A stop evaluates too, which must not switch the sync loss on earlier than in an unbroken run."""
    more = {
        "expert": str(begun_expert / "last.pth"), "sync_weight": 0.03, "sync_below": 100.0,
        "disc_weight": 0.07, "disc_width": 0.0625, "eval_every": 4, "save_every": 100, "precision": "bfloat16",
    }  # fmt: skip
    for name, stops in (("whole", [6]), ("parts", [3, 6])):
        for steps in stops:
            train("generator", prepared, tmp_path / name, steps=steps, **more)
    whole, parts = (torch.load(tmp_path / name / "last.pth", weights_only=True) for name in ("whole", "parts"))
    assert whole["state"] == parts["state"] == {"sync_on": True}
    assert all(torch.equal(value, parts["state_dict"][key]) for key, value in whole["state_dict"].items())
    disc = parts["parts"]["disc"]
    assert all(torch.equal(value, disc[key]) for key, value in whole["parts"]["disc"].items())


@pytest.mark.slow
def test_sync_loss_and_discriminator_take_part(begun_expert: Path, prepared: Path, tmp_path: Path) -> None:
    """With an expert and a discriminator all four losses are there, and both networks survive a resume."""
    more = {
        "expert": str(begun_expert / "last.pth"), "sync_weight": 0.03, "sync_below": 100.0,
        "disc_weight": 0.07, "disc_width": 0.0625, "eval_every": 2, "save_every": 2,
    }  # fmt: skip
    for steps in (4, 6):
        result = train("generator", prepared, tmp_path / "run", steps=steps, **more)
    assert {"l1", "l1_of_copying", "sync", "sync_of_other_lips", "sync_of_true_lips"} <= set(result)
    for metric in ("l1", "sync", "perceptual", "disc"):
        assert _losses(tmp_path / "run", metric), metric
    saved = torch.load(tmp_path / "run" / "last.pth", weights_only=True)
    assert saved["state"]["sync_on"] is True
    assert "binary_pred.0.weight" in saved["parts"]["disc"]


@pytest.mark.slow
def test_a_run_resumed_with_other_settings_is_refused(expert_run: Path, prepared: Path, tmp_path: Path) -> None:
    """The message names what differs; more steps are no difference."""
    with pytest.raises(SettingsError, match=r"lr = 0\.001"):
        train("expert", prepared, expert_run, steps=2, lr=0.5)
    train("expert", prepared, expert_run, steps=3)


def test_weights_of_another_width_are_refused(expert_run: Path, prepared: Path, tmp_path: Path) -> None:
    """--init with a checkpoint of another width says so."""
    with pytest.raises(WeightsError, match="width"):
        train("expert", prepared, tmp_path / "other", steps=2, width=0.25, init=str(expert_run / "last.pth"))


@pytest.mark.slow
def test_the_generator_needs_an_experts_weights_not_another_networks(prepared: Path, tmp_path: Path) -> None:
    """A generator's checkpoint in the place of the expert's is refused by name."""
    train("generator", prepared, tmp_path / "run", steps=2)
    with pytest.raises(WeightsError, match="lip-sync expert"):
        train("generator", prepared, tmp_path / "b", sync_weight=0.03, expert=str(tmp_path / "run" / "last.pth"))


def test_a_damaged_checkpoint_is_named(expert_run: Path, prepared: Path, tmp_path: Path) -> None:
    """A cut-off last.pth stops the run with its path."""
    last = expert_run / "last.pth"
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(StateError, match=r"last\.pth"):
        train("expert", prepared, expert_run, steps=3)


def test_a_run_without_its_last_checkpoint_is_not_begun_anew(expert_run: Path, prepared: Path, tmp_path: Path) -> None:
    """best.pth is not written over by a run that silently starts from nothing."""
    best = (expert_run / "best.pth").read_bytes()
    (expert_run / "last.pth").unlink()
    with pytest.raises(StateError, match=r"last\.pth"):
        train("expert", prepared, expert_run, steps=3)
    assert (expert_run / "best.pth").read_bytes() == best


def test_two_runs_on_one_folder_are_refused(prepared: Path, tmp_path: Path) -> None:
    """The second one is told, and the first one's files are left alone."""
    with alone_in(tmp_path / "run"), pytest.raises(StateError, match="another run is at work in this folder"):
        train("expert", prepared, tmp_path / "run", steps=2)
    train("expert", prepared, tmp_path / "run", steps=2)


def test_a_typing_error_leaves_no_record(begun_expert: Path, prepared: Path, tmp_path: Path) -> None:
    """A run that could not begin for a wrong file can be begun with the right one."""
    with pytest.raises(WeightsError):
        train("expert", prepared, tmp_path / "run", steps=2, init=str(tmp_path / "goood" / "last.pth"))
    train("expert", prepared, tmp_path / "run", steps=2, init=str(begun_expert / "last.pth"))


def test_weights_that_are_not_finite_are_refused(expert_run: Path, prepared: Path, tmp_path: Path) -> None:
    """A checkpoint with a NaN is told as damaged, not trained on."""
    last = expert_run / "last.pth"
    content = torch.load(last, weights_only=True)
    next(iter(content["state_dict"].values()))[0] = float("nan")
    torch.save(content, last)
    with pytest.raises(StateError, match="not finite"):
        train("expert", prepared, expert_run, steps=3)


def test_a_damaged_record_is_named(expert_run: Path, prepared: Path, tmp_path: Path) -> None:
    """A cut-off settings.json is an error with its path; so is a checkpoint full of zeros."""
    record = expert_run / "settings.json"
    whole = record.read_text()
    record.write_text(whole[:40])
    with pytest.raises(StateError, match=r"settings\.json"):
        train("expert", prepared, expert_run, steps=3)
    record.write_text(whole)
    (expert_run / "last.pth").write_bytes(bytes(5000))
    with pytest.raises(StateError, match=r"last\.pth"):
        train("expert", prepared, expert_run, steps=3)


def test_a_full_disk_leaves_the_checkpoint_before(
    expert_run: Path, prepared: Path, tmp_path: Path, monkeypatch
) -> None:
    """When a checkpoint cannot be written the last good one stays whole."""
    before = (expert_run / "last.pth").read_bytes()
    real = torch.save

    def full(content: object, path: Path) -> None:
        real(content, path)
        path.write_bytes(path.read_bytes()[:5000])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.torch, "save", full)
    with pytest.raises(StorageError, match="No space left"):
        train("expert", prepared, expert_run, steps=4)
    assert (expert_run / "last.pth").read_bytes() == before
    assert not list(expert_run.glob(".*partial"))


def test_a_run_that_is_to_stop_saves_the_step_at_hand(prepared: Path, tmp_path: Path) -> None:
    """Whoever watches sees each step, the loss from the first row of losses on, and the time left; then it is saved."""
    listener = Listener(stop_after=22)
    settings = small("expert", prepared, steps=1000, eval_every=1000, save_every=1000)
    result = run(settings, tmp_path / "run", Team(), listener)
    assert (result.step, result.interrupted) == (22, True)
    assert [one.step for one in listener.progress] == list(range(1, 23))
    assert "loss" in listener.progress[19].losses
    assert not listener.progress[18].losses
    last = listener.progress[-1]
    assert last.left_s == pytest.approx((1000 - 22) / last.rate)
    assert torch.load(tmp_path / "run" / "last.pth", weights_only=True)["global_step"] == 22


def test_a_kept_checkpoint_that_finds_no_room_leaves_the_last_one(prepared: Path, tmp_path: Path) -> None:
    """The run ends with the reason, and goes on from the very step once there is room."""
    kept = tmp_path / "run" / "checkpoint-0000002.pth"
    kept.mkdir(parents=True)
    with pytest.raises(StorageError, match="checkpoint-0000002"):
        train("expert", prepared, tmp_path / "run", steps=9, save_every=2, keep_every=2)
    kept.rmdir()
    lines: list[str] = []
    train("expert", prepared, tmp_path / "run", lines.append, steps=4, save_every=2, keep_every=4)
    assert "goes on from step 2" in lines
    assert (tmp_path / "run" / "checkpoint-0000004.pth").is_file()


def test_a_corpus_without_usable_clips_says_why(tmp_path: Path) -> None:
    """Too short, silent and missing clips are reasons in the message."""
    from lipwise_ray.training.pack import write_wave

    for name, frames, level in (("a/short", 4, 0.3), ("a/silent", 9, 0.0)):
        (tmp_path / name).mkdir(parents=True)
        import cv2

        for n in range(frames):
            cv2.imwrite(str(tmp_path / name / f"{n}.jpg"), np.zeros((96, 96, 3), np.uint8))
        wave = level * np.sin(np.arange(8000) / 9).astype(np.float32)
        write_wave(tmp_path / name / "audio.wav", wave)
    for name in ("train", "val"):
        (tmp_path / f"{name}.txt").write_text("a/short\na/silent\na/missing\n")
    with pytest.raises(InputError, match=r"4 frames.*silent.*not prepared"):
        train("expert", tmp_path, tmp_path / "run")


def test_an_empty_list_is_named(prepared: Path, tmp_path: Path) -> None:
    """A split with nothing on one side cannot be trained on."""
    (tmp_path / "train.txt").write_text((prepared / "train.txt").read_text())
    (tmp_path / "val.txt").write_text("")
    with pytest.raises(InputError, match=r"(train|val)\.txt"):
        train("expert", tmp_path, tmp_path / "run")


@pytest.mark.parametrize(
    ("network", "values", "words"),
    [
        ("expert", {"lr": -1}, "lr"),
        ("expert", {"colour": 1}, "colour"),
        ("generator", {"sync_weight": 0.03}, "expert"),
        ("generator", {"window_frames": 1, "expert": "x"}, "window_frames"),
        ("generator", {"width": 2.0}, "width"),
        ("expert", {"network": "generator"}, "network"),
        ("expert", {"betas": [0.5, 2]}, "betas"),
        ("expert", {"batch": 1}, "batch"),
        ("expert", {"seed": 10**20}, "seed"),
        ("expert", {"steps": True}, "steps"),
        ("expert", {"threads": 10**6}, "threads"),
        ("generator", {"sync_below": float("nan"), "expert": "x"}, "sync_below"),
        ("generator", {"sync_weight": 0.5, "disc_weight": 0.5, "expert": "x"}, "disc_weight"),
    ],
)
def test_impossible_settings_are_named(network: str, values: dict[str, Any], words: str) -> None:
    """Unknown, negative and contradicting settings are refused before any work."""
    with pytest.raises(SettingsError, match=words):
        make_settings(network, {"data": "x", **values})  # type: ignore[arg-type]
