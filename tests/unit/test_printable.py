"""What inputs say does not move a terminal's cursor, nor turn a page's words around."""

from __future__ import annotations

import io

import pytest

from lipwise_ray.cli.terminal import PlainStream, raw_of
from lipwise_ray.errors import MediaError
from lipwise_ray.printable import on_one_line, printable

HOSTILE = "a\x1b]0;title\x07b\x9b2Jc\rd\u202egnp\u2066e\u200ff\x7fg\ud800h"
RAW = set("\x1b\x07\x9b\r\u202e\u2066\u200f\x7f\ud800")


def test_controls_and_overrides_are_spelt_out() -> None:
    """C0, C1, DEL, marks of direction and lone surrogates; letters of every script, lines and tabs stay."""
    assert not RAW & set(printable(HOSTILE))
    assert "\\x1b]0;title\\x07" in printable(HOSTILE)
    assert printable("Grüße, 你好, שלום, عربى\t\nlines") == "Grüße, 你好, שלום, عربى\t\nlines"
    assert on_one_line("a\nb\tc") == "a\\nb\\tc"


def test_an_errors_message_is_printable() -> None:
    """A file's name cannot forge a line of its own, and what was found cannot ring a bell."""
    text = str(MediaError("not_media", "x\ndone   y.mp4", got=HOSTILE, must="media is expected", do="Check it"))
    assert not RAW & set(text)
    assert text.splitlines()[0].startswith("x\\ndone")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_plain_stream_spells_out_what_its_terminal_cannot_show(encoding: str) -> None:
    """Also letters that the terminal does not have; what draws on the terminal itself goes around it."""
    buffer = io.BytesIO()
    raw = io.TextIOWrapper(buffer, encoding=encoding)
    stream = PlainStream(raw)
    stream.writelines(["ü\x1b[2J", "\n"])
    stream.flush()
    assert buffer.getvalue() == ("ü\\x1b[2J\n" if encoding == "utf-8" else "\\xfc\\x1b[2J\n").encode()
    assert raw_of(stream) is raw  # type: ignore[arg-type]  # it stands for one
    assert raw_of(raw) is raw
