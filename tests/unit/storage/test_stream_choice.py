"""Streams that addresses choose."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.errors import InputError
from lipwise_ray.pipeline.inputs.resolver import Media
from lipwise_ray.storage.address import Policy
from lipwise_ray.storage.cache import Cache
from lipwise_ray.storage.stream_choice import StreamChoice, file_of, split_choice


@pytest.mark.parametrize(
    ("address", "file", "choice"),
    [
        ("film.mkv#a:1", "film.mkv", StreamChoice("audio", 1)),
        ("s3://bucket/a#b.mkv#v:0", "s3://bucket/a#b.mkv", StreamChoice("video", 0)),
        ("film.mkv", "film.mkv", None),
        ("film#s:1", "film#s:1", None),
        ("film.mkv#a:1234", "film.mkv#a:1234", None),
        ("#a:1", "#a:1", None),
    ],
)
def test_addresses_are_taken_apart(address: str, file: str, choice: StreamChoice | None) -> None:
    """Only a letter of sound or picture and a number behind a name choose a stream."""
    assert split_choice(address) == (file, choice)
    assert file_of(address) == file


def test_each_stream_is_contents_of_its_own(tmp_path: Path) -> None:
    """Identities of streams differ, and each follows its file's contents."""
    film = tmp_path / "film.mkv"
    film.write_bytes(b"one")
    media = Media(Policy(), 1000, Cache(tmp_path / "cache", 1000))
    before = [media.identity(f"{film}{end}") for end in ("", "#a:0", "#a:1", "#v:1")]
    assert len({*before}) == len(before)
    assert media.local(f"{film}#a:1", before[2]) == film
    film.write_bytes(b"two")
    after = [media.identity(f"{film}{end}") for end in ("", "#a:0", "#a:1", "#v:1")]
    assert not {*before} & {*after}


def test_a_choice_does_not_hide_where_a_link_leads(tmp_path: Path) -> None:
    """A link out of the allowed folder is refused, whatever stream of it is chosen."""
    (tmp_path / "inside").mkdir()
    (tmp_path / "secret.mkv").write_bytes(b"secret")
    (tmp_path / "inside" / "film.mkv").symlink_to(tmp_path / "secret.mkv")
    media = Media(Policy(roots=(str(tmp_path / "inside"),)), 1000, Cache(tmp_path / "cache", 1000))
    for ask in (media.identity, media.glance, lambda one: media.local(one, "id-a0")):
        with pytest.raises(InputError, match=r"place_refused|lies under none"):
            ask(f"{tmp_path}/inside/film.mkv#a:0")
