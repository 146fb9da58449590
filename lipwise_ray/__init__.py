"""Bulk lip-sync dubbing: video files in, lip-synced and verified video files out.

What `__all__` names is loaded when it is first used: `import lipwise_ray` alone loads nothing heavy.
"""

from lipwise_ray.version import __version__ as __version__

TYPE_CHECKING = False  # as `typing` has it, which would be looked for beside the footage: see `__main__`

if TYPE_CHECKING:
    from lipwise_ray.api import dub, evaluate, nightly, submit, sweep
    from lipwise_ray.credentials.claim import UsedModel
    from lipwise_ray.credentials.verification import FileCredentials, SignedAction, SignedIngredient, verify
    from lipwise_ray.errors import (
        AudioError,
        DisconnectedError,
        EngineError,
        FaceError,
        InputError,
        LipwiseError,
        ManifestError,
        MediaError,
        OutputError,
        RequestError,
        SegmentError,
        SettingsError,
        SetupError,
        SignerError,
        StateError,
        StorageError,
        TransientError,
        WeightsError,
    )
    from lipwise_ray.pipeline.analysis.speaker_diarisation import Diarisation
    from lipwise_ray.pipeline.quality.inspection_facts import (
        AudioFacts,
        FaceFacts,
        FacesFacts,
        FrameFacts,
        InspectionFacts,
        SpeechFacts,
        SpokenSegment,
        StreamFacts,
        SyncFacts,
        Unusable,
    )
    from lipwise_ray.runs.diariser import diarise
    from lipwise_ray.runs.inspector import Inspector, inspect
    from lipwise_ray.runs.load_settings import LoadedSettings, load_settings
    from lipwise_ray.runs.night_record import NightRecord
    from lipwise_ray.runs.progress_events import (
        Event,
        ManifestRead,
        Message,
        Note,
        Problem,
        RowEnded,
        RowProgress,
        RowsProgress,
        RowStarted,
        RunEnded,
        RunStarted,
    )
    from lipwise_ray.runs.report import Report
    from lipwise_ray.runs.sweep import SweepReport, SweptColumn
    from lipwise_ray.settings.model import Settings
    from lipwise_ray.state.row_outcome import RowOutcome

__all__ = [
    "AudioError",
    "AudioFacts",
    "Diarisation",
    "DisconnectedError",
    "EngineError",
    "Event",
    "FaceError",
    "FaceFacts",
    "FacesFacts",
    "FileCredentials",
    "FrameFacts",
    "InputError",
    "InspectionFacts",
    "Inspector",
    "LipwiseError",
    "LoadedSettings",
    "ManifestError",
    "ManifestRead",
    "MediaError",
    "Message",
    "NightRecord",
    "Note",
    "OutputError",
    "Problem",
    "Report",
    "RequestError",
    "RowEnded",
    "RowOutcome",
    "RowProgress",
    "RowStarted",
    "RowsProgress",
    "RunEnded",
    "RunStarted",
    "SegmentError",
    "Settings",
    "SettingsError",
    "SetupError",
    "SignedAction",
    "SignedIngredient",
    "SignerError",
    "SpeechFacts",
    "SpokenSegment",
    "StateError",
    "StorageError",
    "StreamFacts",
    "SweepReport",
    "SweptColumn",
    "SyncFacts",
    "TransientError",
    "Unusable",
    "UsedModel",
    "WeightsError",
    "diarise",
    "dub",
    "evaluate",
    "inspect",
    "load_settings",
    "nightly",
    "submit",
    "sweep",
    "verify",
]

_HOMES = {
    "lipwise_ray.api": (
        "dub",
        "evaluate",
        "nightly",
        "submit",
        "sweep",
    ),
    "lipwise_ray.credentials.claim": ("UsedModel",),
    "lipwise_ray.credentials.verification": (
        "SignedAction",
        "SignedIngredient",
        "FileCredentials",
        "verify",
    ),
    "lipwise_ray.pipeline.analysis.speaker_diarisation": ("Diarisation",),
    "lipwise_ray.pipeline.quality.inspection_facts": (
        "AudioFacts",
        "FaceFacts",
        "FacesFacts",
        "FrameFacts",
        "InspectionFacts",
        "SpeechFacts",
        "SpokenSegment",
        "StreamFacts",
        "SyncFacts",
        "Unusable",
    ),
    "lipwise_ray.runs.diariser": ("diarise",),
    "lipwise_ray.runs.inspector": (
        "Inspector",
        "inspect",
    ),
    "lipwise_ray.state.row_outcome": ("RowOutcome",),
    "lipwise_ray.runs.load_settings": (
        "LoadedSettings",
        "load_settings",
    ),
    "lipwise_ray.runs.night_record": ("NightRecord",),
    "lipwise_ray.runs.progress_events": (
        "Event",
        "ManifestRead",
        "Message",
        "Note",
        "Problem",
        "RowEnded",
        "RowProgress",
        "RowStarted",
        "RowsProgress",
        "RunEnded",
        "RunStarted",
    ),
    "lipwise_ray.runs.report": ("Report",),
    "lipwise_ray.runs.sweep": ("SweepReport", "SweptColumn"),
    "lipwise_ray.errors": (
        "AudioError",
        "DisconnectedError",
        "EngineError",
        "FaceError",
        "InputError",
        "LipwiseError",
        "ManifestError",
        "MediaError",
        "OutputError",
        "RequestError",
        "SegmentError",
        "SettingsError",
        "SetupError",
        "SignerError",
        "StateError",
        "StorageError",
        "TransientError",
        "WeightsError",
    ),
    "lipwise_ray.settings.model": ("Settings",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
