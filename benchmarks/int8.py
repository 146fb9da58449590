"""Lips in int8 beside float32 and bfloat16: time, likeness, and the demo's figures, by the bundled generator's weights.

    python -m benchmarks.runtimes --int8

The demo is dubbed in float32, and every call of its network kept. A quarter of the calls calibrates static
quantisations of the network; another quarter measures them. Then the demo is dubbed by bfloat16, and by those that are
faster than it and whose every face is within the bar; its figures are set beside those of float32.

The bar: SSIM to float32 of at least 0.98, and no figure of the demo further from float32's than 1 %.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

BAR_SSIM, BAR_FIGURES = 0.98, 0.01
_BATCH = 16  # the batch of lips on a processor
PLAIN = "u8 x s8"  # activations without a sign, weights with one, by least and greatest; by ONNX Runtime too
_CALIBRATED = 4  # one call of so many calibrates
_FLOAT32 = ['lipsync.precision="float32"', 'engine.cpu_runtime="openvino"']
_BFLOAT16 = ['lipsync.precision="bfloat16"', 'engine.cpu_runtime="openvino"']
_TAIL = "/face_decoder_blocks.6"
"""Layers from here on draw in the face's full size: the last block, and the two convolutions behind it."""


def dub_demo(folder: Path, name: str, more: list[str]) -> list[Any]:
    """Dub the demo in this process; return its figures as `lipwise-ray synth compare` makes them."""
    import lipwise_ray
    from lipwise_ray.metrics.sync import SpeakerExpert
    from lipwise_ray.models.registry import Registry
    from lipwise_ray.pipeline.quality.demo_sync import compare
    from lipwise_ray.resources import jobs_folder, models_folder
    from lipwise_ray.roles.detector import DetectorMaker
    from lipwise_ray.runs.run_inputs import read_manifest

    manifest, out = Path("manifests/demo.csv"), folder / name
    sets = [*more, f'paths.scratch="{folder}/scratch"']
    source = lipwise_ray.load_settings(job=jobs_folder() / "demo.toml", assignments=sets)
    report = lipwise_ray.submit(manifest, out=out, settings=source, engine="inline")
    assert report.exit_code == 0, f"{report.failed} rows failed"
    registry = Registry(models_folder() / "registry.toml", Path())
    settings = source.for_run()
    detector = DetectorMaker((registry.resolve("tiny_detector", "tiny_detector"),), settings.detect.min_score)()
    judge = SpeakerExpert(registry.resolve("tiny_judge", "lipsync_expert").path)
    rows = read_manifest(str(manifest), source, settings, str(out)).rows
    return list(compare(rows, out, Path("manifests/demo/true"), detector, judge, source.for_row))


def figures_of(rows: list[Any]) -> dict[str, float | None]:
    """Return a name and a value for each figure of the demo's rows."""
    return {
        f"{row.row} {name}": value
        for row in rows
        for name, value in (
            ("dubbed", row.after),
            ("gap closed", row.gap_closed),
            ("shape", row.mouth.shape),
            ("sharpness", row.mouth.sharpness),
        )
    }


def shown(value: float | None) -> str:
    """Return a figure as text."""
    return "      -" if value is None else f"{value:7.4f}"


def moved(value: float | None, now: float | None) -> str:
    """Return a figure that was another, with how far it moved."""
    if value is None or now is None:
        return shown(now)
    far = abs(now - value) / abs(value) if value else float(now != value)
    return f"{shown(now)} {far:7.2%}{'*' if far > BAR_FIGURES else ' '}"


def luma_of(face_chw: Any) -> Any:
    """Return a face's luma in levels of 255; its channels are BGR."""
    return (np.tensordot([0.114, 0.587, 0.299], face_chw, 1) * 255).astype(np.float32)


def quantised(model: bytes, calls: list[dict[str, Any]], folder: Path, name: str, options: dict[str, Any]) -> bytes:
    """Return a network whose convolutions are in int8, calibrated with the inputs of calls."""
    from onnxruntime import quantization as by

    exported, shaped, made = (folder / f"{name}-{step}.onnx" for step in ("exported", "shaped", "made"))
    exported.write_bytes(model)
    by.quant_pre_process(str(exported), str(shaped), skip_symbolic_shape=True)

    class Calls(by.CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(calls)

        def get_next(self) -> Any:
            return next(self.left, None)

    wanted = {"per_channel": True, "quant_format": by.QuantFormat.QDQ, "weight_type": by.QuantType.QInt8} | options
    if wanted.pop("full_size", True) is False:
        import onnx

        nodes = [node.name for node in onnx.load(shaped).graph.node]
        first = next(place for place, node in enumerate(nodes) if node.startswith(_TAIL))
        wanted["nodes_to_exclude"] = nodes[first:]
    by.quantize_static(str(shaped), str(made), Calls(), **wanted)
    return made.read_bytes()


def main(rounds: int) -> None:
    """Print the table."""
    from onnxruntime.quantization import CalibrationMethod, QuantType

    from lipwise_ray.lipsync.model import CompiledWav2LipSync, load_wav2lip
    from lipwise_ray.metrics.fidelity import ssim
    from lipwise_ray.nets.exports import Exportable, Exports, export
    from lipwise_ray.nets.runtimes import ONNXRUNTIME, OPENVINO, open_network
    from lipwise_ray.resources import models_folder

    whole_calls: list[dict[str, Any]] = []
    drawn = CompiledWav2LipSync.__call__

    def kept(self: Any, faces: Any, mels: Any) -> Any:
        network = self._network
        self._network = lambda mel, face: whole_calls.append({"mel": mel, "face": face}) or network(mel, face)
        try:
            return drawn(self, faces, mels)
        finally:
            self._network = network

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with mock.patch.object(CompiledWav2LipSync, "__call__", kept):
            before = dub_demo(folder, "float32", _FLOAT32)
        assert whole_calls, "the demo has its calls of another runtime: OpenVINO, the extra cpu, is not there"
        calibrating, measuring = whole_calls[::_CALIBRATED], whole_calls[1::_CALIBRATED]
        print(f"{len(whole_calls)} calls of {_BATCH} faces; {len(calibrating)} calibrate, {len(measuring)} measure")
        path = models_folder() / "tiny" / "tiny_generator.safetensors"
        inputs = {name: one.shape[1:] for name, one in whole_calls[0].items()}
        model = export(Exportable("wav2lip", "", lambda: load_wav2lip(path), inputs))
        unsigned, signed = {"activation_type": QuantType.QUInt8}, {"activation_type": QuantType.QInt8}
        kinds = {
            PLAIN: unsigned,
            "u8 x s8, percentile": {**unsigned, "calibrate_method": CalibrationMethod.Percentile},
            "s8 x s8": {**signed, "extra_options": {"ActivationSymmetric": True}},
            "u8 x s8, full size in float": {**unsigned, "full_size": False},
        }
        networks: dict[str, Any] = {"float32, openvino": open_network(model, OPENVINO, batch=_BATCH, threads=1)}
        networks["bfloat16, openvino"] = open_network(model, OPENVINO, batch=_BATCH, threads=1, bfloat16=True)
        files: dict[str, bytes] = {}
        for kind, options in kinds.items():
            made = quantised(model, calibrating, folder, kind.replace(" ", "-"), options)
            for runtime in (OPENVINO, ONNXRUNTIME) if kind == PLAIN else (OPENVINO,):
                bfloat16 = runtime == OPENVINO  # what is not in int8
                files[f"{kind}, {runtime}"] = made
                networks[f"{kind}, {runtime}"] = open_network(made, runtime, batch=_BATCH, threads=1, bfloat16=bfloat16)
        exact = [networks["float32, openvino"](*call.values()).copy() for call in measuring]
        spent_ms: dict[str, list[float]] = {kind: [] for kind in networks}
        for _ in range(rounds):
            for kind, network in networks.items():
                begin_s = time.process_time()
                network(*measuring[0].values())
                spent_ms[kind].append((time.process_time() - begin_s) * 1000 / _BATCH)
        took = {kind: statistics.median(times) for kind, times in spent_ms.items()}
        usual = took["bfloat16, openvino"]
        print(f"{'':42} CPU-ms/face  x bfloat16  SSIM mean   least face  mean level")
        least: dict[str, float] = {}
        for kind, network in networks.items():
            alike, levels = [], []
            for call, right in zip(measuring, exact, strict=True):
                found = network(*call.values())
                levels.append(np.abs(found - right).mean() * 255)
                for one, other in zip(found, right, strict=True):
                    alike.append(ssim(luma_of(one), luma_of(other)) or 0)
            least[kind] = min(alike)
            print(
                f"{kind:42} {took[kind]:11.2f} {usual / took[kind]:11.2f} {np.mean(alike):10.4f} {least[kind]:12.4f}"
                f" {np.mean(levels):11.3f}",
                flush=True,
            )
        candidates = [
            kind
            for kind in files
            if kind.endswith(OPENVINO) and least[kind] >= BAR_SSIM and took[kind] < took["bfloat16, openvino"]
        ]
        exported, usual_figures = Exports.get, figures_of(before)
        for number, kind in enumerate(["bfloat16", *candidates]):

            def replaced(self: Exports, network: Exportable, runtime: Any, kind: str = kind) -> Path:
                if network.name != "wav2lip" or kind not in files:
                    return exported(self, network, runtime)
                path = folder / "quantised.onnx"
                path.write_bytes(files[kind])
                return path

            with mock.patch.object(Exports, "get", replaced):
                figures = figures_of(dub_demo(folder, f"other-{number}", _BFLOAT16))
            print(f"\n{kind}: figures of the demo, float32's and its own; * moved by more than {BAR_FIGURES:.0%}")
            for figure, value in usual_figures.items():
                print(f"{figure:24} {shown(value)} {moved(value, figures[figure])}", flush=True)
