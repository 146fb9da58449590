"""The documents' site: what is generated is as the source has it, and what is built is whole and asks nobody."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

from docs.generate.pages import DOCS, stale
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

_LOADED = {("link", "href"), ("script", "src"), ("img", "src"), ("source", "src"), ("video", "src"), ("iframe", "src")}
_FROM_ELSEWHERE = re.compile(r"""(?:url\(|@import)\s*["']?(?:https?:)?//""")
_ADDRESS = re.compile(r"https?://[\w.-]+(?::\d+)?(?:/[^\s<>\"]*)?")
_NO_STYLESHEET = {"canonical", "next", "prev", "search", "index", "author", "help"}


class _Page(HTMLParser):
    """What a page holds, leads to and loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if given.get("rel") not in _NO_STYLESHEET:
            self.loaded += [value for name, value in given.items() if (tag, name) in _LOADED]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    out = tmp_path_factory.mktemp("site")
    options = ["--fail-on-warning", "--keep-going", "--nitpicky", "--quiet", "-b", "html"]
    command = [sys.executable, "-m", "sphinx", *options, "-d", str(out / "trees"), str(DOCS), str(out / "html")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out / "html"


@pytest.fixture(scope="module")
def built(site: Path) -> dict[Path, _Page]:
    """Every page of it."""
    return {path.resolve(): _Page(path) for path in site.rglob("*.html")}


def test_the_reference_is_what_the_source_has() -> None:
    """Settings, commands, columns, codes, records, metrics, models and diagrams are those of the source."""
    assert stale() == [], "run: python -m docs.generate"


def test_every_link_leads_somewhere(site: Path, built: dict[Path, _Page]) -> None:
    """Pages, anchors and files that pages lead to are there; addresses of others are at least addresses."""
    assert len(built) > 15
    broken: list[str] = []
    for path, page in built.items():
        for link in page.links:
            if urlsplit(link).scheme in ("http", "https"):
                broken += [] if _ADDRESS.fullmatch(link) else [f"{path.name}: {link}"]
            elif not urlsplit(link).scheme:
                place, anchor = urldefrag(link)
                target = (path.parent / unquote(place)).resolve() if place else path
                there = target.exists() and (
                    not anchor or target not in built or unquote(anchor) in built[target].anchors
                )
                broken += [] if there else [f"{path.relative_to(site.resolve())}: {link}"]
    assert broken == []


def test_a_built_page_asks_nothing_of_others(site: Path, built: dict[Path, _Page]) -> None:
    """Scripts, styles, fonts and pictures are the site's own: it is read without a network."""
    loaded = {one for page in built.values() for one in page.loaded}
    assert len(loaded) > 5
    assert [one for one in loaded if urlsplit(one).netloc] == []
    styles = [*site.rglob("*.css"), *site.rglob("*.svg")]
    assert [path.name for path in styles if _FROM_ELSEWHERE.search(path.read_text("utf-8"))] == []
