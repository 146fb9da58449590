"""Options that commands share, and what they read of the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

Job = Annotated[Path | None, typer.Option("--job", help="Settings file (TOML).", metavar="FILE.toml")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="One setting, may be repeated.", metavar="SECTION.KEY=VALUE")
]
Preset = Annotated[str | None, typer.Option("--preset", help="quality (default), fast or parity.")]
ManifestFile = Annotated[
    str, typer.Argument(help="A .csv, .xlsx, .jsonl or .parquet file, or its address: s3://, gs:// or az://.")
]
Out = Annotated[
    str | None,
    typer.Option("--out", help="Folder or s3://, gs://, az:// prefix for outputs. Default: out beside the manifest."),
]

State = Annotated[
    str | None,
    typer.Option(
        "--state",
        help="Where progress is kept: a folder, s3://, gs:// or az://. Default: OUT.state.",
        metavar="ADDRESS",
    ),
]
ServiceOut = Annotated[
    str | None,
    typer.Option("--out", help="Folder or s3://, gs://, az:// prefix for outputs. Default: out in the folder."),
]
ServiceState = Annotated[
    str | None,
    typer.Option(
        "--state",
        help="Where the queue and progress are kept: a folder, s3://, gs:// or az://. Default: state in the folder.",
        metavar="ADDRESS",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address", help="local (default), auto, ray://HOST:PORT of a cluster, or http://HOST:8265 of its dashboard."
    ),
]
Prices = Annotated[
    Path | None, typer.Option("--prices", help="What machines cost, such as cluster/prices.toml.", metavar="FILE.toml")
]
FailAbove = Annotated[
    float,
    typer.Option(
        "--fail-above",
        min=0.0,
        max=1.0,
        help="The fraction of rows that may fail: up to it the exit code is 0 all the same.",
        metavar="SHARE",
    ),
]
Workers = Annotated[int | None, typer.Option("--workers", min=0, help="Render workers; 0 chooses.")]


def previews_folder() -> Path | None:
    """Return the folder of previews in a cache that the environment names; None for the usual one."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return Path(cache) / "lipwise-ray" / "previews" if cache else None


def models_folder() -> Path | None:
    """Return the folder of pulled checkpoints that the environment names: LIPWISE_MODELS, or of a cache of its own."""
    if told := os.environ.get("LIPWISE_MODELS"):
        return Path(told)
    cache = os.environ.get("XDG_CACHE_HOME")
    return Path(cache) / "lipwise-ray" / "models" if cache else None
