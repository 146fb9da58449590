"""Sending a run to a cluster by its dashboard: the command that runs there, and the small files that it names."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lipwise_ray.backends.ray.wheel import write_program
from lipwise_ray.errors import ManifestError, SettingsError, SetupError
from lipwise_ray.runs.load_settings import LoadedSettings
from lipwise_ray.runs.run_inputs import out_address, state_address
from lipwise_ray.state.shards import Shard
from lipwise_ray.storage.address import is_local, is_web, whole_path

if TYPE_CHECKING:
    from lipwise_ray.backends.ray.cluster_jobs import ClusterJobs


@dataclass(frozen=True, slots=True)
class RunToSend:
    """A run as it was asked for: `api.submit`'s arguments of these names, and what its command is to print."""

    manifest: str
    settings: LoadedSettings
    out: str | None = None
    state: str | None = None
    fail_above: float = 0.0
    as_json: bool = False
    verify: bool = False
    shard: str | None = None


@dataclass(frozen=True, slots=True)
class SmokeTestToSend:
    """A smoke test (`runs.smoke_test`) as it was asked for; its inputs go with the program."""

    settings: LoadedSettings
    out: str
    state: str | None = None
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Parcel:
    """A run that is ready to be sent.

    Attributes:
        jobs: Of the cluster.
        key: Names what it works on: the state, and the shard of it.
        words: Its command line there.
        folder: Small files that this names.
        program: The modules of this program.
        places: Where outputs and state go, by option.
    """

    jobs: ClusterJobs
    key: str
    words: list[str]
    folder: Path
    program: list[Path]
    places: dict[str, str]

    def send(self, name: str | None) -> tuple[str, bool]:
        """Send it, or find the one that is there; return its id, and whether it was sent now.

        Args:
            name: The id to take; None for one of the state it works on.

        Raises:
            SetupError: The cluster refuses, or another command has that name, or works on that state.
            DisconnectedError: It got out of reach meanwhile; nobody knows whether it has the run.
        """
        return self.jobs.submit(name, self.key, self.words, self.folder, self.program)


@contextmanager
def packed(run: RunToSend | SmokeTestToSend) -> Generator[Parcel]:
    """Pack a run up for as long as the block lasts; the cluster is asked whether it fits.

    Raises:
        LipwiseError: Something that the run needs is not there, or the cluster refuses.
    """
    manifest, shard = (run.manifest, run.shard) if isinstance(run, RunToSend) else ("", None)
    if shard is not None:
        Shard.parse(shard)
    settings = run.settings.for_run()
    if not (run.out or settings.paths.out):
        do = "Name a prefix in a bucket, or a shared folder"
        raise SettingsError("no_place", "--out", got="not named, but a cluster needs it", do=do)
    out = out_address(run.out, settings, manifest)
    places = {"--out": out, "--state": state_address(run.state, settings, out)}
    places = {option: str(whole_path(place)) if is_local(place) else place for option, place in places.items()}
    if manifest and is_local(manifest) and not Path(manifest).is_file():
        raise ManifestError("manifest_unreadable", manifest, got="file not found", do="Check the path")
    jobs = connect(settings.engine.address)
    jobs.must_fit()
    with tempfile.TemporaryDirectory(prefix="lipwise-") as temporary:
        folder = Path(temporary) / "run"
        folder.mkdir()
        program = write_program(Path(temporary), with_demo=isinstance(run, SmokeTestToSend))
        if isinstance(run, RunToSend):
            words = [*_words(run, folder), *(word for pair in places.items() for word in pair), "--address", "auto"]
        else:
            words = ["demo", places["--out"], "--smoke", "--state", places["--state"], "--address", "auto"]
            words += [word for text in run.settings.assignments or () for word in ("--set", text)]
            words += ["--json"] if run.as_json else []
        key = f"{places['--state']} {shard}" if shard else places["--state"]
        yield Parcel(jobs, key, words, folder, program, places)


def _words(run: RunToSend, folder: Path) -> Iterator[str]:
    """Yield the command line over there; the small files that it names are copied into the folder."""
    settings = run.settings
    yield "submit"
    if is_local(run.manifest):
        manifest = whole_path(run.manifest)
        shutil.copyfile(manifest, folder / manifest.name)
        yield from (manifest.name, "--copy-of", str(manifest))
    else:
        yield run.manifest
    if settings.job is not None:
        shutil.copyfile(settings.job, folder / "job.toml")
        yield from ("--job", "job.toml", "--job-of", str(whole_path(settings.job)))
    if settings.asked_preset is not None:
        yield from ("--preset", settings.asked_preset)
    for text in settings.assignments or ():
        yield from ("--set", text)
    if settings.workers is not None:
        yield from ("--workers", str(settings.workers))
    if run.fail_above:
        yield from ("--fail-above", str(run.fail_above))
    if run.as_json:
        yield "--json"
    if run.verify:
        yield "--verify"
    if run.shard:
        yield from ("--shard", run.shard)


def connect(address: str) -> ClusterJobs:
    """Return the jobs of a cluster.

    Raises:
        SettingsError: The address is none of a dashboard, or what talks to it is not installed.
        SetupError: It cannot be reached, or refuses the token.
    """
    if not is_web(address):
        happened = f"{address} is not the address of a dashboard"
        raise SettingsError("bad_usage", "--address", got=happened, do="Write http://HOST:PORT or https://HOST:PORT")
    if find_spec("aiohttp") is None:  # Ray's client loads without it, and fails later
        raise SetupError(
            "no_extra",
            "--address",
            got="what talks to a cluster, Ray's client, is not installed",
            do="Run `pip install 'lipwise-ray[cluster]'`",
        )
    from lipwise_ray.backends.ray.cluster_jobs import ClusterJobs

    return ClusterJobs(address)
