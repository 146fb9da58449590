"""Where speech is found under music, a beat and noise, and at low levels: silero-vad beside the rule by level.

    python -m benchmarks.speech [--speech FILE.wav]

Speech is espeak-ng's, which says when each phoneme is heard; or a clean recording of yours, whose loud moments count as
speech. Backgrounds are made up here. A row says how much of the speech is found (recall), how much of what is found is
speech (precision), and how much of the worst pause is taken for speech.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lipwise_ray.lipsync.mel import MEL_RATE_HZ, SAMPLE_RATE_HZ, mel_columns, mel_spectrogram
from lipwise_ray.lipsync.silero import SileroVad
from lipwise_ray.lipsync.voice_activity import runs, spoken, voiced
from lipwise_ray.models.registry import Registry
from lipwise_ray.resources import models_folder

_RATE_HZ = SAMPLE_RATE_HZ
_MIN_PAUSE_S = 0.3
_CLOSED_S, _PAUSE_S, _EDGE_S = 0.2, 1.0, 0.3
_SPEECH_DB, _FRAME = 22.0, 160
_LEVEL_DB = -20.0
_A_BEAT = _RATE_HZ // 2


@dataclass(frozen=True)
class Said:
    """Clean speech at 16 kHz, and which of its columns (80 a second) are speech."""

    wave: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class Found:
    """How speech was found: see the module."""

    recall: float
    precision: float
    worst_pause: float

    def __str__(self) -> str:
        return f"{self.recall:.2f} / {self.precision:.2f} / {self.worst_pause:.2f}"


def synthesised() -> Said:
    """Return sentences in several voices between pauses of two seconds, by espeak-ng."""
    from lipwise_ray.synth.sentences import sentence
    from lipwise_ray.synth.speech import Voice, speak

    rng = np.random.default_rng(5)
    parts, spans, at_s = [np.zeros(2 * _RATE_HZ)], [], 2.0
    for language, variant in (("de", "f2"), ("es", "m3"), ("de", ""), ("es", "f5")):
        speech = speak(sentence(language, rng), Voice(language, variant))
        spans += [(at_s + one.start_s, at_s + one.stop_s) for one in speech.phonemes if one.ipa]
        parts += [speech.wave_f32, np.zeros(2 * _RATE_HZ)]
        at_s += speech.seconds + 2
    wave = np.concatenate(parts)
    truth = np.zeros(mel_columns(len(wave)), bool)
    for start_s, stop_s in spans:
        truth[round(start_s * MEL_RATE_HZ) : round(stop_s * MEL_RATE_HZ)] = True
    return Said(wave, _closed(truth))


def recorded(path: Path) -> Said:
    """Return a clean recording twice, between pauses of 3 s; what is within 22 dB of its loud moments is speech."""
    import av

    with av.open(path) as file:
        resampler = av.AudioResampler("s16", "mono", _RATE_HZ)
        frames = [out for frame in file.decode(audio=0) for out in resampler.resample(frame)]
    wave = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]) / 32768
    pause = np.zeros(3 * _RATE_HZ)
    wave = np.concatenate([pause, wave, pause, wave, pause])
    power = (wave[: len(wave) // _FRAME * _FRAME].reshape(-1, _FRAME) ** 2).mean(axis=1)
    level_db = 10 * np.log10(np.convolve(power, np.ones(3) / 3, "same") + 1e-12)
    is_loud = level_db > np.quantile(level_db[level_db > -90], 0.95) - _SPEECH_DB
    columns = np.minimum(np.arange(mel_columns(len(wave))) * _RATE_HZ // MEL_RATE_HZ // _FRAME, len(is_loud) - 1)
    return Said(wave, _closed(is_loud[columns]))


def _closed(truth: np.ndarray) -> np.ndarray:
    """Return the mask with its short gaps closed."""
    for start, stop in runs(~truth):
        if stop - start < _CLOSED_S * MEL_RATE_HZ:
            truth[start:stop] = True
    return truth


def music(samples: int) -> np.ndarray:
    """Return chords, a melody with vibrato, and a beat."""
    rng, wave = np.random.default_rng(0), 1.5 * beat(samples)
    chords = ((220, 261.6, 329.6), (174.6, 220, 261.6), (196, 246.9, 293.7), (164.8, 207.7, 246.9))
    for number, start in enumerate(range(0, samples, 2 * _RATE_HZ)):
        t = np.arange(min(2 * _RATE_HZ, samples - start)) / _RATE_HZ
        for tone in chords[number % len(chords)]:
            for harmonic in range(1, 6):
                swing = np.sin(2 * np.pi * tone * harmonic * t) / harmonic**1.5
                wave[start : start + len(t)] += swing * np.exp(-0.4 * t)
    for start in range(0, samples, _A_BEAT // 2):
        t = np.arange(min(_A_BEAT // 2, samples - start)) / _RATE_HZ
        tone = rng.choice([440, 494, 523, 587, 659, 698, 784])
        for harmonic in range(1, 5):
            swing = np.sin(2 * np.pi * tone * harmonic * t + 0.3 * np.sin(10 * np.pi * t)) / harmonic
            wave[start : start + len(t)] += 0.7 * swing * np.exp(-4 * t)
    return wave


def beat(samples: int) -> np.ndarray:
    """Return a drum kit at 120 beats a minute: bass drum, snare, cymbal."""
    rng, wave = np.random.default_rng(1), np.zeros(samples)

    def strike(every: int, first: int, length_s: float, sound: Callable[[np.ndarray], np.ndarray]) -> None:
        for start in range(first, samples, every):
            t = np.arange(min(round(length_s * _RATE_HZ), samples - start)) / _RATE_HZ
            wave[start : start + len(t)] += sound(t)

    strike(_A_BEAT, 0, 0.25, lambda t: 2 * np.sin(2 * np.pi * (50 * t + 2 - 2 * np.exp(-30 * t))) * np.exp(-18 * t))
    strike(_A_BEAT, _A_BEAT // 2, 0.125, lambda t: rng.standard_normal(len(t)) * np.exp(-30 * t))
    strike(_A_BEAT // 4, 0, 0.04, lambda t: 0.3 * np.diff(rng.standard_normal(len(t) + 1)) * np.exp(-120 * t))
    return wave


def white_noise(samples: int) -> np.ndarray:
    """Return a hiss."""
    return np.random.default_rng(3).standard_normal(samples)


def pink_noise(samples: int) -> np.ndarray:
    """Return a rumble: as loud in each octave."""
    spectrum = np.fft.rfft(white_noise(samples))
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(len(spectrum)))), samples)


BACKGROUNDS: dict[str, Callable[[int], np.ndarray]] = {
    "music": music,
    "beat": beat,
    "white noise": white_noise,
    "pink noise": pink_noise,
}


def at_level(wave: np.ndarray, level_db: float, where: np.ndarray | None = None) -> np.ndarray:
    """Return a wave at a level (of its power, by full scale), which is measured where a mask of columns says."""
    samples = wave if where is None else wave[np.repeat(where, _RATE_HZ // MEL_RATE_HZ)[: len(wave)]]
    return wave / np.sqrt((samples**2).mean()) * 10 ** (level_db / 20)


def mixed(said: Said, background: str, below_db: float, level_db: float = _LEVEL_DB) -> np.ndarray:
    """Return speech at a level over a background that is so much quieter."""
    bed = at_level(BACKGROUNDS[background](len(said.wave)), level_db - below_db)
    return (at_level(said.wave, level_db, said.truth) + bed).astype(np.float32)


def by_level(wave: np.ndarray) -> np.ndarray:
    """Return the columns that are speech by the level alone."""
    return voiced(np.ascontiguousarray(mel_spectrogram(wave).T), _MIN_PAUSE_S)


def by_network(vad: SileroVad) -> Callable[[np.ndarray], np.ndarray]:
    """Return what tells the columns that are speech by a network."""
    return lambda wave: spoken(vad(wave), mel_columns(len(wave)), _MIN_PAUSE_S)


def measure(found: np.ndarray, truth: np.ndarray) -> Found:
    """Compare the columns that were found with those that are speech."""
    edge = round(_EDGE_S * MEL_RATE_HZ)
    pauses = [(start, stop) for start, stop in runs(~truth) if stop - start >= _PAUSE_S * MEL_RATE_HZ]
    hits = (found & truth).sum()
    worst = max(float(found[start + edge : stop - edge].mean()) for start, stop in pauses)
    return Found(hits / truth.sum(), hits / max(1, found.sum()), worst)


def _print(said: Said, rules: dict[str, Callable[[np.ndarray], np.ndarray]]) -> None:
    def row(name: str, wave: np.ndarray) -> None:
        print(f"{name:26}" + "".join(f"{measure(rule(wave), said.truth)!s:>22}" for rule in rules.values()))

    print(f"{'recall / precision / pause':26}" + "".join(f"{name:>22}" for name in rules))
    for name in BACKGROUNDS:
        for below_db in (30, 20, 10, 5, 0):
            row(f"{name}, {below_db} dB below", mixed(said, name, below_db))
    for level_db in (0, -20, -40, -50, -60):
        row(f"speech at {level_db} dBFS", at_level(said.wave, level_db, said.truth).astype(np.float32))
    print("alone, columns taken for speech")
    for name, make in BACKGROUNDS.items():
        wave = at_level(make(20 * _RATE_HZ), _LEVEL_DB).astype(np.float32)
        print(f"{name:26}" + "".join(f"{rule(wave).mean():>22.2f}" for rule in rules.values()))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, help="clean speech to measure with, beside espeak-ng's")
    arguments = parser.parse_args()
    vad = SileroVad(Registry(models_folder() / "registry.toml", Path()).resolve("silero_vad").path)
    rules = {"silero_vad": by_network(vad), "level": by_level}
    sources = {"espeak-ng": synthesised()}
    if arguments.speech:
        sources[arguments.speech.name] = recorded(arguments.speech)
    for name, said in sources.items():
        print(f"\n{name}, {len(said.wave) / _RATE_HZ:.0f} s")
        _print(said, rules)
    wave = np.tile(sources["espeak-ng"].wave.astype(np.float32), 10)
    begin = time.perf_counter()
    vad(wave)
    rate = len(wave) / _RATE_HZ / (time.perf_counter() - begin)
    print(f"\nsilero_vad, one thread: {rate:.0f} times as fast as the audio lasts")


if __name__ == "__main__":
    main()
