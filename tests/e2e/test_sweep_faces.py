"""`evaluate sweep` with an Inception network: distances over all faces of a language, beside torch-fidelity's own."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lipwise_ray
from lipwise_ray.nets.torchvision_compat import declare_torchvision_operators
from lipwise_ray.pipeline.quality.evaluation_sums import Measured
from lipwise_ray.state import layout
from lipwise_ray.state.store import load_file, open_store
from tests.conftest import ROOT
from tests.e2e.test_sweep import MODELS, SETS
from tests.support.dub import write_manifest
from tests.support.inception import write_inception

DEMO = ROOT / "manifests" / "demo"


def _table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"))))


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compare a model and the original lips over three rows of two languages."""
    folder, audio = tmp_path_factory.mktemp("faces"), DEMO / "presenter.m4a"
    rows: list[dict[str, Any]] = [
        {"id": "es", "video": DEMO / "presenter.mp4", "audio": audio, "language": "es", "tags": "news", "end": 1},
        {"id": "de", "video": DEMO / "presenter.mp4", "audio": audio, "language": "de", "start": 1, "end": 2},
        {"id": "de2", "video": DEMO / "presenter.mp4", "audio": audio, "language": "de", "start": 2, "end": 3},
    ]
    manifest = write_manifest(folder / "rows.csv", [{**row, "output": f"{row['id']}.mp4"} for row in rows])
    told = [one for one in SETS if not one.startswith("score.compare_hz")]
    inception = f"score.inception_checkpoint={json.dumps(str(write_inception(folder / 'inception.pth')))}"
    report = lipwise_ray.sweep(
        manifest,
        MODELS,
        out=folder / "sweep",
        settings=lipwise_ray.load_settings(assignments=(*told, inception, "score.compare_hz=4.0")),
        models=folder / "no-models",
    )
    assert report.code_above(0) == 0
    return folder / "sweep"


def _features(folder: Path, column: str, languages: tuple[str, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features of the faces of a column's videos, and of the originals', as the state holds them."""
    store = open_store(f"{folder}.state")
    found = [
        load_file(store, layout.measured(row["job_id"], 0), Measured.load)
        for row in _table(folder / "rows.csv")
        if row["column"] == column and row["row_id"][:2] in languages
    ]
    parts = [part for part in found if part is not None]
    assert len(parts) == len(found)
    video, reference = (np.concatenate([getattr(part, name) for part in parts]) for name in ("video", "reference"))
    return torch.from_numpy(video).double(), torch.from_numpy(reference).double()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("group", "languages", "faces"), [("all", ("es", "de"), 12), ("language:de", ("de",), 8), ("tag:news", ("es",), 4)]
)
def test_distances_are_those_of_torch_fidelity(group: str, languages: tuple[str, ...], faces: int, swept: Path) -> None:
    """By language and by tag, of a model and of the original lips, with the number of faces and a warning of so few."""
    declare_torchvision_operators()
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric

    summary = {(row["group"], row["column"], row["figure"]): row for row in _table(swept / "summary.csv")}
    page = (swept / "comparison.html").read_text()
    for column in ("tiny_generator", "untouched"):
        video, reference = _features(swept, column, languages)
        assert len(video) == len(reference) == faces
        statistics = (fid_features_to_statistics(one) for one in (video, reference))
        fid = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
        kid = kid_features_to_metric(video, reference, kid_subsets=1, kid_subset_size=faces, rng_seed=1, verbose=False)[
            "kernel_inception_distance_mean"
        ]
        told_fid, told_kid = summary[group, column, "fid"], summary[group, column, "kid"]
        assert float(told_fid["mean"]) == pytest.approx(fid, rel=1e-3, abs=1e-3)
        assert float(told_kid["mean"]) == pytest.approx(kid, rel=1e-3, abs=1e-6)
        assert told_fid["faces"] == told_kid["faces"] == str(faces)
        assert "below 500 it says more of their number" in told_fid["note"]
        assert f"{float(told_fid['mean']):.2f}" in page
        assert f"{float(told_kid['mean']):.4f}" in page
    assert f"FID over {faces} faces: below 500" in page
    drawn, untouched = (float(summary[group, one, "fid"]["mean"]) for one in ("tiny_generator", "untouched"))
    assert drawn > untouched
