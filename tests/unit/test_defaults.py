"""Settings are the one table of defaults."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from fractions import Fraction
from typing import Any

import pytest
from pydantic import BaseModel

import lipwise_ray.faces
import lipwise_ray.lipsync
from lipwise_ray.faces.select import CropRules
from lipwise_ray.lipsync.frame_job import Blend
from lipwise_ray.pipeline.analysis.face_detection import crop_rules
from lipwise_ray.pipeline.dubbing.render_chunk import blend_of
from lipwise_ray.settings.model import Settings


def _keys(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _keys(kind)
        else:
            yield name


def _values(package: Any) -> Iterator[type[Any]]:
    for found in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{found.name}")
        yield from (one for one in vars(module).values() if isinstance(one, type) and is_dataclass(one))


def test_no_value_has_a_default_of_its_own_for_a_setting() -> None:
    """What finds faces and lays them over takes each setting from the settings."""
    keys = set(_keys(Settings))
    kinds = {*_values(lipwise_ray.faces), *_values(lipwise_ray.lipsync)}
    assert {Blend, CropRules} <= kinds
    second = [
        f"{kind.__name__}.{field.name}"
        for kind in kinds
        for field in fields(kind)
        if field.name in keys and field.default is not MISSING
    ]
    assert second == []


@pytest.mark.parametrize("kind", [Blend, CropRules])
def test_rules_have_no_defaults_at_all(kind: type[Any]) -> None:
    """Whoever makes them says everything."""
    assert all(field.default is MISSING and field.default_factory is MISSING for field in fields(kind))


def test_rules_are_made_of_the_settings() -> None:
    """Each of their fields that is a setting has the setting's value."""
    told = Settings.model_validate_json(
        '{"composite": {"mask": "soft", "feather": 0.2, "kernel": "linear", "grain": false, "match_light": false, '
        '"linear_light": false}, "faces": {"align": true, "pads": [1, 2, 3, 4], "pads_share": [0.1, 0.2, 0.3, 0.4], '
        '"min_face_px": 9.0, "max_yaw_deg": 30.0}}'
    )
    known = {**told.faces.model_dump(), **told.composite.model_dump()}
    for rules in (blend_of(told), crop_rules(told, Fraction(25))):
        shared = {field.name for field in fields(rules)} & known.keys()
        assert len(shared) >= 4
        assert {name: getattr(rules, name) for name in shared} == {name: known[name] for name in shared}
