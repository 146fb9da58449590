from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("espeakng_loader")

from lipwise_ray.errors import SetupError
from lipwise_ray.synth.corpus import _draw_sentence
from lipwise_ray.synth.sentences import LANGUAGES, sentence
from lipwise_ray.synth.speech import RATE_HZ, Voice, joined, speak, with_silence


@pytest.mark.parametrize("language", LANGUAGES)
def test_phonemes_cover_the_speech_in_order(language: str) -> None:
    """In every language the phonemes follow each other without overlap, inside the sound."""
    said = speak(sentence(language, np.random.default_rng(3)), Voice(language, "f2"))
    assert said.seconds > 0.5
    assert len([p for p in said.phonemes if p.ipa]) > 5
    ends = [(p.start_s, p.stop_s) for p in said.phonemes]
    assert all(start < stop for start, stop in ends)
    assert all(before[1] <= after[0] + 1e-9 for before, after in itertools.pairwise(ends))
    assert ends[-1][1] <= said.seconds + 1e-9


def test_a_vowel_is_louder_than_the_pause_before_it() -> None:
    """Phoneme times agree with the sound: silence is where the pauses are."""
    said = with_silence(speak("Maybe.", Voice("en-us")), 0.3, 0.3)
    level = [
        float(np.abs(said.wave_f32[int(p.start_s * RATE_HZ) : int(p.stop_s * RATE_HZ)]).mean()) for p in said.phonemes
    ]
    vowel = next(n for n, p in enumerate(said.phonemes) if "e" in p.ipa)
    assert level[vowel] > 50 * max(level[0], level[-1], 1e-6)


def test_the_same_words_sound_the_same_twice() -> None:
    """What is said and about how long stays, also after another voice has spoken; espeak-ng's noise moves on."""
    voice = Voice("es", "m1", words_per_minute=150, pitch=40)
    first = speak("una caja grande", voice)
    speak("another voice", Voice("en-us", "f4", words_per_minute=180))
    second = speak("una caja grande", voice)
    assert first.seconds == pytest.approx(second.seconds, abs=0.03)
    assert [p.ipa for p in first.phonemes if p.ipa] == [p.ipa for p in second.phonemes if p.ipa]


def test_a_shorter_tract_is_a_higher_voice_at_the_same_pace() -> None:
    """All formants move up; how long the words last and where the phonemes lie in them stays."""
    short, long = (speak("una caja grande y azul", Voice("es", "m1", tract=tract)) for tract in (0.86, 1.18))
    assert short.seconds == pytest.approx(long.seconds, rel=0.08)
    places = [[p.start_s / said.seconds for p in said.phonemes if p.ipa] for said in (short, long)]
    assert np.allclose(*places, atol=0.03)
    assert all(said.phonemes[-1].stop_s <= said.seconds + 1e-9 for said in (short, long))
    middles = []
    for said in (short, long):
        power = np.abs(np.fft.rfft(said.wave_f32)) ** 2
        middles.append(float((power * np.arange(len(power))).sum() / power.sum() / said.seconds))
    assert middles[0] > 1.15 * middles[1]


def test_joined_speech_keeps_its_phonemes_in_place() -> None:
    """The second sentence's phonemes begin where the first one ends."""
    one, two = speak("Blue.", Voice("en-us")), speak("Map.", Voice("en-us"))
    both = joined([one, two])
    assert len(both.wave_f32) == len(one.wave_f32) + len(two.wave_f32)
    assert both.phonemes[len(one.phonemes)].start_s == pytest.approx(one.seconds + two.phonemes[0].start_s)


def test_an_unknown_voice_is_named() -> None:
    """A voice that espeak-ng does not have gives an error with its name."""
    with pytest.raises(SetupError, match="xx-nowhere"):
        speak("a", Voice("xx-nowhere"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_are_kept_from_training(language: str) -> None:
    """What held-out presenters say is said by nobody in training."""
    rng = np.random.default_rng(3)
    kept, told = ({_draw_sentence(language, rng, held_out=held_out) for _ in range(300)} for held_out in (True, False))
    assert len(kept) > 100
    assert len(told) > 100
    assert not kept & told
