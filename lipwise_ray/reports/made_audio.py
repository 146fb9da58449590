"""Facts about a delivered video's audio, in words: its mix, its length, its speakers and further soundtracks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from lipwise_ray.state.delivered_records import WatermarkRecord
from lipwise_ray.state.fitted_record import FittedRecord
from lipwise_ray.state.job_result import DubResult
from lipwise_ray.state.mixed_record import MixedRecord
from lipwise_ray.state.speech_record import SpokenBy

_KEPT, _TO = "keep", "\N{RIGHTWARDS ARROW}"
_MISSED_LU = 0.1
"""A loudness this far from the one that was asked for shows in its decimal: that one is named beside it."""


@dataclass(frozen=True, slots=True)
class MadeAudio:
    """Audio of a delivered video, as far as it is not simply the row's own.

    Attributes:
        mixed: Background and loudness; None where it is the voice as it is.
        fitted: Factors by which it and the video were stretched; None where nothing was to be.
        spoken_by: Engines and voices of texts.
        further_languages: Languages of further soundtracks.
        watermark: Its mark that is not heard; None where it has none.
    """

    mixed: MixedRecord | None = None
    fitted: FittedRecord | None = None
    spoken_by: tuple[SpokenBy, ...] = ()
    further_languages: tuple[str, ...] = ()
    watermark: WatermarkRecord | None = None

    @classmethod
    def of(cls, result: DubResult) -> Self:
        """Return the audio of a delivered video."""
        spoken_by, languages = result.spoken_by or (), result.further_languages or ()
        return cls(result.mixed, result.fitted, spoken_by, languages, result.watermark)

    def words(self) -> list[str]:
        """Return facts for people, a line each; none for audio that is the row's own."""
        return [
            *(_mixed(self.mixed) if self.mixed else []),
            *(_fitted(self.fitted) if self.fitted else []),
            *(f"spoken by {_speaker(one)}" for one in self.spoken_by),
            *([f"further soundtracks: {', '.join(self.further_languages)}"] if self.further_languages else []),
            *([_marked(self.watermark)] if self.watermark else []),
        ]


def _mixed(mixed: MixedRecord) -> list[str]:
    lines: list[str] = []
    if mixed.background is not None:
        name = "the video's own, without its speech" if mixed.background == _KEPT else mixed.background
        gain = f", {mixed.background_gain_db:+g} dB" if mixed.background_gain_db else ""
        ducked = f", {mixed.duck_db:g} dB lower under speech for {mixed.ducked_s or 0:.1f} s" if mixed.duck_db else ""
        lines.append(f"background: {name}{gain}{ducked}")
    before, after, asked = mixed.before, mixed.after, mixed.loudness_lufs
    facts = [
        f"loudness {_level(before.lufs)} {_TO} {_level(after.lufs)} LUFS",
        f"true peak {_level(before.true_peak_dbtp)} {_TO} {_level(after.true_peak_dbtp)} dBTP",
    ]
    if asked is not None and (after.lufs is None or abs(after.lufs - asked) >= _MISSED_LU):
        facts[0] += f" ({asked:g} asked for)"
    if mixed.is_limited:
        facts.append("limited")
    if asked is None and mixed.gain_db:
        facts.append(f"{mixed.gain_db:+.1f} dB so that nothing clips")
    return [*lines, ", ".join(facts)]


def _fitted(fitted: FittedRecord) -> list[str]:
    """Return the factors of what became longer or shorter; nothing where all kept its length."""
    facts: list[str] = []
    if fitted.clips == 1 and fitted.most is not None:
        facts.append(f"audio by {fitted.most:.3f}")
    elif fitted.least is not None and fitted.median is not None and fitted.most is not None:
        bounds = f"{fitted.least:.3f} to {fitted.most:.3f}"
        facts.append(f"{fitted.clips} audio clips by {bounds} (median {fitted.median:.3f})")
    if fitted.video != 1:
        facts.append(f"video by {fitted.video:.3f}")
    return [f"stretched: {', '.join(facts)}"] if facts else []


def _speaker(speaker: SpokenBy) -> str:
    voice = f", voice {speaker.voice}" if speaker.voice else ""
    return f"{speaker.engine}{voice}{f' ({speaker.licence})' if speaker.licence else ''}"


def _marked(mark: WatermarkRecord) -> str:
    facts = [f"marked by {mark.by}: message {mark.message}"]
    if mark.snr_db is not None:
        facts.append(f"{mark.snr_db:.1f} dB below the audio")
    if mark.found is not None:
        read = "no message" if mark.found_message is None else f"message {mark.found_message}"
        facts.append(f"found in {mark.found:.0%}, {read} read")
    return ", ".join(facts)


def _level(level: float | None) -> str:
    return "-" if level is None else f"{level:.1f}"
