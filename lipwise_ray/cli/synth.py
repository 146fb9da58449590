"""`lipwise-ray synth`: made-up presenters, speech and test clips."""

from __future__ import annotations

from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

import lipwise_ray
from lipwise_ray.cli import setup
from lipwise_ray.errors import SettingsError, SetupError

_LEAST_SIDE = 64
_STILLS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})

app = typer.Typer(help="Make presenters that talk, corpora of them, and test clips.", no_args_is_help=True)

Target = Annotated[Path, typer.Argument(help="The file to write; its ending chooses the container.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Chooses face, room, voice and words.")]
Language = Annotated[str | None, typer.Option("--language", help="en-us, es, ko, ar, de or fr.")]
Text = Annotated[str | None, typer.Option("--text", help="What is said. Default: made up.")]
Seconds = Annotated[float, typer.Option("--seconds", min=0.04, max=3600, help="Length, at least.")]


@app.command("clip")
def clip(
    target: Target,
    *,
    seed: Seed = 0,
    language: Language = None,
    text: Text = None,
    seconds: Seconds = 4.0,
    width: Annotated[int, typer.Option("--width", min=64, max=1920)] = 480,
    height: Annotated[int, typer.Option("--height", min=64, max=1080)] = 270,
) -> None:
    """Write a presenter who talks, and the truth about the clip beside it; a still for .png and the like."""
    _need_extra()
    from lipwise_ray.synth.corpus import talking_scene
    from lipwise_ray.synth.footage import write_scene, write_still
    from lipwise_ray.synth.truth import truth_beside
    from lipwise_ray.values import Size

    said = _said(seed, language, text, seconds)
    scene = talking_scene(seed, seed, said, Size(width // 2 * 2, height // 2 * 2))
    if target.suffix.lower() in _STILLS:
        write_still(target, scene)
        typer.echo(f"{target}: a still")
        return
    truth = write_scene(target, scene)
    typer.echo(f"{target}: {len(truth['frames'])} frames; {truth_beside(target).name}")


@app.command("speech")
def speech(
    target: Target, *, seed: Seed = 0, language: Language = None, text: Text = None, seconds: Seconds = 4.0
) -> None:
    """Write speech alone."""
    _need_extra()
    from lipwise_ray.synth.footage import write_speech

    said = _said(seed, language, text, seconds)
    write_speech(target, said.wave_f32)
    typer.echo(f"{target}: {said.seconds:.2f} s")


def _need_extra() -> None:
    missing = [name for name in ("skia", "espeakng_loader") if find_spec(name) is None]
    if missing:
        happened = f"{' and '.join(missing)} not installed"
        raise SetupError("no_extra", "synth", got=happened, do="Run `pip install 'lipwise-ray[train]'`")


def _said(seed: int, language: str | None, text: str | None, seconds: float):  # noqa: ANN202  # a Speech, imported late
    import numpy as np

    from lipwise_ray.synth.corpus import draw_speech, draw_voice
    from lipwise_ray.synth.sentences import LANGUAGES
    from lipwise_ray.synth.speech import speak, with_silence

    if language is not None and language not in LANGUAGES and text is None:
        happened = f'unknown language "{language}"'
        raise SettingsError("bad_value", "--language", got=happened, do=f"Without --text: {', '.join(LANGUAGES)}")
    rng = np.random.default_rng([seed, 0x5A1D])
    voice = draw_voice(rng, held_out=False, language=language)
    if text is None:
        return draw_speech(rng, voice, seconds)
    said = speak(text, voice)
    if not any(phoneme.ipa for phoneme in said.phonemes):
        raise SettingsError("bad_value", "--text", got=f"{text!r} cannot be spoken")
    return with_silence(said, 0.2, 0.2)


@app.command("corpus")
def corpus(
    out: Annotated[Path, typer.Argument(help="Folder of the corpus; one that is there is continued.")],
    *,
    clips: Annotated[int, typer.Option("--clips", min=1, max=1_000_000)] = 100,
    seed: Seed = 0,
    kind: Annotated[
        str, typer.Option("--kind", help="talking: one face a clip; scenes: one, two or none; speech: sound alone.")
    ] = "talking",
    seconds: Seconds = 4.0,
    takes: Annotated[
        int,
        typer.Option(
            "--takes", min=1, max=9, help="Film each talking clip this often: the same movements, another speech."
        ),
    ] = 1,
    side: Annotated[
        int, typer.Option("--side", min=0, max=1080, help="Side of the square frames of talking; 0 for many sizes.")
    ] = 0,
    held_out: Annotated[
        bool,
        typer.Option("--held-out", help="Presenters, voices, sentences and a language that are kept from training."),
    ] = False,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Processes; 0 for one per core.")] = 0,
) -> None:
    """Write a corpus to train on."""
    import os

    _need_extra()
    from lipwise_ray.synth.corpus import KINDS, CorpusSpec, write_corpus
    from lipwise_ray.values import Size

    if kind not in KINDS:
        raise SettingsError("bad_value", "--kind", got=f'unknown kind "{kind}"', do=f"Known: {', '.join(KINDS)}")
    if 0 < side < _LEAST_SIDE or (side and kind != "talking"):
        happened = f"{side} cannot be used with --kind {kind}"
        raise SettingsError("bad_value", "--side", got=happened, do=f"It is {_LEAST_SIDE} or more, and only of talking")
    size = Size(side // 2 * 2, side // 2 * 2) if side else None
    spec = CorpusSpec(clips, seed, kind, seconds, size, takes=takes, held_out=held_out)
    os.environ["PYTHONSAFEPATH"] = "1"  # no process of its own looks for modules in this folder
    done = sum(1 for _ in write_corpus(out, spec, workers or os.cpu_count() or 1))
    typer.echo(f"{out}: {done} clips, train.txt, val.txt")


@app.command("demo")
def demo(out: Annotated[Path, typer.Argument(help="Folder for the demo's inputs.")]) -> None:
    """Write the inputs of the demo."""
    _need_extra()
    from lipwise_ray.synth.demo import write_demo

    for file in write_demo(out):
        typer.echo(f"{file}: {file.stat().st_size} bytes")


@app.command("compare")
def compare(
    manifest: setup.ManifestFile,
    *,
    job: setup.Job = None,
    assignments: setup.Set = None,
    out: setup.Out = None,
    true: Annotated[Path, typer.Option("--true", help="Folder of the true lips.", metavar="DIR")] = Path(),
    expert: Annotated[str, typer.Option("--expert", help="The sync scorer: a name of the registry.")] = "tiny_judge",
) -> None:
    """Print the offset of audio and lips: original, dubbed, and really said."""
    from lipwise_ray.metrics.sync import SpeakerExpert
    from lipwise_ray.pipeline.quality.demo_sync import compare as compare_rows
    from lipwise_ray.roles.detector import DetectorMaker
    from lipwise_ray.runs.run_inputs import out_address, read_manifest, registry_of

    source = lipwise_ray.load_settings(job=job, assignments=assignments or ())
    settings = source.for_run()
    out_root = Path(out_address(out, settings, manifest))
    for option, folder in (("--out", out_root), ("--true", true)):
        if not folder.is_dir():
            raise SettingsError("no_videos", option, got=f"no folder at {folder}", do="Name a folder of videos")
    rows = read_manifest(manifest, source, settings, str(out_root)).rows
    registry = registry_of(settings, setup.models_folder())
    detector = DetectorMaker((registry.resolve("tiny_detector"),), settings.detect.min_score)()
    judge = SpeakerExpert(registry.resolve(expert, "lipsync_expert").path)
    typer.echo(f"sync distance by {expert}: 0 in sync, 1 out of it")
    typer.echo("shape and sharpness: of the mouth beside the true one, 1 is alike")
    titles = ("as filmed", "dubbed", "true lips", "gap closed", "shape", "sharpness")
    typer.echo(f"{'row':16} " + " ".join(f"{title:>10}" for title in titles))
    for one in compare_rows(rows, out_root, true, detector, judge, source.for_row):
        distances = [_cell(value, ".3f") for value in (one.before, one.after, one.true)]
        mouth = [_cell(value, ".2f") for value in (one.mouth.shape, one.mouth.sharpness)]
        typer.echo(f"{one.row:16} " + " ".join([*distances, _cell(one.gap_closed, ".0%"), *mouth]))


def _cell(value: float | None, form: str) -> str:
    return f"{'-' if value is None else format(value, form):>10}"


@app.command("shapes")
def shapes(
    target: Target,
    *,
    seconds: Seconds = 4.0,
    rate: Annotated[str, typer.Option("--rate", help="Frames a second, for example 30000/1001.")] = "25",
    width: Annotated[int, typer.Option("--width", min=64)] = 640,
    height: Annotated[int, typer.Option("--height", min=48)] = 360,
) -> None:
    """Write a clip of moving shapes with its frame number burnt in, and a tone."""
    from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip
    from lipwise_ray.values import Size

    exact = Fraction(rate)
    target.parent.mkdir(parents=True, exist_ok=True)
    spec = ClipSpec(size=Size(width, height), rate=exact, frames=max(1, round(seconds * exact)), tone=ToneSpec(seconds))
    write_clip(target, spec)
    typer.echo(f"{target}: {spec.frames} frames")


@app.command("tone")
def tone(
    target: Target,
    *,
    seconds: Seconds = 4.0,
    tone_hz: Annotated[float, typer.Option("--tone-hz", min=20, max=20_000)] = 220.0,
) -> None:
    """Write a tone with a click every second."""
    from lipwise_ray.synth.clips import ToneSpec, write_sound

    target.parent.mkdir(parents=True, exist_ok=True)
    codec = "pcm_s16le" if target.suffix == ".wav" else "aac"
    write_sound(target, ToneSpec(seconds, tone_hz=tone_hz, codec=codec))
    typer.echo(f"{target}: {seconds:g} s")
