"""Telling what files are like, with networks that are loaded once."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from lipwise_ray.errors import SettingsError, WeightsError
from lipwise_ray.pipeline.quality.inspection_facts import FrameFacts, SyncFacts
from lipwise_ray.runs.inspector import Inspector, inspect
from lipwise_ray.settings.model import Settings
from lipwise_ray.synth.clips import ToneSpec, write_sound
from tests.conftest import ROOT

DRAWN = Settings.model_validate({"detect": {"detector": "tiny"}, "score": {"judge": "tiny_judge"}})


def _beginning(folder: Path) -> Path:
    """Return the first second of a drawn presenter."""
    path = folder / "presenter.mp4"
    with av.open(str(ROOT / "manifests" / "demo" / "presenter.mp4")) as film, av.open(str(path), "w") as out:
        streams = [
            (stream, out.add_stream_from_template(stream)) for stream in (*film.streams.video, *film.streams.audio)
        ]
        for source, target in streams:
            film.seek(0)
            for packet in film.demux(source):
                if packet.dts is not None and packet.dts * packet.time_base < 1:
                    packet.stream = target
                    out.mux(packet)
    return path


def test_one_inspector_tells_of_many_files(tmp_path: Path) -> None:
    """A drawn film has a face and a figure that names its network; audio alone has neither."""
    write_sound(tmp_path / "s.wav", ToneSpec(0.5, codec="pcm_s16le", rate_hz=16_000, channels=1))
    inspector = Inspector(DRAWN, models=tmp_path)
    film, audio = inspector(_beginning(tmp_path)), inspector(tmp_path / "s.wav")
    assert isinstance(film.picture, FrameFacts)
    assert film.faces is not None
    assert film.faces.most_in_a_shot == 1
    assert isinstance(film.sync, SyncFacts)
    assert (film.sync.judge, film.sync.lse_c) == ("tiny_judge", None)
    assert abs(film.sync.offset) <= 1
    assert (audio.picture, audio.sync) == (None, None)


@pytest.mark.parametrize(
    ("sections", "kind"),
    [
        ({"detect": {"detector": "yunet"}}, WeightsError),
        ({"detect": {"detector": "tiny"}, "asr": {"model": "/none"}}, SettingsError),
    ],
)
def test_what_is_not_installed_is_said_before_any_file_is_opened(
    sections: dict[str, dict[str, str]], kind: type[Exception], tmp_path: Path
) -> None:
    """The error is of the set-up, not of the file."""
    with pytest.raises(kind):
        inspect(tmp_path / "gone.mp4", settings=Settings.model_validate(sections), models=tmp_path)
