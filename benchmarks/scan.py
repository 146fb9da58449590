"""What looking for faces costs on real clips: frames a second, and CPU time beside that of first looks alone.

    python -m benchmarks.scan [--shared FOLDER] [--clip NAME ...] [--runs 3]

Clips in FOLDER/clips are scanned with one thread by the YuNet in FOLDER/weights: first looks alone, and as a job scans
them, with second looks. Then their faces are embedded, and the lips of all of them watched, by the networks that are
there too. FOLDER is what LIPWISE_SHARED names, or ../shared. The runs take turns; of each the least CPU time counts.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from lipwise_ray.faces.detections import CANDIDATE_SHARE
from lipwise_ray.faces.embedders import load_embedder
from lipwise_ray.faces.smoothing import smooth
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.faces.yunet import YuNet
from lipwise_ray.lipsync.mel import mel_spectrogram
from lipwise_ray.lipsync.voice_activity import voiced
from lipwise_ray.media.audio import extract_network_audio
from lipwise_ray.media.frames import FrameRecipe, make_recipe
from lipwise_ray.media.index import FrameIndex, build_index
from lipwise_ray.media.probe import VideoInfo, probe_audio, probe_video
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.metrics.lip_activity import LipActivity
from lipwise_ray.metrics.mfcc import mfcc
from lipwise_ray.pipeline.analysis.active_speaker import LISTENED_PAUSE_S, FaceFootage, OriginalAudio
from lipwise_ray.pipeline.analysis.face_detection import linked, scan
from lipwise_ray.pipeline.analysis.face_recognition import embed_whole
from lipwise_ray.pipeline.analysis.speaker_activity import watch
from lipwise_ray.pipeline.analysis.stretch import SearchedVideo
from lipwise_ray.pipeline.inputs.records import lead_s
from lipwise_ray.settings.model import Settings
from lipwise_ray.values import Span

CLIPS = (
    "grid_man.mpg",
    "beard_portrait_1080_hevc.mp4",
    "two_speakers_720.mp4",
    "phone_and_hand.mp4",
    "two_people_cut_negative_pts.mp4",
    "turns_away_and_back.mp4",
)
_SETTINGS = Settings()
_LOOKS = 8


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip, ready to be read."""

    info: VideoInfo
    index: FrameIndex
    recipe: FrameRecipe

    def read(self) -> VideoReader:
        """Open it, with one thread."""
        return VideoReader(self.info.path, self.info.stream_index, self.index, threads=1)


def open_clip(path: Path) -> Clip:
    """Return a clip by its file."""
    info = probe_video(path)
    index = build_index(info)
    return Clip(info, index, make_recipe(info, index.sizes))


def first_looks(clip: Clip, detector: YuNet) -> int:
    """Look at every `stride`-th frame and behind cuts, once; return the number of looks."""
    footage = SearchedVideo(clip.read, clip.recipe, _SETTINGS.detect, len(clip.index))
    looks = 0
    for scanned in footage.read(Span(0, len(clip.index))):
        if scanned.frame is not None:
            detector.detect([scanned.image.image_bgr])
            looks += 1
    return looks


def tracks_of(clip: Clip, detector: YuNet) -> tuple[Tracks, int]:
    """Return the tracks of a scan, and the number of frames that were looked at."""
    found = scan(
        clip.info,
        clip.index,
        clip.recipe,
        Span(0, len(clip.index)),
        detector,
        _SETTINGS.detect,
        threads=1,
        salvage=False,
        on_frame=lambda: None,
    )
    rate = float(clip.index.mean_rate)
    raw = linked(found, clip.recipe.canvas.shown_size, rate, _SETTINGS)
    return smooth(raw, round(_SETTINGS.faces.smooth_s * rate / 2)), len(found.looked)


def lips_watcher(clip: Clip, audio: Path, weights: Path) -> Callable[[Tracks], None]:
    """Return a function that watches the lips of tracks, whatever audio there is."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "wave.f32"
        sound = extract_network_audio(probe_audio(audio), raw)
        wave = np.fromfile(raw, np.float32)
    mel = np.ascontiguousarray(mel_spectrogram(wave * np.float32(sound.heard.gain)).T)
    original = OriginalAudio(mel, voiced(mel, LISTENED_PAUSE_S), lead_s(clip.info))
    cepstra, network, everything = mfcc(wave), LipActivity(weights), Span(0, len(clip.index))

    def watched(tracks: Tracks) -> None:
        with clip.read() as reader:
            footage = FaceFootage(reader, clip.index, clip.recipe, everything, tracks, tracks.numbers, lambda: None)
            for _ in watch(footage, original, cepstra, network):
                pass

    return watched


def costs(clip: Clip, shared: Path, runs: int) -> tuple[dict[str, tuple[float, float]], str]:
    """Return the CPU and wall time of each stage of a clip, in seconds, and what was looked at."""
    weights = shared / "weights"
    least = _SETTINGS.detect.min_score
    yunet = weights / "face_detection_yunet_2023mar.onnx"
    plain, keen = YuNet(yunet, min_score=least, threads=1), YuNet(yunet, min_score=CANDIDATE_SHARE * least, threads=1)
    tracks, looked = tracks_of(clip, keen)
    stages: dict[str, Callable[[], object]] = {
        "first looks": partial(first_looks, clip, plain),
        "scan": partial(tracks_of, clip, keen),
    }
    if (checkpoint := weights / "mobilefacenet_068.pth").is_file():
        embedder = load_embedder("mobilefacenet", checkpoint)
        stages["embedder"] = partial(embed_whole, clip.info, clip.index, clip.recipe, tracks, embedder)
    if (checkpoint := weights / "lr_asd_talkset.pth").is_file():
        stages["lr-asd"] = partial(lips_watcher(clip, shared / "clips" / "speech_en.wav", checkpoint), tracks)
    found: dict[str, tuple[float, float]] = {}
    for _ in range(runs):
        for name, run in stages.items():
            begin = time.process_time(), time.perf_counter()
            run()
            spent = time.process_time() - begin[0], time.perf_counter() - begin[1]
            found[name] = min(found.get(name, spent), spent)
    return found, f"{looked} of {len(clip.index)} frames looked at, {len(tracks.numbers)} tracks"


def detector_ms(weights: Path, clip: Clip, runs: int) -> tuple[float, float]:
    """Return the CPU time of YuNet for an image of a scan, in ms, and that of OpenCV's reader of its file."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    image = next(SearchedVideo(clip.read, clip.recipe, _SETTINGS.detect, len(clip.index)).read(Span(0, 2))).image
    height, width = image.image_bgr.shape[:2]
    ours = YuNet(weights, min_score=_SETTINGS.detect.min_score)
    theirs = cv2.FaceDetectorYN.create(str(weights), "", (width, height), _SETTINGS.detect.min_score, 0.3, 500)
    cv2.setNumThreads(1)
    ways = (lambda: ours.detect([image.image_bgr]), lambda: theirs.detect(image.image_bgr))
    least = [float("inf")] * 2
    for _ in range(runs * _LOOKS):
        for number, way in enumerate(ways):
            begin_s = time.process_time()
            way()
            least[number] = min(least[number], 1000 * (time.process_time() - begin_s))
    return least[0], least[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("LIPWISE_SHARED", "../shared")))
    parser.add_argument("--clip", action="append", help="files of FOLDER/clips; a choice unless given")
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    weights = asked.shared / "weights" / "face_detection_yunet_2023mar.onnx"
    if not weights.is_file():
        print(f"scan: left out, no clips and weights in {asked.shared} (--shared FOLDER)")
        return
    import torch

    torch.set_num_threads(1)
    ours, theirs = detector_ms(weights, open_clip(asked.shared / "clips" / "two_speakers_720.mp4"), asked.runs)
    print(f"detector, an image of {_SETTINGS.detect.size_px} px: {ours:.1f} ms CPU, by OpenCV {theirs:.1f}")
    print("CPU time over that of first looks alone; frames a second of a scan with one thread")
    print(f"{'clip':32} {'frames/s':>9} {'ms CPU':>7} {'scan':>6} {'embedder':>9} {'LR-ASD':>7}")
    for name in asked.clip or CLIPS:
        clip = open_clip(asked.shared / "clips" / name)
        spent, looks = costs(clip, asked.shared, asked.runs)
        first, scanned = spent["first looks"], spent["scan"]
        shares = [f"{spent[stage][0] / first[0]:.2f}" if stage in spent else "-" for stage in ("embedder", "lr-asd")]
        print(
            f"{name:32} {len(clip.index) / scanned[1]:9.0f} {1000 * scanned[0] / len(clip.index):7.1f} "
            f"{scanned[0] / first[0]:6.2f} {'+' + shares[0]:>9} {'+' + shares[1]:>7}  {looks}",
            flush=True,
        )


if __name__ == "__main__":
    main()
