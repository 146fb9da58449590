"""Sessions of ONNX Runtime for checkpoints that are ONNX files."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lipwise_ray.errors import WeightsError, is_of_the_machine

if TYPE_CHECKING:
    import onnxruntime

_TELEMETRY_OFF = "ORT_DISABLE_TELEMETRY"
_FATAL_ONLY = 4
_ERRORS = "onnxruntime.capi.onnxruntime_pybind11_state"  # where its exceptions are; they have no base of their own
_BROKEN = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException")
_ON_GPU, _ON_CPU, _TENSORRT = "CUDAExecutionProvider", "CPUExecutionProvider", "TensorrtExecutionProvider"
_TENSORRT_PACKAGE = "tensorrt"


def open_session(
    weights: Path,
    *,
    threads: int = 1,
    device: str = "cpu",
    is_any_size: bool = False,
    engines: Path | None = None,
) -> onnxruntime.InferenceSession:
    """Return a session of a checkpoint.

    Args:
        weights: The ONNX file.
        threads: Threads that it may use.
        device: ``cpu``, or ``cuda`` where ONNX Runtime's build for GPUs is installed; another runs on the CPU.
        is_any_size: Take inputs of any size, whatever one the file states.
        engines: Folder for what TensorRT makes of it, which takes minutes once; None does without TensorRT.

    Raises:
        WeightsError: It cannot load the file.
    """
    options = session_options(max(1, threads))
    import onnxruntime  # once its telemetry is off

    names = providers(device, tensorrt=engines is not None)
    is_on_gpu = names[0] != _ON_CPU
    told = {_TENSORRT: {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(engines)}}
    with blamed_on_network(lambda error: not_onnx(weights, error)):
        model = _without_sizes(weights) if is_any_size else str(weights)
        # Trying again with the processor, where that has just failed, only prints the failure.
        return onnxruntime.InferenceSession(
            model, options, providers=[(name, told.get(name, {})) for name in names], enable_fallback=is_on_gpu
        )


def providers(device: str, *, tensorrt: bool = False) -> list[str]:
    """Return the execution providers of sessions on a device, the preferred first: those that are installed.

    Args:
        device: ``cpu`` or ``cuda``.
        tensorrt: TensorRT may be one of them, where its package is there too: ONNX Runtime's build for GPUs names it
            in any case.
    """
    session_options(threads=0)
    import onnxruntime  # once its telemetry is off

    there = onnxruntime.get_available_providers()
    if not device.startswith("cuda") or _ON_GPU not in there:
        return [_ON_CPU]
    builds = tensorrt and _TENSORRT in there and importlib.util.find_spec(_TENSORRT_PACKAGE) is not None
    return [*([_TENSORRT] if builds else []), _ON_GPU, _ON_CPU]


def not_onnx(weights: Path, error: Exception) -> WeightsError:
    """Return the error of a file that is no whole network.

    Args:
        weights: The file.
        error: What a reader raised.
    """
    lines = str(error).splitlines() or [type(error).__name__]
    return WeightsError(
        "not_onnx",
        str(weights),
        got=f"ONNX Runtime cannot load it: {lines[0]}",
        must="a whole ONNX file is needed",
        do="Download it again",
    )


@contextmanager
def blamed_on_network(fault: Callable[[Exception], WeightsError]) -> Generator[None]:
    """Turn what ONNX Runtime raises of a network into its file's fault; what the machine lacks is none.

    Args:
        fault: Makes the error, of what was raised.

    Raises:
        WeightsError: What `fault` made.
    """
    try:
        yield
    except broken_networks() as error:
        if is_of_the_machine(error):
            raise
        raise fault(error) from error


def session_options(threads: int) -> onnxruntime.SessionOptions:  # type: ignore[no-any-unimported]  # it has no types
    """Return the options of a session whose threads sleep while they wait; its package is loaded for it.

    Args:
        threads: Threads that it may use; 0 leaves that to ONNX Runtime.
    """
    # Its builds report to their maker, from the import on, and leave an identifier of the machine in the home directory
    # and a file in the temporary one. They read the variable when they are imported, so this has to come first.
    os.environ[_TELEMETRY_OFF] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    for pool in ("intra_op", "inter_op"):
        options.add_session_config_entry(f"session.{pool}.allow_spinning", "0")  # see `threads`
    options.log_severity_level = _FATAL_ONLY  # what else it logs is raised too, or of no use
    return options


def broken_networks() -> tuple[type[Exception], ...]:
    """Return the exceptions by which ONNX Runtime says that a network is broken or was given what it does not take."""
    from google.protobuf.message import DecodeError

    errors = importlib.import_module(_ERRORS)
    # The last where what it quotes of a damaged file in an error is no text.
    return (DecodeError, *(getattr(errors, name) for name in _BROKEN), UnicodeDecodeError)


def _without_sizes(weights: Path) -> bytes:
    """Return an ONNX file that states no sizes of what goes through its network."""
    import onnx

    model = onnx.load_model_from_string(weights.read_bytes())
    for values in (model.graph.input, model.graph.output):
        for value in values:
            value.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    return model.SerializeToString()
