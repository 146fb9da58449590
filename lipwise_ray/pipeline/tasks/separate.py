"""Taking the voices out of a video's own audio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.channels import channel_names
from lipwise_ray.media.container import write_problem
from lipwise_ray.media.flac import write_flac
from lipwise_ray.media.mix import stream_of
from lipwise_ray.nets.separation import ChannelPair
from lipwise_ray.pipeline.dubbing.separated import own_stream, separator_id
from lipwise_ray.pipeline.flows.task_kinds import SEPARATE, SeparatePayload, SeparateResult
from lipwise_ray.pipeline.inputs.whole_file import whole_file
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.pipeline.tasks.handlers import handles
from lipwise_ray.roles.separator import SEPARATOR
from lipwise_ray.scheduler.task import Hints
from lipwise_ray.state import layout
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.storage.scratch import scratch_file
from lipwise_ray.values import F32Array

_BASS = "LFE"


@handles(SEPARATE)
def separate(context: TaskContext, payload: SeparatePayload, hints: Hints) -> SeparateResult:
    """Leave in the state what a video's own audio holds beside voices, unless it is there.

    Raises:
        AudioError: The video has no audio, or a sample is NaN or infinite.
        MediaError: It is damaged.
        StorageError: The disk is full.
    """
    job, store = context.open(payload), context.store
    folder = layout.backgrounds(job.video.id, separator_id(payload.probed.identity), salvage=job.salvage)
    if whole_file(store, folder) is not None:  # rows of one video share it
        return SeparateResult()
    separator = context.models.needed(SEPARATOR, context.models_for(payload, hints))
    own = own_stream(job)
    info = stream_of([(separator.rate_hz, own.layout)], Path("background.mka"))
    names = channel_names(info.layout)
    with scratch_file(context.scratch, "own.f32") as wave, scratch_file(context.scratch, "background.mka") as made:
        blocks = AudioReader(own, salvage=job.salvage, limits=job.spec.settings.limits).blocks(
            info.rate_hz, info.layout
        )
        pairs = _write(wave, blocks, names, context)
        samples = wave.stat().st_size // (4 * len(names))
        mix = (
            np.memmap(wave, np.float32, "r", shape=(samples, len(names)))
            if samples
            else np.zeros((0, len(names)), np.float32)
        )
        left = separator.without_voices(mix, pairs, context.on_block)
        write_flac(made, info, (np.clip(block, -1, 1) for block in left), on_block=context.on_block)
        store.put_file(f"{folder}/{sha256_of(made)}.mka", made)
    return SeparateResult()


def _write(target: Path, blocks: Iterator[F32Array], names: list[str], context: TaskContext) -> list[ChannelPair]:
    """Write samples one after the other, all channels of each; return the pairs of channels that may hold voices."""
    places = _pairs(names)
    sums, samples = np.zeros((len(places), 2)), 0
    try:
        with target.open("wb") as file:
            for block in blocks:
                file.write(np.ascontiguousarray(block.T, np.float32).tobytes())
                means = [block[list(pair)].mean(axis=0, dtype=np.float64) for pair in places]
                sums += [[mean.sum(), (mean**2).sum()] for mean in means]
                samples += block.shape[1]
                context.on_block()
    except OSError as error:
        raise write_problem(target, error) from error
    found: list[ChannelPair] = []
    for (left, right), (total, squares) in zip(places, sums.tolist(), strict=True):
        mean = total / max(1, samples)
        deviation = max(0.0, squares / max(1, samples) - mean**2) ** 0.5
        found.append(ChannelPair(left, right, mean, deviation))
    return found


def _pairs(names: list[str]) -> list[tuple[int, int]]:
    """Return the channels that are taken apart together: left and right of each place, others by themselves."""
    found: list[tuple[int, int]] = []
    for number, name in enumerate(names):
        other = f"{name[:-1]}R"
        if name == _BASS or (name.endswith("R") and f"{name[:-1]}L" in names):
            continue
        found.append((number, names.index(other) if name.endswith("L") and other in names else number))
    return found
