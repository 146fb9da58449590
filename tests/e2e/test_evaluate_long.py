"""Ten minutes: scored in chunks as over the whole, in constant memory."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.conftest import ROOT

FILM = ROOT / "manifests" / "demo" / "presenter.mp4"
MEASURED = """
import json, resource, sys
from pathlib import Path
from tests.support.dub import evaluated
folder, video, length_s = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
told = ('detect.detector="tiny"', 'score.judge="tiny_judge"', f"chunk.length_s={length_s}")
report = evaluated(folder, [{"id": "film", "video": video}], *told, out=f"{Path(video).stem}-{length_s}")
(outcome,) = report.outcomes
peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({**outcome.record["sync"], "frames": outcome.record["frames"], "peak_mb": peak_mb}))
"""


def _again(target: Path, times: int) -> Path:
    """Write the presenter's film so many times in a row, picture and sound of equal length."""
    with av.open(str(FILM)) as given:
        pictures = [frame.reformat(format="yuv420p") for frame in given.decode(video=0)]
    with av.open(str(FILM)) as given:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=16000)
        pieces = [piece.to_ndarray() for frame in given.decode(audio=0) for piece in resampler.resample(frame)]
    samples = len(pictures) * 640
    sound = np.concatenate(pieces, axis=1)
    sound = np.pad(sound, ((0, 0), (0, max(0, samples - sound.shape[1]))))[:, :samples]
    with av.open(str(target), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "20"})
        video.width, video.height, video.pix_fmt = 480, 270, "yuv420p"
        audio = out.add_stream("pcm_s16le", rate=16000, layout="mono")
        for turn in range(times):
            for number, picture in enumerate(pictures):
                picture.pts, picture.time_base = turn * len(pictures) + number, Fraction(1, 25)
                picture.pict_type = av.video.frame.PictureType.NONE
                out.mux(video.encode(picture))
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, turn * samples, Fraction(1, 16000)
            out.mux(audio.encode(frame))
        out.mux([*video.encode(None), *audio.encode(None)])
    return target


def _measured(folder: Path, video: Path, length_s: float) -> dict[str, Any]:
    """Evaluate in a process of its own, and return the scores and the process's largest size."""
    words = [sys.executable, "-c", MEASURED, str(folder), str(video), str(length_s)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_minutes_in_chunks_and_whole(tmp_path: Path) -> None:
    """LSE-D, LSE-C and offset agree to 1e-4; ten minutes take hardly more memory than one."""
    minute, film = _again(tmp_path / "minute.mkv", 9), _again(tmp_path / "film.mkv", 88)
    short = _measured(tmp_path, minute, 10.0)
    cut, whole = _measured(tmp_path, film, 10.0), _measured(tmp_path, film, 3000.0)
    assert cut["frames"] > 15_000
    assert cut["after"] == pytest.approx(whole["after"], abs=1e-4)
    assert cut["after"]["windows"] > 14_900
    assert cut["curve"] == pytest.approx(whole["curve"], abs=1e-3)
    for one in (cut, whole):
        assert one["peak_mb"] < short["peak_mb"] + 60
