"""`diarise`: from audio to the speakers of a manifest."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.io import wavfile

from lipwise_ray.synth.clips import ClipSpec, write_clip
from tests.support.dub import PASSTHROUGH, run, write_manifest
from tests.support.voices import HIGH_HZ, LOW_HZ, talk, write_embedding, write_segmentation

pytest.importorskip("sherpa_onnx", reason="extra diarise is not installed")

BOX = "box:60,180,100,200"


@pytest.mark.slow
def test_from_audio_to_the_speakers_of_a_row(tmp_path: Path) -> None:
    """Standard output has the RTTM and nothing else; as a file it is what a manifest's `speakers` takes."""
    write_segmentation(tmp_path / "s.onnx")
    write_embedding(tmp_path / "e.onnx")
    wavfile.write(tmp_path / "talk.wav", 16_000, talk([(6, (LOW_HZ,)), (7, (HIGH_HZ,))]))
    networks = ("--segmentation", "s.onnx", "--embedding", "e.onnx")
    done = run("diarise", "talk.wav", *networks, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[7] for line in lines] == ["SPEAKER_00", "SPEAKER_01"]
    assert done.stderr == "SPEAKER_00: 6.0 s in 1 turn\nSPEAKER_01: 7.0 s in 1 turn\n"
    done = run("diarise", "talk.wav", *networks, "--speakers", "3", "--out", "talk.rttm", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "found 2 of 3 speakers\n")
    assert done.stdout.endswith("written: talk.rttm\n")
    assert (tmp_path / "talk.rttm").read_text() == "".join(f"{line}\n" for line in lines)
    write_clip(tmp_path / "v.mp4", ClipSpec())
    row = {"id": "a", "video": "v.mp4", "audio": "talk.wav", "output": "a.mp4", "speakers": "talk.rttm"}
    manifest = write_manifest(tmp_path / "m.csv", [{**row, "faces": f"SPEAKER_00={BOX}; SPEAKER_01=none"}])
    done = run("validate", manifest, "--set", PASSTHROUGH, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    done = run("diarise", "talk.wav", "--segmentation", "e.onnx", "--embedding", "e.onnx", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "error: diarise.segmentation e.onnx: sherpa-onnx cannot use it: 'window_size' does not"
    )
    assert done.stderr.count("\n") == 1
