"""The documents' site: ``make docs`` builds it, strictly and without asking anything of the network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pygments.lexers.data import JsonLexer
from pygments.lexers.special import TextLexer

if TYPE_CHECKING:
    from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lipwise_ray.version import __version__  # the source beside this folder, not an installed package

project = "lipwise-ray"
author = "the lipwise-ray authors"
copyright = "the lipwise-ray authors, Apache-2.0"  # noqa: A001  # Sphinx's name
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "generate"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
smartquotes = False  # two dashes are an option, and straight quotes are what a value is written in

nitpicky = True
# What is no name of the Python API is not documented here: types of the standard library, of the inside.
nitpick_ignore_regex = [("py:.*", r"(?!lipwise_ray\.[A-Z]).*")]
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Source", "notes_style")]
copybutton_exclude = ".linenos, .gp, .go"
copybutton_prompt_text = r"\$ |> "
copybutton_prompt_is_regexp = True

linkcheck_timeout = 30
linkcheck_retries = 3

html_theme = "furo"
html_title = f"lipwise-ray {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6e69", "color-brand-content": "#0b6e69"},
    "dark_css_variables": {"color-brand-primary": "#5fd3c6", "color-brand-content": "#5fd3c6"},
}


def setup(app: Sphinx) -> None:
    """Teach the highlighter languages that blocks have and Pygments does not name so."""
    app.add_lexer("jsonl", JsonLexer)
    for name in ("csv", "promql"):
        app.add_lexer(name, TextLexer)
