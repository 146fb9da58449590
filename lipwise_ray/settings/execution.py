"""Settings of where and how a run executes: workers, folders, limits.

No finished file looks different for them, but by the rounding of `engine.device` and `engine.cpu_runtime`, which are in
the ids of jobs.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from lipwise_ray.settings.unions import NUMBER, SWITCH, Auto, text_or_number, text_or_switch

_GpuPart = Annotated[Annotated[float, Field(gt=0, le=1), Tag(NUMBER)] | Auto, Discriminator(text_or_number)]

_Switch = Annotated[Annotated[bool, Tag(SWITCH)] | Auto, Discriminator(text_or_switch)]


class Section(BaseModel):
    """A section of settings: unknown keys and values of another kind are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=(), allow_inf_nan=False)


class EngineSettings(Section):
    """Workers, budgets, deadlines."""

    kind: Literal["auto", "ray", "inline"] = "auto"
    """Workers of Ray, or ``inline``: this process alone. ``auto`` is ``inline`` for a single row on this machine where
    there would be one render worker, as on two cores or one GPU, and not in a night of the backlog."""
    address: str = "local"
    """Address of a Ray cluster; ``local`` starts one on this machine for the run."""
    workers: Annotated[int, Field(ge=0, le=4096)] = 0
    """Render workers; 0 means one a GPU, or one for every two cores."""
    cpu_workers: Annotated[int, Field(ge=1, le=1024)] = 1
    """Workers for tasks without a network: probing, planning, encoding audio, assembling."""
    gpus_per_worker: _GpuPart = 1.0
    """Part of a GPU that a render worker takes: several may share one. ``auto`` goes by the GPUs' memory, the cores
    beside them and whether there is a restorer: at most four workers a GPU, each with four cores."""
    threads_per_worker: Annotated[int, Field(ge=0, le=512)] = 0
    """0 divides the cores among the workers."""
    place: Literal["auto", "gpu", "cpu"] = "auto"
    """Nodes for render workers: ``gpu`` waits for nodes with GPUs, also where the cluster has none yet, and is refused
    on a single machine without one; ``cpu`` takes no GPU; ``auto`` goes by what is there when the run starts."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device on which render workers compute; ``auto`` is CUDA where they take GPUs."""
    cpu_runtime: Literal["auto", "torch", "onnxruntime", "openvino"] = "auto"
    """Library that computes large networks on a CPU, where a network is known to it; others stay torch's. ``auto`` is
    ``openvino`` where every render worker has it (the extra `cpu`), else ``torch``. In float32 faces differ from
    torch's by less than a level of 255, in bfloat16 on average from float32 by no more than torch's own. onnxruntime
    computes in float32. The sync scorer of a job follows, in float32: its figures are within 0.001 of torch's. What
    `evaluate` measures is torch's."""
    hardware_frames: Literal["auto", "on", "off"] = "auto"
    """Decoding by a GPU's video engine, where its frames are bit by bit FFmpeg's: every worker compares them once a
    codec. An engine does not tell damage inside a frame, so ``auto`` leaves videos to FFmpeg that were not searched for
    faces before: that search finds damage. ``on`` takes those too."""
    idle_s: Annotated[float, Field(ge=0, le=1e6)] = 60.0
    """On a cluster, workers without work for so long are sent away."""
    application_attempts: Annotated[int, Field(ge=1, le=20)] = 3
    """Errors, crashes and standstill that a task may have."""
    memory_attempts: Annotated[int, Field(ge=0, le=20)] = 2
    """Times that a task may run out of memory: it gets smaller batches, then a node of its own."""
    infrastructure_attempts: Annotated[int, Field(ge=1, le=1000)] = 20
    """Lost nodes that a task may see."""
    backoff_s: Annotated[float, Field(ge=0, le=600)] = 1.0
    """First wait after an error of a task; it doubles each time, to a minute at most."""
    start_s: Annotated[float, Field(gt=0, le=1e6)] = 300.0
    """A worker that has not started after so long, and fetches no checkpoint either, is ended and tried once more, on
    another node where there is one; where that one does not start either and no other has, the run stops."""
    stall_s: Annotated[float, Field(gt=0, le=1e6)] = 300.0
    """A worker that finishes no frame for so long is ended."""
    quiet_s: Annotated[float, Field(gt=0, le=1e6)] = 3600.0
    """The same for tasks that do not count frames."""
    stop_s: Annotated[float, Field(ge=0, le=1e6)] = 240.0
    """After a signal to stop, running tasks may take so long to end; what takes longer is ended, and done again by the
    next run; the inline engine's one task ends first. A supervisor's own patience has to be longer by the time that
    reports and whoever is told take."""
    on_quarantine: Literal["fail", "passthrough"] = "fail"
    """A chunk in quarantine fails its row, or shows its original frames, which the result says."""
    active_rows: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Rows worked on at a time, the rest wait in the manifest; 0 means two a render worker, and at least 8."""
    active_chunks: Annotated[int, Field(ge=1)] = 5000
    """Chunks of one tenant's videos that are being rendered at a time, so that few segments wait to be joined; a longer
    video is rendered alone."""
    verify_segments: Literal["auto", "beside", "after"] = "auto"
    """Time at which the task that renders a segment decodes it, to see that it is whole: ``beside`` its rendering, or
    ``after`` it. ``auto`` is ``beside`` on a GPU, which would wait for it, and ``after`` on a CPU, whose cores are busy
    anyway."""
    keep_segments: _Switch = "auto"
    """Leave the segments and audio of published videos in the state. ``auto`` leaves the segments of rows with a
    diarisation, and of those in which a face says several clips, so that a sentence that is replaced costs no more than
    the chunks in which it is heard; `clean` removes them. Where segments stay, chunks that show what those of an
    earlier job of the video do are taken over from there."""
    models_gb: Annotated[float, Field(ge=0, le=1e4)] = 0.0
    """Checkpoints whose models a worker keeps loaded, the least recently used go first; 0 means a quarter of the GPU's
    memory, or of a worker's share of the host's. What the running task uses always stays."""
    metrics_file: str | None = None
    """A file that is kept up to date with the run's metrics in Prometheus's text format, ending in .prom."""


class PathsSettings(Section):
    """Folders and addresses of a run, and those where its inputs may be."""

    state: str | None = None
    """Folder or prefix in which progress is kept; else ``OUT.state``."""
    out: str | None = None
    """Folder or prefix for outputs; else ``out`` beside the manifest."""
    models: str | None = None
    """Folder of pulled checkpoints."""
    mirror: str | None = None
    """A folder or prefix that holds checkpoints under the registry's file names: a machine that lacks one fetches it
    from there, once."""
    scratch: str | None = None
    """A folder of every machine for work in progress and copies of inputs; else each machine's own: LIPWISE_SCRATCH of
    its environment, or its temporary files."""
    schemes: tuple[Literal["file", "s3", "gs", "az", "http", "https"], ...] = ("file", "s3", "gs", "az")
    """Of the addresses that inputs may have; ``file`` is a path."""
    hosts: tuple[str, ...] = ()
    """Web servers that may be asked for inputs: a name, a name with a port, or ``*.`` and a domain."""
    roots: tuple[str, ...] = ()
    """Folders and prefixes that inputs must lie under; none for anywhere."""
    downloader: Literal["none", "yt-dlp"] = "none"
    """Reader of web addresses that are pages of sites, not files: ``yt-dlp`` (the extra `web`), in a process that
    reaches only `hosts`, which must name the sites' servers of media too."""
    cookies: Annotated[str, Field(pattern="^/")] | None = None
    """A file of cookies in Netscape's format on every machine, for what the downloader gets after a login only."""
    cache_gb: Annotated[float, Field(gt=0, le=1e6)] = 20.0
    """Room on each machine for copies of what lies elsewhere; what is in use may take more."""

    @model_validator(mode="after")
    def _web_needs_hosts(self) -> Self:
        if {"http", "https"} & {*self.schemes} and not self.hosts:
            raise ValueError("hosts must name the web servers that http and https may ask")
        return self

    @model_validator(mode="after")
    def _downloader_needs_the_web(self) -> Self:
        if self.downloader != "none" and not {"http", "https"} & {*self.schemes}:
            raise ValueError("a downloader needs https among the schemes, and hosts")
        return self


class LimitsSettings(Section):
    """Limits on the size of an input; a larger one fails its row before it is decoded."""

    gb: Annotated[float, Field(gt=0, le=1e6)] = 200.0
    """Of a file, in 1e9 bytes."""
    megapixels: Annotated[float, Field(gt=0, le=134)] = 70.0
    """Of a frame; 8K has 33."""
    hours: Annotated[float, Field(gt=0, le=100)] = 12.0
    """Of video or audio."""
    streams: Annotated[int, Field(ge=1, le=1000)] = 64


WIDEST_LIMITS = LimitsSettings(gb=1e6, megapixels=134, hours=100, streams=1000)
"""The most that settings allow: for files of this program's own, which may be a little larger than their sources."""
