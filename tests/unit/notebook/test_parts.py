"""What the notebook's cells show and ask for."""

from __future__ import annotations

import base64
import io
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import av
import pytest

from lipwise_ray.errors import InputError, SetupError
from lipwise_ray.models.registry import Registry
from lipwise_ray.notebook import SourceFiles, sample_files, sent_files
from lipwise_ray.notebook.html_table import html_table
from lipwise_ray.notebook.machine_checks import MachineChecks, check_machine
from lipwise_ray.notebook.progress_line import ProgressLine
from lipwise_ray.notebook.score_table import ScoreTable
from lipwise_ray.notebook.source_files import SAMPLE
from lipwise_ray.notebook.video_pair import VideoPair, VideoStills, still
from lipwise_ray.notebook.weight_terms import WeightTerms
from lipwise_ray.resources import manifests_folder, models_folder
from lipwise_ray.runs.load_settings import load_settings
from lipwise_ray.runs.progress_events import RowProgress, RowsProgress
from lipwise_ray.state.job_result import DubResult, SyncScore, SyncScores
from lipwise_ray.state.row_outcome import RowOutcome
from lipwise_ray.synth.clips import ClipSpec, write_clip
from lipwise_ray.values import Size


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    write_clip(tmp_path / "a & b.mp4", ClipSpec(size=Size(64, 48), frames=10))
    return tmp_path / "a & b.mp4"


def test_the_machine_is_checked_for_the_demo() -> None:
    """The demo's networks are bundled, so that no line on weights is missing, and the disk has a line."""
    checks = check_machine(load_settings("demo"))
    by_name = {name: good for good, name, _ in checks.checks}
    assert by_name["weights"]
    assert "disk" in by_name
    assert "torch" in repr(checks)


def test_a_missing_thing_says_what_to_do_and_is_escaped() -> None:
    """A table marks what is missing, and shows texts as texts."""
    checks = MachineChecks(((False, "disk", "<b>1 GB</b> free. Free some space"), (True, "av", "18")))
    shown = checks._repr_html_()
    assert not checks.is_ready
    assert "MISSING" in shown
    assert "&lt;b&gt;1 GB&lt;/b&gt; free. Free some space" in shown
    assert "run this cell again" in shown
    assert "can do it" in MachineChecks(((True, "av", "18"),))._repr_html_()


def test_restricted_weights_need_the_tick(tmp_path: Path) -> None:
    """Without the box nothing restricted is fetched; the table says why it is; bundled ones need no download."""
    registry = Registry(models_folder() / "registry.toml", tmp_path)
    terms = WeightTerms(registry, ("wav2lip_gan", "tiny_generator"))
    assert "LRS2" in terms._repr_html_()
    with pytest.raises(SetupError, match="licence"):
        terms.fetch(accepted=False)
    assert WeightTerms(registry, ("tiny_generator",)).fetch(accepted=False) == []


def test_the_sample_is_bundled() -> None:
    """Both files of the sample are there."""
    files = sample_files()
    assert files.video.is_file()
    assert files.audio.is_file()


def test_own_files_are_named_or_chosen(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are taken; without one Colab asks, and elsewhere a sentence says what to do."""
    assert sent_files(tmp_path, str(clip), str(clip)) == SourceFiles(clip, clip)
    with pytest.raises(InputError, match="the video is not there"):
        sent_files(tmp_path, str(tmp_path / "no.mp4"), str(clip))
    with pytest.raises(InputError, match="write its path to AUDIO"):
        sent_files(tmp_path, str(clip))
    colab = ModuleType("google.colab.files")
    sent: dict[str, bytes] = {"../voice.wav": b"RIFF"}
    colab.upload = lambda: sent  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "google.colab.files", colab)
    for name in ("google", "google.colab"):
        monkeypatch.setitem(sys.modules, name, sys.modules.get(name, ModuleType(name)))
    audio = sent_files(tmp_path / "in", str(clip)).audio
    assert audio.name == "voice.wav"
    sent["../voice.wav"] = b"video"
    assert sent_files(tmp_path / "in", "", str(clip)).video.read_bytes() == b"video"
    assert audio.read_bytes() == b"RIFF"
    assert tmp_path / "in" in audio.parents
    sent.clear()
    with pytest.raises(InputError, match="none was chosen"):
        sent_files(tmp_path / "in", str(clip))


def test_progress_is_one_line() -> None:
    """Each event writes over the one before."""
    out = io.StringIO()
    line = ProgressLine(out)
    line(RowsProgress((), 1))
    line(RowsProgress((RowProgress("a", "rendering", 50, 179, 50),), 0))
    first, second = out.getvalue().split("\r")[1:]
    assert first.startswith("loading")
    assert second.startswith("rendering: 50 of 179 frames")
    assert "\n" not in out.getvalue()


def test_scores_stand_side_by_side() -> None:
    """Figures of whichever network there is are shown, and a dash for none."""
    scored = DubResult(
        job_id="j",
        output="o.mp4",
        frames=1,
        chunks=1,
        bytes_total=1,
        sha256="0" * 64,
        sync=SyncScores(
            before=SyncScore(lse_d=12.0, lse_c=1.0, windows=3, offset=9),
            after=SyncScore(sync_distance=0.25, windows=3, offset=0),
        ),
    )
    unscored = replace(scored, sync=None)
    table = ScoreTable(
        {name: RowOutcome(row=1, row_id=name, result=result) for name, result in (("a", scored), ("b", unscored))}
    )
    assert table.rows() == [("a", "12.000", "0.250", "1.000", "-", "0"), ("b", "-", "-", "-", "-", "-")]
    assert "0.250" in table._repr_html_()


def test_videos_are_inside_the_page_within_a_bound(clip: Path) -> None:
    """A video's bytes are in the page; of a larger one its place is named."""
    shown = VideoPair({"Be<fore": clip})._repr_html_()
    assert base64.b64encode(clip.read_bytes()).decode() in shown
    assert "Be&lt;fore" in shown
    bounded = VideoPair({"Before": clip}, most_bytes=10)._repr_html_()
    assert "base64" not in bounded
    assert "a &amp; b.mp4" in bounded
    assert "<img" in VideoPair({"Still": manifests_folder() / "demo" / "still.png"})._repr_html_()


def test_stills_show_the_moment(clip: Path) -> None:
    """Another moment is another image, and after the end it is the last."""
    assert still(clip, 0.0) != still(clip, 0.2)
    assert still(clip, 9.0) == still(clip, 9 / 25)
    assert still(clip, 0.079) == still(clip, 1 / 25) != still(clip, 2 / 25)


def test_a_still_counts_from_the_first_frame(clip: Path, tmp_path: Path) -> None:
    """Files whose clocks begin later than 0 show the same moments."""
    later = tmp_path / "later.mkv"
    with av.open(str(clip)) as source, av.open(str(later), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts = (time + round(3 / packet.time_base) for time in (packet.pts, packet.dts))
                packet.stream = stream
                target.mux(packet)
    assert still(later, 0.2) == still(clip, 0.2) != still(clip, 0.0)
    assert VideoStills({"a": clip, "b": clip})._repr_html_().count("data:image/jpeg") == 2


def test_tables_escape() -> None:
    """What a cell holds is no markup."""
    assert "<script>" not in html_table(("<script>",), [("<script>",)])
    assert SAMPLE in sample_files().video.name
