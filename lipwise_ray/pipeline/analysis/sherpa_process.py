"""sherpa-onnx in a process of its own: a model that it does not know ends its process, by `exit` or by a crash.

``python -m lipwise_ray.pipeline.analysis.sherpa_process REQUEST`` answers a `SherpaRequest` (JSON) on standard output:
the name of each step as it begins, then a line of JSON. What the library itself prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lipwise_ray.values import F32Array

EMBEDDING, SEGMENTATION, AUDIO = "embedding", "segmentation", "audio"
"""Steps: loading a network, and computing with both."""

FAILED, OUT_OF_MEMORY = 1, 2
"""Exit statuses. After the former the last line on standard error says what was wrong."""

# sherpa-onnx compares no voices in audio that fits in one of the segmentation's windows, 10 s of pyannote's, and heeds
# neither the number of speakers nor the threshold there: silence follows shorter audio.
_LEAST_S = 12

_TRIAL_SAMPLES = 16_000


@dataclass(frozen=True, slots=True)
class SherpaRequest:
    """Question to sherpa-onnx: at which rate two networks hear, or who speaks when.

    Attributes:
        segmentation: The ONNX file of a pyannote segmentation network.
        embedding: The ONNX file of a network that tells voices apart.
        samples: A file of mono float32 samples at the rate of the networks; None asks for that.
        speakers: How many there are; None where the threshold decides.
        threshold: Cosine distance from which voices are two speakers.
        min_duration_on_s: Shorter turns are left out.
        min_duration_off_s: Over shorter pauses a turn goes on.
        threads: For each network.
    """

    segmentation: str
    embedding: str
    samples: str | None = None
    speakers: int | None = None
    threshold: float = 0.5
    min_duration_on_s: float = 0.3
    min_duration_off_s: float = 0.5
    threads: int = 1


class _SpokenTurn(Protocol):
    start: float
    end: float
    speaker: int


class _SpokenTurns(Protocol):
    def sort_by_start_time(self) -> Iterable[_SpokenTurn]: ...


class _Diarisation(Protocol):
    """The part of `sherpa_onnx.OfflineSpeakerDiarization` that is used; the package states no types."""

    sample_rate: int

    def process(self, samples: F32Array) -> _SpokenTurns: ...


def _answering() -> Callable[[str], None]:
    """Keep standard output for the answer alone; return what writes a line of it."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(line: str) -> None:
        answer.write(f"{line}\n")
        answer.flush()

    return say


def _rate_hz(request: SherpaRequest, say: Callable[[str], None]) -> int:
    """Load both networks, compute a voice, and return the rate at which they hear."""
    import sherpa_onnx

    say(EMBEDDING)
    config = sherpa_onnx.SpeakerEmbeddingExtractorConfig(request.embedding)
    extractor = sherpa_onnx.SpeakerEmbeddingExtractor(config)
    stream = extractor.create_stream()
    noise = np.random.default_rng(0).normal(0, 0.1, _TRIAL_SAMPLES).astype(np.float32)
    stream.accept_waveform(_TRIAL_SAMPLES, noise)
    stream.input_finished()
    computed, stated = len(extractor.compute(stream)), int(extractor.dim)
    if computed != stated:  # it would be written past the end of what is stated
        raise ValueError(f"it gives {computed} numbers for a voice, and states {stated}")
    say(SEGMENTATION)
    return int(_loaded(request).sample_rate)


def _turns(request: SherpaRequest, say: Callable[[str], None]) -> list[tuple[float, float, int]]:
    """Return start and end in seconds and the number of the speaker of each turn."""
    say(SEGMENTATION)
    diarisation = _loaded(request)
    wave = np.memmap(str(request.samples), np.float32, "r")
    least = _LEAST_S * diarisation.sample_rate
    say(AUDIO)
    heard = wave if len(wave) >= least else np.pad(wave, (0, least - len(wave)))
    return [(turn.start, turn.end, turn.speaker) for turn in diarisation.process(heard).sort_by_start_time()]


def _loaded(request: SherpaRequest) -> _Diarisation:
    import sherpa_onnx

    return sherpa_onnx.OfflineSpeakerDiarization(
        sherpa_onnx.OfflineSpeakerDiarizationConfig(
            segmentation=sherpa_onnx.OfflineSpeakerSegmentationModelConfig(
                sherpa_onnx.OfflineSpeakerSegmentationPyannoteModelConfig(request.segmentation),
                num_threads=request.threads,
            ),
            embedding=sherpa_onnx.SpeakerEmbeddingExtractorConfig(request.embedding, num_threads=request.threads),
            clustering=sherpa_onnx.FastClusteringConfig(request.speakers or -1, request.threshold),
            min_duration_on=request.min_duration_on_s,
            min_duration_off=request.min_duration_off_s,
        )
    )


def _answer(request: SherpaRequest) -> None:
    say = _answering()
    try:
        say(json.dumps(_rate_hz(request, say) if request.samples is None else _turns(request, say)))
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
    except (RuntimeError, ValueError) as error:
        sys.stderr.write(f"\n{' '.join(str(error).split())}\n")
        sys.exit(FAILED)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _answer(SherpaRequest(**json.loads(sys.argv[1])))
