"""Who speaks when, by the real sherpa-onnx and made-up networks, and networks that cannot be used."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lipwise_ray.errors import AudioError, SettingsError
from lipwise_ray.pipeline.analysis.sherpa_process import SherpaRequest
from lipwise_ray.pipeline.analysis.speaker_diarisation import MOST_S, Diarisation, Diariser, check_diariser
from lipwise_ray.pipeline.manifest.diarisation import SpeakerTimes, read_diarisation
from lipwise_ray.settings.model import DiariseSettings
from lipwise_ray.values import F32Array
from tests.support.occluder import write_occluder
from tests.support.voices import HIGH_HZ, LOW_HZ, talk, write_embedding, write_segmentation

pytest.importorskip("sherpa_onnx", reason="extra diarise is not installed")

_NEAR_S = 0.3
DIALOGUE = [
    (1, ()),
    (4, (LOW_HZ,)),
    (3, (HIGH_HZ,)),
    (2, ()),
    (5, (LOW_HZ,)),
    (3, (LOW_HZ, HIGH_HZ)),
    (4, (HIGH_HZ,)),
]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> DiariseSettings:
    folder = tmp_path_factory.mktemp("voices")
    segmentation, embedding = write_segmentation(folder / "s.onnx"), write_embedding(folder / "e.onnx")
    return DiariseSettings(segmentation=str(segmentation), embedding=str(embedding))


def _file(folder: Path, wave: F32Array) -> Path:
    path = folder / "wave.f32"
    wave.tofile(path)
    return path


def _near(turns: SpeakerTimes, expected: list[tuple[float, float]]) -> bool:
    return len(turns) == len(expected) and all(
        abs(float(at) - wanted) <= _NEAR_S
        for turn, times in zip(turns, expected, strict=True)
        for at, wanted in zip(turn, times, strict=True)
    )


def test_two_voices_and_their_turns(networks: DiariseSettings, tmp_path: Path) -> None:
    """They are told apart over more windows than one, also where both speak; the file that is written reads back."""
    diariser = Diariser(networks)
    assert diariser.rate_hz == 16_000
    found = diariser(_file(tmp_path, talk(DIALOGUE)), "talk.wav")
    assert list(found) == ["SPEAKER_00", "SPEAKER_01"]
    assert _near(found["SPEAKER_00"], [(1, 5), (10, 18)])
    assert _near(found["SPEAKER_01"], [(5, 8), (15, 22)])
    (tmp_path / "talk.rttm").write_text(Diarisation("a talk", found).rttm)
    assert read_diarisation(tmp_path / "talk.rttm") == found


@pytest.mark.parametrize("seconds", [3, pytest.param(8, marks=pytest.mark.slow)])
def test_the_number_of_speakers_is_heeded(seconds: float, networks: DiariseSettings, tmp_path: Path) -> None:
    """Also where all fits in one window, which sherpa-onnx would not compare; no turn outlasts the audio."""
    wave = _file(tmp_path, talk([(seconds, (LOW_HZ,)), (seconds, (HIGH_HZ,))]))
    diariser = Diariser(networks)
    assert [*map(len, diariser(wave, "w").values())] == [1, 1]
    (turns,) = diariser(wave, "w", speakers=1).values()
    assert _near(turns, [(0, 2 * seconds)])
    assert turns[-1][1] <= 2 * seconds


@pytest.mark.slow
def test_settings_decide_what_a_turn_is(networks: DiariseSettings, tmp_path: Path) -> None:
    """Short turns are left out, turns with a pause between them are one, and voices are as far apart as is said."""
    wave = _file(tmp_path, talk([(6, (LOW_HZ,)), (1, ()), (6, (LOW_HZ,)), (2, ()), (1, (HIGH_HZ,)), (2, ())]))
    low, high = Diariser(networks)(wave, "w").values()
    assert (len(low), len(high)) == (2, 1)
    changed = networks.model_copy(update={"min_duration_on_s": 1.5, "min_duration_off_s": 1.5})
    (low,) = Diariser(changed)(wave, "w").values()
    assert _near(low, [(0, 13)])
    assert len(Diariser(networks.model_copy(update={"threshold": 1.9}))(wave, "w")) == 1


def test_audio_is_heard_at_the_networks_rate(networks: DiariseSettings, tmp_path: Path) -> None:
    """A segmentation for telephone lines has another."""
    segmentation = write_segmentation(tmp_path / "s.onnx", 8000)
    diariser = Diariser(networks.model_copy(update={"segmentation": str(segmentation)}))
    assert diariser.rate_hz == 8000
    low, high = diariser(_file(tmp_path, talk([(7, (LOW_HZ,)), (7, (HIGH_HZ,))], 8000)), "w").values()
    assert _near(low, [(0, 7)])
    assert _near(high, [(7, 14)])


@pytest.mark.parametrize("seconds", [0, 0.01, 3, 13])
def test_nobody_speaks_in_silence(seconds: float, networks: DiariseSettings, tmp_path: Path) -> None:
    """Whatever its length."""
    assert Diariser(networks)(_file(tmp_path, talk([(seconds, ())])), "w") == {}


def test_audio_that_is_too_long_is_refused(networks: DiariseSettings, tmp_path: Path) -> None:
    """Before anything is computed: all voices are compared with each other."""
    wave = tmp_path / "wave.f32"
    with wave.open("wb") as file:
        file.truncate((MOST_S + 60) * 16_000 * 4)  # with holes
    with pytest.raises(AudioError, match=r"^film\.mkv: 4\.02 h of audio; up to 4 h.*Cut it into parts\.$"):
        Diariser(networks)(wave, "film.mkv")


def _page(path: Path) -> Path:
    path.write_text("<html>Not found</html>")
    return path


def _cut(path: Path) -> Path:
    write_segmentation(path)
    path.write_bytes(path.read_bytes()[:3000])
    return path


def _empty(path: Path) -> Path:
    path.touch()
    return path


def _without_metadata(path: Path) -> Path:
    return write_segmentation(path, metadata={"exporter": "somebody"})


def _voices_of_another_maker(path: Path) -> Path:
    return write_embedding(path, metadata={"framework": "another"})


def _voices_of_no_maker(path: Path) -> Path:
    return write_embedding(path, metadata={})


def _fewer_numbers(path: Path) -> Path:
    return write_embedding(path, stated=4)


def _of_no_rate(path: Path) -> Path:
    return write_segmentation(path, 100)


@pytest.mark.parametrize(
    ("key", "make", "told"),
    [
        ("segmentation", _page, "Protobuf parsing failed"),
        ("segmentation", _empty, "Load model"),
        ("segmentation", _cut, "Protobuf parsing failed"),
        ("segmentation", write_embedding, "'window_size' does not exist in the metadata"),
        ("segmentation", _without_metadata, "'sample_rate' does not exist in the metadata"),
        ("segmentation", _of_no_rate, "100 Hz"),
        ("embedding", _page, "Protobuf parsing failed"),
        ("embedding", write_occluder, "Unknown model type"),
        ("embedding", _voices_of_no_maker, "Unknown model type"),
        ("embedding", _voices_of_another_maker, "Unknown model type"),
        ("embedding", _fewer_numbers, "gives 80 numbers for a voice, and states 4"),
    ],
)
def test_a_network_that_sherpa_cannot_use_is_named(
    key: str,
    make: Callable[[Path], Path],
    told: str,
    networks: DiariseSettings,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """sherpa-onnx ends its process by most of them, which is not this one, and what it prints is not shown."""
    file = make(tmp_path / "bad.onnx")
    with pytest.raises(SettingsError, match=told) as caught:
        Diariser(networks.model_copy(update={key: str(file)}))
    assert (caught.value.code, caught.value.where) == ("bad_diarise_model", f"diarise.{key} {file}")
    assert capfd.readouterr() == ("", "")


def test_networks_are_named_and_there(networks: DiariseSettings, tmp_path: Path) -> None:
    """What is lacking is said before anything is loaded."""
    for settings, told in (
        (DiariseSettings(embedding=networks.embedding), "diarise.segmentation: no network is named"),
        (DiariseSettings(segmentation=networks.segmentation), "diarise.embedding: no network is named"),
        (networks.model_copy(update={"embedding": str(tmp_path)}), f"diarise.embedding {tmp_path}: file not found"),
    ):
        with pytest.raises(SettingsError) as caught:
            check_diariser(settings)
        assert caught.value.code == "no_diarise_model"
        assert str(caught.value).startswith(told)
    check_diariser(networks)


def test_a_missing_extra_is_named(networks: DiariseSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "sherpa_onnx", None)
    with pytest.raises(SettingsError, match=r"pip install 'lipwise-ray\[diarise\]'") as caught:
        Diariser(networks)
    assert caught.value.code == "no_diarise"


def test_a_package_that_does_not_start_is_no_networks_fault(
    networks: DiariseSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As where a library of the system is missing."""
    (tmp_path / "sherpa_onnx.py").write_text("raise ImportError('libasound.so.2: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(
        SettingsError, match=r"sherpa-onnx does not start: ImportError: libasound\.so\.2: cannot"
    ) as caught:
        Diariser(networks)
    assert caught.value.code == "no_diarise"


def test_defaults_are_sherpas() -> None:
    """A request and the settings agree on them."""
    import sherpa_onnx

    request, settings = SherpaRequest("s", "e"), DiariseSettings()
    theirs = sherpa_onnx.OfflineSpeakerDiarizationConfig(
        sherpa_onnx.OfflineSpeakerSegmentationModelConfig(),
        sherpa_onnx.SpeakerEmbeddingExtractorConfig(),
        sherpa_onnx.FastClusteringConfig(),
    )
    ours = (settings.threshold, settings.min_duration_on_s, settings.min_duration_off_s)
    assert ours == (request.threshold, request.min_duration_on_s, request.min_duration_off_s)
    assert ours == pytest.approx((theirs.clustering.threshold, theirs.min_duration_on, theirs.min_duration_off))
