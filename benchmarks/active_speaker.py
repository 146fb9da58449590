"""Who speaks in a clip: the course of every person's scores against the audio, and what scoring costs.

    python -m benchmarks.active_speaker CLIP --weights lr_asd_talkset.pth --yunet YUNET.onnx [--audio FILE]

Prints a line a second: the mean active speaker score of each person from left to right (above 0 lips move as in speech;
a dash where nobody is heard or the face is away), the share of the second that is speech, and who has the turn.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np


def course(clip: Path, audio: Path, weights: Path, yunet: Path) -> list[str]:
    """Return the lines for a clip, the last of them what it cost."""
    from lipwise_ray.faces.people import find_people, present
    from lipwise_ray.faces.yunet import YuNet
    from lipwise_ray.lipsync.mel import mel_spectrogram
    from lipwise_ray.lipsync.voice_activity import voiced
    from lipwise_ray.media.audio import extract_network_audio
    from lipwise_ray.media.frames import make_recipe
    from lipwise_ray.media.index import build_index
    from lipwise_ray.media.probe import probe_audio, probe_video
    from lipwise_ray.media.reader import VideoReader
    from lipwise_ray.metrics.lip_activity import LipActivity
    from lipwise_ray.metrics.mfcc import mfcc
    from lipwise_ray.pipeline.analysis.active_speaker import LISTENED_PAUSE_S, FaceFootage, OriginalAudio
    from lipwise_ray.pipeline.analysis.crops import resampled, whole_tracks
    from lipwise_ray.pipeline.analysis.speaker_activity import SpeakerActivity, frames_voiced, watch
    from lipwise_ray.pipeline.analysis.speaker_turns import speaker_turns
    from lipwise_ray.pipeline.inputs.records import lead_s
    from lipwise_ray.settings.model import Settings
    from lipwise_ray.values import Span

    info = probe_video(clip)
    index = build_index(info)
    settings = Settings()
    tracks = whole_tracks(info, index, YuNet(yunet, min_score=settings.detect.min_score, threads=1), settings)
    people = find_people(tracks, settings.faces.min_confidence)
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "wave.f32"
        sound = extract_network_audio(probe_audio(audio), raw)
        wave = np.fromfile(raw, np.float32)
    mel = np.ascontiguousarray(mel_spectrogram(wave * np.float32(sound.heard.gain)).T)
    original = OriginalAudio(mel, voiced(mel, LISTENED_PAUSE_S), lead_s(info))
    recipe, grid, network = make_recipe(info, index.sizes), resampled(index), LipActivity(weights)
    begin = time.process_time()
    with VideoReader(info.path, info.stream_index, index) as reader:
        footage = FaceFootage(reader, index, recipe, Span(0, len(index)), tracks, tracks.numbers, lambda: None)
        scores = list(watch(footage, original, mfcc(wave), network))
    cost_s = time.process_time() - begin
    activity = SpeakerActivity.of_scores(scores)
    turns, figures = speaker_turns(people, activity, grid)
    heard = frames_voiced(original, len(grid))
    lines: list[str] = []
    for number, shot in enumerate(people.shots):
        here = present(shot)
        lines.append(f"shot {number}: {len(here)} people, from left to right")
        courses = [activity.course(one.tracks, len(grid)) for one in here]
        start, stop = min(one.spans[0].start for one in here), max(span.stop for one in here for span in one.spans)
        for second in range(-(-len(grid) // 25)):
            part = slice(second * 25, min(len(grid), second * 25 + 25))
            source = grid[part]
            if not ((source >= start) & (source < stop)).any():
                continue
            means = [row[part][np.isfinite(row[part])] for row in courses]
            shown = " ".join(f"{values.mean():6.2f}" if len(values) else "     -" for values in means)
            who = ""
            for frame in source:
                turn = next((one for one in turns if one.person in here and int(frame) in one.frames), None)
                who += "-" if turn is None else str(here.index(turn.person))
            chosen = "".join(dict.fromkeys(who))
            lines.append(f"{second:4d} s  {shown}  speech {heard[part].mean():4.0%}  person {chosen}")
    frames = sum(int(np.isin(grid, tracks.frame[tracks.rows(n)]).sum()) for n in tracks.numbers)
    lines.append(f"{figures}")
    lines.append(
        f"{cost_s:.1f} s of CPU for {frames} faces of 1/25 s: {1000 * cost_s / max(1, frames):.1f} ms each, decoded"
    )
    return lines


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--audio", type=Path, help="another audio than the clip's own")
    parser.add_argument("--weights", type=Path, required=True, help="checkpoint of LR-ASD")
    parser.add_argument("--yunet", type=Path, required=True)
    asked = parser.parse_args()
    print("\n".join(course(asked.clip, asked.audio or asked.clip, asked.weights, asked.yunet)))


if __name__ == "__main__":
    main()
