"""The table of roles: whole, and the only one."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

import lipwise_ray
from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.models.loading import ModelHost, ModelRequest
from lipwise_ray.models.registry import Registry
from lipwise_ray.models.role import Machines, ModelRole, RowFacts, Wanted
from lipwise_ray.resources import models_folder
from lipwise_ray.roles.autoencoder import AUTOENCODER
from lipwise_ray.roles.embedder import EMBEDDER
from lipwise_ray.roles.table import ROLES, with_known_roles
from lipwise_ray.settings.layers import parse_assignment, resolve
from lipwise_ray.settings.model import Settings

PACKAGE = Path(lipwise_ray.__file__).parent
_TRAINED = PACKAGE / "training"  # it has networks to train, some of which are called as the roles that they can have

_A_ROLE = """
from lipwise_ray.models.loading import ModelRecipe
from lipwise_ray.models.role import InId, ModelRole

EXAMPLE = ModelRole(
    "example",
    "restore.model",
    "restore.checkpoint",
    networks=("spandrel",),
    load=lambda request, host: ModelRecipe((), lambda: "a model"),
    in_job_id=InId.HASH_WHERE_USED,
)
"""


def _lacks(role: ModelRole[Any]) -> Iterator[str]:
    """Yield what a role has to have and has not."""
    for setting in (role.setting, role.file_setting):
        try:
            attrgetter(setting)(Settings())
        except AttributeError:
            yield f"the setting {setting}"
    if not role.in_job_id:
        yield "a place in a job's id, or a reason why not"
    if not role.networks:
        yield "a network"
    if not (role.dubs or role.evaluates):
        yield "somebody who needs it"


@pytest.mark.parametrize("name", ROLES)
def test_a_role_is_whole(name: str) -> None:
    """It can be asked for, and counts in ids or says why not; that it can be loaded, the type says."""
    assert list(_lacks(ROLES[name])) == []


def test_a_role_that_is_not_whole_is_found() -> None:
    """Whoever adds one and forgets its settings or its ids is told."""
    role = replace(EMBEDDER, setting="faces.embeder", in_job_id="")
    assert list(_lacks(role)) == ["the setting faces.embeder", "a place in a job's id, or a reason why not"]


@pytest.mark.parametrize("name", ROLES)
def test_a_job_without_the_checkpoint_has_no_model(name: str) -> None:
    """Models are loaded before work for every role: one that a job does without says so."""
    host = ModelHost("cpu", 1, lambda one: one.path, lambda: False)
    assert ROLES[name].load(ModelRequest(Settings(), Checkpoints()), host) is None


@pytest.mark.parametrize("name", [name for name in ROLES if name != AUTOENCODER.name])
def test_a_role_is_made_of_its_own_checkpoint(name: str) -> None:
    """A job that has one gets its model; the autoencoder is the lip-sync network's to load."""
    role, settings = ROLES[name], resolve([("test", parse_assignment("restore.upscale.scope='frame'"))])
    own = Checkpoint("custom", role.networks[0], Path("weights"), "0" * 64)
    found = Checkpoints({name: (own,) if role.several_files else own})
    recipe = role.load(ModelRequest(settings, found), ModelHost("cpu", 1, lambda one: one.path, lambda: False))
    assert recipe is not None
    assert recipe.checkpoints == (own,)


def _asked_for_example(folder: Path, role: str) -> subprocess.CompletedProcess[str]:
    """Return the outcome of a process that has one more role, and asks for its model."""
    (folder / "example.py").write_text(role, encoding="utf-8")
    lines = (
        "import sys",
        "from lipwise_ray import roles",
        "roles.__path__.append(sys.argv[1])",
        "from lipwise_ray.models.checkpoints import Checkpoints",
        "from lipwise_ray.models.loading import ModelRequest",
        "from lipwise_ray.pipeline.tasks.models import Models",
        "from lipwise_ray.roles.table import ROLES",
        "from lipwise_ray.settings.model import Settings",
        "print(Models('cpu', 1).of(ROLES['example'], ModelRequest(Settings(), Checkpoints())))",
    )
    command = [sys.executable, "-c", "\n".join(lines), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_module_of_the_package_is_a_role(tmp_path: Path) -> None:
    """A new role is one file here; a worker's models are asked for it like for all others."""
    assert _asked_for_example(tmp_path, _A_ROLE).stdout.strip() == "a model"


def test_a_name_is_one_roles(tmp_path: Path) -> None:
    """A second role of a name would take the place of the first without a word."""
    done = _asked_for_example(tmp_path, _A_ROLE.replace('"example"', '"embedder"'))
    assert "ValueError: two roles of one name: embedder" in done.stderr


def test_entries_are_read_without_networks() -> None:
    """The driver plans and names jobs by the table: that loads no framework."""
    code = "import sys, lipwise_ray.roles.table; print({'torch', 'onnxruntime', 'spandrel'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_records_name_known_roles() -> None:
    """A role that does not exist, several files where one belongs, and one where several may be, are mistakes."""
    yunet = Checkpoint("yunet", "yunet", Path("/y"), "b" * 64)
    right = Checkpoints({"detector": (yunet,), "embedder": yunet})
    assert with_known_roles(right) is right
    with pytest.raises(ValueError, match="embeder: no such role"):
        with_known_roles(Checkpoints({"embeder": yunet}))
    with pytest.raises(ValueError, match="embedder: not one checkpoint"):
        with_known_roles(Checkpoints({"embedder": (yunet, yunet)}))
    with pytest.raises(ValueError, match="embedder: not one checkpoint"):
        with_known_roles(Checkpoints.of({"embedder": []}))
    with pytest.raises(ValueError, match="detector: not a list"):
        with_known_roles(Checkpoints({"detector": yunet}))


UNPUBLISHED = {"mobilefacenet", "face_landmarker_onnx"}
"""Networks of files that users have: none is published with terms, so the registry names none."""


def test_networks_are_the_registrys() -> None:
    """A role is played by networks for which there are checkpoints."""
    known = {entry.network for entry in Registry(models_folder() / "registry.toml", Path()).entries.values()}
    assert {network for role in ROLES.values() for network in role.networks} - UNPUBLISHED <= known


def _listed(tree: ast.Module) -> Iterator[tuple[int, set[str]]]:
    """Yield the strings side by side in a module's literals, keys of dicts among them, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            parts = node.elts
        elif isinstance(node, ast.Dict):
            parts = [key for key in node.keys if key]
        else:
            continue
        yield node.lineno, {str(one.value) for one in parts if isinstance(one, ast.Constant)}


def test_nothing_else_lists_roles() -> None:
    """A second list would be forgotten when a role is added."""
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {', '.join(sorted(words & set(ROLES)))}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if not path.is_relative_to(_TRAINED)
        for line, words in _listed(ast.parse(path.read_text("utf-8")))
        if len(words & set(ROLES)) > 1
    ]
    assert found == []


def _wanted(role: str, *sets: str, installed: tuple[str, ...] = (), gpu: bool = False) -> tuple[Wanted, ...]:
    settings = resolve([("test", parse_assignment(text)) for text in sets])
    return ROLES[role].required(settings, Machines(gpu, installed.__contains__)).wanted


def test_auto_goes_by_what_is_there() -> None:
    """Heavy networks are taken where they are installed and workers have GPUs; the bundled scorer is always there."""
    gfpgan, heavy = ("gfpgan_1_4",), ("s3fd", "fan_2d")
    assert [one.name for one in _wanted("restorer", installed=gfpgan, gpu=True)] == ["gfpgan_1_4"]
    assert _wanted("restorer", installed=gfpgan) == _wanted("restorer", gpu=True) == ()
    assert [one.name for one in _wanted("judge")] == ["tiny_judge"]
    assert [one.name for one in _wanted("judge", installed=("syncnet_v2",))] == ["syncnet_v2"]
    assert [one.name for one in _wanted("detector", installed=heavy)] == ["yunet"]
    assert [one.name for one in _wanted("detector", "detect.detector='s3fd'")] == ["s3fd", "fan_2d"]


def test_pauses_go_by_the_level_without_a_detector() -> None:
    """The driver says so once, where it is absent or is asked not to be used; nobody needs it without pauses."""
    settings, role = Settings(), ROLES["vad"]
    assert [one.name for one in _wanted("vad", installed=("silero_vad",))] == ["silero_vad"]
    assert _wanted("vad", "lipsync.vad='none'", installed=("silero_vad",)) == ()
    choice = role.required(settings, Machines(have_gpu=True, installed=lambda _: False)).choice
    assert choice is not None
    assert choice.name == "none"
    assert "pauses go by the audio's level" in choice.why
    off = resolve([("test", parse_assignment("lipsync.silence='off'"))])
    assert not role.needed(off, RowFacts())
    assert role.needed(off, RowFacts(seeks_speaker=True))


def test_frames_are_compared_without_an_occluder() -> None:
    """The driver says so once and why; nobody needs one where all is painted over, or nothing is."""
    role = ROLES["occluder"]
    assert [one.name for one in _wanted("occluder", installed=("xseg_1",))] == ["xseg_1"]
    assert [one.name for one in _wanted("occluder", "composite.occluder='xseg_3'")] == ["xseg_3"]
    (own,) = _wanted("occluder", "composite.occluder_checkpoint='/x.onnx'")
    assert (own.file, own.networks) == ("/x.onnx", ("xseg",))
    choice = role.required(Settings(), Machines(have_gpu=False, installed=lambda _: False)).choice
    assert choice is not None
    assert choice.name == "none"
    assert "xseg_1 is not installed" in choice.why
    for text in ("composite.mask='box'", "composite.occlusion=false", "lipsync.model='passthrough'"):
        assert not role.needed(resolve([("test", parse_assignment(text))]), RowFacts())
    assert role.needed(Settings(), RowFacts())


def test_an_active_speaker_network_does_without_the_expert() -> None:
    """Where it is there, the usual expert is used if that is installed, and one that was asked for is required."""
    asd, expert = ("lr_asd_talkset",), ("lipsync_expert",)
    assert [one.name for one in _wanted("active_speaker", installed=asd)] == ["lr_asd_talkset"]
    assert _wanted("active_speaker") == _wanted("expert", installed=asd) == ()
    assert [one.name for one in _wanted("expert", installed=asd + expert)] == ["lipsync_expert"]
    assert [one.name for one in _wanted("expert", 'faces.expert="other"', installed=asd)] == ["other"]
    assert [one.name for one in _wanted("expert", 'faces.active_speaker="none"', installed=asd)] == ["lipsync_expert"]
    assert [one.name for one in _wanted("expert")] == ["lipsync_expert"]


def test_a_users_file_comes_first() -> None:
    """It is taken whatever is named, as one of the role's usual network."""
    (found,) = _wanted("restorer", "restore.model='none'", "restore.checkpoint='/x.pth'")
    assert (found.file, found.networks[0]) == ("/x.pth", "spandrel")
    (found,) = _wanted("detector", "detect.detector='tiny'", "detect.checkpoint='/x.pth'")
    assert (found.file, found.networks[0]) == ("/x.pth", "tiny_detector")


@pytest.mark.parametrize(
    ("file", "network"),
    [
        ("/x.task", "face_landmarker"),
        ("/x.tflite", "face_landmarker"),
        ("/x.onnx", "face_landmarker_onnx"),
        ("/x.pth", "fan_2d"),
        ("/x.pth.tar", "fan_2d"),
    ],
)
def test_a_landmarkers_file_says_which_it_is(file: str, network: str) -> None:
    """Its ending does, whatever the setting names and whatever is installed."""
    for name in ("auto", "none", "fan_2d"):
        (found,) = _wanted("landmarks", f"faces.landmarks='{name}'", f"faces.landmarks_checkpoint='{file}'")
        assert (found.file, found.networks[0]) == (file, network)


def test_none_is_a_name_like_others_where_a_role_is_needed() -> None:
    """Without a lip-sync network nothing is dubbed: `passthrough` says that, and `none` is a slip."""
    assert [one.name for one in _wanted("lipsync", "lipsync.model='none'")] == ["none"]
    assert not ROLES["lipsync"].needed(resolve([("t", {"lipsync": {"model": "passthrough"}})]), RowFacts())
    assert _wanted("parser", "composite.parser='none'") == ()
