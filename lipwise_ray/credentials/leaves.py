"""Hashes of a film piece by piece, so that memory does not grow with its length.

c2pa holds what it hashes at once, up to two pieces of 256 MiB. MP4 and MOV may have a hash for each block of their
media data in its place: the leaves of a Merkle tree.

Source: C2PA technical specification 2.2, "BMFF-based hash"; differs in: all leaves are listed, so there are no proofs.
"""

from __future__ import annotations

import os
from pathlib import Path

_BLOCK_KB = 4096
_LEAST_BYTES = 32 << 20  # shorter ones are hashed at once
_KINDS = frozenset({"video/mp4", "video/x-m4v", "video/quicktime", "audio/mp4"})
_MOST_BOXES = 4096


def hashed_in_blocks(file: Path, kind: str) -> dict[str, int]:
    """Return settings of c2pa by which it hashes a file block by block; none for one that it hashes at once.

    Args:
        file: The file.
        kind: Its media type.

    Raises:
        OSError: It cannot be read.
    """
    # Of several boxes of media data c2pa 0.91 makes trees that its own reader finds changed.
    if kind not in _KINDS or file.stat().st_size < _LEAST_BYTES:
        return {}
    boxes = _boxes(file)
    if boxes.count(b"mdat") != 1 or len(boxes) == _MOST_BOXES:  # behind so many there may be others
        return {}
    return {"merkle_tree_chunk_size_in_kb": _BLOCK_KB, "merkle_tree_max_proofs": 0}


def _boxes(path: Path) -> list[bytes]:
    """Return the types of a file's boxes, without those within them."""
    found: list[bytes] = []
    at = 0
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while at + 8 <= end and len(found) < _MOST_BOXES:
            file.seek(at)
            head = file.read(16)
            size = int.from_bytes(head[:4])
            found.append(head[4:8])
            size = int.from_bytes(head[8:]) if size == 1 else size or end - at
            at += max(size, 8)
    return found
