"""The application is fuzzed from its own OpenAPI document: no 5xx, nothing undocumented."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from session_store import SessionService
from tests.service.support import FakeClock, Store
from tests.web.support import application

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
OPERATIONS = 18

TAGS = st.sampled_from([None, '"2"', '"2"', '"1"', "*"])
IDS = st.sampled_from(["s1", "s1", "s1", "a/b", "no such session"])
"""Else nearly every request would be about a session that is not there."""


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SessionService]:
    with Store(request.param, tmp_path / "store", FakeClock()) as store:
        yield store.open()


def test_every_answer_to_what_the_document_allows_is_one_that_it_has(
    store: SessionService,
) -> None:
    answered = fuzzed(store, GenerationMode.POSITIVE, examples=30)
    assert len(answered) == OPERATIONS
    for name, statuses in answered.items():
        assert min(statuses) < 300, name  # it was not only refused


def test_every_answer_to_what_the_document_forbids_is_one_that_it_has(
    store: SessionService,
) -> None:
    answered = fuzzed(store, GenerationMode.NEGATIVE, examples=12)
    for name in ("create_session", "update_session", "append_entries", "restore_checkpoint"):
        assert 422 in answered[name]


def fuzzed(service: SessionService, mode: GenerationMode, examples: int) -> dict[str, set[int]]:
    """The statuses that each operation has answered with."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", application(service))
    found: dict[str, set[int]] = {}
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        with suppress(Unsatisfiable):  # nothing in a request without parameters can be wrong
            statuses = found[operation.definition.raw["operationId"]] = set()
            fuzz(service, operation.as_strategy(generation_mode=mode), examples, statuses)
    return found


def fuzz(service: SessionService, cases: Any, examples: int, statuses: set[int]) -> None:
    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(cases, IDS, TAGS)
    def run(case: Any, session_id: str, if_match: str | None) -> None:
        prepare(service)
        if "session_id" in case.path_parameters:
            case.path_parameters["session_id"] = session_id
        case.headers.update({"If-Match": if_match} if if_match and case.headers else {})
        if isinstance(case.body, dict) and "checkpoint_id" in case.body:
            case.body["checkpoint_id"] = "start"
        statuses.add(case.call_and_validate(checks=CHECKS).status_code)

    run()


def prepare(service: SessionService) -> None:
    """As if nothing had been tried before: what was completed can't be paused."""
    for session_id in ("s1", "a/b"):
        service.delete_session(session_id, user_id="ada")
        service.create_session(user_id="ada", session_id=session_id)
        service.create_checkpoint(session_id, user_id="ada", checkpoint_id="start")
