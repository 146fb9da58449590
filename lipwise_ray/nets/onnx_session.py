"""Sessions of ONNX Runtime for checkpoints that are ONNX files."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lipwise_ray.errors import SetupError, WeightsError

if TYPE_CHECKING:
    import onnxruntime

_TELEMETRY_OFF = "ORT_DISABLE_TELEMETRY"
_ERRORS_ONLY = 3
_ERRORS = "onnxruntime.capi.onnxruntime_pybind11_state"  # where its exceptions are; they have no base of their own
_BROKEN = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException")
_ON_GPU, _ON_CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def open_session(
    weights: Path, *, wanted_by: str, extra: str, threads: int = 1, device: str = "cpu"
) -> onnxruntime.InferenceSession:
    """Return a session of a checkpoint.

    Args:
        weights: The ONNX file.
        wanted_by: The setting that asks for it.
        extra: The extra that installs ONNX Runtime for it.
        threads: Threads that it may use.
        device: ``cpu``, or ``cuda`` where ONNX Runtime's build for GPUs is installed; another runs on the CPU.

    Raises:
        SetupError: ONNX Runtime is not installed.
        WeightsError: It cannot load the file.
    """
    # Its builds report to their maker, from the import on, and leave an identifier of the machine in the home directory
    # and a file in the temporary one. They read the variable when they are imported, so this has to come first.
    os.environ[_TELEMETRY_OFF] = "1"
    try:
        import onnxruntime
    except ImportError as error:
        raise SetupError(
            "no_onnxruntime",
            wanted_by,
            got="ONNX Runtime is not installed",
            do=f"Run `pip install 'lipwise-ray[{extra}]'`, or leave {wanted_by} out",
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = max(1, threads), 1
    for pool in ("intra_op", "inter_op"):
        options.add_session_config_entry(f"session.{pool}.allow_spinning", "0")  # see `threads`
    options.log_severity_level = _ERRORS_ONLY  # it warns of what optimising leaves unused
    is_on_gpu = device.startswith("cuda") and _ON_GPU in onnxruntime.get_available_providers()
    providers = [_ON_GPU, _ON_CPU] if is_on_gpu else [_ON_CPU]
    try:
        return onnxruntime.InferenceSession(str(weights), options, providers=providers)
    except broken_networks() as error:
        raise WeightsError(
            "not_onnx",
            str(weights),
            got=f"ONNX Runtime cannot load it: {str(error).splitlines()[0]}",
            must="a whole ONNX file is needed",
            do="Download it again",
        ) from error


def broken_networks() -> tuple[type[Exception], ...]:
    """Return the exceptions by which ONNX Runtime says that a network is broken or was given what it does not take."""
    errors = importlib.import_module(_ERRORS)
    return tuple(getattr(errors, name) for name in _BROKEN)
