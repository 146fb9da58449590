"""Which exceptions mean that memory, a GPU or a disk gave out."""

from __future__ import annotations

import errno
import importlib

import cv2
import pytest

from lipwise_ray.scheduler.engine import failure_of


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "CUDA driver error: out of memory",
        "CUDA failed with error out of memory",
        "CUDA_ERROR_OUT_OF_MEMORY: 2",
        "cudaErrorMemoryAllocation",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
        "Available memory of 387667456 is smaller than requested bytes of 390021120",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuFFT error: CUFFT_ALLOC_FAILED",
        "nvrtc: error: NVRTC_ERROR_OUT_OF_MEMORY",
        "HIP out of memory. Tried to allocate 20.00 MiB",
        'NVML_SUCCESS == r INTERNAL ASSERT FAILED at "../c10/cuda/CUDACachingAllocator.cpp":1131',
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried",
        "could not allocate 4096 bytes",
        "not enough memory: you tried to allocate 8589934592 bytes.",
    ],
)
def test_memory_in_the_words_of_any_library(text: str) -> None:
    """Half the batch helps: the task is not charged with an error of its own."""
    assert failure_of(RuntimeError(text)).blame == "memory"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        cv2.error("OpenCV(4.11) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 933120000 bytes"),
    ],
)
def test_memory_of_the_host(error: Exception) -> None:
    """The system and OpenCV have their own ways."""
    assert failure_of(error).blame == "memory"


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: device-side assert triggered",
        "CUDA error: unspecified launch failure",
        "CUDA error: uncorrectable ECC error encountered",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "CUDA driver initialization failed, you might not have a CUDA gpu.",
        "GET was unable to find an engine to execute this computation",
    ],
)
def test_a_gpu_that_failed_is_known(text: str) -> None:
    """Not for want of memory: the process is not trusted again."""
    failure = failure_of(RuntimeError(text))
    assert (failure.blame, failure.code) == ("application", "device_error")


def test_onnx_runtime_has_exceptions_of_its_own() -> None:
    """They are no RuntimeError, and their words count all the same."""
    raised = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state").RuntimeException
    assert failure_of(raised("Failed to allocate memory for requested buffer of size 4096")).blame == "memory"
    assert failure_of(raised("Non-zero status code returned: std::bad_alloc")).blame == "memory"
    assert failure_of(raised("CUDA failure 700: an illegal memory access was encountered")).code == "device_error"
    assert failure_of(raised("Non-zero status code returned while running Add node")).code == "internal"


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_refuses_is_nobodys_fault(number: int) -> None:
    """A bare error of the system, from wherever, is the disk's and not the code's."""
    assert failure_of(OSError(number, "refused", "/scratch/x")).blame == "storage"


@pytest.mark.parametrize(
    "error",
    [
        ValueError("out of memory.mp4"),
        FileNotFoundError(errno.ENOENT, "no such file", "CUDA error: out of memory.mp4"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("Error(s) in loading state_dict for Wav2Lip"),
        KeyError("job_id"),
    ],
)
def test_other_errors_stay_the_codes(error: Exception) -> None:
    """Names of files and other libraries' words are not taken for it."""
    failure = failure_of(error)
    assert (failure.blame, failure.code) == ("application", "internal")
