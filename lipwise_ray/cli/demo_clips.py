"""`lipwise-ray synth`: made-up clips to try the product with."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Make test clips.", no_args_is_help=True)


@app.command("clip")
def clip(
    target: Annotated[Path, typer.Argument(help="The file to write; its ending chooses the container.")],
    *,
    seconds: Annotated[float, typer.Option("--seconds", min=0.04, help="Length.")] = 4.0,
    rate: Annotated[str, typer.Option("--rate", help="Frames a second, for example 30000/1001.")] = "25",
    width: Annotated[int, typer.Option("--width", min=64)] = 640,
    height: Annotated[int, typer.Option("--height", min=48)] = 360,
) -> None:
    """Write a clip of moving shapes with its frame number burnt in, and a tone."""
    from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip  # noqa: PLC0415  # heavy
    from lipwise_ray.values import Size  # noqa: PLC0415  # with the other

    exact = Fraction(rate)
    target.parent.mkdir(parents=True, exist_ok=True)
    spec = ClipSpec(size=Size(width, height), rate=exact, frames=max(1, round(seconds * exact)), tone=ToneSpec(seconds))
    write_clip(target, spec)
    typer.echo(f"{target}: {spec.frames} frames")


@app.command("sound")
def sound(
    target: Annotated[Path, typer.Argument(help="The file to write.")],
    *,
    seconds: Annotated[float, typer.Option("--seconds", min=0.01, help="Length.")] = 4.0,
    tone_hz: Annotated[float, typer.Option("--tone-hz", min=20, max=20_000)] = 220.0,
) -> None:
    """Write a tone with a click every second."""
    from lipwise_ray.synth.clips import ToneSpec, write_sound  # noqa: PLC0415  # heavy

    target.parent.mkdir(parents=True, exist_ok=True)
    codec = "pcm_s16le" if target.suffix == ".wav" else "aac"
    write_sound(target, ToneSpec(seconds, tone_hz=tone_hz, codec=codec))
    typer.echo(f"{target}: {seconds:g} s")
