"""The service against its own OpenAPI document: schemathesis makes requests by it, and judges the answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support.dub import PASSTHROUGH
from tests.support.sync_server import TOKEN, served

schemathesis = pytest.importorskip("schemathesis", reason="needs the package schemathesis")

_KEY = {"x-api-key": TOKEN}
_OURS = r"^/v2/(generate$|generate/\{generation_id\}|generations|analyze|batch|models)"


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("service")
    with served(folder, [PASSTHROUGH, 'faces.select="box:0,9,0,9"'], works=False) as server:
        found = schemathesis.openapi.from_url(f"{server.url}/openapi.json", headers=_KEY)
        yield found.include(path_regex=_OURS).exclude(path_regex="events$")


schema = schemathesis.pytest.from_fixture("document")


@schema.parametrize()
@settings(max_examples=4, deadline=None, suppress_health_check=[*HealthCheck])
def test_answers_are_as_the_document_says(case: Any) -> None:
    """Whatever is sent by it, or against it, has an answer that the document describes, and none is a fault."""
    case.call_and_validate(headers=_KEY)


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=150, deadline=None, suppress_health_check=[*HealthCheck])
def test_many_answers_are_as_the_document_says(case: Any) -> None:
    """The same, with many more requests."""
    case.call_and_validate(headers=_KEY)
