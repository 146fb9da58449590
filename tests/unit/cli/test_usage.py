"""The usage line of `dub`: what a user is to write, in the order in which it is read."""

from __future__ import annotations

from typer.testing import CliRunner

from lipwise_ray.cli.app import app


def test_each_place_of_dub_is_named() -> None:
    """Two of them are read by one argument, which is nothing to whoever asks for help."""
    shown = CliRunner().invoke(app, ["dub", "--help"]).output
    assert "dub [OPTIONS] VIDEO AUDIO OUT\n" in shown
    missing = CliRunner().invoke(app, ["dub"])
    assert missing.exit_code == 2
    assert "VIDEO AUDIO OUT" in missing.output
