"""Worker: one task after another, with models that stay loaded."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import cv2

from lipwise_ray.backends.devices import check_cuda
from lipwise_ray.backends.worker_config import WorkerConfig
from lipwise_ray.errors import LipwiseError, ran_out_of_memory
from lipwise_ray.models.loading import ModelRequest
from lipwise_ray.models.locator import WeightsLocator, mirror_of
from lipwise_ray.nets.exports import exports_of
from lipwise_ray.nets.runtimes import TORCH
from lipwise_ray.pipeline.dubbing.capabilities import RenderCapabilities, capabilities_of
from lipwise_ray.pipeline.dubbing.planner import Planner
from lipwise_ray.pipeline.dubbing.task_parts import RowPayload
from lipwise_ray.pipeline.flows.task_kinds import KINDS, RECHECK
from lipwise_ray.pipeline.inputs.resolver import cache_of, media_of
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.pipeline.tasks.handlers import all_handlers
from lipwise_ray.pipeline.tasks.model_pool import room_for_models
from lipwise_ray.pipeline.tasks.models import Models
from lipwise_ray.scheduler.task import AnyKind, Hints, TaskResult
from lipwise_ray.state.store import open_store
from lipwise_ray.threads import ThreadBudget

_TICK_EVERY_S = 5.0
_FRAMES_A_COLLECTION = 500


class Worker:
    """Runs tasks. One at a time; `frames_done` may be read from another thread."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._cache = cache_of(config.paths)
        self._store = open_store(config.state, self._cache)
        self._scratch = config.scratch_here
        self._planner = Planner(self._store, self._scratch)
        locate = WeightsLocator(mirror_of(config.paths), self._tick_slowly)
        room = partial(room_for_models, config.device, config.threads, config.models_gb, config.gpu_part)
        self._threads = ThreadBudget.of(config.threads, config.network_threads)
        if self._threads.own_code:
            cv2.setNumThreads(self._threads.own_code)  # its own choice knows of no quota, and of no other worker
        exports = exports_of(config.paths.scratch)
        self._models = Models(config.device, self._threads.networks, locate, room, exports)
        self._known_kinds: set[str] = set()
        self._ticked_s = 0.0
        self.frames_done = 0
        """Frames finished since the worker began: stands still when nothing moves."""

    @property
    def kinds(self) -> Mapping[str, AnyKind]:
        """All kinds of task."""
        return KINDS

    def prepare(self, jobs: list[ModelRequest]) -> RenderCapabilities:
        """Report what this worker can do; its models are not loaded yet.

        Raises:
            SetupError: The GPU that is asked for is not there, or a runtime that is asked for by name.
        """
        if self._config.device == "cuda":
            check_cuda()
        with _collecting_later():
            tried = self._models.tried_runtimes(jobs)
        checkpoints = [job.checkpoints for job in jobs]
        found = capabilities_of(self._config.device, checkpoints, tried.runtimes, tried.problem)
        fallback = self._models.planes_fallback(jobs)
        return replace(found, fallback=f"{found.gpu or self._config.device}: {fallback}") if fallback else found

    def load(self, jobs: list[ModelRequest]) -> None:
        """Load the models that these jobs need.

        Raises:
            SetupError: One cannot be loaded.
        """
        with _collecting_later():
            self._models.load_all(jobs)
        if not self._known_kinds:
            gc.freeze()  # what was loaded stays: the first task's collection need not look through it

    def run(self, kind: AnyKind, payload: RowPayload, hints: Hints) -> TaskResult:
        """Do one task and return what its kind gives."""
        media = media_of(payload.row.job.settings, self._cache, self._tick_slowly, self._store)
        choice = payload.choice
        self._models.begin_task(
            bfloat16=choice.bfloat16 if choice else None, runtime=choice.runtime if choice else TORCH
        )
        context = TaskContext(
            store=self._store,
            scratch=self._scratch,
            media=media,
            models=self._models,
            planner=self._planner,
            threads=self._threads,
            on_frame=self._tick,
            on_block=self._tick_slowly,
        )
        try:
            return all_handlers()[kind](context, payload, hints)
        except LipwiseError as error:
            raise media.named(error) from error
        except Exception as error:
            if ran_out_of_memory(error):
                _let_go(error)
                self._models.trim()
            raise
        finally:
            if kind is not RECHECK:  # which opens nothing
                gc.collect()  # decoders and frames hang in cycles whose size Python cannot see: memory would grow
            if kind.name not in self._known_kinds:
                # What libraries keep for good need not be looked through after every task: that takes 0.1 s.
                self._known_kinds.add(kind.name)
                gc.freeze()

    def _tick(self) -> None:
        self.frames_done += 1
        if self.frames_done % _FRAMES_A_COLLECTION == 0:  # as after each task: one may have as many frames as a film
            gc.collect()

    def _tick_slowly(self) -> None:
        """Show that something moves which is not a frame: a download, a check."""
        now = time.monotonic()
        if now - self._ticked_s > _TICK_EVERY_S:
            self._ticked_s = now
            self._tick()


@contextmanager
def _collecting_later() -> Generator[None]:
    """Load without the garbage collector: it would look through all of what is loaded again and again, and that stays.

    Next to nothing of it is garbage.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _let_go(error: BaseException | None) -> None:
    """Clear the frames that an exception came through: they hold the very batches that there was no memory for."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
