"""Calls of one shape that are captured once and replayed."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from lipwise_ray.nets.fixed_call import FixedCall, GraphReplay, fixed_call


def _double(image: Any) -> Any:
    return image * 2


class Buffered:
    """A replay by the rules of a graph: it works in memory of its own, for one shape."""

    def __init__(self, call: Any, inputs: Sequence[Any]) -> None:
        self.call, self.inputs = call, [one.clone() for one in inputs]
        self.count = 0

    def __call__(self, *inputs: Any) -> Any:
        for own, given in zip(self.inputs, inputs, strict=True):
            own.copy_(given)
        self.count += 1
        return self.call(*self.inputs).clone()


def test_one_shape_is_captured_once() -> None:
    """Calls of one shape share a capture; another shape gets a new one, and results are the function's."""
    made: list[Buffered] = []

    def capture(call: Any, inputs: Sequence[Any]) -> Any:
        made.append(Buffered(call, inputs))
        return made[-1]

    call = FixedCall(_double, capture)
    for size in (3, 3, 2, 2):
        image = torch.rand(size, 4)
        assert torch.equal(call(image), image * 2)
    assert [(len(one.inputs[0]), one.count) for one in made] == [(3, 2), (2, 2)]


def test_a_function_that_cannot_be_captured_is_called() -> None:
    """The first refusal is remembered, and told."""
    tries: list[int] = []

    def capture(call: Any, inputs: Any) -> Any:
        tries.append(1)
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    call = FixedCall(_double, capture)
    for _ in range(2):
        assert torch.equal(call(torch.ones(2)), torch.full((2,), 2.0))
    assert (len(tries), call.problem) == (1, "operation not permitted when stream is capturing")


def test_a_lack_of_memory_is_no_refusal() -> None:
    """It is raised, so that batches are halved; the next call tries again."""
    failing = [True]

    def capture(call: Any, inputs: Any) -> Any:
        if failing.pop():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return Buffered(call, inputs)

    call = FixedCall(_double, capture)
    with pytest.raises(torch.OutOfMemoryError):
        call(torch.ones(2))
    failing.append(False)
    assert torch.equal(call(torch.ones(2)), torch.full((2,), 2.0))
    assert call.problem == ""


def test_networks_are_captured_one_after_the_other() -> None:
    """Each in the thread that calls it: a capture in another thread would end the one that is under way."""
    busy, overlaps = threading.Lock(), list[int]()

    def capture(call: Any, inputs: Any) -> Any:
        if not busy.acquire(blocking=False):
            overlaps.append(1)
            raise RuntimeError("operation failed due to a previous error during capture")
        try:
            time.sleep(0.02)
            return Buffered(call, inputs)
        finally:
            busy.release()

    calls = [FixedCall(_double, capture) for _ in range(4)]
    with ThreadPoolExecutor(len(calls)) as threads:
        results = list(threads.map(lambda call: call(torch.ones(2)), calls))
    assert all(torch.equal(result, torch.full((2,), 2.0)) for result in results)
    assert (overlaps, [call.problem for call in calls]) == ([], [""] * len(calls))


def test_a_cpu_has_no_graphs() -> None:
    """There the function is called."""
    assert torch.equal(fixed_call(_double, "cpu")(torch.ones(2)), torch.full((2,), 2.0))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_graph_does_what_the_function_does() -> None:
    """Also on other streams, and results stay as they are when it is called again."""
    weight = torch.randn(8, 8, device="cuda")
    call = fixed_call(lambda image: torch.relu(image @ weight), "cuda")
    images = [torch.randn(4, 8, device="cuda") for _ in range(4)]
    streams = [torch.cuda.current_stream(), torch.cuda.Stream()] * 2
    results = []
    for image, stream in zip(images, streams, strict=True):
        stream.wait_stream(torch.cuda.current_stream())
        # As networks are called: some torch cannot capture without inference mode once it has captured with it.
        with torch.inference_mode(), torch.cuda.stream(stream):
            results.append(call(image))
    torch.cuda.synchronize()
    assert isinstance(call._replay, GraphReplay)
    for image, result in zip(images, results, strict=True):
        assert torch.allclose(result, torch.relu(image @ weight), atol=1e-5)
