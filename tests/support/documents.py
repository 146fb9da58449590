"""Documents as a reader uses them: blocks of code with what is said of each, and the commands within them.

A block runs, in the order of its page and in one folder for the whole page, unless a comment before it says why not.
Comments that readers do not see:

- `<!-- not run: REASON -->` before a block: it is checked as far as its language allows, and not run;
- `<!-- file: NAME -->` before a block: it becomes that file of the page's folder;
- `<!-- run: COMMAND -->` anywhere: a step of the page that its readers do not need, such as making clips;
- `<!-- exit: CODE -->` before a block of commands: the last one ends with this code.

`text` and `mermaid` are no code. In `console` blocks, lines that begin with `$ ` are commands; others are their output.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from typer.main import get_command

from lipwise_ray.cli.app import app

ROOT = Path(__file__).resolve().parents[2]

COMMANDS = frozenset({"sh", "bash", "console"})
DATA = frozenset({"toml", "csv", "json", "jsonl", "yaml"})
NO_CODE = frozenset({"text", "mermaid"})
OTHERS = frozenset({"dockerfile", "html", "ini", "promql"})
"""Code for which there is nothing here that would run it: it needs its reason."""

_MARK = re.compile(r"<!--\s*(not run|file|run|exit):\s*(.+?)\s*-->", re.DOTALL)
_CODE_DIRECTIVE = re.compile(r"\{(?:code-block|code|sourcecode)\}\s*(\w*)")
_OPTION_LINE = re.compile(r"^:[\w-]+:.*\n?", re.MULTILINE)
_LAUNCHES = frozenset({"--", "sudo", "time", "env", "uvx", "nohup"})
_PROGRAM = "lipwise-ray"
_INSTALLS = frozenset({"--install-completion", "--show-completion"})
"""Options that do what they say as soon as they are parsed: the first writes into the user's shell."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block, or a step that readers do not see.

    Attributes:
        path: The document, from the root of the repository.
        line: Its first line, from 1.
        language: Word after the fence.
        text: Contents, without the indentation of a list.
        why_not: Reason why it is not run.
        file: Name that it has in the page's folder.
        exit_code: Exit code of its last command.
    """

    path: str
    line: int
    language: str
    text: str
    why_not: str = ""
    file: str = ""
    exit_code: int = 0

    @property
    def where(self) -> str:
        """Place for messages and names of tests."""
        return f"{self.path}:{self.line}"

    @property
    def script(self) -> str:
        """Commands alone: of a console, without prompts and output."""
        if self.language != "console":
            return self.text
        lines = [line[2:] for line in self.text.splitlines() if line.startswith(("$ ", "> "))]
        return "\n".join(lines) + "\n"


def pages() -> list[Path]:
    """Return all documents with code: those at the root, those of the site, and those of clusters."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "cluster").rglob("*.md")]
    return sorted(path for path in found if "_build" not in path.parts and path.name != "CHANGELOG.md")


@cache
def blocks_of(path: Path) -> tuple[Block, ...]:
    """Return the blocks of a document in their order, hidden steps among them."""
    name = path.relative_to(ROOT).as_posix()
    return tuple(_blocks(path.read_text("utf-8"), name, 0))


def _blocks(text: str, name: str, above: int) -> Iterator[Block]:
    marks: dict[str, str] = {}
    for token in MarkdownIt("commonmark").parse(text):
        line = above + token.map[0] + 1 if token.map else above
        if token.type == "html_block":
            found = dict(_MARK.findall(token.content))
            if "run" in found:
                yield Block(name, line, "sh", found.pop("run") + "\n")
            marks = {**marks, **found}
        elif token.type == "fence":
            yield from _fence(token, name, line, marks)
            marks = {}
        elif token.type == "inline":
            marks = {}


def _fence(token: Token, name: str, line: int, marks: dict[str, str]) -> Iterator[Block]:
    info, text = token.info.strip(), token.content
    directive = _CODE_DIRECTIVE.match(info)
    if info.startswith("{") and directive is None:  # a tab, a note: what stands in it is of the page
        yield from _blocks(text, name, line)
        return
    language = directive[1] if directive else info.partition(" ")[0]
    text = _OPTION_LINE.sub("", text) if directive else text
    code = int(marks.get("exit", 0))
    yield Block(name, line, language, text, marks.get("not run", ""), marks.get("file", ""), code)


def commands_of(script: str) -> Iterator[list[str]]:
    """Yield the words of every call of `lipwise-ray` in a script, without its own name."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;()<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set("|&;()"):
                yield from _call(words)
                words = []
            else:
                words.append(word)


def _call(words: list[str]) -> Iterator[list[str]]:
    for place, word in enumerate(words):
        if word.rpartition("/")[2] != _PROGRAM:
            continue
        before = words[:place]
        if all("=" in one for one in before) or before[-1] in _LAUNCHES or "exec" in before[-2:]:
            rest = words[place + 1 :]
            yield rest[: next((number for number, one in enumerate(rest) if set(one) <= set("<>")), len(rest))]
            return


_program = cache(get_command)  # it is made anew, of all commands, each time


def parse_command(words: list[str]) -> Any:
    """Parse a call by the program's own parser; nothing is run.

    Returns:
        The context of the innermost command, with its values.

    Raises:
        ClickException: A command or an option does not exist, or a value is none that it takes.
    """
    command: Any = _program(app)
    context = command.make_context(_PROGRAM, [word for word in words if word not in _INSTALLS])
    while rest := [*context._protected_args, *context.args] if hasattr(context.command, "commands") else []:
        name, inner, rest = context.command.resolve_command(context, rest)
        context = inner.make_context(name, rest, parent=context)
    return context
