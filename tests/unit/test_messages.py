"""Every error leads with what happened; what is expected and what to do come after it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from lipwise_ray import errors
from lipwise_ray.errors import LipwiseError, MediaError, os_reason
from tests.conftest import ROOT

PRODUCT = ROOT / "lipwise_ray"
KINDS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, LipwiseError)}
RULE_FIRST = re.compile(r"(must|needs?|should|expected|has to)\b")
SAYS_NOTHING = re.compile(r"(got|none|nothing|another( one)?|others?|more|less|it|no|yes)$", re.IGNORECASE)
OF_THE_OLD_FORM = re.compile(r"(^|[:;] )must\b|, (but )?(got|found|is|has) \{|\bgot (none|nothing|None)\b")


def _slips(source: str) -> Iterator[str]:
    """Yield what is wrong with the messages of a module."""
    module = ast.parse(source)
    nodes = [*ast.walk(module)]
    left_out = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}  # docstrings
    left_out |= {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if isinstance(node, ast.Call) and _name_of(node.func) in KINDS:
            yield from (f"{node.lineno}: {slip}" for slip in _slips_of(node))
        elif isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in left_out:
            text = _text_of(node)
            if OF_THE_OLD_FORM.search(text):
                yield f"{node.lineno}: {text!r} has the rule first, or what happened last"


def _slips_of(call: ast.Call) -> Iterator[str]:
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return  # another error's arguments, passed on
    told = {keyword.arg: keyword.value for keyword in call.keywords}
    if len(call.args) > len(("code", "where")):
        yield "what happened, what is expected and what to do are given by name: got, must, do"
    elif "got" not in told:
        yield "no `got`: what happened is not said"
    else:
        yield from (
            f"{text!r} does not say what happened"
            for text in _alternatives(told["got"])
            if RULE_FIRST.match(text) or SAYS_NOTHING.match(text)
        )


def _alternatives(node: ast.expr) -> Iterator[str]:
    """Yield what an expression may be, as far as it is written there; names are looked up by whoever reads them."""
    match node:
        case ast.IfExp(body=one, orelse=other):
            yield from (*_alternatives(one), *_alternatives(other))
        case ast.BinOp(left=left):
            yield from _alternatives(left)
        case ast.Constant() | ast.JoinedStr():
            yield _text_of(node)
        case _:
            return


def _text_of(node: ast.Constant | ast.JoinedStr) -> str:
    """Return a text, with braces for what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)


def _name_of(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def test_every_message_leads_with_what_happened() -> None:
    """No error of the package begins with a rule, and none says only that something was "none" or "another"."""
    found = {path.relative_to(PRODUCT).as_posix(): [*_slips(path.read_text("utf-8"))] for path in PRODUCT.rglob("*.py")}
    assert len(found) > 200
    assert not {name: slips for name, slips in found.items() if slips}


@pytest.mark.parametrize(
    "source",
    [
        'raise MediaError("no_video", path, "must have a video stream", "none")',
        'raise MediaError("no_video", path, must="a video stream is expected")',
        'raise MediaError("no_video", path, got="must have a video stream")',
        'raise MediaError("no_video", path, got="needs a video stream")',
        'raise errors.MediaError("no_video", path, got="none" if video is None else "broken")',
        'Failure("setup", "x", f"task {task.id}: must be done")',
        'message = f"{key}: needs a face, got {count}"',
        'message = f"the file is whole, but got {text}"',
        'raise ValueError("must be whole")',
        'message = f"{key} is whole, got nothing"',
    ],
)
def test_a_rule_that_comes_first_is_found(source: str) -> None:
    """So is an error that says what was found in one word."""
    assert [*_slips(source)]


@pytest.mark.parametrize(
    "source",
    [
        'raise MediaError("no_video", path, got="has no video stream, only audio", do="Set it")',
        'raise MediaError("too_large", path, got=f"has {n} streams", must=f"at most {most} are allowed")',
        "raise MediaError(*other.args)",
        '"""A module. It must be read, got nothing."""',
    ],
)
def test_what_leads_with_what_happened_passes(source: str) -> None:
    """Documents may say what must hold."""
    assert not [*_slips(source)]


def test_a_message_has_an_order() -> None:
    """Where, what happened, what is expected, what to do; what is left out leaves no trace."""
    whole = MediaError("too_large", "a.mp4", got="has 9 streams", must="at most 8 are allowed", do="See limits.streams")
    assert str(whole) == "a.mp4: has 9 streams; at most 8 are allowed. See limits.streams."
    assert whole.happened == "has 9 streams; at most 8 are allowed"
    assert str(MediaError("empty_file", "a.mp4", got="an empty file")) == "a.mp4: an empty file."
    assert str(MediaError("unknown", "", got="unknown model", do="Why?")) == "unknown model. Why?"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied", "x"), "permission denied"),
        (OSError("the store is away"), "the store is away"),
        (OSError(), "OSError"),
    ],
)
def test_the_systems_own_reason_is_never_empty(error: OSError, words: str) -> None:
    """What the system says, without its number and the file, which the message names already."""
    assert os_reason(error) == words
