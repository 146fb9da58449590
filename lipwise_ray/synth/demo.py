"""The inputs of the demo: four clips, their new audio, and the true lips under it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lipwise_ray.synth.footage import write_scene, write_speech, write_still
from lipwise_ray.synth.motion import Liveliness
from lipwise_ray.synth.scene import Camera, DrawnPerson, Scene, Shot
from lipwise_ray.synth.speech import Speech, Voice, joined, speak, with_silence
from lipwise_ray.synth.truth import truth_beside
from lipwise_ray.values import Size

SIZE = Size(480, 270)
_CAMERA = Camera(noise=0.6)
_CALM = Liveliness(0.20, 0.09, 0.06, 0.14, 0.04)
_LISTENING = Liveliness(0.12, 0.06, 0.05, 0.08, 0.02)
_STILL_SEED = 33_554_501


def _said(voice: Voice, *sentences: str) -> Speech:
    parts = [with_silence(speak(text, voice), 0.25, 0.2) for text in sentences]
    return joined(parts)


def _english(variant: str) -> Voice:
    return Voice("en-us", variant, words_per_minute=150, pitch=48)


def write_demo(folder: Path) -> Iterator[Path]:
    """Write the demo's inputs; yields each file.

    Files: ``<name>.mp4`` (or .png) the original, ``<name>.m4a`` the new audio, and
    ``true/<name>.mp4`` the same presenter really saying it.
    """
    (folder / "true").mkdir(parents=True, exist_ok=True)
    for name, filmed, dubbed in demo_scenes():
        if filmed.seconds:
            write_scene(folder / f"{name}.mp4", filmed, quality=21, preset="slow")
            truth_beside(folder / f"{name}.mp4").unlink()
            yield folder / f"{name}.mp4"
        else:
            write_still(folder / f"{name}.png", filmed)
            yield folder / f"{name}.png"
        write_speech(folder / f"{name}.m4a", dubbed.sound)
        yield folder / f"{name}.m4a"
        write_scene(folder / "true" / f"{name}.mp4", dubbed, quality=21, preset="slow")
        truth_beside(folder / "true" / f"{name}.mp4").unlink()
        yield folder / "true" / f"{name}.mp4"


def demo_scenes() -> Iterator[tuple[str, Scene, Scene]]:
    """Yield a name, the original scene, and the same scene with the new speech."""
    first = _said(
        _english("f3"),
        "Welcome to the morning show.",
        "Today we open a big blue box from my mother.",
        "What may be in it?",
    )
    spanish = _said(
        Voice("es", "f3", words_per_minute=150), "Bienvenidos a nuestro programa.",
        "Hoy abrimos una caja azul muy grande de mi madre.", "¿Qué habrá en ella?",
    )  # fmt: skip
    yield "presenter", _scene(_solo(33_554_433, first), first), _scene(_solo(33_554_433, spanish), spanish)

    second = _said(
        _english("Alicia"), "We bought five apples at the market.", "My brother ate them all before the bus came."
    )
    korean = _said(
        Voice("ko", "Alicia", words_per_minute=150), "시장에서 파란 우산을 샀습니다.", "동생이 아침마다 빵을 만듭니다."
    )
    yield "two-people", _scene(_pair(second), second), _scene(_pair(korean), korean)

    third = _said(
        _english("m5"), "Above the village there is an old museum.", "Nobody remembers who built it.", "Follow me."
    )
    arabic = _said(
        Voice("ar", "m5", words_per_minute=150),
        "مرحبا بكم أمام المتحف القديم.",
        "لا أحد يتذكر من بناه.",
        "هيا بنا معا.",
    )
    yield "cuts", _scene(_cut_up(third), third), _scene(_cut_up(arabic), arabic)

    german = _said(
        Voice("de", "edward", words_per_minute=150),
        "Guten Abend aus dem Museum.",
        "Dieses Bild kann sprechen, aber wie?",
    )
    person = DrawnPerson(_STILL_SEED, 0.5, 0.48, 0.21, german, 4, Liveliness(0, 0, 0, 0, 0))
    filmed = replace(_scene((Shot(0.0, (replace(person, speech=None),), _STILL_SEED),), german), seconds=0.0)
    yield "still", filmed, _scene((Shot(0.0, (person,), _STILL_SEED),), german)


def _scene(shots: tuple[Shot, ...], said: Speech) -> Scene:
    return Scene(SIZE, said.seconds, shots, said.wave_f32, _CAMERA, seed=1)


def _solo(look: int, said: Speech) -> tuple[Shot, ...]:
    return (Shot(0.0, (DrawnPerson(look, 0.5, 0.47, 0.21, said, 11, _CALM),), look),)


def _pair(said: Speech) -> tuple[Shot, ...]:
    speaker = DrawnPerson(33_554_440, 0.30, 0.46, 0.19, said, 21, _CALM)
    listener = DrawnPerson(33_554_441, 0.72, 0.47, 0.18, None, 22, _LISTENING)
    return (Shot(0.0, (listener, speaker), 33_554_442),)


def _cut_up(said: Speech) -> tuple[Shot, ...]:
    """Return a close shot, an empty room, and the presenter again from elsewhere."""
    look = 33_554_455
    close = DrawnPerson(look, 0.45, 0.47, 0.21, said, 31, _CALM)
    far = replace(close, x=0.62, scale=0.19, motion_seed=32)
    return (
        Shot(0.0, (close,), look),
        Shot(0.42 * said.seconds, (), 33_554_456),
        Shot(0.58 * said.seconds, (far,), 33_554_457),
    )
