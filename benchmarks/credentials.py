"""Seconds and memory of signing and verifying files, a row a container and size.

    python -m benchmarks.credentials [--mib 50,500,2000] [--kinds mp4,mov,mkv] [--scratch FOLDER]

Files are of noise; each is signed once by a self-made certificate with a source of the same size as its ingredient, and
verified once. Memory is the largest resident size of the process that does it. The scratch folder needs room for three
files of the largest size.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np

_BLOCK = os.urandom(8 << 20)
_SOUND = {"mkv": "pcm_s16le", "mp4": "aac", "mov": "pcm_s16le"}


def write_noise(path: Path, size_mib: int) -> None:
    """Write a file of a container whose media data are noise.

    Args:
        path: Its ending says which.
        size_mib: Size of the noise.
    """
    with av.open(str(path), "w") as file:
        sound: Any = file.add_stream(_SOUND[path.suffix[1:]], rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 0
        file.mux([*sound.encode(frame), *sound.encode(None)])
    added = size_mib << 20
    head = path.read_bytes()
    with path.open("wb") as file:
        if path.suffix in {".mp4", ".mov"}:
            at = head.index(b"mdat") - 4
            size = int.from_bytes(head[at : at + 4])
            file.write(head[:at] + b"\0\0\0\1mdat" + (size + 8 + added).to_bytes(8) + head[at + 8 : at + size])
            rest = head[at + size :]
        else:
            file.write(head)
            rest = b""
        for _ in range(size_mib // 8):
            file.write(_BLOCK)
        file.write(_BLOCK[: (size_mib % 8) << 20] + rest)


def measured(task: str, file: Path, beside: Path, own: Path) -> dict[str, float]:
    """Sign or verify a file in this process's children.

    Args:
        task: ``sign`` or ``verify``.
        file: The file.
        beside: Its source, or the signed file.
        own: Folder of the certificate.
    """
    from lipwise_ray.credentials.claim import Claim, UsedMedia, is_beside
    from lipwise_ray.credentials.native import sign_file
    from lipwise_ray.credentials.signer import signer_of
    from lipwise_ray.credentials.verification import verify
    from lipwise_ray.settings.marking import MarkingSettings

    begin_s = time.perf_counter()
    if task == "sign":
        media = (UsedMedia(beside.name, beside, "source", is_source=True),)
        claim = Claim(file.name, "1", "2026-01-01T00:00:00+00:00", "job", "row", None, (), media)
        into = Path(f"{file}.c2pa") if is_beside(file) else file.with_name(f"signed{file.suffix}")
        sign_file(file, claim, signer_of(MarkingSettings(folder=str(own))), into)
    elif verify(file).verdict != "valid":
        raise SystemExit(f"{file.name}: {verify(file)}")
    return {
        "seconds": time.perf_counter() - begin_s,
        "mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", default="50,500,2000")
    parser.add_argument("--kinds", default="mp4,mov,mkv")
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        task, *paths = options.one
        print(json.dumps(measured(task, *map(Path, paths))))
        return
    print("| file | MiB | sign, s | peak, MiB | verify, s | peak, MiB |\n|---|---|---|---|---|---|", flush=True)
    for kind in options.kinds.split(","):
        for size_mib in map(int, options.mib.split(",")):
            with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
                plain, source = Path(folder, f"plain.{kind}"), Path(folder, f"source.{kind}")
                write_noise(plain, size_mib)
                source.hardlink_to(plain)
                cells = [f"{kind} | {size_mib}"]
                signed = plain if kind == "mkv" else plain.with_name(f"signed.{kind}")
                for task, file in (("sign", plain), ("verify", signed)):
                    words = [sys.executable, "-m", "benchmarks.credentials", "--one", task, file, source, Path(folder)]
                    found = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
                    cells.append(f"{found['seconds']:.1f} | {found['mib']:.0f}")
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
