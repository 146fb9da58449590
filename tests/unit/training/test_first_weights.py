"""Runs that begin with published weights, in the original's layout, and the way back."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lipwise_ray.errors import LipwiseError, SettingsError, WeightsError
from lipwise_ray.models.registry import Registry
from lipwise_ray.nets.expert import LipSyncExpert
from lipwise_ray.nets.quality_disc import VisualQualityDisc
from lipwise_ray.nets.wav2lip import Wav2Lip
from lipwise_ray.resources import models_folder
from lipwise_ray.training import checkpoints
from lipwise_ray.training.first_weights import find_weights, terms_note
from lipwise_ray.training.run import make_task
from lipwise_ray.training.settings import make_settings
from lipwise_ray.training.task import Team
from tests.conftest import ROOT
from tests.support.dub import run as command
from tests.unit.training.conftest import GAN, SMALL, small, train
from tests.unit.training.original import adam_of, load_as_original, write_original


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in one.items())


def _same_moments(one: dict[str, Any], other: dict[str, Any]) -> bool:
    pairs = [(entry, other["state"][number]) for number, entry in one["state"].items()]
    return len(pairs) == len(other["state"]) > 0 and all(_same(a, b) for a, b in pairs)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_run_begins_with_the_originals_files(begun_gan: Path, prepared: Path, tmp_path: Path, prefix: str) -> None:
    """Weights and moments of generator and discriminator are those of the files, and the log says so."""
    made = torch.load(begun_gan / "last.pth", weights_only=True)
    generator, disc = tmp_path / "wav2lip.pth", tmp_path / "visual_quality_disc.pth"
    write_original(generator, made["state_dict"], made["optimizer"], step=250_000, prefix=prefix)
    write_original(disc, made["parts"]["disc"], made["parts"]["disc_optimizer"], step=250_000, prefix=prefix)
    settings = small("generator", prepared, init=str(generator), disc_init=str(disc), **(GAN | {"lr": 5e-4}))
    task = make_task(settings, Team())
    lines = task.begin()
    assert lines == [
        "the generator begins with wav2lip.pth of step 250000, and with its optimiser's state",
        "the discriminator begins with visual_quality_disc.pth of step 250000, and with its optimiser's state",
    ]
    assert _same(task.network.state_dict(), made["state_dict"])
    assert _same(task.parts["disc"].state_dict(), made["parts"]["disc"])
    for found, known in (
        (task.optimizer.state_dict(), made["optimizer"]),
        (task.parts["disc_optimizer"].state_dict(), made["parts"]["disc_optimizer"]),
    ):
        assert _same_moments(found, known)
        assert found["param_groups"][0]["lr"] == 5e-4  # the run's own


def test_a_runs_checkpoint_gives_its_discriminator_too(begun_gan: Path, prepared: Path) -> None:
    """`disc_init` takes the checkpoint of a generator's run, in which the discriminator is a part."""
    made = torch.load(begun_gan / "last.pth", weights_only=True)
    last = str(begun_gan / "last.pth")
    task = make_task(small("generator", prepared, init=last, disc_init=last, **GAN), Team())
    task.begin()
    assert _same(task.parts["disc"].state_dict(), made["parts"]["disc"])
    assert _same_moments(task.parts["disc_optimizer"].state_dict(), made["parts"]["disc_optimizer"])


_PUBLISHED: list[Any] = [
    ("visual_quality_disc", VisualQualityDisc, 169_382_040),
    pytest.param("lipsync_expert", LipSyncExpert, 197_357_631, marks=pytest.mark.slow),
    pytest.param("wav2lip", Wav2Lip, 435_807_851, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "kind", "size"), _PUBLISHED)
def test_files_as_large_as_the_published_ones_are_taken(name: str, kind: Any, size: int, tmp_path: Path) -> None:
    """At full width, names, order and shapes are the original's; with Adam's moments a file has the published size."""
    from lipwise_ray.training.first_weights import begin_with

    golden = json.loads((ROOT / "tests/golden" / f"{name}.json").read_text())["state_dict"]
    network = kind()
    assert [[key, list(value.shape)] for key, value in network.state_dict().items()] == golden
    file = tmp_path / f"{name}.pth"
    moments = adam_of(network, 1)
    write_original(file, network.state_dict(), moments, step=7)
    assert file.stat().st_size == pytest.approx(size, rel=0.002)
    other = kind()
    optimizer = torch.optim.Adam(other.parameters(), 1e-4)
    role = {"visual_quality_disc": "disc", "lipsync_expert": "expert", "wav2lip": "generator"}[name]
    settings = make_settings("expert", {"data": "x"})
    assert begin_with(other, optimizer, file, role, settings).endswith("and with its optimiser's state")
    assert _same(other.state_dict(), network.state_dict())
    assert _same_moments(optimizer.state_dict(), moments)


def _without(state: dict[str, Any]) -> None:
    state.clear()


def _shorter(state: dict[str, Any]) -> None:
    state["param_groups"][0]["params"].pop()


def _reshaped(state: dict[str, Any]) -> None:
    state["state"][0]["exp_avg"] = torch.zeros(3)


def _not_finite(state: dict[str, Any]) -> None:
    state["state"][2]["exp_avg_sq"] = torch.full_like(state["state"][2]["exp_avg_sq"], float("nan"))


def _of_another_kind(state: dict[str, Any]) -> None:
    state["state"] = {number: {"momentum_buffer": entry["exp_avg"]} for number, entry in state["state"].items()}


def _untrained(state: dict[str, Any]) -> None:
    state["state"] = {}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_without, "has no optimiser's state"),
        (_shorter, "parameters"),
        (_reshaped, "shape (3,)"),
        (_not_finite, "not finite"),
        (_of_another_kind, "does not fit"),
        (_untrained, "has taken no step"),
    ],
)
def test_an_optimiser_that_does_not_fit_is_left(
    damage: Callable[[dict[str, Any]], None], words: str, begun_expert: Path, prepared: Path, tmp_path: Path
) -> None:
    """The weights are taken all the same, the optimiser begins empty, and the log says why."""
    made = torch.load(begun_expert / "last.pth", weights_only=True)
    damage(made["optimizer"])
    torch.save(made, tmp_path / "odd.pth")
    task = make_task(small("expert", prepared, init=str(tmp_path / "odd.pth")), Team())
    (line,) = task.begin()
    assert "its optimiser begins empty" in line
    assert words in line
    assert _same(task.network.state_dict(), made["state_dict"])
    assert task.optimizer.state_dict()["state"] == {}


def test_an_optimisers_state_is_left_where_a_run_says_so(begun_expert: Path, prepared: Path) -> None:
    """With init_optimizer=false the moments of the file are not taken."""
    task = make_task(small("expert", prepared, init=str(begun_expert / "last.pth"), init_optimizer=False), Team())
    (line,) = task.begin()
    assert "init_optimizer=false" in line
    assert task.optimizer.state_dict()["state"] == {}


def test_the_original_goes_on_with_our_checkpoints(begun_gan: Path, tmp_path: Path) -> None:
    """Its loader takes a generator's last.pth as it is, and the discriminator as `export --disc` writes it."""
    last, disc_file = begun_gan / "last.pth", tmp_path / "disc.pth"
    made = torch.load(last, weights_only=True)
    checkpoints.export(last, disc_file, half=False, disc=True, optimizer=True)
    pairs: list[tuple[Path, torch.nn.Module, dict[str, Any], dict[str, Any]]] = [
        (last, Wav2Lip(SMALL["generator"]["width"]), made["state_dict"], made["optimizer"]),
        (disc_file, VisualQualityDisc(GAN["disc_width"]), made["parts"]["disc"], made["parts"]["disc_optimizer"]),
    ]
    for file, network, weights, moments in pairs:
        optimizer = torch.optim.Adam(network.parameters(), 1e-4)
        assert load_as_original(file, network, optimizer) == (3, 0)
        assert _same(network.state_dict(), weights)
        assert _same_moments(optimizer.state_dict(), moments)
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()  # the moments can be gone on with
        assert int(optimizer.state_dict()["state"][0]["step"]) == 4


def test_an_export_without_what_was_asked_for_is_refused(begun_gan: Path, begun_expert: Path, tmp_path: Path) -> None:
    """A run without a discriminator, a layout and a file without an optimiser's state each have a message."""
    last = begun_gan / "last.pth"
    with pytest.raises(WeightsError, match="no discriminator"):
        checkpoints.export(begun_expert / "last.pth", tmp_path / "a.pth", half=False, disc=True)
    with pytest.raises(WeightsError, match="safetensors hold no optimiser"):
        checkpoints.export(last, tmp_path / "a.safetensors", half=False, optimizer=True)
    with pytest.raises(WeightsError, match="mean of two"):
        checkpoints.export(last, tmp_path / "a.pth", half=False, blend=last, optimizer=True)
    checkpoints.export(last, tmp_path / "plain.pth", half=False)
    with pytest.raises(WeightsError, match="holds no optimiser's state"):
        checkpoints.export(tmp_path / "plain.pth", tmp_path / "a.pth", half=False, optimizer=True)
    assert not (tmp_path / "a.pth").exists()


def test_the_first_evaluation_is_of_the_weights_that_a_run_begins_with(
    begun_expert: Path, prepared: Path, tmp_path: Path
) -> None:
    """Its row of step 0 is the one that those weights had in the end; with a bad rate they stay the best."""
    lines: list[str] = []
    init = str(begun_expert / "last.pth")
    train("expert", prepared, tmp_path / "run", lines.append, steps=2, init=init, lr=1.0, init_optimizer=False)

    def rows(folder: Path, step: str) -> dict[str, str]:
        with (folder / "metrics.csv").open(newline="") as file:
            return {r["metric"]: r["value"] for r in csv.DictReader(file) if (r["split"], r["step"]) == ("val", step)}

    assert rows(tmp_path / "run", "0") == rows(begun_expert, "2") != {}
    assert (tmp_path / "run/samples-0000000.png").is_file()
    assert any(line.startswith("step 0: ") for line in lines)
    best, begun = (torch.load(p, weights_only=True) for p in (tmp_path / "run/best.pth", begun_expert / "last.pth"))
    assert best["global_step"] == 0
    assert _same(best["state_dict"], begun["state_dict"])


def _registry(folder: Path) -> Registry:
    return Registry(models_folder() / "registry.toml", folder)


def test_weights_may_be_named_as_the_registry_names_them(tmp_path: Path) -> None:
    """A name is looked up, a path is a path, and a file goes before a name."""
    registry = _registry(tmp_path)
    found = find_weights("expert", "tiny_expert", "generator", registry)
    assert found.path == models_folder() / "tiny" / "tiny_expert.safetensors"
    assert terms_note(found) == ""
    assert "is not for commercial use" in terms_note(registry.entry("wav2lip").checkpoint("wav2lip", tmp_path))
    own = tmp_path / "mine.pth"
    torch.save({"state_dict": {"x": torch.zeros(1)}}, own)
    assert find_weights("init", str(own), "generator", registry).path == own


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("init", "wav2lp", 'unknown model "wav2lp" - did you mean "wav2lip"?'),
        ("init", "yunet", "is of the network yunet, not wav2lip"),
        ("init", "wav2lip", "not installed"),
        ("disc_init", "tiny_expert", "is of the network lipsync_expert, not visual_quality_disc"),
        ("init", "gone/wav2lip.pth", "no such checkpoint file"),
        ("init", str(models_folder() / "tiny/tiny_detector.safetensors"), "is the published tiny_detector"),
    ],
)
def test_names_and_files_that_cannot_be_begun_with_are_refused(
    setting: str, value: str, words: str, tmp_path: Path
) -> None:
    """A misspelt name, another network's, one that is not there: each is told before any work."""
    with pytest.raises(WeightsError) as caught:
        find_weights(setting, value, "generator", _registry(tmp_path))
    assert words in str(caught.value)


def _gfpgan(path: Path) -> None:
    shapes = json.loads((ROOT / "tests/golden/gfpgan_v1_clean.json").read_text())["state_dict"]
    torch.save({"params_ema": {key: torch.zeros(shape[:1] or [1]) for key, shape in shapes}}, path)


def _truncated(path: Path) -> None:
    write_original(path, Wav2Lip(0.0625).state_dict(), None, step=1)
    path.write_bytes(path.read_bytes()[:-40_000])


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (_gfpgan, "not a checkpoint of the generator at width 0.0625"),
        (lambda path: write_original(path, VisualQualityDisc(0.0625).state_dict(), None, step=1), "the discriminator"),
        (lambda path: write_original(path, LipSyncExpert(0.0625).state_dict(), None, step=1), "the lip-sync expert"),
        (
            lambda path: write_original(path, Wav2Lip(0.125).state_dict(), None, step=1),
            "holds the generator at width 0.125",
        ),
        (_truncated, "not a whole checkpoint"),
        (lambda path: path.write_text("<html>sign in</html>"), "a web page"),
    ],
)
def test_other_files_in_a_generators_place_are_refused(
    write: Callable[[Path], None], words: str, prepared: Path, tmp_path: Path
) -> None:
    """A restorer, a discriminator, another width and half a file are each named; the run is not begun."""
    write(tmp_path / "wrong.pth")
    with pytest.raises(WeightsError) as caught:
        train("generator", prepared, tmp_path / "run", init=str(tmp_path / "wrong.pth"))
    assert words in str(caught.value)
    assert "wrong.pth" in str(caught.value)
    assert not (tmp_path / "run/settings.json").exists()


def test_a_generator_in_the_discriminators_place_is_refused(begun_gan: Path, prepared: Path, tmp_path: Path) -> None:
    """A file with a generator alone has no discriminator to give."""
    checkpoints.export(begun_gan / "last.pth", tmp_path / "generator.pth", half=False)
    with pytest.raises(WeightsError, match="holds the generator"):
        train("generator", prepared, tmp_path / "run", disc_init=str(tmp_path / "generator.pth"), **GAN)
    with pytest.raises(SettingsError, match="disc_init"):
        small("generator", prepared, disc_init="x.pth")


def test_unknown_settings_are_answered_by_the_nearest(tmp_path: Path) -> None:
    """A misspelt key is told with the one that was meant."""
    with pytest.raises(SettingsError, match=r'unknown setting "sync_wieght" - did you mean "sync_weight"\?'):
        make_settings("generator", {"data": "x", "sync_wieght": 0.1})


def test_a_data_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The folder is the first thing looked at, and nothing is left behind."""
    with pytest.raises(LipwiseError, match="gone: folder not found"):
        train("expert", tmp_path / "gone", tmp_path / "run")
    shutil.rmtree(tmp_path / "run")  # it holds the lock alone


@pytest.mark.slow
def test_a_run_goes_on_when_what_it_began_with_is_gone(begun_expert: Path, prepared: Path, tmp_path: Path) -> None:
    """The first weights are read once: the same command needs their file no more, and another start does."""
    init = str(shutil.copy(begun_expert / "last.pth", tmp_path / "init.pth"))
    train("expert", prepared, tmp_path / "run", steps=2, init=init)
    Path(init).unlink()
    values = {**SMALL["expert"], "eval_batches": 2, "eval_every": 20, "save_every": 20, "seed": 3, "steps": 3}
    sets = [word for name, value in {**values, "init": init}.items() for word in ("--set", f"{name}={value}")]
    for step in (2, 3):
        done = command("train", "expert", prepared, tmp_path / "run", *sets)
        assert done.returncode == 0, done.stderr
        assert f"goes on from step {step}" in done.stdout
    done = command("train", "expert", prepared, tmp_path / "other", *sets)
    assert "no such checkpoint file" in done.stderr
