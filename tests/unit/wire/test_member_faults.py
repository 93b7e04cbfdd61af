"""The faults of all members of a document at once."""

from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct

from shared.wire.member_faults import find_faults


class _Part(Struct, forbid_unknown_fields=True):
    count: int


class _Sent(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=2, max_length=4, pattern="^[a-z]")]
    count: Annotated[int, Meta(ge=1, le=999)]
    price: Decimal
    sort: Literal["up", "down"] = "up"
    parts: Annotated[list[_Part], Meta(max_length=1)] = []
    rates: dict[Annotated[str, Meta(max_length=3)], int] = {}


def _find(document: str) -> list[tuple[str | None, str, dict[str, Any]]]:
    faults = find_faults(document.encode(), _Sent)
    assert all(fault.message for fault in faults)
    return [(one.field, one.reason.code, one.reason.params) for one in faults if one.reason is not None]


def test_all_members_that_are_wrong_are_found_in_the_order_of_their_type() -> None:
    assert _find('{"more": 1, "sort": "left", "count": 1000, "name": "a"}') == [
        ("name", "min_length", {"min": 2}),
        ("count", "maximum", {"max": 999}),
        ("price", "required", {}),
        ("sort", "choice", {"choices": ["down", "up"]}),
        ("more", "unknown_field", {}),
    ]


@pytest.mark.parametrize(
    ("member", "fault"),
    [
        ('"name": "abcde"', ("name", "max_length", {"max": 4})),
        ('"name": "Ab"', ("name", "pattern", {})),
        ('"count": 0', ("count", "minimum", {"min": 1})),
        ('"count": "1"', ("count", "wrong_type", {"expected": "whole_number"})),
        ('"count": 1.5', ("count", "wrong_type", {"expected": "whole_number"})),
        ('"count": 1e400', ("count", "out_of_range", {})),
        ('"rates": {"abcd": 1}', ("rates", "max_length", {"max": 3})),
        ('"price": true', ("price", "wrong_type", {"expected": "number"})),
        ('"parts": [{"count": null}]', ("parts[0].count", "wrong_type", {"expected": "whole_number"})),
        ('"parts": [{"count": 1}, {"count": 1}]', ("parts", "max_length", {"max": 1})),
        ('"parts": [{}]', ("parts[0].count", "required", {})),
    ],
)
def test_a_fault_names_its_place_its_code_and_the_limit(member: str, fault: tuple[str, str, dict[str, Any]]) -> None:
    right = {"name": '"ab"', "count": "1", "price": "1.5"}
    name = member.split('"')[1]
    rest = [f'"{other}": {value}' for other, value in right.items() if other != name]
    assert _find("{" + ", ".join([member, *rest]) + "}") == [fault]


def test_a_document_without_faults_or_of_another_form_has_none() -> None:
    assert find_faults(b'{"name": "ab", "count": 1, "price": 1.5}', _Sent) == []
    assert find_faults(b"[]", _Sent) == []
    assert find_faults(b"{}", dict[str, int]) == []


def test_at_most_fifty_faults_are_named() -> None:
    document = "{" + ", ".join(f'"x{number}": 1' for number in range(200)) + "}"
    assert len(_find(document)) == 50
