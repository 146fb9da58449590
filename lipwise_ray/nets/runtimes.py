"""Runtimes of networks on a CPU: the libraries beside torch that compute the same layers."""

from __future__ import annotations

import importlib.util
import sys
from contextlib import AbstractContextManager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, Protocol

from lipwise_ray.errors import LipwiseError, SetupError, blamed_on_file
from lipwise_ray.nets.onnx_session import session_options
from lipwise_ray.values import F32Array

if TYPE_CHECKING:
    from pathlib import Path

    from lipwise_ray.nets.precision import Precision

Runtime = Literal["torch", "onnxruntime", "openvino"]

TORCH: Runtime = "torch"
ONNXRUNTIME: Runtime = "onnxruntime"
OPENVINO: Runtime = "openvino"

RUNTIME_REFUSED = "runtime"
"""Code of the error of a runtime that is not installed, or that a network cannot be handed to."""

BATCH = "batch"
"""Name of the axis of an exported network's inputs that a runtime is told the size of."""

_TELEMETRY = "openvino_telemetry"


class CompiledNetwork(Protocol):
    """A network that a runtime has made ready for one batch."""

    def __call__(self, *inputs: F32Array) -> F32Array:
        """Return the network's only output.

        Args:
            inputs: In the order of the export, each of the batch that the network was opened for.
        """
        ...


def is_installed(runtime: Runtime) -> bool:
    """Tell whether a runtime's package is there; it is not loaded for it."""
    return importlib.util.find_spec(runtime) is not None


def runtime_of(setting: str) -> Runtime:
    """Return the runtime that a worker of this machine tries for a setting: of ``auto`` the fastest that is there."""
    if setting == "auto":
        return OPENVINO if is_installed(OPENVINO) else TORCH
    named: dict[str, Runtime] = {one: one for one in (TORCH, ONNXRUNTIME, OPENVINO)}
    return named[setting]


def computes_in(runtime: Runtime, precision: Precision) -> bool:
    """Tell whether a runtime has a number format: float16 is torch's alone, and ONNX Runtime has only float32."""
    lacks = {TORCH: (), ONNXRUNTIME: ("bfloat16", "float16"), OPENVINO: ("float16",)}
    return precision not in lacks[runtime]


def refusing(runtime: Runtime) -> AbstractContextManager[None]:
    """Return a context in which whatever is raised becomes the refusal of a runtime.

    Raises:
        SetupError: Something was raised.
    """
    return blamed_on_file(lambda reason: refusal(runtime, reason))


def refusal(runtime: Runtime, reason: str) -> LipwiseError:
    """Return the error of a runtime that cannot be used."""
    return SetupError(
        RUNTIME_REFUSED,
        f"runtime {runtime}",
        got=f"cannot be used: {reason}",
        do='Install it (the extra `cpu` brings openvino), or set engine.cpu_runtime = "torch"',
    )


def load_runtime(runtime: Runtime) -> str:
    """Load a runtime's library, and return its version.

    Args:
        runtime: ``onnxruntime`` or ``openvino``.

    Raises:
        SetupError: It is not installed, or does not load.
    """
    if not is_installed(runtime):
        raise refusal(runtime, "it is not installed")
    with refusing(runtime):
        return _onnxruntime().__version__ if runtime == ONNXRUNTIME else _openvino().__version__


def open_network(
    model: Path | bytes, runtime: Runtime, *, batch: int, threads: int = 0, bfloat16: bool = False
) -> CompiledNetwork:
    """Return a network, ready to be called.

    Args:
        model: Its export, for that runtime: see `nets.exports`. A file takes less memory than its bytes.
        runtime: ``onnxruntime`` or ``openvino``.
        batch: Size of its inputs' first axis.
        threads: Threads that it may use; 0 leaves that to the runtime.
        bfloat16: Compute in that format, where the runtime has it.

    Raises:
        SetupError: The runtime is not installed, or does not take the network.
    """
    load_runtime(runtime)
    with refusing(runtime):
        if runtime == ONNXRUNTIME:
            return _OnnxRuntimeNetwork(model, batch, threads)
        return _OpenVinoNetwork(model, batch, threads, bfloat16=bfloat16)


def save_for_openvino(model: bytes, graph: Path) -> None:
    """Write a network in OpenVINO's own format: its graph, and beside it the weights, whose name ends with ``.bin``.

    Args:
        model: As ONNX.
        graph: Where to, with a name that ends with ``.xml``.

    Raises:
        Exception: As OpenVINO raises it, where it does not take the network.
    """
    openvino = _openvino()
    openvino.save_model(openvino.Core().read_model(model, b""), graph, compress_to_fp16=False)


def _onnxruntime() -> ModuleType:
    """Return ONNX Runtime's module."""
    session_options(threads=0)  # ends its telemetry, which an import alone begins
    import onnxruntime

    return onnxruntime


def _openvino() -> ModuleType:
    """Return OpenVINO's module."""
    # It reports to its maker, from the import on, by a package of its own. Without that it loads a stub.
    sys.modules.setdefault(_TELEMETRY, None)  # type: ignore[arg-type]  # None refuses the import
    import openvino

    return openvino


class _OnnxRuntimeNetwork:
    """A session of ONNX Runtime, in float32."""

    def __init__(self, model: Path | bytes, batch: int, threads: int) -> None:
        options = session_options(threads)
        options.add_free_dimension_override_by_name(BATCH, batch)
        import onnxruntime  # once its telemetry is off

        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._names = [one.name for one in self._session.get_inputs()]

    def __call__(self, *inputs: F32Array) -> F32Array:
        """Return the network's output."""
        outputs: Any = self._session.run(None, dict(zip(self._names, inputs, strict=True)))
        return outputs[0]


class _OpenVinoNetwork:
    """A network that OpenVINO has compiled for this processor."""

    def __init__(self, model: Path | bytes, batch: int, threads: int, *, bfloat16: bool) -> None:
        read = _openvino().Core()
        network = read.read_model(model, b"") if isinstance(model, bytes) else read.read_model(model)
        network.reshape({one: [batch, *list(one.get_partial_shape())[1:]] for one in network.inputs})
        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            # Each process would choose the same cores as the others.
            "ENABLE_CPU_PINNING": False,
        }
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        self._request = read.compile_model(network, "CPU", options).create_infer_request()

    def __call__(self, *inputs: F32Array) -> F32Array:
        """Return the network's output."""
        return self._request.infer(list(inputs), share_inputs=True)[0]
