"""What can go wrong, and who pays for it.

    LipwiseError
    ├── InputError            this row fails, the others go on; never retried
    │   ├── ManifestError     a row of the manifest breaks a rule
    │   ├── MediaError        a video or audio file cannot be used
    │   ├── AudioError        the sound itself cannot be used
    │   ├── FaceError         the face that was asked for is not there
    │   └── OutputError       the output's address cannot be written
    ├── SetupError            the run stops before any work
    │   ├── SettingsError     an unknown or impossible setting
    │   ├── WeightsError      a checkpoint is missing, damaged or another network's
    │   └── StateError        the state directory is in use or cannot be used
    └── TransientError        worth another attempt
        ├── StorageError      the disk or store refused: full, gone, busy
        └── SegmentError      a segment, or a record of scanning, does not hold what it must

Every message reads `<where>: <what must hold>, got <value>. <what to do>`.
"""

from __future__ import annotations


class LipwiseError(Exception):
    """Base of all errors that a user may see.

    Args:
        code: A stable word for machines, e.g. ``no_audio``.
        where: The file, row or setting at fault.
        must: What has to hold there.
        got: What was found instead; left out of the message when empty.
        do: What the user can do about it.

    The five arguments stay positional in ``args``, so that instances survive pickling.
    """

    def __init__(self, code: str, where: str, must: str, got: str = "", do: str = "") -> None:
        super().__init__(code, where, must, got, do)
        self.code = code
        self.where = where
        self.must = must
        self.got = got
        self.do = do

    def __str__(self) -> str:
        text = f"{self.where}: {self.must}"
        if self.got:
            text += f", got {self.got}"
        text += "."
        if self.do:
            text += f" {self.do}"
            if not self.do.endswith((".", "?", "!")):
                text += "."
        return text


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


class StorageError(TransientError):
    """A disk or store refused to read or write."""


class SegmentError(TransientError):
    """A segment, or a record of scanning, does not hold what it must."""


def ran_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out, on the host or (torch's own exception, by its name) on the GPU."""
    if isinstance(error, MemoryError):
        return True
    if any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    # torch's CPU allocator has no exception of its own.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(error)
