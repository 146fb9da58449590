"""What a container sees of GPUs, and what is said where it sees none."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.nets.visible_gpus import visible_gpus

ALL = {"NVIDIA_VISIBLE_DEVICES": "all"}
WHOLE = {**ALL, "NVIDIA_DRIVER_CAPABILITIES": "compute,utility,video"}
HALF = {**ALL, "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
CUDA, NVENC = "libcuda.so.1", "libnvidia-encode.so.1"


def _loads(*libraries: str):
    def load(name: str) -> None:
        if name not in libraries:
            raise OSError(name)

    return load


@pytest.mark.parametrize(
    ("environment", "devices", "libraries", "cuda", "said"),
    [
        ({}, (), (), None, ""),
        ({"NVIDIA_VISIBLE_DEVICES": "void"}, (), (), "13.0", ""),
        (ALL, (), (), "13.0", "none is here, though NVIDIA_VISIBLE_DEVICES=all"),
        (HALF, ("nvidia0",), (), "13.0", "without the driver (libcuda.so.1)"),
        (
            WHOLE,
            ("nvidia0", "nvidia1"),
            (CUDA, NVENC),
            None,
            "nvidia0, nvidia1 and a driver are here, but this torch is",
        ),
        (WHOLE, ("nvidia0",), (CUDA, NVENC), "13.0", "cannot use them: driver too old"),
    ],
)
def test_why_there_is_no_gpu(
    tmp_path: Path,
    environment: dict[str, str],
    devices: tuple[str, ...],
    libraries: tuple[str, ...],
    cuda: str,
    said: str,
) -> None:
    """The reason leads with what is here; a machine that is meant to have none is no problem."""
    for name in (*devices, "nvidiactl", "null"):
        (tmp_path / name).touch()
    found = visible_gpus(environment, tmp_path, _loads(*libraries))
    assert found.devices == devices
    why = found.why_none(cuda, "driver too old")
    assert said in why
    assert bool(why) == bool(said)


def test_a_container_without_the_encoder() -> None:
    """A container that asks for compute and utility alone is told which part NVENC lacks."""
    half = visible_gpus(HALF, load=_loads(CUDA))
    assert "NVIDIA_DRIVER_CAPABILITIES is compute,utility" in half.encoder_problem
    assert half.lacks_capability
    assert visible_gpus(WHOLE, load=_loads(CUDA, NVENC)).encoder_problem == ""


@pytest.mark.parametrize("asked", ["compute,utility,video", "all"])
def test_a_driver_without_the_encoder(asked: str) -> None:
    """Where the container asks for it, the machine is told of, and not the container."""
    found = visible_gpus({**ALL, "NVIDIA_DRIVER_CAPABILITIES": asked}, load=_loads(CUDA))
    assert "the machine's driver comes without it" in found.encoder_problem
    assert not found.lacks_capability
