"""When a worker makes and checks its GPU's planes: only where faces may be drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lipwise_ray.models.loading import ModelRequest
from lipwise_ray.pipeline.flows.task_kinds import RenderPayload
from lipwise_ray.pipeline.tasks.models import Models
from lipwise_ray.pipeline.tasks.render import render
from lipwise_ray.state.markers import read_marker
from tests.support.task_context import CHUNK, NOTHING_KNOWN, Bench


def test_a_chunk_without_a_drawn_face_asks_for_no_planes(tmp_path: Path) -> None:
    """Frames that stay as they were filmed are rendered without a look at the device."""
    bench = Bench(tmp_path)
    probed = bench.planned()
    render(bench.context, RenderPayload(bench.row, probed, 0), NOTHING_KNOWN)
    marker = read_marker(bench.store, probed.job_id, 0)
    assert marker is not None
    assert marker.frames == CHUNK
    assert bench.context.models._known_planes is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="shows a machine without a GPU")
@pytest.mark.parametrize("draws", [False, True])
def test_a_worker_says_that_its_planes_fell_back_only_where_it_draws(*, draws: bool, tmp_path: Path) -> None:
    """With jobs of which none has a lip-sync network the GPU is left alone, and nothing is said of it."""
    weights = {"judge": "tiny_judge", **({"lipsync": "tiny_generator"} if draws else {})}
    bench, models = Bench(tmp_path, weights), Models("cuda", 1)
    request = ModelRequest(bench.row.job.settings, bench.row.weights)
    assert models.planes_fallback([]) == ""
    assert models.planes_fallback([request]).partition(": ")[0] == ("faces are cropped on the CPU" if draws else "")
    assert (models._known_planes is not None) == draws
