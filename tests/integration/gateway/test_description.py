"""The description of the API is true: whatever is sent, no server error and no answer that it does not have."""

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from services.gateway.http.problems import STATUS
from tests.integration.gateway.conftest import Suite
from tests.support.http import Http

# For each of a hundred operations, in each mode; `make chaos` tries more.
_EXAMPLES = int(os.environ.get("API_EXAMPLES", "8"))
# Rules that a schema cannot say refuse what it allows; and what it forbids may be refused for another reason first.
_OTHERS = [positive_data_acceptance, negative_data_rejection]
_SETTINGS = settings(
    max_examples=_EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: str(mode.value))
def test_every_answer_is_described(suite: Suite, mode: GenerationMode) -> None:
    description = schemathesis.openapi.from_url(f"http://127.0.0.1:{suite.gateway.port}/openapi.json")
    tried = 0
    # A stream has no end, and this suite has no lake (501): those are tried elsewhere.
    for found in description.exclude(path_regex="/events$|/analytics/(sql|tables)$").get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()

        @_SETTINGS
        @given(case=operation.as_strategy(generation_mode=mode))
        def answers_as_described(case: Any) -> None:
            case.call_and_validate(excluded_checks=_OTHERS)

        try:
            answers_as_described()
        except Unsatisfiable:
            # An operation without parameters has nothing that could be wrong.
            assert mode is GenerationMode.NEGATIVE
        tried += 1
    assert tried > 15


def test_the_description_has_every_code_and_path(http: Http) -> None:
    told = http.get("/openapi.json")
    assert told.headers["content-type"] == "application/json"
    text = told.body.decode()
    assert not [code for code in STATUS if f"(`{code}`)" not in text and code not in _ELSEWHERE]
    operations = [one for path in told.json["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    assert all(one["summary"] and one["tags"] for one in operations)


_ELSEWHERE = {"method_not_allowed"}
"""Codes of what is no operation."""
