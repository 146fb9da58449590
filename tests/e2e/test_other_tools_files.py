"""`evaluate` beside a reference: files of other tools, of another size, rate, length or begin."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from lipwise_ray.values import Size
from tests.conftest import ROOT
from tests.support.dub import evaluated

TRUE = ROOT / "manifests" / "demo" / "true" / "presenter.mp4"
SETS = ('detect.detector="tiny"', 'score.judge="none"', 'faces.embedder="none"')
FRAMES, RATE, SIZE = 75, Fraction(25), Size(480, 270)


def _made(
    target: Path,
    numbers: Iterator[int] | range,
    *,
    size: Size = SIZE,
    rate: Fraction = RATE,
    crf: int = 20,
) -> Path:
    """Write frames of the presenter, by their numbers, in another size and at another rate."""
    with av.open(str(TRUE)) as given:
        frames = [frame for frame, _ in zip(given.decode(video=0), range(FRAMES), strict=False)]
    with av.open(str(target), "w") as out:
        video = out.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": str(crf)})
        video.width, video.height, video.pix_fmt = size.width, size.height, "yuv420p"
        for place, number in enumerate(numbers):
            frame = frames[number].reformat(size.width, size.height, "yuv420p", interpolation="BICUBIC")
            frame.pts, frame.time_base = place, 1 / rate
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return target


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Evaluate one film as several tools would deliver it, beside the film itself."""
    folder = tmp_path_factory.mktemp("tools")
    reference = _made(folder / "reference.mp4", range(FRAMES), crf=12)
    at_30 = (int(Fraction(place, 30) * RATE) for place in range(FRAMES * 30 // 25))
    videos = {
        "alike": _made(folder / "alike.mp4", range(FRAMES)),
        "late": _made(folder / "late.mp4", [0] * 10 + [*range(FRAMES - 10)]),
        "early": _made(folder / "early.mp4", range(10, FRAMES)),
        "small": _made(folder / "small.mp4", range(FRAMES), size=Size(240, 136)),
        "square": _made(folder / "square.mp4", range(FRAMES), size=Size(256, 256)),
        "rate": _made(folder / "rate.mp4", at_30, rate=Fraction(30)),
    }
    rows = [{"id": name, "video": video, "reference": reference} for name, video in videos.items()]
    rows.append({"id": "long", "video": videos["alike"], "reference": _made(folder / "short.mp4", range(25), crf=12)})
    rows.append({"id": "beyond", "video": videos["alike"], "reference": reference, "reference_start": 60})
    report = evaluated(folder, rows, *SETS)
    assert report.done == len(rows), report.outcomes
    return {outcome.row_id: outcome.record for outcome in report.outcomes}


def test_a_lag_is_found_and_frames_are_paired_by_it(beside: dict[str, dict[str, Any]]) -> None:
    """A file that is 0.4 s late or early has the figures of one in time, and the record tells the lag."""
    alike = beside["alike"]["fidelity"]
    assert alike["lag_s"] == 0
    for name, lag_s in (("late", 0.4), ("early", -0.4)):
        found = beside[name]["fidelity"]
        assert found["lag_s"] == pytest.approx(lag_s, abs=0.001)
        assert found["psnr"] == pytest.approx(alike["psnr"], abs=1.5)
        assert found["compared_s"] == pytest.approx(2.6, abs=0.01)
    assert beside["late"]["fidelity"]["after_its_end"] == 2


def test_a_small_file_is_brought_to_the_references_size(beside: dict[str, dict[str, Any]]) -> None:
    """It is compared in the reference's pixels, so that what it lost counts: in PSNR, and in the sharpness."""
    small, alike = beside["small"], beside["alike"]
    assert small["fidelity"]["fitted"] == "240x136 to 480x270"
    assert 20 < small["fidelity"]["psnr"] < alike["fidelity"]["psnr"] - 3
    assert small["fidelity"]["ssim"] < alike["fidelity"]["ssim"]
    assert small["sharpness"]["sharpness"] < 0.8 < alike["sharpness"]["sharpness"]


def test_another_shape_costs_the_figures_of_pixels_alone(beside: dict[str, dict[str, Any]]) -> None:
    """The row is done and has its flicker; what cannot be told says why, and what to set."""
    found = beside["square"]
    assert found["flicker"]["dubbed"] is not None
    assert found["fidelity"]["psnr"] is None
    assert set(found["fidelity"]["why"]) >= {"psnr", "ssim", "face_psnr", "fid", "identity_distance"}
    assert "256x256" in found["fidelity"]["why"]["psnr"]
    assert "compare.fit=crop" in found["fidelity"]["why"]["psnr"]


def test_another_rate_is_paired_by_time(beside: dict[str, dict[str, Any]]) -> None:
    """Of 30 frames a second each is compared with the one of 25 that is shown at its time."""
    found = beside["rate"]["fidelity"]
    assert (found["lag_s"], found["pictures"]) == (0, 15)
    assert found["psnr"] == pytest.approx(beside["alike"]["fidelity"]["psnr"], abs=1.5)


def test_coverage_is_told(beside: dict[str, dict[str, Any]]) -> None:
    """Of three seconds the one is compared that the reference has."""
    found = beside["long"]["fidelity"]
    assert (found["compared_s"], found["reference_s"], beside["long"]["video_s"]) == (1.0, 1.0, 3.0)
    assert (found["pictures"], found["after_its_end"]) == (5, 10)


def test_a_part_that_the_reference_does_not_have_is_told(beside: dict[str, dict[str, Any]]) -> None:
    """A start after its end leaves nothing to compare with, and says so."""
    found = beside["beyond"]["fidelity"]
    assert (found["psnr"], found["compared_s"], found["reference_s"]) == (None, 0.0, 0.0)
    assert "ends before" in found["why"]["psnr"]


def test_figures_are_scikit_images(beside: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """PSNR over a video is that of its mean square, SSIM the mean of its frames', both as scikit-image computes."""
    frames = []
    for name, numbers in (("a.mp4", range(30)), ("b.mp4", range(1, 31))):
        with av.open(str(_made(tmp_path / name, numbers))) as container:
            frames.append([frame.to_ndarray()[:270].astype(np.float64) for frame in container.decode(video=0)])
    rows = [{"id": "p", "video": tmp_path / "a.mp4", "reference": tmp_path / "b.mp4"}]
    report = evaluated(tmp_path, rows, *SETS, "score.compare_hz=0.0", "compare.max_lag_s=0.0")
    found = report.outcomes[0].record["fidelity"]
    expected = peak_signal_noise_ratio(np.stack(frames[1]), np.stack(frames[0]), data_range=255)
    assert found["psnr"] == pytest.approx(expected, abs=1e-3)
    likeness = [
        structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)
        for a, b in zip(*frames, strict=True)
    ]
    assert found["ssim"] == pytest.approx(float(np.mean(likeness)), abs=1e-4)
    assert found["lag_s"] == 0
    assert beside["alike"]["fidelity"]["psnr"] > found["psnr"]


def test_the_middle_of_a_reference_is_compared_where_that_is_asked(tmp_path: Path) -> None:
    """A square file beside a wide reference: `compare.fit=crop` cuts the reference to its shape."""
    reference = _made(tmp_path / "reference.mp4", range(30))
    with av.open(str(reference)) as given, av.open(str(tmp_path / "square.mp4"), "w") as out:
        video = out.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "crf": "14"})
        video.width, video.height, video.pix_fmt = 270, 270, "yuv420p"
        for frame in given.decode(video=0):
            middle = np.ascontiguousarray(frame.to_ndarray(format="bgr24")[:, 105:375])
            out.mux(video.encode(av.VideoFrame.from_ndarray(middle, "bgr24")))
        out.mux(video.encode(None))
    rows = [{"id": "p", "video": tmp_path / "square.mp4", "reference": reference}]
    report = evaluated(tmp_path, rows, *SETS, 'compare.fit="crop"')
    found = report.outcomes[0].record["fidelity"]
    assert found["psnr"] > 35, found
