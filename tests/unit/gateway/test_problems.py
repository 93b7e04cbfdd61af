"""Errors as problem details."""

import json

import pytest

from clients.errors import Refused
from services.gateway.http.problems import STATUS, TITLES, MethodNotAllowed, problem_response
from shared.domain.errors import ErrorReason, InvalidParams, QueueFull, RateLimited, Unauthorized
from tests.unit.test_docs import codes


def test_every_code_has_a_status_and_a_title() -> None:
    assert STATUS.keys() == TITLES.keys()
    # What only a stream of documents can be told.
    assert codes() - STATUS.keys() == {"unknown_action", "interrupted"}


def test_an_error_is_told_with_its_place_and_its_cure() -> None:
    refusal = problem_response(InvalidParams("wrong", field="cliente", hint="mend it", line=2, column=3), "name")
    assert json.loads(refusal.body) == {
        "type": "urn:comanda:error:invalid_params",
        "title": "A value is wrong",
        "status": 422,
        "detail": "wrong",
        "error": "invalid_params",
        "code": "invalid_params",
        "params": {},
        "errors": [{"field": "cliente", "code": "invalid_params", "params": {}, "message": "wrong"}],
        "request_id": "name",
        "field": "cliente",
        "hint": "mend it",
        "line": 2,
        "column": 3,
    }


def test_the_reason_of_an_error_has_its_values_and_the_time_to_wait() -> None:
    paused = RateLimited("wait", reason=ErrorReason("sign_ins_paused"), details={"retry_after_ms": 1500})
    found = json.loads(problem_response(paused, "name").body)
    assert (found["error"], found["code"], found["params"]) == ("rate_limited", "sign_ins_paused", {"seconds": 2})
    assert "errors" not in found


def test_what_another_server_said_is_told_in_its_words() -> None:
    told = Refused({"error": "conflict", "message": "another order", "field": "request_id", "hint": "a new one"})
    found = json.loads(problem_response(told, "name").body)
    assert (found["status"], found["error"], found["detail"], found["field"]) == (
        409,
        "conflict",
        "another order",
        "request_id",
    )


def test_a_code_that_nobody_knows_is_an_internal_error() -> None:
    assert problem_response(Refused({"error": "new", "message": "?"}), "name").status == 500


@pytest.mark.parametrize(("milliseconds", "seconds"), [(1, b"1"), (1000, b"1"), (1001, b"2")])
def test_when_to_come_back_is_told_in_whole_seconds(milliseconds: int, seconds: bytes) -> None:
    refusal = problem_response(QueueFull("full", details={"retry_after_ms": milliseconds}), "name")
    assert (b"retry-after", seconds) in refusal.headers


def test_headers_tell_what_a_client_is_to_do() -> None:
    assert (b"allow", b"GET, HEAD") in problem_response(MethodNotAllowed(["GET", "HEAD"]), "name").headers
    assert any(name == b"www-authenticate" for name, _ in problem_response(Unauthorized("who?"), "name").headers)
