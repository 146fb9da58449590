"""What a container carries beside its picture and first sound, from one file into another."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from lipwise_ray.media.samples import frame_of
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, draw_frame, write_sound
from lipwise_ray.values import Size
from tests.support.dub import PASSTHROUGH, QUICK, dub

TEXTS = ((0, 400, "one"), (600, 300, "two"), (1000, 900, "<i>three</i>"))
CLIP = ClipSpec(size=Size(160, 120), frames=50, gop=10)
SOUND_HZ = 32_000
BOX = {"faces": "box:10,100,20,110", "length": "video"}


def _text(name: str, text: str) -> bytes:
    raw = text.encode()
    return len(raw).to_bytes(2, "big") + raw if name == "mov_text" else raw


def _source(path: Path, container: str, texts: str, *, timecode: str = "", start_s: int = 0) -> None:
    """Write a film of two seconds that carries all that its container can."""
    with av.open(str(path), "w", format=container) as output:
        output.metadata.update({"title": "The film", "artist": "Us", "comment": "made elsewhere", "creation_time": "x"})
        video: Any = output.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt, video.codec_context.gop_size = 160, 120, "yuv420p", 10
        if timecode:
            video.metadata["timecode"] = timecode
        sounds: list[Any] = [output.add_stream("aac", rate=SOUND_HZ) for _ in range(2)]
        for sound, language in zip(sounds, ("eng", "spa"), strict=True):
            sound.metadata["language"] = language
        sounds[1].metadata["title"] = "Comentario"
        sounds[1].disposition = Disposition.comment
        words: Any = output.add_mux_stream(texts)
        words.time_base = Fraction(1, 1000)
        words.metadata["language"] = "ger" if container == "matroska" else "deu"
        words.disposition = Disposition.forced
        base = {"time_base": Fraction(1, 1000)}
        output.set_chapters(
            [
                {"id": 1, "start": 0, "end": 800, "metadata": {"title": "Start"}, **base},
                {"id": 2, "start": 800, "end": 2000, "metadata": {"title": "End"}, **base},
            ]
        )
        if container == "matroska":
            output.add_attachment("letters.ttf", "application/x-truetype-font", b"a font" * 50)
            output.add_attachment("cover.png", "image/png", _picture())
        packets: list[Any] = []
        for number in range(CLIP.frames):
            frame = draw_frame(CLIP, number)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += video.encode(frame)
        packets += video.encode(None)
        tone = np.sin(np.arange(2 * SOUND_HZ) * 2 * np.pi * 440 / SOUND_HZ).astype(np.float32) * 0.2
        for sound in sounds:
            for first in range(0, len(tone), 1024):
                block = frame_of(np.stack([tone[first : first + 1024]] * 2), "flt", "stereo", SOUND_HZ)
                block.pts, block.time_base = first, Fraction(1, SOUND_HZ)
                packets += sound.encode(block)
            packets += sound.encode(None)
        for begin, duration, text in TEXTS:
            packet = av.Packet(_text(texts, text))
            packet.stream, packet.time_base = words, Fraction(1, 1000)
            packet.pts = packet.dts = begin
            packet.duration = duration
            packets.append(packet)
        for packet in sorted(packets, key=lambda one: one.dts * one.time_base):
            packet.pts += round(start_s / packet.time_base)
            packet.dts += round(start_s / packet.time_base)
            output.mux_one(packet)


def _picture() -> bytes:
    context: Any = av.CodecContext.create("png", "w")
    context.width, context.height, context.pix_fmt, context.time_base = 16, 16, "rgb24", Fraction(1, 25)
    return bytes(context.encode(av.VideoFrame(16, 16, "rgb24"))[0])


def _dubbed(folder: Path, video: Path, output: str, **columns: Any) -> tuple[Any, dict[str, Any]]:
    sound = folder / "dub.wav"
    write_sound(sound, ToneSpec(2.0, 16_000, 1, codec="pcm_s16le"))
    row = {"id": "a", "video": video, "audio": sound, "output": output, **BOX, **columns}
    sets = columns.pop("sets", ())
    row.pop("sets", None)
    report = dub(folder, [row], PASSTHROUGH, QUICK, *sets)
    assert not report.failed, report.outcomes
    (result,) = (folder / "out.state" / "jobs").glob("*/result.json")
    return folder / "out" / output, json.loads(result.read_text())


def _texts(container: Any) -> list[tuple[float, float, str]]:
    stream = container.streams.subtitles[0]
    found = []
    for packet in container.demux(stream):
        if packet.size > 2 or (packet.size and stream.codec_context.name != "mov_text"):
            raw = bytes(packet)
            if stream.codec_context.name == "mov_text":  # its length comes first, its style last
                raw = raw[2 : 2 + int.from_bytes(raw[:2], "big")]
            times = (float(packet.pts * packet.time_base), float(packet.duration * packet.time_base))
            found.append((*times, raw.decode()))
    return found


def _chapters(container: Any) -> list[tuple[float, float, str]]:
    return [
        (float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"]), c["metadata"]["title"])
        for c in container.chapters()
    ]


def test_everything_goes_along_from_matroska_to_matroska(tmp_path):
    """Texts, chapters, tags, a second sound, a font and a cover arrive; the new sound says its language and role."""
    _source(tmp_path / "film.mkv", "matroska", "subrip")
    output, result = _dubbed(tmp_path, tmp_path / "film.mkv", "a.mkv", language="pt-BR")
    with av.open(str(output)) as found:
        assert _texts(found) == [(a / 1000, b / 1000, text) for a, b, text in TEXTS]
        assert _chapters(found) == [(0.0, 0.8, "Start"), (0.8, 2.0, "End")]
        assert found.metadata["title"] == "The film"
        assert found.metadata["ARTIST"] == "Us"
        assert "Lips synthesised" in found.metadata["COMMENT"]
        assert "creation_time" not in {name.lower() for name in found.metadata}
        new, other = found.streams.audio
        assert (new.metadata["language"], new.disposition) == ("por", Disposition.default | Disposition.dub)
        assert (other.metadata["language"], other.metadata["title"]) == ("spa", "Comentario")
        assert other.disposition == Disposition.comment
        words = found.streams.subtitles[0]
        assert (words.metadata["language"], words.disposition) == ("ger", Disposition.forced)
        (font,) = (stream for stream in found.streams if stream.type == "attachment")
        assert font.data == b"a font" * 50
        assert [s.disposition for s in found.streams.video][1:] == [Disposition.attached_pic]
    assert result["left_behind"] == [
        {"kind": "metadata", "what": "comment", "why": "there the output says how it was made"}
    ]


@pytest.mark.parametrize(
    ("texts", "output", "expected", "left"),
    [
        ("subrip", "a.mp4", "mov_text", {"attachments", "metadata"}),
        ("subrip", "a.webm", "webvtt", {"attachments", "metadata", "other_audio", "cover_art"}),
        ("mov_text", "a.mkv", "srt", {"metadata"}),
    ],
)
def test_texts_are_written_as_the_container_holds_them(tmp_path, texts, output, expected, left):
    """A text keeps its time and words in another format; what a container cannot hold is listed with its kind."""
    container = "mp4" if texts == "mov_text" else "matroska"
    _source(tmp_path / "film.bin", container, texts)
    video, result = _dubbed(tmp_path, tmp_path / "film.bin", output, language="de")
    with av.open(str(video)) as found:
        assert found.streams.subtitles[0].codec_context.name == expected
        shown = _texts(found)
        assert [(round(a, 3), round(b, 3)) for a, b, _ in shown] == [(a / 1000, b / 1000) for a, b, _ in TEXTS]
        assert [text for *_, text in shown[:2]] == ["one", "two"]
        assert "three" in shown[2][2]
        assert [name for *_, name in _chapters(found)] == ["Start", "End"]
    assert {one["kind"] for one in result["left_behind"]} == left


def test_start_and_end_cut_and_shift_all_of_it(tmp_path):
    """Texts, chapters, sounds and the time code begin where the picture begins, also where the file's clock is late."""
    _source(tmp_path / "film.mov", "mov", "mov_text", timecode="10:00:00:00")
    output, _ = _dubbed(tmp_path, tmp_path / "film.mov", "a.mov", start=0.2, end=1.2, language="de")
    with av.open(str(output)) as found:
        assert [(round(a, 3), round(b, 3), text) for a, b, text in _texts(found)] == [
            (0.0, 0.2, "one"),
            (0.4, 0.3, "two"),
            (0.8, 0.2, TEXTS[2][2]),
        ]
        assert _chapters(found) == [(0.0, 0.6, "Start"), (0.6, 1.0, "End")]
        assert found.streams.video[0].metadata["timecode"] == "10:00:00:05"
        assert found.streams.audio[0].metadata["language"] == "ger"
    with av.open(str(output)) as found:
        heard = [frame.time for frame in found.decode(found.streams.audio[1])]
        assert -0.033 < heard[0] <= 0.001
        assert abs(heard[-1] - 1.0) < 0.035


def test_texts_that_overlap_are_shown_one_at_a_time(tmp_path, monkeypatch):
    """MP4 shows one text at a time: one that is still there when the next begins ends then, and that is listed."""
    monkeypatch.setattr(f"{__name__}.TEXTS", ((0, 900, "one"), (600, 300, "two"), (1000, 900, "three")))
    _source(tmp_path / "film.mkv", "matroska", "subrip")
    output, result = _dubbed(tmp_path, tmp_path / "film.mkv", "a.mp4")
    with av.open(str(output)) as found:
        assert [(round(a, 3), round(b, 3)) for a, b, _ in _texts(found)] == [(0.0, 0.6), (0.6, 0.3), (1.0, 0.9)]
    assert "the end of 1 texts of stream 3" in [one["what"] for one in result["left_behind"]]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("a.mkv", [(0.5, 0.9, "one"), (0.5, 0.4, "two"), (1.5, 0.3, "three")]),
        ("a.webm", [(0.5, 0.9, "one"), (0.5, 0.4, "two"), (1.5, 0.3, "three")]),
        ("a.mp4", [(0.5, 0.9, "one\ntwo"), (1.5, 0.3, "three")]),
    ],
)
def test_texts_that_begin_together_are_all_there(output, expected, tmp_path, monkeypatch):
    """Where a container shows one text at a time they are one, under each other."""
    monkeypatch.setattr(f"{__name__}.TEXTS", ((500, 900, "one"), (500, 400, "two"), (1500, 300, "three")))
    _source(tmp_path / "film.mkv", "matroska", "subrip")
    path, result = _dubbed(tmp_path, tmp_path / "film.mkv", output, sets=('encode.keep=["subtitles"]',))
    with av.open(str(path)) as found:
        ahead_s = max(0.0, -found.start_time / av.time_base)  # of WebM, whose audio begins early
        assert [(round(a - ahead_s, 1), round(b, 3), text) for a, b, text in _texts(found)] == expected
    assert result["left_behind"] == []


def test_texts_last_as_long_after_an_edit_list(tmp_path):
    """As where a film was cut without encoding it: MP4's edit list hides the first text, and FFmpeg counts on."""
    _source(tmp_path / "film.mp4", "mp4", "mov_text")
    content = bytearray((tmp_path / "film.mp4").read_bytes())
    track = content.index(b"elst", content.rindex(b"trak", 0, content.index(b"sbtl")))
    media = content.index(b"mdhd", track)
    (rate_hz,) = struct.unpack(">I", content[media + 16 : media + 20])
    content[track + 16 : track + 20] = struct.pack(">i", rate_hz // 2)  # half a second into its texts
    (tmp_path / "film.mp4").write_bytes(content)
    output, _ = _dubbed(tmp_path, tmp_path / "film.mp4", "a.mkv")
    with av.open(str(output)) as found:
        assert [(round(b, 3), text) for _, b, text in _texts(found)] == [(0.3, "two"), (0.9, "<i>three</i>")]


def test_a_late_clock_and_a_longer_sound(tmp_path):
    """Times count from the first picture that is shown, and nothing is shown again while the picture goes back."""
    _source(tmp_path / "film.mkv", "matroska", "subrip", start_s=3)
    write_sound(tmp_path / "long.wav", ToneSpec(3.0, 16_000, 1, codec="pcm_s16le"))
    output, result = _dubbed(
        tmp_path, tmp_path / "film.mkv", "a.mkv", audio=tmp_path / "long.wav", length="audio", start=0.4
    )
    with av.open(str(output)) as found:
        assert [(round(a, 3), round(b, 3)) for a, b, _ in _texts(found)] == [(0.2, 0.3), (0.6, 0.9)]
        assert found.streams.audio[1].metadata["language"] == "spa"
    assert result["frames"] == 75


def test_tags_that_are_no_text_go_along_readable(tmp_path):
    """Bytes that are no UTF-8, as old tools wrote them, become a replacement character in the tags of the output."""
    _source(tmp_path / "film.mov", "mov", "mov_text")
    content = (tmp_path / "film.mov").read_bytes()
    assert (content.count(b"The film"), content.count(b"Start")) == (1, 2)  # QuickTime and Nero each list chapters
    (tmp_path / "film.mov").write_bytes(content.replace(b"The film", b"The f\xeelm").replace(b"Start", b"St\xe4rt"))
    output, _ = _dubbed(tmp_path, tmp_path / "film.mov", "a.mkv")
    with av.open(str(output)) as found:
        assert found.metadata["title"] == "The f\ufffdlm"
        assert [title for _, _, title in _chapters(found)] == ["St\ufffdrt", "End"]


def test_what_is_not_to_be_kept_stays_away(tmp_path):
    """With `encode.keep` a file carries what it names, and nothing is listed that was not asked for."""
    _source(tmp_path / "film.mkv", "matroska", "subrip")
    output, result = _dubbed(tmp_path, tmp_path / "film.mkv", "a.mkv", sets=('encode.keep=["chapters"]',))
    with av.open(str(output)) as found:
        assert [stream.type for stream in found.streams] == ["video", "audio"]
        assert "title" not in found.metadata
        assert len(found.chapters()) == 2
    assert result["left_behind"] == []


def test_a_still_picture_has_no_time_for_it(tmp_path):
    """Where the output is a still image all that goes with time is left behind, with that reason."""
    _source(tmp_path / "film.mkv", "matroska", "subrip")
    output, result = _dubbed(tmp_path, tmp_path / "film.mkv", "a.mkv", length="audio", sets=("source.static=true",))
    with av.open(str(output)) as found:
        assert not found.streams.subtitles
        assert found.metadata["title"] == "The film"
    kinds = {one["kind"] for one in result["left_behind"] if "still image" in one["why"]}
    assert kinds == {"subtitles", "chapters", "other_audio"}


def test_a_cover_goes_into_mp4(tmp_path):
    """MP4 holds a cover as iTunes does, beside the tags that it then can hold."""
    _source(tmp_path / "film.mkv", "matroska", "subrip", timecode="00:59:59:00")
    output, result = _dubbed(tmp_path, tmp_path / "film.mkv", "a.mp4")
    with av.open(str(output)) as found:
        assert found.streams.video[1].disposition & Disposition.attached_pic
        assert found.metadata["title"] == "The film"
        assert found.streams.video[0].metadata["timecode"] == "00:59:59:00"
        assert "Lips synthesised" in found.metadata["comment"]
    assert "attachments" in {one["kind"] for one in result["left_behind"]}


def test_a_stream_that_breaks_costs_nobody_the_video(tmp_path, monkeypatch):
    """Where the file does not hold a side stream as it was written, the video goes out without, and says so."""
    from lipwise_ray.media.side_packets import SidePackets

    honest = SidePackets.add_to

    def losing(self: SidePackets, output: Any) -> Any:
        return (packet for packet in honest(self, output) if packet.stream.type != "subtitle" or packet.pts > 500)

    monkeypatch.setattr(SidePackets, "add_to", losing)
    _source(tmp_path / "film.mkv", "matroska", "subrip")
    output, result = _dubbed(tmp_path, tmp_path / "film.mkv", "a.mkv")
    with av.open(str(output)) as found:
        kinds = [stream.type for stream in found.streams]
        assert len(found.chapters()) == 2
    assert kinds == ["video", "audio", "audio", "attachment", "video"]
    lost = [one for one in result["left_behind"] if "could not hold" in one["why"]]
    assert [(one["kind"], one["what"]) for one in lost] == [("subtitles", "stream 3 (subrip)")]


def test_chapters_and_files_that_break_cost_no_stream_its_place(tmp_path, monkeypatch):
    """Where the file holds no chapter and no attached file, these alone stay behind."""
    from lipwise_ray.media.side_packets import SidePackets

    honest = SidePackets.add_to

    def losing(self: SidePackets, output: Any) -> Any:
        whole = self.chosen
        self.chosen = replace(whole, chapters=(), attached=())
        packets = honest(self, output)
        self.chosen = whole
        return packets

    monkeypatch.setattr(SidePackets, "add_to", losing)
    _source(tmp_path / "film.mkv", "matroska", "subrip")
    output, result = _dubbed(tmp_path, tmp_path / "film.mkv", "a.mkv")
    with av.open(str(output)) as found:
        assert [stream.type for stream in found.streams] == ["video", "audio", "audio", "subtitle"]
        assert len(_texts(found)) == len(TEXTS)
    lost = {one["what"]: one["why"] for one in result["left_behind"] if "could not hold" in one["why"]}
    assert set(lost) == {"letters.ttf", "cover.png", "2 chapters"}
    assert "0 attached files, not 2" in lost["letters.ttf"]
    assert "0 chapters" in lost["2 chapters"]


def test_a_packet_that_the_muxer_refuses_costs_its_stream_alone(tmp_path, monkeypatch):
    """Where the packets of one stream cannot be written, the others, chapters and files go along all the same."""
    from lipwise_ray.media.side_packets import SidePackets

    honest = SidePackets.add_to

    def shifted(packet: Any) -> Any:
        packet.dts += 5 if packet.stream.type == "subtitle" else 0
        return packet

    def shifting(self: SidePackets, output: Any) -> Any:
        return map(shifted, honest(self, output))

    monkeypatch.setattr(SidePackets, "add_to", shifting)
    _source(tmp_path / "film.mkv", "matroska", "subrip")
    output, result = _dubbed(tmp_path, tmp_path / "film.mkv", "a.mkv")
    with av.open(str(output)) as found:
        assert [stream.type for stream in found.streams] == ["video", "audio", "audio", "attachment", "video"]
        assert len(found.chapters()) == 2
    lost = [one["what"] for one in result["left_behind"] if "could not hold" in one["why"]]
    assert lost == ["stream 3 (subrip)"]


def test_a_file_that_cannot_be_written_with_them_goes_out_without(tmp_path, monkeypatch):
    """Where the muxer refuses what goes along, the video has its tags alone, and all of the rest is listed."""
    from lipwise_ray.media.side_packets import SidePackets

    honest = SidePackets.add_to

    def refusing(self: SidePackets, output: Any) -> Any:
        if self.chosen.streams:
            raise ValueError("no room for it")
        return honest(self, output)

    monkeypatch.setattr(SidePackets, "add_to", refusing)
    _source(tmp_path / "film.mkv", "matroska", "subrip")
    output, result = _dubbed(tmp_path, tmp_path / "film.mkv", "a.mkv")
    with av.open(str(output)) as found:
        assert [stream.type for stream in found.streams] == ["video", "audio"]
        assert found.metadata["title"] == "The film"
    kinds = {one["kind"] for one in result["left_behind"] if "no room" in one["why"]}
    assert kinds == {"subtitles", "other_audio", "attachments", "cover_art", "chapters"}
