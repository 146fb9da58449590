"""Calls of a network with inputs of one shape, over and over: on CUDA by a graph, without a launch for every layer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import torch

from lipwise_ray.errors import ran_out_of_memory

if TYPE_CHECKING:
    from torch import Tensor

Call: TypeAlias = "Callable[..., Tensor]"
Capture: TypeAlias = "Callable[[Call, Sequence[Tensor]], Call]"

_WARM_UPS = 3
"""Calls before a capture, in which libraries choose and set up their kernels."""

_CAPTURING = threading.Lock()
"""Held while a graph is captured. A capture begins by waiting for the whole device, which ends one that is under way in
another thread; stages of a renderer capture their networks in threads of their own."""


def fixed_call(call: Call, device: str) -> FixedCall:
    """Return a network's function for calls of one shape.

    Args:
        call: The function; it has no effects, and waits for nothing.
        device: ``cpu`` or ``cuda``.
    """
    return FixedCall(call, GraphReplay if device.startswith("cuda") else None)


class FixedCall:
    """Captures a function once a shape of inputs, and replays it; where that fails, it is called as it is.

    Args:
        call: The function.
        capture: Makes a replay of it for inputs; None always calls it.
    """

    def __init__(self, call: Call, capture: Capture | None) -> None:
        self._call = call
        self._capture = capture
        self._replay: Call | None = None
        self._shapes: list[tuple[int, ...]] = []
        self.problem = ""
        """Reason for which calls of the last shape are not replayed."""

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return the function's result, in memory of its own.

        Raises:
            RuntimeError: The function failed, or memory ran out.
        """
        if self._capture is None:
            return self._call(*inputs)
        shapes = [tuple(one.shape) for one in inputs]
        if shapes != self._shapes:
            self._replay, self._shapes = None, []  # what it holds is freed first
            self._replay = self._captured(self._capture, inputs)
            self._shapes = shapes
        return (self._replay or self._call)(*inputs)

    def _captured(self, capture: Capture, inputs: Sequence[Tensor]) -> Call | None:
        self.problem = ""
        try:
            with _CAPTURING:
                return capture(self._call, inputs)
        except RuntimeError as error:
            if ran_out_of_memory(error):
                raise
            self.problem = (str(error).splitlines() or [type(error).__name__])[0]
            return None


class GraphReplay:
    """A CUDA graph of a function's call.

    Args:
        call: The function.
        inputs: Of the shapes and layouts that all calls will have.

    Raises:
        RuntimeError: It cannot be captured.
    """

    def __init__(self, call: Call, inputs: Sequence[Tensor]) -> None:
        self._inputs = [one.clone() for one in inputs]
        here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UPS):
                call(*self._inputs)
        here.wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads of this process allocate and copy meanwhile.
        with torch.cuda.graph(self._graph, stream=aside, capture_error_mode="thread_local"):
            self._result = call(*self._inputs)
        self._done = torch.cuda.Event()
        self._done.record()

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return the result for other inputs, on the current stream; calls come one after the other."""
        torch.cuda.current_stream().wait_event(self._done)  # the last call may have been on another stream
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given, non_blocking=True)
        self._graph.replay()
        result = self._result.clone()
        self._done.record()
        return result
