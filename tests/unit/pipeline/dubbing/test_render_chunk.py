"""How the frames of a job are encoded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lipwise_ray.media.index import build_index
from lipwise_ray.media.probe import probe_video
from lipwise_ray.media.promise import promised
from lipwise_ray.pipeline.dubbing.planner import recipe_of
from lipwise_ray.pipeline.dubbing.render_chunk import encode_spec
from lipwise_ray.pipeline.inputs.records import Video
from lipwise_ray.settings.layers import resolve
from lipwise_ray.settings.model import Settings
from lipwise_ray.synth.clips import ClipSpec, write_clip
from lipwise_ray.values import Size


def test_fields_stay_where_all_pictures_have_one_size(tmp_path: Path) -> None:
    """Scaling a picture into a larger one mixes its fields, so the output is whole frames then, and says so."""
    write_clip(tmp_path / "v.mkv", ClipSpec(size=Size(96, 64), frames=2))
    info = replace(probe_video(tmp_path / "v.mkv"), field_order="tff")
    settings, index = Settings(), build_index(info)
    for sizes, order, left in (
        (index.sizes, "tff", []),
        ((*index.sizes, Size(48, 32)), "progressive", ["field order"]),
    ):
        video = Video("v", info, replace(index, sizes=sizes))
        recipe = recipe_of(settings, video)
        spec = encode_spec(settings, "o.mkv", recipe, video, 1)
        assert spec.field_order == order
        assert [one.what for one in promised(info, recipe.canvas.orientation, spec, "matroska")[1]] == left


@pytest.mark.parametrize(("filmed", "encoded"), [("yuv420p", "yuv420p"), ("yuv420p10le", "p010le")])
def test_a_gpus_encoder_gets_the_samples_of_the_source(filmed: str, encoded: str, tmp_path: Path) -> None:
    """It takes 10 bits with the colours in turn alone, and those are not made into another chroma format for it."""
    write_clip(tmp_path / "v.mkv", ClipSpec(size=Size(96, 64), frames=2, pixel_format=filmed))
    info = probe_video(tmp_path / "v.mkv")
    video, settings = Video("v", info, build_index(info)), resolve([("test", {"encode": {"codec": "hevc_nvenc"}})])
    assert encode_spec(settings, "o.mkv", recipe_of(settings, video), video, 1).pixel_format == encoded
