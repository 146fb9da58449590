"""`lipwise-ray inspect`: what a video or a sound is like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import lipwise_ray
from lipwise_ray.cli import setup
from lipwise_ray.errors import MediaError, OutputError

if TYPE_CHECKING:
    from lipwise_ray.values import Json

_LISTS = ("longest", "people", "segments")


def inspect(
    files: Annotated[list[Path], typer.Argument(help="Videos, images or audio files.", metavar="FILE")],
    *,
    job: setup.Job = None,
    assignments: setup.Set = None,
    asr: Annotated[
        Path | None, typer.Option("--asr", help="Folder of a Whisper model: adds what is said, and the language.")
    ] = None,
    watermark: Annotated[
        Path | None, typer.Option("--watermark", help="File of AudioSeal's detector: finds a mark that is not heard.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per file.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for inspect.json and images of the faces.")] = None,
) -> None:
    """Show what files hold: streams, rates, loudness, speech, shots, faces, and how lips and sound go together."""
    extra = [f"asr.model={json.dumps(str(asr))}"] if asr else []
    if watermark is not None:
        extra.append(f"marking.watermark_detector_checkpoint={json.dumps(str(watermark))}")
    settings = lipwise_ray.load_settings(job=job, assignments=[*(assignments or []), *extra])
    inspector = lipwise_ray.Inspector(settings, models=setup.models_folder())
    failed = False
    for number, file in enumerate(files):
        try:
            found = inspector(file)
        except MediaError as error:
            failed = True
            typer.echo(str(error), err=True)
            continue
        typer.echo(json.dumps(found.record) if as_json else "\n".join(_lines(found.record)))
        if out is not None:
            folder = out if len(files) == 1 else out / f"{number}-{file.stem}"
            _write(folder, found.record, found.face_jpegs)
    raise typer.Exit(1 if failed else 0)


def _lines(record: Json) -> list[str]:
    lines = [str(record["file"])]
    for stream in record["streams"]:
        facts = (stream["codec"], f"{stream['seconds']} s" if stream["seconds"] else None, stream["language"])
        lines.append(f"  {stream['type']:8} {', '.join(str(fact) for fact in facts if fact)}")
    for name in ("picture", "sound", "speech", "faces", "sync"):
        told = {key: value for key, value in record.get(name, {}).items() if key not in _LISTS and value is not None}
        if told:
            lines.append(f"  {name:8} {', '.join(f'{key} {value}' for key, value in told.items())}")
    lines += [f"    {_person(one)}" for one in record.get("faces", {}).get("people", [])]
    lines += [
        f"    face {one['face']}: {one['from_s']:g} s to {one['to_s']:g} s at {one['box']}"
        for one in record.get("faces", {}).get("longest", [])
    ]
    return lines


def _person(facts: Json) -> str:
    """Return a line about a person, with the rule that names them."""
    name = f"person {facts['person']} (index:{facts['person']})" if facts["person"] is not None else "somebody passing"
    where = "" if facts["shot"] is None else f" of shot {facts['shot']}"
    when = f"{facts['seconds']:g} s on screen from {facts['from_s']:g} s to {facts['to_s']:g} s"
    return f"{name}{where}: {when}, confidence {facts['confidence']:g}, at {facts['box']}"


def _write(folder: Path, record: Json, faces: dict[str, bytes]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "inspect.json").write_text(json.dumps(record, indent=1), "utf-8")
        for name, data in faces.items():
            (folder / f"{name}.jpg").write_bytes(data)
    except OSError as error:
        got = error.strerror or ""
        happened = f"cannot be written: {got.lower()}"
        raise OutputError("not_writable", str(folder), got=happened, do="Check the folder") from error
    typer.echo(f"written: {folder}", err=True)
