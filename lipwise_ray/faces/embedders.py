"""Making embedders of checkpoints."""

from __future__ import annotations

from pathlib import Path

from lipwise_ray.faces.embedder import FaceEmbedder


def load_embedder(network: str, weights: Path, *, device: str = "cpu", threads: int = 0) -> FaceEmbedder:
    """Return the embedder of a checkpoint.

    Args:
        network: ``sface`` or ``mobilefacenet``, as the registry names them.
        weights: The file.
        device: ``cpu`` or ``cuda``, where the network runs on either.
        threads: Of the CPU, where the network is told; 0 leaves it to the library.

    Raises:
        WeightsError: The file is of another network.
    """
    if network == "mobilefacenet":
        from lipwise_ray.faces.mobilefaces import MobileFaces

        return MobileFaces(weights, device=device)
    from lipwise_ray.faces.sface import SFace

    return SFace(weights, threads=threads)
