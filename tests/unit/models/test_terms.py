"""What may be used in commerce, and what nobody knows of."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.models.checkpoints import Checkpoint
from lipwise_ray.models.registry import Registry
from lipwise_ray.models.terms import commercial_of, strictest
from lipwise_ray.resources import models_folder


@pytest.mark.parametrize("name", ["face_parsing", "s3fd", "fan_2d", "syncnet_v2", "restoreformer", "wav2lip_gan"])
def test_terms_that_do_not_plainly_allow_commerce_say_why(name: str) -> None:
    """Weights whose terms are not stated, or whose data forbid it, are not for commerce by default."""
    entry = Registry(models_folder() / "registry.toml", Path("nowhere")).entry(name)
    assert entry.commercial in {"no", "unclear"}
    assert entry.reason


def test_a_users_own_file_is_unclear(tmp_path: Path) -> None:
    """Nothing is known of a file that the registry does not know."""
    own = Checkpoint("custom", "wav2lip", tmp_path / "own.pth", "ab")
    assert own.commercial == "unclear"
    assert "your own" in own.reason


@pytest.mark.parametrize(
    ("stated", "meant"),
    [("yes", "yes"), ("no", "no"), (True, "unclear"), (False, "no"), (None, "unclear"), ("da", "unclear")],
)
def test_earlier_records_are_read_with_care(stated: object, meant: str) -> None:
    """What an earlier version did not find forbidden is unclear, for it took what nobody stated for allowed."""
    assert commercial_of(stated) == meant


def test_together_the_strictest_terms_hold() -> None:
    """One checkpoint that is not for commerce decides for all that were used with it."""
    assert strictest(["yes", "no", "unclear"]) == "no"
    assert strictest(["yes", "unclear"]) == "unclear"
    assert strictest([]) == "yes"
