"""The service against its own OpenAPI document: schemathesis makes requests by it, and judges the answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis.errors import Unsatisfiable

from tests.support.dub import PASSTHROUGH
from tests.support.sync_server import TOKEN, served

schemathesis = pytest.importorskip("schemathesis", reason="needs the package schemathesis")

pytestmark = pytest.mark.filterwarnings("error:Duplicate Operation ID")
_KEY = {"x-api-key": TOKEN}
schemathesis.checks.load_all_checks()
_BEYOND = schemathesis.checks.CHECKS.get_by_names(["positive_data_acceptance"])
"""Which files and models there are, and which options go together, no document can say."""

_ANY_TEXTS = {"GET /v2/generations status", "GET /v2/generations ids", "GET /v2/assets types"}
"""Lists of texts in addresses: whatever is sent arrives as one, and none is against the document."""

_REFUSALS = {"checks": {"negative_data_rejection": {"expected-statuses": ["4xx"]}}}
"""All faults of clients count, 413 too: a form with one field many times is beyond its bounds."""

_OURS = r"^/(v2/(generate$|generate/\{generation_id\}|generations|analyze|batch|models|assets)|outputs)"


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("service")
    with served(folder, [PASSTHROUGH, 'faces.select="box:0,9,0,9"'], works=False) as server:
        config = schemathesis.config.SchemathesisConfig.from_dict(_REFUSALS)
        found = schemathesis.openapi.from_url(f"{server.url}/openapi.json", config=config, headers=_KEY)
        yield found.include(path_regex=_OURS).exclude(path_regex="events$")


def _judge(document: Any, mode: str, examples: int) -> list[str]:
    """Send requests to each address, by the document or against it, and return the addresses."""
    asked: list[str] = []
    for found in document.get_all_operations():
        operation = found.ok()

        @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=[*HealthCheck])
        @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode)))
        def judged(case: Any) -> None:
            changed = {f"{case.operation.label} {one.path[0]}" for one in case.meta.phase.data.mutations if one.path}
            assume(not changed or changed - _ANY_TEXTS)
            case.call_and_validate(headers=_KEY, excluded_checks=_BEYOND)

        try:
            judged()
        except Unsatisfiable:  # any text is an id: nothing is against the document
            assert mode == "negative"
        else:
            asked.append(operation.label)
    return asked


def test_answers_are_as_the_document_says(document: Any) -> None:
    """What is sent by the document has an answer that the document describes, and none is a fault."""
    asked = _judge(document, "positive", 3)
    assert {"POST /v2/generate", "POST /v2/batch", "GET /v2/generations", "GET /v2/models"} <= {*asked}
    assert {"POST /v2/assets/upload", "PUT /v2/assets/uploads/{asset_id}", "GET /outputs/{job_id}/{name}"} <= {*asked}


@pytest.mark.slow
def test_what_is_against_the_document_is_refused_as_it_says(document: Any) -> None:
    """Bodies, parameters and kinds that no request has are the client's fault, each by a described answer."""
    asked = _judge(document, "negative", 8)
    assert {"POST /v2/generate", "POST /v2/batch", "POST /v2/assets", "GET /v2/batch", "GET /v2/assets"} <= {*asked}


@pytest.mark.slow
def test_many_answers_are_as_the_document_says(document: Any) -> None:
    """The same, with many more requests."""
    _judge(document, "positive", 100)
