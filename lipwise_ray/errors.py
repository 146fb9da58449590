"""Errors of the package, and who pays for each.

    LipwiseError
    ├── InputError            this row fails, the others go on; never retried
    │   ├── ManifestError     a manifest, or a row of it, breaks a rule
    │   ├── MediaError        a video or audio file cannot be used
    │   ├── AudioError        the sound itself cannot be used
    │   ├── FaceError         the face that was asked for is not there
    │   ├── OutputError       the output's address cannot be written
    │   └── RequestError      a request to the service cannot be answered as it stands
    ├── SetupError            the run stops before any work
    │   ├── SettingsError     an unknown or impossible setting
    │   ├── WeightsError      a checkpoint is missing, damaged or another network's
    │   └── StateError        the state directory is in use or cannot be used
    └── TransientError        worth another attempt
        ├── EngineError       what runs the workers ended: the run stops in order
        ├── DisconnectedError a run on a cluster can no longer be seen; it may go on
        ├── SignerError       what signs finished files failed, or is away
        ├── StorageError      the disk or store refused: full, gone, busy
        └── SegmentError      a segment, or a record of scanning, does not hold what it must

Every message leads with what happened: `<where>: <what happened>. <what to do>`, or, where that does not say what was
expected, `<where>: <what happened>; <what is expected>. <what to do>`.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager

from lipwise_ray.printable import on_one_line, printable


class LipwiseError(Exception):
    """Base of all errors that a user may see.

    Args:
        code: A stable word for machines, e.g. ``no_audio``.
        where: The file, row or setting at fault; left out of the message when empty.
        must: What is expected instead, as a clause of its own; empty where what happened says it.
        got: What happened, in words that can follow `where`.
        do: What the user can do about it.

    The five arguments stay positional in ``args``, so that instances survive pickling.
    """

    def __init__(self, code: str, where: str, must: str = "", got: str = "", do: str = "") -> None:
        super().__init__(code, where, must, got, do)
        self.code = code
        self.where = where
        self.must = must
        self.got = got
        self.do = do

    @property
    def happened(self) -> str:
        """The event in words: the message without its place, and without what to do."""
        return "; ".join(text for text in (self.got, self.must) if text)

    def __str__(self) -> str:
        place = f"{on_one_line(self.where)}: " if self.where else ""
        sentences = (f"{place}{self.happened}", self.do)
        return printable(" ".join(_ended(text) for text in sentences if text))


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."


class InputError(LipwiseError):
    """This row cannot be done as it stands; other rows go on."""


class ManifestError(InputError):
    """A manifest breaks a rule."""


class MediaError(InputError):
    """A video or audio file cannot be used."""


class AudioError(InputError):
    """The samples of a sound cannot be used."""


class FaceError(InputError):
    """The face that was asked for is not in the video."""


class OutputError(InputError):
    """The output's address cannot be written."""


class RequestError(InputError):
    """A request to the service is refused as it stands; nothing else changes."""


class SetupError(LipwiseError):
    """Nothing can start until this is put right."""


class SettingsError(SetupError):
    """A setting is unknown or impossible."""


class WeightsError(SetupError):
    """A checkpoint is missing, damaged or another network's."""


class StateError(SetupError):
    """The state directory is in use or cannot be used."""


class TransientError(LipwiseError):
    """Another attempt may succeed."""


class EngineError(TransientError):
    """The engine that runs the workers has ended; the same command goes on."""


class DisconnectedError(TransientError):
    """A run on a cluster can no longer be seen from here; it may go on there."""


class SignerError(TransientError):
    """A key, command or service that signs finished files failed, or is away."""


class StorageError(TransientError):
    """A disk or store refused to read or write."""


class SegmentError(TransientError):
    """A segment, or a record of scanning, does not hold what it must."""


_MEMORY_TEXT = re.compile(
    r"""out\ of\ memory | out_of_memory                       # CUDA runtime and driver, NVRTC, HIP, CTranslate2
      | \bstd::bad_alloc\b                                  # ONNX Runtime, where it passes C++ on in words
      | _?alloc(?:ation)?_failed\b                          # cuDNN (long since 9), cuBLAS, cuFFT, cuSOLVER, cuSPARSE
      | smaller\ than\ requested\ bytes                     # ONNX Runtime's arena
      | memoryallocation\b                                  # cudaErrorMemoryAllocation
      | not\ enough\ memory | insufficient\ memory          # oneDNN, OpenCV
      | (can't|cannot|could\ not|failed\ to|unable\ to)\ allocate\ .*(memory|bytes)
      | cudacachingallocator.*nvml | nvml.*cudacachingallocator  # torch asks NVML who has the memory, once it ran out
    """,
    re.IGNORECASE | re.VERBOSE,
)
_DEVICE_TEXT = re.compile(
    r"""\b(cuda|hip|nccl|nvrtc|cudnn|cublas|cufft|cusolver|cusparse|curand)\b.*\b(error|failure|failed)
      | \b(cudnn|cublas|cufft|cusolver|cusparse|curand|nvrtc)_(status|error)_ | \bcuda_error_ | \bcudaerror[a-z]
      | device-side\ assert | illegal\ memory\ access | unspecified\ launch\ failure | \becc\ error
      | unable\ to\ find\ an\ engine
    """,
    re.IGNORECASE | re.VERBOSE,
)
_LIBRARIES = frozenset({"torch", "cv2", "onnxruntime"})
"""Those whose exceptions have a base of their own, or none."""

_DISK_ERRNOS = frozenset({
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO),
})  # fmt: skip


def os_reason(error: OSError) -> str:
    """Return the system's reason for refusing something, in its own words."""
    return (error.strerror or "").lower() or str(error) or type(error).__name__


@contextmanager
def blamed_on_file(fault: Callable[[str], LipwiseError]) -> Generator[None]:
    """Turn whatever a library raises while it reads somebody's file into that file's fault.

    Only the reading of one file belongs inside. What is judged already, the machine's memory and the disk pass.

    Args:
        fault: Makes the error, of what was raised.

    Raises:
        LipwiseError: The library raised.
    """
    try:
        yield
    except (LipwiseError, MemoryError):
        raise
    except Exception as error:
        if is_of_the_machine(error) or (isinstance(error, OSError) and error.errno is not None):
            raise  # without a number it is a library's own, for example of a picture that ends early
        lines = str(error).splitlines()
        raise fault(f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__) from error


def ran_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out, on the host or the GPU.

    Python, NumPy, PyAV and torch have exceptions of their own (torch's is known by its name); torch's other ways, the
    libraries under it and OpenCV have only words. A cuDNN or cuBLAS that was ``NOT_INITIALIZED``, or had an
    ``INTERNAL_ERROR``, is none of them: memory may be the reason, but smaller batches mend neither, and a fresh process
    mends both.
    """
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    return _is_of_a_library(error) and _MEMORY_TEXT.search(str(error)) is not None


def lost_its_device(error: BaseException) -> bool:
    """Tell whether a GPU, or a library that computes on it, failed otherwise than for want of memory.

    After most of these (an illegal access, a failed assertion, an ECC error) every later call of the process fails too,
    and the rest cannot be told from them.
    """
    if ran_out_of_memory(error) or not _is_of_a_library(error):
        return False
    return type(error).__name__ == "AcceleratorError" or _DEVICE_TEXT.search(str(error)) is not None


def is_of_the_disk(error: BaseException) -> bool:
    """Tell whether a disk refused whatever it was asked for: full, read-only, broken, gone."""
    return isinstance(error, OSError) and error.errno in _DISK_ERRNOS


def is_of_the_machine(error: BaseException) -> bool:
    """Tell whether memory or a GPU gave out, so that whatever was being read or computed is not to blame."""
    return ran_out_of_memory(error) or lost_its_device(error)


def _is_of_a_library(error: BaseException) -> bool:
    """Tell whether an error's words are those of torch, OpenCV or the like, and not of a file's name, say."""
    return isinstance(error, RuntimeError) or type(error).__module__.partition(".")[0] in _LIBRARIES
