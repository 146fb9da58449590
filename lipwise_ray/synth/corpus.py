"""A corpus of talking presenters, in the folders and file lists that training reads."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from lipwise_ray.errors import InputError
from lipwise_ray.media.container import write_problem
from lipwise_ray.synth.footage import write_scene, write_spoken
from lipwise_ray.synth.motion import Liveliness
from lipwise_ray.synth.scene import Camera, DrawnPerson, Scene, Shot
from lipwise_ray.synth.sentences import LANGUAGES, sentence
from lipwise_ray.synth.speech import Speech, Voice, joined, speak, with_silence
from lipwise_ray.synth.truth import take_name, truth_beside
from lipwise_ray.values import Json, Size

TRAIN_VARIANTS = (
    "", "m1", "m3", "m4", "m6", "m7", "m8", "f1", "f2", "f4", "f5", "Andy", "Annie", "Alex", "Andrea", "Denis",
    "Diogo", "Gene", "Henrique", "Hugo", "Jacky", "Lee", "Marco", "Mario", "Michael", "Mike", "Reed", "adam",
    "anika", "antonio", "aunty", "benjamin", "boris", "caleb", "david", "ed", "gustave", "ian", "iven", "john",
    "linda", "marcelo", "max", "michel", "miguel", "norbert", "pablo", "paul", "pedro", "quincy", "rob",
    "robert", "sandro", "shelby", "steph", "travis", "zac",
)  # fmt: skip
HELD_OUT_VARIANTS = ("m2", "m5", "f3", "Alicia", "edward")
HELD_OUT_LANGUAGES = ("fr",)
TRAIN_LANGUAGES = tuple(language for language in LANGUAGES if language not in HELD_OUT_LANGUAGES)

_HELD_OUT_LOOKS = 1 << 24
"""Looks from this seed on never meet training."""

_KEPT_ONE_IN = 5

_TRACTS = (0.86, 1.18)
"""Shortest and longest vocal tract in training: far more voices than espeak-ng's variants."""

_SMALLEST_PX, _LARGEST_PX = 120, 288

KINDS = ("talking", "scenes", "speech")
_SOLO, _DUO, _EMPTY = 0.62, 0.30, 0.08
_PEAK = 0.5


@dataclass(frozen=True, slots=True)
class CorpusSpec:
    """Specification of a corpus.

    Attributes:
        clips: Number of clips.
        seed: Chooses everything in it.
        kind: ``talking`` for one presenter a clip, close; ``scenes`` for one, two or no people at
            all sizes, with cuts; ``speech`` for audio alone.
        seconds: Length of a ``talking`` or ``speech`` clip, about.
        size: Of the frames; None for 120x120 to 288x288 of ``talking`` and 320x180 to 640x360 of ``scenes``.
        clips_a_speaker: Clips that show one presenter.
        takes: Takes of each ``talking`` clip: the same movements and light, another speech.
        held_out: Draw presenters, voices, languages and sentences that are kept from training.
        val_share: Share of the speakers listed in val.txt.
    """

    clips: int
    seed: int = 0
    kind: str = "talking"
    seconds: float = 4.0
    size: Size | None = None
    clips_a_speaker: int = 2
    takes: int = 1
    held_out: bool = False
    val_share: float = 0.05


def draw_voice(rng: np.random.Generator, *, held_out: bool, language: str | None = None) -> Voice:
    """Return a voice.

    Args:
        rng: Source of the draw.
        held_out: Draw a variant that training never hears, and from more languages.
        language: The language; None draws one.
    """
    languages = (*TRAIN_LANGUAGES, *HELD_OUT_LANGUAGES) if held_out else TRAIN_LANGUAGES
    chosen = language or languages[int(rng.integers(len(languages)))]
    variants = HELD_OUT_VARIANTS if held_out else TRAIN_VARIANTS
    return Voice(
        chosen,
        variants[int(rng.integers(len(variants)))],
        words_per_minute=int(rng.integers(135, 185)),
        pitch=int(rng.integers(30, 70)),
        pitch_range=int(rng.integers(35, 65)),
        tract=1.0 if held_out else float(rng.uniform(*_TRACTS)),
    )


def draw_speech(rng: np.random.Generator, voice: Voice, seconds: float, *, held_out: bool = False) -> Speech:
    """Return sentences of about this length, with pauses; never shorter.

    Args:
        rng: Source of the draw.
        voice: Voice, and so the language.
        seconds: Least length.
        held_out: Draw sentences that training never hears.
    """
    parts: list[Speech] = []
    total_s = 0.0
    while total_s < seconds:
        pause_s = float(rng.uniform(0.12, 0.5))
        part = with_silence(
            speak(_draw_sentence(voice.language, rng, held_out=held_out), voice), pause_s, float(rng.uniform(0.1, 0.35))
        )
        parts.append(part)
        total_s += part.seconds
    speech = joined(parts)
    loudness = _PEAK * float(rng.uniform(0.5, 1.5)) / max(1e-3, float(np.abs(speech.wave_f32).max()))
    return replace(speech, wave_f32=(speech.wave_f32 * loudness).astype(np.float32))


def _draw_sentence(language: str, rng: np.random.Generator, *, held_out: bool) -> str:
    """Return a sentence: one in five of all there are is kept from training, by its checksum."""
    while True:
        text = sentence(language, rng)
        if (zlib.crc32(text.encode()) % _KEPT_ONE_IN == 0) == held_out:
            return text


def draw_camera(rng: np.random.Generator) -> Camera:
    """Return a camera."""
    return Camera(
        noise=float(rng.uniform(0, 1.6)),
        blur_px=float(rng.choice([0.0, rng.uniform(0.3, 0.6)])),
        gain=float(rng.uniform(0.88, 1.08)),
    )


def talking_scene(seed: int, look_seed: int, speech: Speech, size: Size) -> Scene:
    """Return one presenter who speaks, close to the camera.

    Args:
        seed: Chooses place, movement and camera.
        look_seed: Seed of the presenter's looks, and of the room's.
        speech: Words of the presenter; the scene is as long.
        size: Of the frames.
    """
    rng = np.random.default_rng([seed, 0x7A1])
    person = DrawnPerson(
        look_seed,
        x=float(rng.uniform(0.42, 0.58)),
        y=float(rng.uniform(0.44, 0.5)),
        scale=float(rng.uniform(0.19, 0.27)),
        speech=speech,
        motion_seed=seed,
        liveliness=_liveliness(rng),
    )
    shots = (Shot(0.0, (person,), look_seed),)
    return Scene(size, speech.seconds, shots, speech.wave_f32, draw_camera(rng), seed)


def crowd_scene(seed: int, size: Size, *, held_out: bool) -> Scene:
    """Return shots of one, two or no people at all sizes.

    Args:
        seed: Chooses all of the scene.
        size: Of the frames.
        held_out: Draw voice, words, people and rooms that training never meets.
    """
    rng = np.random.default_rng([seed, 0xC30])
    shots: list[Shot] = []
    voice = draw_voice(rng, held_out=held_out)
    speech = draw_speech(rng, voice, float(rng.uniform(2, 4)), held_out=held_out)
    start_s = 0.0
    while start_s < speech.seconds - 0.4:
        shots.append(Shot(start_s, _people(rng, held_out=held_out, speech=speech), _look_seed(rng, held_out=held_out)))
        start_s += float(rng.uniform(0.5, 1.5))
    return Scene(size, speech.seconds, tuple(shots), speech.wave_f32, draw_camera(rng), seed)


def _people(rng: np.random.Generator, *, held_out: bool, speech: Speech) -> tuple[DrawnPerson, ...]:
    count = int(rng.choice([1, 2, 0], p=[_SOLO, _DUO, _EMPTY]))
    places = {
        0: (),
        1: (float(rng.uniform(0.2, 0.8)),),
        2: (float(rng.uniform(0.15, 0.35)), float(rng.uniform(0.65, 0.85))),
    }
    speaker = int(rng.integers(max(1, count)))
    return tuple(
        DrawnPerson(
            _look_seed(rng, held_out=held_out),
            x=x,
            y=float(rng.uniform(0.34, 0.60)),
            scale=float(np.exp(rng.uniform(np.log(0.05), np.log(0.26 if count == 1 else 0.17)))),
            speech=speech if place == speaker else None,
            motion_seed=int(rng.integers(1 << 30)),
            liveliness=_liveliness(rng),
        )
        for place, x in enumerate(places[count])
    )


def _liveliness(rng: np.random.Generator) -> Liveliness:
    calm = float(rng.uniform(0.35, 1.0))
    return Liveliness(0.34 * calm, 0.16 * calm, 0.12 * calm, 0.22 * calm, 0.07 * calm)


def _look_seed(rng: np.random.Generator, *, held_out: bool) -> int:
    return int(rng.integers(_HELD_OUT_LOOKS)) + (_HELD_OUT_LOOKS if held_out else 0)


def _clip_name(spec: CorpusSpec, number: int) -> str:
    each, takes = (spec.clips_a_speaker, spec.takes) if spec.kind == "talking" else (1, 1)
    clip, take = divmod(number, takes)
    return take_name(f"s{clip // each:05d}/{clip % each:03d}", take if takes > 1 else None)


def corpus_scene(spec: CorpusSpec, number: int) -> Scene:
    """Return clip `number` of a corpus."""
    clip, take = divmod(number, spec.takes) if spec.kind == "talking" else (number, 0)
    rng = np.random.default_rng([spec.seed, clip, int(spec.held_out)])
    seed = int(rng.integers(1 << 31))
    if take:
        rng = np.random.default_rng([spec.seed, clip, int(spec.held_out), take])
    if spec.kind == "scenes":
        width = int(rng.choice([320, 480, 640]))
        return crowd_scene(seed, spec.size or Size(width, width * 9 // 16 // 2 * 2), held_out=spec.held_out)
    speaker = np.random.default_rng([spec.seed, clip // spec.clips_a_speaker, 0x5EA, int(spec.held_out)])
    look_seed = _look_seed(speaker, held_out=spec.held_out)
    voice = draw_voice(rng, held_out=spec.held_out)
    speech = draw_speech(rng, voice, spec.seconds, held_out=spec.held_out)
    scene = talking_scene(seed, look_seed, speech, spec.size or _square(np.random.default_rng([seed, 0x51E])))
    return replace(scene, seed=scene.seed + take)


def _square(rng: np.random.Generator) -> Size:
    """Return a frame size for a face 45 to 155 pixels wide: boxes are padded by pixels, so crops come in all shapes."""
    side = 2 * round(float(np.exp(rng.uniform(np.log(_SMALLEST_PX), np.log(_LARGEST_PX)))) / 2)
    return Size(side, side)


def write_corpus(root: Path, spec: CorpusSpec, workers: int) -> Iterator[str]:
    """Write a corpus; clips that are there already stay.

    Layout: ``root/<speaker>/<clip>.mp4`` (``.wav`` of ``speech``) with its truth beside it, ``train.txt`` and
    ``val.txt`` with a ``<speaker>/<clip>`` a line, ``corpus.json``.

    Yields:
        The name of each clip when it is there.

    Raises:
        InputError: The folder holds another corpus.
        OutputError: The folder cannot be written.
    """
    _record(root, spec)
    names = [_clip_name(spec, number) for number in range(spec.clips)]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
    missing = [n for n, name in enumerate(names) if not truth_beside(_file_of(root, spec, name)).is_file()]
    lacking = set(missing)
    yield from (name for n, name in enumerate(names) if n not in lacking)
    if missing:
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            yield from pool.map(_write_clip, [(root, spec, number) for number in missing], chunksize=4)
    speakers = sorted({name.split("/")[0] for name in names})
    val = max(1, round(spec.val_share * len(speakers))) if len(speakers) > 1 else 0
    kept = set(speakers[len(speakers) - val :])
    (root / "train.txt").write_text("".join(f"{name}\n" for name in names if name.split("/")[0] not in kept))
    (root / "val.txt").write_text("".join(f"{name}\n" for name in names if name.split("/")[0] in kept))


def _record(root: Path, spec: CorpusSpec) -> None:
    """Write what the corpus holds; one that is there goes on only as what it is."""
    note: Json = {
        "kind": spec.kind,
        "seed": spec.seed,
        "held_out": spec.held_out,
        "seconds": spec.seconds,
        "takes": spec.takes,
        "size": [spec.size.width, spec.size.height] if spec.size else None,
    }
    path = root / "corpus.json"
    if path.is_file():
        try:
            noted: Any = json.loads(path.read_text())
            noted = dict(noted)
        except (OSError, ValueError, TypeError):
            noted = {"kind": "a damaged corpus.json"}
        other = [name for name, value in note.items() if noted.get(name, value) != value]
        if other:
            raise InputError(
                "other_corpus",
                str(root),
                got=f"holds a corpus of {', '.join(f'{name} = {noted[name]!r}' for name in other)}",
                must=f"this command asks for {', '.join(f'{note[name]!r}' for name in other)}",
                do="Choose another folder",
            )
    try:
        root.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(note, indent=1))
    except OSError as error:
        raise write_problem(root, error) from error


def _write_clip(task: tuple[Path, CorpusSpec, int]) -> str:
    root, spec, number = task
    name = _clip_name(spec, number)
    target = _file_of(root, spec, name)
    if spec.kind == "speech":
        rng = np.random.default_rng([spec.seed, number, int(spec.held_out), 0x5BE])
        voice = draw_voice(rng, held_out=spec.held_out)
        write_spoken(target, draw_speech(rng, voice, spec.seconds, held_out=spec.held_out))
    else:
        write_scene(target, corpus_scene(spec, number))
    return name


def _file_of(root: Path, spec: CorpusSpec, name: str) -> Path:
    return root / f"{name}{'.wav' if spec.kind == 'speech' else '.mp4'}"
