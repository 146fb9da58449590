"""Estimate of the work of a row, from its containers' headers alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from lipwise_ray.media.container import open_input, reading
from lipwise_ray.media.index import build_index
from lipwise_ray.media.probe import probe_audio, probe_video
from lipwise_ray.pipeline.dubbing.plan import chunk_frames
from lipwise_ray.pipeline.dubbing.trim import left_out_s, used_frames
from lipwise_ray.pipeline.inputs.resolver import Media
from lipwise_ray.pipeline.inputs.site_pieces import UsedSeconds, used_seconds
from lipwise_ray.pipeline.manifest.row_table import Row
from lipwise_ray.pipeline.manifest.speakers import Speaker, detects, has_text, rules_of
from lipwise_ray.runs.speech_check import speech_end_s
from lipwise_ray.runs.stretched_length import stretched_s, stretches
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.format import check_format
from lipwise_ray.state.speeds import latest_speeds
from lipwise_ray.state.store import open_store
from lipwise_ray.storage.address import is_local
from lipwise_ray.storage.stream_choice import split_choice
from lipwise_ray.values import round_half_up, spans

_ASSUMED_RENDER, _ASSUMED_SCAN = 15.0, 100.0  # frames a second of one worker on two cores
_MICROSECONDS = 1_000_000
_ADTS = "aac"
"""States no length: FFmpeg guesses one by the size of the first packets."""

_UNSURE = 2.0
"""By which factor assumed speeds may be wrong."""

_NINE_OF_TEN = (5, 95)


@dataclass(frozen=True, slots=True)
class Speeds:
    """Frames a second of one worker.

    Attributes:
        render: Over all of these jobs.
        scan: Of looking for faces.
        slowest, fastest: Of rendering, where nine of ten jobs stay within.
        jobs: How many were measured; none for assumed speeds.
        are_of_gpus: They were measured on GPUs.
    """

    render: float = _ASSUMED_RENDER
    scan: float = _ASSUMED_SCAN
    slowest: float = _ASSUMED_RENDER / _UNSURE
    fastest: float = _ASSUMED_RENDER * _UNSURE
    jobs: int = 0
    are_of_gpus: bool = False

    @staticmethod
    def measured(state: str) -> Speeds:
        """Return the speeds of the latest jobs finished in a state, or assumed ones.

        Raises:
            StateError: A newer program made the state.
        """
        if is_local(state) and not Path(state).is_dir():
            return Speeds()
        store = open_store(state)
        check_format(store)
        latest = latest_speeds(store)
        if not latest:
            return Speeds()
        each = [one.frames / one.render_s for one in latest]
        slowest, fastest = (float(value) for value in np.percentile(each, _NINE_OF_TEN))
        return Speeds(
            render=sum(one.frames for one in latest) / sum(one.render_s for one in latest),
            slowest=slowest,
            fastest=fastest,
            jobs=len(latest),
            are_of_gpus={one.device for one in latest} == {"cuda"},
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimated frames, chunks and time of a row.

    Attributes:
        row_id: Name of the row.
        frames: Frames of the output.
        rate: Frames a second of the output, as a mean.
        chunks: Chunks that it is cut into.
        scan_frames: Frames of the source that faces are looked for in.
        seconds: Time of one worker, at the speeds given.
    """

    row_id: str
    frames: int
    rate: Fraction
    chunks: int
    scan_frames: int
    seconds: float


def estimate_row(row: Row, settings: Settings, speeds: Speeds, media: Media) -> Estimate:
    """Estimate a row; the sound's length is taken from its container, not decoded, and that of a text guessed.

    Args:
        row: The row.
        settings: Its settings.
        speeds: Frames a second of one worker; the estimated seconds are one worker's, too.
        media: Opens its inputs; those that lie elsewhere are fetched.

    Raises:
        MediaError: An input cannot be opened.
        AudioError: The audio has no sound.
    """
    needed = used_seconds(row, settings)
    identity = media.identity(row.video, needed)
    video = media.local(row.video, identity, needed)
    rate, choice = Fraction(settings.source.still_rate), split_choice(row.video)[1]
    info = probe_video(video, settings.limits, rate, choice)
    index = build_index(info, salvage=settings.source.salvage)
    is_still = info.is_still or len(index) == 1
    said = [Speaker("", row.audio)] if row.audio else [one for one in row.speakers if one.audio]
    ends_s = [_end_s(one, settings, media) for one in said]
    audio_s = max([*ends_s, speech_end_s(row, media)] if has_text(row.script, row.speakers) else ends_s)
    rate = rate if is_still else index.mean_rate
    used = UsedSeconds(row.start_s, row.end_s).after(left_out_s(index, media.zero_s(row.video, identity, needed)))
    whole_s = (index.end_pts - int(index.pts[0])) * index.time_base
    end_s = min(whole_s, Fraction(used.end_s)) if used.end_s is not None else whole_s
    video_s = max(Fraction(0), end_s - Fraction(used.start_s))
    timing = settings.timing
    fitted_s = {"audio": video_s, "video": audio_s, "both": Fraction(math.sqrt(audio_s * video_s))}
    lengths_s = {
        "audio": audio_s,
        "video": video_s,
        "shortest": min(audio_s, video_s),
        "longest": max(audio_s, video_s),
        "fit": fitted_s["audio" if row.speakers or (row.script and row.script.file) else timing.fit],
    }
    if stretches(row, settings):
        lengths_s["fit"] = stretched_s(row, settings, video_s, media, lambda one: _audio_s(one, settings, media))
    length_s = lengths_s["audio" if is_still else timing.length]
    frames = max(1, round_half_up(length_s * rate))
    scan_frames = (
        len(used_frames(index, used.start_s, used.end_s))
        if detects(rules_of(row.speakers, settings), row.tracks)
        else 0
    )
    seconds = frames / speeds.render + scan_frames / speeds.scan
    return Estimate(
        row.id, frames, rate, len(spans(frames, chunk_frames(settings, rate, frames))), scan_frames, seconds
    )


def _end_s(speaker: Speaker, settings: Settings, media: Media) -> Fraction:
    """Return the end of a speaker's audio in seconds, by its container."""
    length_s = _audio_s(speaker, settings, media)
    return Fraction(speaker.start_s) + length_s if speaker.end_s is None else Fraction(speaker.end_s)


def _audio_s(speaker: Speaker, settings: Settings, media: Media) -> Fraction:
    """Return the length of a speaker's audio in seconds, as its file states it; without that, by its packets."""
    file = media.local(speaker.audio, media.identity(speaker.audio))
    info = probe_audio(file, settings.limits, split_choice(speaker.audio)[1])
    with reading(file), open_input(file) as container:
        stream = next(one for one in container.streams.audio if one.index == info.stream_index)
        tick_s = Fraction(stream.time_base or 0)
        is_guess = info.container == _ADTS
        if stream.duration and not is_guess:
            return info.lead_s + stream.duration * tick_s
        if container.duration and not is_guess:  # from the container's zero on
            return Fraction(container.duration, _MICROSECONDS) + info.lead_s - (stream.start_time or 0) * tick_s
        begin = end = None
        for packet in container.demux(stream):
            if packet.pts is not None:
                begin = packet.pts if begin is None else begin
                end = packet.pts + (packet.duration or 0)
        return info.lead_s + ((end or 0) - (begin or 0)) * tick_s
