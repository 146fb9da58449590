"""What is delivered beside the voice: a bed under it, out of the way of speech, and all of it as loud as asked for."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwise_ray.errors import AudioError, MediaError, SettingsError
from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.probe import AudioInfo, probe_audio
from lipwise_ray.media.samples import frame_of
from lipwise_ray.media.soundtrack import SoundtrackPlan
from lipwise_ray.pipeline.delivery.mixed_sound import MixedSound
from lipwise_ray.pipeline.dubbing.job_audio import Sounds
from lipwise_ray.pipeline.flows.task_kinds import ProbePayload
from lipwise_ray.pipeline.tasks.probe import probe
from lipwise_ray.state.mixed_record import MixedRecord
from tests.support.loudness_meter import integrated_lufs, samples_in, true_peak_db
from tests.support.task_context import NOTHING_KNOWN, Bench

RATE_HZ = 48_000
SPOKEN_S = ((1.0, 2.0), (4.0, 5.0))
PAUSE, SPEECH = slice(round(2.9 * RATE_HZ), round(3.1 * RATE_HZ)), slice(round(1.2 * RATE_HZ), round(1.8 * RATE_HZ))
FLAC = SoundtrackPlan(copy=False, codec="flac", bitrate=0, duration_s=Fraction(6), bits=24)


def _write(path: Path, samples: Any, layout: str = "mono", rate_hz: int = RATE_HZ) -> Path:
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("pcm_s24le", rate=rate_hz, layout=layout)
        levels = np.rint(samples * ((1 << 31) - 1)).astype(np.int32)
        output.mux(stream.encode(frame_of(levels, "s32", layout, rate_hz)))
        output.mux(stream.encode(None))
    return path


def _voice(path: Path, level: float = 0.3) -> Path:
    """Write 6 s in which a voice of harmonics speaks twice for a second."""
    time_s = np.arange(6 * RATE_HZ) / RATE_HZ
    wave = sum(np.sin(2 * np.pi * 140 * n * time_s) / n for n in range(1, 20)) * level / 2
    wave = wave * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time_s))
    spoken = np.zeros(len(time_s))
    for start_s, stop_s in SPOKEN_S:
        spoken[round(start_s * RATE_HZ) : round(stop_s * RATE_HZ)] = 1
    return _write(path, (wave * spoken)[None])


def _bed(path: Path, seconds: float = 8.0, channels: int = 2, level: float = 0.1) -> Path:
    """Write a tone that no voice has, of 3 kHz, quieter to the right."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    gains = np.array([1.0, 0.5, 0.0, 0.0, 0.25, 0.25])[:channels]
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    return _write(path, gains[:, None] * level * np.sin(2 * np.pi * 3000 * time_s), layout)


def _tone(samples: Any) -> float:
    """Return the amplitude of the bed's tone in samples."""
    window = np.hanning(len(samples))
    wave = np.exp(-2j * np.pi * 3000 * np.arange(len(samples)) / RATE_HZ)
    return float(2 * np.abs((samples * window * wave).sum()) / window.sum())


def _mixed(
    folder: Path, background: Path | None, plan: SoundtrackPlan = FLAC, **sections: dict[str, Any]
) -> tuple[Path, MixedRecord]:
    """Mix the voice with a background; return the file."""
    bench = Bench(folder, **sections)
    voice = folder / "voice.wav"
    if not voice.exists():
        _voice(voice)
    bench.row = bench.with_spec(audio=str(voice), background=background and str(background))
    probed = bench.probed()
    job = bench.context.open_video(ProbePayload(bench.row), probed.video_id)
    sounds = Sounds(job, bench.context.scratch, probed.job_id, probed.identity)
    target = folder / ("mixed.mkv" if plan.codec == "flac" else "mixed.mp4")
    mixed = MixedSound(
        job, bench.context.scratch, probed.identity, sounds, sounds.file(), plan.duration_s, (), lambda: None
    )
    return target, mixed.write(target, plan)


def test_a_bed_is_heard_in_pauses_and_under_speech(tmp_path: Path) -> None:
    """By its gain, on its own side, and the voice is on both sides as loud as alone."""
    path, record = _mixed(tmp_path, _bed(tmp_path / "bed.wav"), mix={"background_gain_db": -6.0})
    found, rate_hz = samples_in(path)
    alone = samples_in(tmp_path / "voice.wav")[0][0]
    assert (found.shape, rate_hz) == ((2, 6 * RATE_HZ), RATE_HZ)
    for part in (PAUSE, SPEECH):
        assert _tone(found[0, part]) == pytest.approx(0.1 * 10 ** (-6 / 20), rel=0.02)
        assert _tone(found[1, part]) == pytest.approx(0.05 * 10 ** (-6 / 20), rel=0.02)
    assert np.abs(2 * found[1] - found[0] - alone).max() < 1e-4  # the bed is twice as loud to the left
    assert (record.background, record.background_gain_db) == (str(tmp_path / "bed.wav"), -6.0)
    assert (record.duck_db, record.loudness_lufs, record.gain_db) == (None, None, 0.0)


def test_a_ducked_bed_makes_way_for_speech_smoothly(tmp_path: Path) -> None:
    """It is lower by what was asked while somebody speaks, as loud as ever half a second away, and never jumps."""
    path, record = _mixed(tmp_path, _bed(tmp_path / "bed.wav"), mix={"duck_db": 12.0})
    left = samples_in(path)[0][0]
    assert _tone(left[PAUSE]) == pytest.approx(0.1, rel=0.02)
    assert _tone(left[SPEECH]) == pytest.approx(0.1 * 10 ** (-12 / 20), rel=0.05)
    steps = [_tone(left[at : at + RATE_HZ // 20]) for at in range(0, len(left) - RATE_HZ // 20, RATE_HZ // 20)]
    assert np.abs(np.diff(20 * np.log10(steps))).max() < 2.0  # 12 dB in half a second are 1.2 dB in 50 ms
    assert record.duck_db == 12.0
    assert record.ducked_s == pytest.approx(2.0, abs=0.5)


@pytest.mark.parametrize(("seconds", "at_the_end"), [(3.5, 0.0), (9.0, 0.1)])
def test_a_bed_of_another_length_is_cut_or_ends(tmp_path: Path, seconds: float, at_the_end: float) -> None:
    """The output is as long as without it; silence follows a shorter one."""
    found = samples_in(_mixed(tmp_path, _bed(tmp_path / "bed.wav", seconds))[0])[0]
    assert found.shape[1] == 6 * RATE_HZ
    assert _tone(found[0, -RATE_HZ // 4 :]) == pytest.approx(at_the_end, abs=2e-3)


def test_a_surround_bed_stays_so_and_the_voice_comes_from_the_centre(tmp_path: Path) -> None:
    """Nothing of the bed is folded, and the voice is in the centre alone."""
    path, _ = _mixed(tmp_path, _bed(tmp_path / "bed.wav", channels=6))
    found = samples_in(path)[0]
    alone = samples_in(tmp_path / "voice.wav")[0][0]
    assert [round(_tone(channel[PAUSE]), 3) for channel in found] == [0.1, 0.05, 0.0, 0.0, 0.025, 0.025]
    assert np.abs(found[2] - alone).max() < 1e-4
    assert np.abs(found[4] / 0.25 - found[0]).max() < 1e-4


def test_a_sum_that_would_clip_is_made_quieter(tmp_path: Path) -> None:
    """As a whole, by a factor that the record tells."""
    path, record = _mixed(tmp_path, _bed(tmp_path / "bed.wav", level=0.95))
    found = samples_in(path)[0]
    assert np.abs(found).max() <= 1.0
    assert record.gain_db < -0.5
    assert not record.is_limited
    assert _tone(found[0, PAUSE]) == pytest.approx(0.95 * 10 ** (record.gain_db / 20), rel=0.02)


@pytest.mark.parametrize(
    ("plan", "lufs", "peak_db"),
    [
        (FLAC, -23.0, -1.0),
        pytest.param(FLAC, -10.0, -2.0, marks=pytest.mark.slow),
        (replace(FLAC, codec="aac", bitrate=96_000, bits=16), -10.0, -1.5),
    ],
)
def test_loudness_and_true_peak_are_what_was_asked_for(
    tmp_path: Path, plan: SoundtrackPlan, lufs: float, peak_db: float
) -> None:
    """Within 0.1 LU and under the limit, in what is decoded of the file, by a meter of another make."""
    audio = {"loudness_lufs": lufs, "true_peak_dbtp": peak_db}
    path, record = _mixed(tmp_path, _bed(tmp_path / "bed.wav"), plan, encode={"audio": audio})
    samples, rate_hz = samples_in(path)
    assert integrated_lufs(samples, rate_hz) == pytest.approx(lufs, abs=0.1)
    assert true_peak_db(samples) <= peak_db
    assert record.after.lufs == pytest.approx(lufs, abs=0.06)
    assert record.after.true_peak_dbtp is not None
    assert record.after.true_peak_dbtp <= peak_db
    assert record.is_limited == (lufs > -20)


def test_loudness_of_a_voice_alone_changes_nothing_else(tmp_path: Path) -> None:
    """Without limiting it is the same wave by one factor; silence stays silence."""
    path, record = _mixed(tmp_path, None, encode={"audio": {"loudness_lufs": -26.0}})
    found, alone = samples_in(path)[0][0], samples_in(tmp_path / "voice.wav")[0][0]
    assert (record.background, record.is_limited) == (None, False)
    assert np.abs(found - alone * 10 ** (record.gain_db / 20)).max() < 1e-4
    _write(tmp_path / "voice.wav", np.zeros((1, 6 * RATE_HZ)))
    path, record = _mixed(tmp_path, None, encode={"audio": {"loudness_lufs": -26.0}})
    assert not np.abs(samples_in(path)[0]).any()
    assert record.after.lufs is None


def test_networks_hear_the_voice_alone(tmp_path: Path) -> None:
    """Mel and pauses have the same records, to the bit, with a bed, loudness or neither; the job's ids differ."""
    _voice(tmp_path / "voice.wav")
    bed, ids, heard = _bed(tmp_path / "bed.wav"), set[str](), set[tuple[str, bytes]]()
    settings: list[tuple[Path | None, dict[str, Any]]] = [
        (None, {}),
        (bed, {}),
        (bed, {"mix": {"background_gain_db": -3.0}}),
        (bed, {"mix": {"duck_db": 3.0}}),
        (None, {"encode": {"audio": {"loudness_lufs": -16.0}}}),
        (None, {"encode": {"audio": {"loudness_lufs": -16.0, "true_peak_dbtp": -2.0}}}),
    ]
    for background, sections in settings:
        bench = Bench(tmp_path, **sections)
        bench.row = bench.with_spec(audio=str(tmp_path / "voice.wav"), background=background and str(background))
        probed = bench.probed()
        job = bench.context.open_video(ProbePayload(bench.row), probed.video_id)
        (line,) = Sounds(job, bench.context.scratch, probed.job_id, probed.identity).lines()
        mel = bench.store.fetch(f"sounds/{line.sound_id}/mel.npy")
        assert mel is not None
        heard.add((line.sound_id, mel.read_bytes()))
        ids.add(probed.job_id)
    assert len(heard) == 1
    assert len(ids) == len(settings)


def test_settings_of_what_is_not_mixed_leave_the_id_alone(tmp_path: Path) -> None:
    """A gain without a background and a true peak without a loudness decide nothing."""
    ids = {
        Bench(tmp_path, **sections).probed().job_id
        for sections in ({}, {"mix": {"duck_db": 9.0}}, {"encode": {"audio": {"true_peak_dbtp": -3.0}}})
    }
    assert len(ids) == 1


def test_a_background_without_audio_is_refused_before_any_work(tmp_path: Path) -> None:
    """A video that is silent, or no media at all, by its name and with advice."""
    bench = Bench(tmp_path)
    silent, broken = tmp_path / "silent.wav", tmp_path / "broken.wav"
    silent.write_bytes((tmp_path / "s.wav").read_bytes()[:8])
    broken.write_bytes(b"no media at all" * 50)
    for file in (silent, broken):
        bench.row = bench.with_spec(background=str(file))
        with pytest.raises((AudioError, MediaError)) as caught:
            probe(bench.context, ProbePayload(bench.row), NOTHING_KNOWN)
        assert file.name in str(caught.value)


def test_what_is_mixed_cannot_be_copied(tmp_path: Path) -> None:
    """Asking for both is refused before any work."""
    bench = Bench(tmp_path, encode={"audio": {"codec": "copy"}})
    bench.row = bench.with_spec(background=str(tmp_path / "s.wav"))
    with pytest.raises(SettingsError) as caught:
        probe(bench.context, ProbePayload(bench.row), NOTHING_KNOWN)
    assert caught.value.code == "background_copied"


def test_a_bed_that_breaks_off_is_an_error_of_its_row(tmp_path: Path) -> None:
    """What decodes to NaN is refused by name."""
    path = tmp_path / "bed.wav"
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("pcm_f32le", rate=RATE_HZ, layout="mono")
        output.mux(stream.encode(frame_of(np.full((1, RATE_HZ), np.nan, np.float32), "flt", "mono", RATE_HZ)))
        output.mux(stream.encode(None))
    with pytest.raises(AudioError, match=r"bed\.wav"):
        _mixed(tmp_path, path)


def test_rates_come_together(tmp_path: Path) -> None:
    """A voice of 16 kHz is brought to the rate of its bed, and keeps its time."""
    voice = samples_in(_voice(tmp_path / "voice.wav"))[0]
    low = AudioReader(probe_audio(tmp_path / "voice.wav"))
    _write(tmp_path / "low.wav", np.concatenate(list(low.blocks(16_000, "mono")), axis=1), rate_hz=16_000)
    (tmp_path / "low.wav").replace(tmp_path / "voice.wav")
    path, _ = _mixed(tmp_path, _bed(tmp_path / "bed.wav", level=0.0))
    info: AudioInfo = probe_audio(path)
    found = samples_in(path)[0][0]
    assert (info.rate_hz, info.layout, found.shape[0]) == (RATE_HZ, "stereo", 6 * RATE_HZ)
    assert np.corrcoef(found, voice[0])[0, 1] > 0.999
