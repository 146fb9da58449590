"""Record of a night for those who were asleep, and its figures for Prometheus."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from lipwise_ray.errors import LipwiseError, StorageError, os_reason
from lipwise_ray.exit_codes import ExitCode, of_error, of_lenient_night
from lipwise_ray.scheduler.metrics import NIGHT_METRICS, STATE_LABEL, NightFacts
from lipwise_ray.state import layout
from lipwise_ray.state.run_records import NightFigures, NightRun
from lipwise_ray.state.shapes import read_typed
from lipwise_ray.state.store import Store
from lipwise_ray.storage.redact import redact


@dataclass(frozen=True, slots=True)
class NightRecord:
    """Outcome of a night, whatever it ended with.

    Attributes:
        night: Its id.
        backlog: Where the manifests lie.
        exit_code: What the command ends with (`ExitCode`).
        reasons: Why it is no good night, in words; none for one that is.
        began, ended: Seconds since 1970.
        done, failed, left: Rows.
        refused: Manifests that were refused as a whole.
        refused_manifests: Their names, and why.
        runs: What each of its runs came to.
        report: The page's place; empty where it could not be written.
        gpu_s: GPU seconds of its videos.
        costs: What these cost by kind of machine; nothing without prices.
        stopped: What ended it early, other than its window: `asked` by a signal, or the code of an error.
    """

    night: str
    backlog: str
    exit_code: int
    reasons: tuple[str, ...]
    began: float
    ended: float
    done: int
    failed: int
    left: int
    refused: int
    refused_manifests: dict[str, str]
    runs: tuple[NightRun, ...]
    report: str
    gpu_s: float
    costs: tuple[str, ...]
    stopped: str = ""

    @property
    def figures(self) -> NightFigures:
        """Its figures, as its record in the state holds them."""
        return NightFigures(
            ended=self.ended,
            exit_code=self.exit_code,
            done=self.done,
            failed=self.failed,
            left=self.left,
            refused=self.refused,
        )

    @property
    def is_good(self) -> bool:
        """True where nobody needs to look."""
        return self.exit_code == ExitCode.DONE

    def code(self, *, exit_zero: bool) -> ExitCode:
        """Return the exit code of the command."""
        code = ExitCode(self.exit_code)
        return of_lenient_night(code, stopped=bool(self.stopped)) if exit_zero else code


def in_words(error: BaseException | None) -> str:
    """Return the error that ended a night, in words; empty for none."""
    if error is None:
        return ""
    return str(error) if isinstance(error, LipwiseError) else f"{type(error).__name__}: {error}".rstrip(": ")


def code_word(error: BaseException | None) -> str:
    """Return the code of the error that ended a night; empty where it has none."""
    return error.code if isinstance(error, LipwiseError) else ""


def not_started(backlog: str, error: BaseException) -> NightRecord:
    """Return the record of a night that had not even its settings."""
    now = time.time()
    return NightRecord(
        night=time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)),
        backlog=backlog,
        exit_code=int(of_error(error)),
        reasons=(in_words(error),),
        began=now,
        ended=now,
        done=0,
        failed=0,
        left=0,
        refused=0,
        refused_manifests={},
        runs=(),
        report="",
        gpu_s=0.0,
        costs=(),
        stopped=code_word(error),
    )


@dataclass(frozen=True, slots=True)
class EarlierNights:
    """Outcome of the nights before this one, of those whose records are kept.

    Attributes:
        latest: The latest of them; None where there is none.
        success_s: When the latest good one ended; None where there is none.
    """

    latest: NightFigures | None
    success_s: float | None


def earlier_nights(store: Store) -> EarlierNights:
    """Return the records of a state's nights."""
    latest: NightFigures | None = None
    for night_id in reversed(store.folders(layout.NIGHTS)):
        figures = read_typed(store, f"{layout.night(night_id)}/night.json", NightFigures)
        if figures is None:
            continue
        latest = latest or figures
        if figures.exit_code == ExitCode.DONE:
            return EarlierNights(latest, figures.ended)
    return EarlierNights(latest, None)


def write_metrics(
    metrics_file: Path, state_address: str, facts: NightFacts, latest: NightFigures | None, *, is_running: bool
) -> Path:
    """Write a night's figures beside a run's; return the file.

    Args:
        metrics_file: The run's file.
        state_address: Where the state is.
        facts: Of the night.
        latest: What the latest night came to that has ended.
        is_running: Whether the night is on.

    Raises:
        StorageError: The disk refuses.
    """
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

    registry = CollectorRegistry()
    gauges: dict[str, Gauge] = {}

    def show(name: str, value: float, **labels: str) -> None:
        if name not in gauges:
            gauges[name] = Gauge(name, NIGHT_METRICS[name].help, NIGHT_METRICS[name].all_labels, registry=registry)
        gauges[name].labels(**{STATE_LABEL: redact(state_address)}, **labels).set(value)

    for name, value in {**facts.figures(), "lipwise_night_running": float(is_running)}.items():
        show(name, value)
    if latest is not None:
        show("lipwise_night_end_timestamp_seconds", latest.ended)
        show("lipwise_night_exit_code", latest.exit_code)
        show("lipwise_night_refused_manifests", latest.refused)
        for state, count in (("done", latest.done), ("failed", latest.failed), ("left", latest.left)):
            show("lipwise_night_rows", count, state=state)
    path = metrics_file.with_name(f"{metrics_file.stem}-night{metrics_file.suffix}")
    try:
        write_to_textfile(str(path), registry)
    except OSError as error:
        raise StorageError(
            "night_metrics_unwritable", str(path), got=f"cannot be written: {os_reason(error)}", do="Check the folder"
        ) from error
    return path
